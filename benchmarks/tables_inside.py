"""Tables of what is measured inside one process: memory, steps, numbers of sources."""

from collections.abc import Callable, Sequence

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


def steps_table(measured: Sequence[Steps]) -> Table:
    """A column for each form; what a row or a rated row of the first one costs at the end."""
    first, stages = measured[0], ("meter", "rate")
    columns = ["", *(f"{one.form}, kernel" if one.kernel else one.form for one in measured), "each", "of what"]
    rows = [
        [
            f"{step.stage}: {step.name}",
            *(f"{one.steps[place].cpu_s / one.events * 1e6:.2f}" for one in measured),
            f"{step.cpu_s / step.items * 1e6:.2f}",
            step.item,
        ]
        for place, step in enumerate(first.steps)
    ]
    for stage in stages:
        rows.append([f"{stage}: all", *(f"{_us(one, stage):.2f}" for one in measured), "", ""])
    rows.append(["rows an event", *(f"{one.rows / one.events:.2f}" for one in measured), "", ""])
    rows.append(["rated rows an event", *(f"{one.rated / one.events:.2f}" for one in measured), "", ""])
    return Table(f"steps inside a worker, CPU us an event: {first.events:,} events", columns, rows)


def _us(steps: Steps, stage: str) -> float:
    return sum(step.cpu_s for step in steps.steps if step.stage == stage) / steps.events * 1e6


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
