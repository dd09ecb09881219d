"""The pictures of a document: (name of the file, what it shows, its SVG)."""

import math
from collections.abc import Iterator, Sequence

from benchmarks.chart import Line, Panel, picture
from benchmarks.document import Document
from benchmarks.history import Point as HistoryPoint
from benchmarks.latency import Latency
from benchmarks.sweeps import Point

SWEEPS = (
    ("workers", "worker processes"),
    ("partitions", "partitions of the events topic"),
    ("keys", "subjects"),
    ("batch", "events a message"),
)


def plots(document: Document) -> Iterator[tuple[str, str, str]]:
    """What was measured at two values or more."""
    for name, title in SWEEPS:
        points = getattr(document.sweeps, name, [])
        if len(points) > 1:
            yield f"bench-{name}", f"The whole pipeline against {title}", _sweep(title, points)
    both = (document.history, "ids of the partition before"), (document.keys, "keys with an open partial before")
    if panels := [_history(points, title) for points, title in both if len(points) > 1]:
        yield "bench-history", "Decode and fold against what was there before", picture(panels)
    even = [one for one in document.latency if not one.hot]
    if len(even) > 1:
        yield "bench-latency", "From produce to the visible rated row", picture([_latency(even)])


def _sweep(title: str, points: Sequence[Point]) -> str:
    places = [one.value for one in points]
    speed = [
        Line("middle 80%", [one.steady_events_s for one in points]),
        Line("first taken to all acknowledged", [one.events_s for one in points]),
    ]
    cost = [
        Line("workers", [one.workers_us for one in points]),
        Line("every process", [one.all_us for one in points]),
    ]
    return picture(
        [
            Panel("Throughput", title, "events a second", places, speed),
            Panel("Cost", title, "CPU microseconds an event", places, cost),
        ]
    )


def _history(points: Sequence[HistoryPoint], title: str) -> Panel:
    cost = [Line("decode and fold", [one.event_us for one in points])]
    return Panel("Decode and fold", title, "CPU microseconds an event", [one.there for one in points], cost)


def _latency(found: Sequence[Latency]) -> Panel:
    def line(name: str, values: Sequence[float]) -> Line:
        return Line(name, [value if math.isfinite(value) else None for value in values])

    lines = [
        line("p50", [one.p50_ms for one in found]),
        line("p99", [one.p99_ms for one in found]),
        line("max", [one.max_ms for one in found]),
    ]
    return Panel("Produce to visible rated row", "events a second", "milliseconds", [one.rate for one in found], lines)
