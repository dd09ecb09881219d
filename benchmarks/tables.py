"""Tables of the whole: every process of each run, latency, sweeps, and the state that a worker restarts over."""

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import NamedTuple

from benchmarks.history import Point as HistoryPoint
from benchmarks.latency import Latency
from benchmarks.live import WORKERS, Run
from benchmarks.machine import Machine
from benchmarks.open_state import OpenState
from benchmarks.pipeline import Pipeline
from benchmarks.sweeps import Point

MIB = 1024 * 1024
_SERVICES = ("broker", "Valkey", "ClickHouse", "supervisor")


class Table(NamedTuple):
    title: str
    columns: list[str]  # the first holds text, the others numbers
    rows: list[list[str]]


def machine_table(machine: Machine) -> Table:
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return Table(
        "machine",
        ["", ""],
        [
            ["CPU", f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / MIB / 1024:.1f} GiB"],
            ["kernel, Python", f"Linux {machine.kernel}, CPython {machine.python}"],
            ["packages", packages],
            ["commit, time", f"{machine.commit}, {machine.at:%Y-%m-%d %H:%M} UTC"],
        ],
    )


def stages_tables(pipelines: Sequence[Pipeline]) -> Iterator[Table]:
    """The tables of the benchmark: for each form of events both stages alone, and the whole."""
    for form in dict.fromkeys(one.form for one in pipelines):
        yield _stages([one for one in pipelines if one.form == form], _floor_us(pipelines))


def _stages(pipelines: Sequence[Pipeline], floor_us: float) -> Table:
    runs = [(one, run) for one in pipelines for run in one.runs]

    def row(name: str, number: Callable[[Pipeline, Run], float | None], digits: int = 2) -> list[str]:
        found = [number(one, run) for one, run in runs]
        return [name, *("" if value is None else f"{value:,.{digits}f}" for value in found)]

    def whole(number: Callable[[Pipeline], float]) -> Callable[[Pipeline, Run], float | None]:
        return lambda one, run: number(one) if run.part == "whole" else None

    rows = [
        row("events/s, the middle 80%", lambda _, run: run.steady_events_s or None, 0),
        row("events/s, first taken to all acknowledged", lambda _, run: run.events_s, 0),
        row("events/s a core of workers", lambda _, run: run.core_events_s, 0),
        row("CPU us an event: workers, the middle 80%", lambda _, run: run.steady_us or None),
        row("workers, from the first message to the end", lambda _, run: run.workers_us),
        *(row(name, lambda one, run, name=name: _cpu_us(run, name)) for name in _SERVICES),  # type: ignore[misc]
        row("everything", lambda _, run: run.all_us),
        row("beside it, before: load", whole(lambda one: one.send_us)),
        row("floor: consume() and count, this form", lambda one, _: one.floor_us),
        row("workers, over the floor of single messages", lambda _, run: run.going_us / floor_us, 1),
        row("everything, over that floor", lambda _, run: run.all_us / floor_us, 1),
        row("peak MiB: the largest worker", lambda _, run: _peak(run, WORKERS), 0),
        *(row(name, lambda _, run, name=name: _peak(run, name), 0) for name in _SERVICES[:3]),  # type: ignore[misc]
        row("Redis: bytes an id", whole(lambda one: one.kept.redis_identity_bytes / max(one.kept.identities, 1)), 1),
        row("Redis: all bytes an event", whole(lambda one: one.kept.redis_bytes / one.events), 1),
        row("disk: usage, bytes an event", whole(lambda one: one.kept.disk_bytes.get("usage", 0) / one.events), 1),
        row("disk: rated, bytes an event", whole(lambda one: one.kept.disk_bytes.get("rated", 0) / one.events), 1),
        row("rows of usage there, an event", whole(lambda one: one.kept.disk_rows.get("usage", 0) / one.events)),
        row("s from start to first message", lambda _, run: run.start_s, 1),
        row("s after the last message", lambda _, run: run.tail_s, 1),
        row("restarts of workers", lambda _, run: run.restarts, 0),
        row("cores used by others", lambda _, run: run.others_cores),
        ["answers", *(_answer(one) if run.part == "whole" else "" for one, run in runs)],
    ]
    first = pipelines[0]
    title = f"{first.form}: {first.events:,} events, {first.partitions} partitions, {first.runs[0].workers} workers"
    return Table(title, ["", *(("kernel: " if one.kernel else "") + run.part for one, run in runs)], rows)


def _floor_us(pipelines: Sequence[Pipeline]) -> float:
    """Of single JSON messages, where they were measured: an event of a batch has hardly a floor of its own."""
    return next((one for one in pipelines if one.form == "json" and not one.kernel), pipelines[0]).floor_us


