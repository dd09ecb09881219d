"""What a benchmark says: one document, shown as tables on a terminal or in Markdown."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.machine import Machine
from benchmarks.memory import Held, Memory
from benchmarks.pipeline import Pipeline
from benchmarks.sequences import Dedupe, Kept
from benchmarks.steps import Steps

_MIB = 1024 * 1024
BEGIN, END = "<!-- figures: python -m benchmarks --markdown -->", "<!-- end of figures -->"


class Document(msgspec.Struct):
    """One run. A part that was left out is None."""

    machine: Machine
    pipeline: Pipeline | None = None
    memory: Memory | None = None
    steps: Steps | None = None
    sequences: Dedupe | None = None


class Table(NamedTuple):
    title: str
    columns: list[str]  # the first holds text, the others numbers
    rows: list[list[str]]


def tables(document: Document) -> Iterator[Table]:
    """Every table of a document."""
    yield _machine(document.machine)
    if document.pipeline:
        yield _speed(document.pipeline)
        yield _processes(document.pipeline)
        if document.pipeline.profile:
            yield _profile(document.pipeline)
    if document.memory:
        yield _memory(document.memory)
    if document.steps:
        yield _steps(document.steps)
    if document.sequences:
        yield _dedupe(document.sequences)
        yield _numbers(document.sequences)


def _machine(machine: Machine) -> Table:
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return Table(
        "machine",
        ["", ""],
        [
            ["CPU", f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / _MIB / 1024:.1f} GiB"],
            ["kernel, Python", f"Linux {machine.kernel}, CPython {machine.python}"],
            ["packages", packages],
            ["commit, time", f"{machine.commit}, {machine.at:%Y-%m-%d %H:%M} UTC"],
        ],
    )


def _speed(one: Pipeline) -> Table:
    answer = "equal to the truth" if not one.wrong else f"NOT EQUAL: {one.wrong} differences: {one.differences[0]}"
    floors = " and ".join(f"{floor.cpu_us:.2f}" for floor in one.floors)
    return Table(
        f"pipeline: {one.events:,} single-event JSON messages, {one.workers} workers",
        ["", ""],
        [
            ["events/s, the middle 80% of the messages", f"{one.steady_events_s:,.0f}"],
            ["events/s, first message taken to all rated and acknowledged", f"{one.events_s:,.0f}"],
            ["events/s, with the start of the workers", f"{one.whole_events_s:,.0f}"],
            ["s to the first message; from there; after the last message", _seconds(one)],
            ["ledger, usage and rated quantities", answer],
            ["messages taken; rows of windows; restarts", f"{one.taken:,}; {one.rows:,}; {one.restarts}"],
            ["floor before and after, CPU us a message", floors],
            ["cores used by others meanwhile; load average", f"{one.others_cores:.2f}; {one.load_average:.2f}"],
        ],
    )


def _seconds(one: Pipeline) -> str:
    return f"{one.start_s:.1f}; {one.work_s:.1f}; {one.tail_s:.1f}"


def _processes(one: Pipeline) -> Table:
    def row(name: str, cpu_s: float, peak_bytes: int) -> list[str]:
        cpu_us = cpu_s / one.events * 1e6
        peak = f"{peak_bytes / _MIB:,.0f}" if peak_bytes else ""
        return [name, f"{cpu_us:.2f}", f"{cpu_us / one.floor_us:.1f}", peak]

    rows = [row(process.name, process.cpu_s, process.peak_bytes) for process in one.processes]
    workers = sum(process.cpu_s for process in one.processes if process.name.startswith("worker"))
    rows.append(row("all workers", workers, 0))
    rows.append(row("of them, steps of the meter stage", one.meter.cpu_s, 0))
    rows.append(row("of them, steps of the rate stage", one.rate.cpu_s, 0))
    rows.append(row("everything", sum(process.cpu_s for process in one.processes), 0))
    rows.append(["floor: consume() and count", f"{one.floor_us:.2f}", "1.0", ""])
    return Table("CPU of every process", ["", "us an event", "floors", "peak MiB"], rows)


def _profile(one: Pipeline) -> Table:
    rows = [
        [line.function, f"{line.own_s:.2f}", f"{line.with_callees_s:.2f}", f"{line.calls:,}"] for line in one.profile
    ]
    return Table("profile of the workers (slowed by it)", ["", "own s", "with callees s", "calls"], rows)


def _memory(memory: Memory) -> Table:
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
        row("MiB resident before", lambda held: held.began_bytes / _MIB),
        row("MiB resident after", lambda held: held.resident_bytes / _MIB),
        row("MiB at its highest", lambda held: held.peak_bytes / _MIB),
        ["bytes each (of a partial: beside its id)", *each],
        row("Redis: bytes an id", lambda held: held.redis_identity_bytes / held.identities, 1),
        row(
            "Redis: bytes a partial, superseded ones with it", lambda held: held.redis_partial_bytes / held.partials, 1
        ),
        row("s until another worker has it", lambda held: held.takeover_s, 1),
        row("MiB at the highest of that worker", lambda held: held.takeover_peak_bytes / _MIB),
    ]
    columns = ["", "ids alone", "each series in six windows", "each series in one window"]
    return Table("memory of one worker's fold", columns, rows)


def _steps(steps: Steps) -> Table:
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


def _dedupe(dedupe: Dedupe) -> Table:
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


def _numbers(dedupe: Dedupe) -> Table:
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


def show(document: Document, console: Console) -> None:
    """Every table on a terminal."""
    for table in tables(document):
        rich = RichTable(title=table.title, title_justify="left", show_header=any(table.columns))
        for number, name in enumerate(table.columns):
            rich.add_column(name, justify="right" if number and name else "left", overflow="fold")
        for row in table.rows:
            rich.add_row(*row)
        console.print(rich)


def markdown(document: Document) -> str:
    """Every table as Markdown."""
    parts = []
    for table in tables(document):
        marks = ["---" if number == 0 or not name else "---:" for number, name in enumerate(table.columns)]
        lines = [table.columns, marks, *table.rows]
        parts.append(f"### {table.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts)


def write_into(path: Path, document: Document) -> None:
    """Put the tables between the two marks of a Markdown file. ValueError where the marks are not there."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the lines {BEGIN} and {END}, which the figures go between")
    path.write_text(f"{before}{BEGIN}\n\n{markdown(document)}\n\n{END}{after}")
