"""What we want the figures to be, beside what they are. Nothing fails here: a missed goal is a line of a table."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.document import Document
from benchmarks.latency import Latency
from benchmarks.pipeline import Pipeline
from benchmarks.tables import MIB, Table

_KEPT_UP = 0.95  # of the events asked for must have been sent, or the latency is that of another rate
_GROWS = 1.5
_NOTHING = "not measured"


class Goal(NamedTuple):
    what: str
    goal: str
    measured: str
    met: bool | None  # None: not measured


class Stage(NamedTuple):
    """A goal for the meter stage alone."""

    what: str
    form: str
    kernel: bool
    floors: float | None
    core_events_s: float


_METER = (
    Stage("meter stage, single JSON messages, pure Python", "json", False, 3.0, 600_000),
    Stage("the same with the kernel", "json", True, 1.8, 1_000_000),
    Stage("meter stage, JSON batches of 500, pure", "json-500", False, None, 900_000),
    Stage("the same with the kernel", "json-500", True, None, 2_200_000),
    Stage("meter stage, columnar batches, pure", "columnar", False, None, 2_500_000),
)
_WHOLE = (("json", 400_000), ("json-500", 1_000_000), ("columnar", 2_000_000))
_PEERS = (("faust", "Faust", 40), ("quix", "Quix Streams", 12), ("handwritten", "the hand-written loop", 8))
IDENTITIES, PARTIALS = 10_000_000, 1_000_000
RATE = 100_000.0  # events a second


def goals(document: Document) -> Iterator[Goal]:
    """Every goal on two cores with everything on the machine."""
    for stage in _METER:
        yield from _meter(document.pipelines, stage)
    for form, least in _WHOLE:
        found = [one for one in document.pipelines if one.form == form]
        best = max((one.run("whole").best_events_s for one in found), default=None)
        yield _at_least(f"whole pipeline, {form}", "events/s", least, best)
    for name, title, times in _PEERS:
        ratio = document.peers.ratios.get(name) if document.peers else None
        goal = f"{times}x less CPU an event"
        yield Goal(f"meter stage beside {title}", goal, f"{ratio:.1f}x" if ratio else _NOTHING, _met(ratio, times))
    yield from _open_state(document)
    yield _latency(document.latency)
    for what, points, last in (
        ("history, 1 to 100 million ids: decode and fold", document.history, 100_000_000),
        ("1,000 to 10 million keys: decode and fold", document.keys, 10_000_000),
    ):
        yield _grows(what, [one.event_us for one in points], whole=any(one.there == last for one in points))
    sweeps = document.sweeps
    for name, swept, last in (("1 to 64 partitions", "partitions", 64), ("1,000 to 1 million subjects", "keys", 10**6)):
        runs = getattr(sweeps, swept, [])
        whole = any(one.value == last for one in runs)
        yield _grows(f"{name}: workers", [one.workers_us for one in runs], whole=whole)


def goals_table(document: Document) -> Table:
    """All of them, also those that this run did not measure."""
    words = {True: "yes", False: "no", None: ""}
    rows = [[one.what, one.goal, one.measured, words[one.met]] for one in goals(document)]
    return Table("goals", ["", "goal", "measured", "met"], rows)


def _ratio(costs: Sequence[float]) -> float | None:
    return max(costs) / costs[0] if len(costs) > 1 else None


def _grows(what: str, costs: Sequence[float], *, whole: bool) -> Goal:
    """`whole`: the last point was measured, without which nothing can be said to be met."""
    ratio = _ratio(costs)
    if ratio is None:
        return Goal(what, f"under {_GROWS}x", _NOTHING, None)
    if ratio < _GROWS and not whole:
        return Goal(what, f"under {_GROWS}x", f"{ratio:.2f}x in a part of it", None)
    return Goal(what, f"under {_GROWS}x", f"{ratio:.2f}x", ratio < _GROWS)


def _met(found: float | None, least: float) -> bool | None:
    return None if found is None else found >= least


def _at_least(what: str, unit: str, least: float, found: float | None) -> Goal:
    wanted = f"{least:,.0f} {unit}"
    return Goal(what, wanted, _NOTHING if found is None else f"{found:,.0f}", _met(found, least))


def _meter(pipelines: Sequence[Pipeline], stage: Stage) -> Iterator[Goal]:
    found = next((one for one in pipelines if (one.form, one.kernel) == (stage.form, stage.kernel)), None)
    run = found.run("meter") if found else None
    if stage.floors is not None:
        ratio = run.going_us / found.floor_us if run and found else None
        measured = _NOTHING if ratio is None else f"{ratio:.1f}"
        met = None if ratio is None else ratio <= stage.floors
        yield Goal(f"{stage.what}: CPU", f"{stage.floors} floors", measured, met)
    yield _at_least(stage.what, "events/s a core", stage.core_events_s, run.core_events_s if run else None)


def _open_state(document: Document) -> Iterator[Goal]:
    names = (
        ("ids in Redis, at 10 million", "17 bytes an id"),
        ("worker memory, 10 million ids and 1 million partials", "1 GiB"),
        ("restart over them, to the first batch folded; joining the group apart", "5 s"),
    )
    one = document.open_state
    if one is None or one.filled.identities < IDENTITIES or one.filled.partials < PARTIALS:
        for what, goal in names:
            yield Goal(what, goal, _NOTHING, None)
        return
    each, seconds = one.filled.redis_identity_bytes / one.filled.identities, one.restart.total_s
    peaks = one.filled.peak_bytes, one.restart.peak_bytes
    yield Goal(*names[0], f"{each:.2f}", each <= 17)
    told = f"{peaks[0] / MIB:,.0f} MiB at the highest, {peaks[1] / MIB:,.0f} in a restart"
    yield Goal(*names[1], told, max(peaks) < 1024 * MIB)
    yield Goal(*names[2], f"{seconds:.1f} s ({one.restart.cpu_s:.1f} of CPU)", seconds < 5)


def _latency(found: Sequence[Latency]) -> Goal:
    what, goal = f"produce to visible rated row, at {RATE:,.0f} events/s", "p99 under 2 s"
    asked = [one for one in found if one.rate == RATE and not one.hot]
    if not asked:
        return Goal(what, goal, _NOTHING, None)
    one = asked[0]
    measured = f"{one.p99_ms / 1000:.1f} s" if one.p99_ms != float("inf") else "not seen in time"
    if one.offered_events_s < _KEPT_UP * RATE:
        return Goal(what, goal, f"{measured}, but only {one.offered_events_s:,.0f} events/s were sent", False)
    return Goal(what, goal, measured, one.p99_ms < 2000)
