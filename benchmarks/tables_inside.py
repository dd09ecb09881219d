"""Tables of what is measured inside one process: memory, steps, numbers of sources."""

from collections.abc import Callable

from benchmarks.memory import Held, Memory
from benchmarks.sequences import Dedupe, Kept
from benchmarks.steps import Steps
from benchmarks.tables import MIB, Table


def memory_table(memory: Memory) -> Table:
    shapes = memory.plain, memory.hourly, memory.single
    each = (
        f"{memory.identity_bytes:.0f} an id",
        f"{memory.partial_bytes(memory.hourly):.0f} a partial",
        f"{memory.partial_bytes(memory.single):.0f} a partial",
    )

    def row(name: str, number: Callable[[Held], float], digits: int = 0) -> list[str]:
        return [name, *(f"{number(held):,.{digits}f}" for held in shapes)]

    rows = [
        row("ids", lambda held: held.identities),
        row("open partials", lambda held: held.partials),
        row("series (subject and dimensions)", lambda held: held.series),
        row("MiB resident before", lambda held: held.began_bytes / MIB),
        row("MiB resident after", lambda held: held.resident_bytes / MIB),
        row("MiB at its highest", lambda held: held.peak_bytes / MIB),
        ["bytes each (of a partial: beside its id)", *each],
        row("Redis: bytes an id", lambda held: held.redis_identity_bytes / held.identities, 1),
        row(
            "Redis: bytes a partial, superseded ones with it", lambda held: held.redis_partial_bytes / held.partials, 1
        ),
        row("s until another worker has it", lambda held: held.takeover_s, 1),
        row("MiB at the highest of that worker", lambda held: held.takeover_peak_bytes / MIB),
    ]
    columns = ["", "ids alone", "each series in six windows", "each series in one window"]
    return Table("memory of one worker's fold", columns, rows)


def steps_table(steps: Steps) -> Table:
    rows = [
        [
            f"{one.stage}: {one.name}",
            f"{one.cpu_s / steps.events * 1e6:.2f}",
            f"{one.cpu_s / one.items * 1e6:.2f}",
            one.item,
        ]
        for one in steps.steps
    ]
    rows.append(["all", f"{sum(one.cpu_s for one in steps.steps) / steps.events * 1e6:.2f}", "", ""])
    share = f"{steps.rows / steps.events:.2f} rows and {steps.rated / steps.events:.2f} rated rows an event"
    return Table(f"steps, CPU us: {steps.events:,} events, {share}", ["", "an event", "each", "of what"], rows)


def dedupe_table(dedupe: Dedupe) -> Table:
    both = dedupe.by_id, dedupe.by_number
    rows = [
        [name, *(f"{one:.2f}" for one in us), f"{us[1] / us[0]:.2f}"]
        for name, us in (
            ("decode", [one.decode_us for one in both]),
            ("is it new?", [one.dedupe_us for one in both]),
            ("both", [one.decode_us + one.dedupe_us for one in both]),
        )
    ]
    return Table("dedupe, CPU us an event, in one run", ["", "by id", "by number", "ratio"], rows)


def numbers_table(dedupe: Dedupe) -> Table:
    def row(name: str, number: Callable[[Kept], float], digits: int = 0) -> list[str]:
        return [name, *(f"{number(kept):,.{digits}f}" for kept in dedupe.kept)]

    rows = [
        row("events", lambda kept: kept.events),
        row("sources", lambda kept: kept.sources),
        row("intervals", lambda kept: kept.intervals),
        row("digests beside them", lambda kept: kept.strays),
        row("bytes a source, without those digests", lambda kept: kept.memory_bytes_bare / kept.sources, 1),
        row("bytes a source", lambda kept: kept.memory_bytes / kept.sources, 1),
        row("Redis: bytes a source", lambda kept: kept.redis_bytes / kept.sources, 1),
        row("Redis: bytes a source, the most ever written", lambda kept: kept.redis_bytes_max / kept.sources, 1),
        row("CPU us an event", lambda kept: kept.add_us, 2),
    ]
    columns = ["", *(f"{kept.missing:.1%} of the numbers never come" for kept in dedupe.kept)]
    return Table("numbers of one partition, one day", columns, rows)