def _cpu_us(run: Run, name: str) -> float:
    return sum(one.cpu_s for one in run.processes if one.name == name) / run.events * 1e6


def _peak(run: Run, name: str) -> float:
    return max((one.peak_bytes for one in run.processes if one.name.startswith(name)), default=0) / MIB


def _answer(one: Pipeline) -> str:
    return "equal to the truth" if not one.wrong else f"NOT EQUAL: {one.wrong} differences: {one.differences[0]}"


def profile_tables(pipelines: Sequence[Pipeline]) -> Iterator[Table]:
    """Of the runs that were profiled."""
    for one in pipelines:
        for run in one.runs:
            if run.profile:
                yield _profile(one.title, run)


def _profile(title: str, one: Run) -> Table:
    rows = [
        [line.function, f"{line.own_s:.2f}", f"{line.with_callees_s:.2f}", f"{line.calls:,}"] for line in one.profile
    ]
    return Table(f"{title}: profile of the workers (slowed by it)", ["", "own s", "with callees s", "calls"], rows)


def latency_table(found: Sequence[Latency]) -> Table:
    """Milliseconds from `produce` to the rated row in an answer, a column for each rate."""

    def row(name: str, number: Callable[[Latency], float], digits: int = 0) -> list[str]:
        values = [number(one) for one in found]
        return [name, *("not seen" if value == inf else f"{value:,.{digits}f}" for value in values)]

    rows = [
        ["", *(one.why for one in found)],
        row("sent, events/s", lambda one: one.offered_events_s),
        row("p50, ms", lambda one: one.p50_ms),
        row("p99, ms", lambda one: one.p99_ms),
        row("max, ms", lambda one: one.max_ms),
        row("probes", lambda one: one.probes),
        row("of them not seen in 20 s", lambda one: one.unseen),
        row("ms between two looks, median", lambda one: one.resolution_ms),
        row("ms between two looks, longest", lambda one: one.resolution_max_ms),
    ]
    for name in found[0].cpu_us:
        rows.append(row(f"CPU us an event: {name}", lambda one, name=name: one.cpu_us[name], 1))  # type: ignore[misc]
    title = "from produce to the visible rated row, by events/s asked for"
    return Table(title, ["", *(f"{one.rate:,.0f}" for one in found)], rows)


def open_state_table(one: OpenState) -> Table:
    """Memory of a worker, Redis, and a restart."""
    filled, restart = one.filled, one.restart
    parts = (
        ("process and imports", restart.process_s),
        ("claim", restart.claim_s),
        ("read from Redis", restart.read_s),
        ("indexes and rows", restart.rebuild_s),
        ("first batch of 20,000 folded", restart.fold_s),
        ("processing again after", restart.total_s),
        ("CPU of it", restart.cpu_s),
    )
    rows = [
        [
            "MiB resident before; with it; at the highest",
            _mib(filled.began_bytes, filled.resident_bytes, filled.peak_bytes),
        ],
        ["Redis: bytes an id", f"{filled.redis_identity_bytes / filled.identities:.2f}"],
        ["Redis: bytes a partial", f"{filled.redis_partial_bytes / max(filled.partials, 1):.1f}"],
        *([f"restart, s: {name}", f"{seconds:.2f}"] for name, seconds in parts),
        ["MiB at the highest of the new worker", _mib(restart.peak_bytes)],
    ]
    return Table(f"{filled.identities:,} open ids and {filled.partials:,} open partials", ["", ""], rows)


def _mib(*sizes: int) -> str:
    return "; ".join(f"{size / MIB:,.0f}" for size in sizes)


def history_table(name: str, points: Sequence[HistoryPoint]) -> Table:
    """The fold's cost with more and more there before."""
    rows = [
        [
            *(f"{one.there:,}", f"{one.event_us:.2f}", f"{one.event_us / points[0].event_us:.2f}"),
            f"{one.worst_batch_ms:,.0f}",
        ]
        for one in points
    ]
    columns = [name, "CPU us an event", "ratio", "slowest batch, ms"]
    return Table(f"decode and fold, by {name} there before", columns, rows)


def sweep_table(name: str, points: Sequence[Point], events: int) -> Table:
    """Runs of the whole pipeline with one thing changed."""
    rows = [
        [
            *(f"{one.value:,}", f"{one.steady_events_s:,.0f}", f"{one.events_s:,.0f}"),
            *(f"{one.workers_us:.2f}", f"{one.workers_us / points[0].workers_us:.2f}", f"{one.all_us:.2f}"),
            f"{one.rows / events:.2f}",
        ]
        for one in points
    ]
    columns = [name, "events/s, middle 80%", "events/s, to the end", "workers, CPU us an event", "ratio"]
    return Table(f"whole pipeline, by {name}", [*columns, "everything, CPU us", "rows of windows an event"], rows)
