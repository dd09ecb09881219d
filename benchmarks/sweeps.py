"""The whole pipeline again and again, with one thing changed: workers, partitions, keys, events a message."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from benchmarks import load
from benchmarks.budget import Budget
from benchmarks.ground import Ground
from benchmarks.live import live
from benchmarks.load import Lines

WORKERS = (1, 2, 3, 4)
PARTITIONS = (1, 4, 16, 64)
SUBJECTS = (1_000, 10_000, 100_000, 1_000_000)
BATCHES = (1, 10, 100, 500, 2_000)
_FIRST_S = 45.0  # what a run takes, until one has


class Point(msgspec.Struct):
    """One run of the whole pipeline. CPU in microseconds an event."""

    value: int  # of what was changed
    steady_events_s: float
    events_s: float  # first message taken to all rated and acknowledged
    workers_us: float
    all_us: float
    rows: int  # of `usage.windows`


class Sweeps(msgspec.Struct):
    """`keys` is the number of subjects, drawn by Zipf's law; each has up to a dozen series in each hour."""

    events: int
    workers: list[Point]
    partitions: list[Point]
    keys: list[Point]
    batch: list[Point]


class _Runs:
    def __init__(
        self, ground: Ground, directory: Path, events: int, workers: int, budget: Budget, say: Callable[[str], None]
    ) -> None:
        self._ground, self._directory, self._workers, self._budget, self._say = ground, directory, workers, budget, say
        self._events = events
        self._takes_s = _FIRST_S

    def lines(self, subjects: int = 5000) -> Lines:
        return load.make(self._directory / f"{subjects}.ndjson", self._events, subjects)

    def run(
        self, points: list[Point], what: str, value: int, lines: Lines, settings: Mapping[str, str], **changed: int
    ) -> None:
        """Add a point, if there is time for it."""
        if not self._budget.affords(f"{value:,} {what}", self._takes_s):
            return
        self._say(f"sweep: {value:,} {what}")
        began_s = time.monotonic()
        config = self._ground.fresh(settings)
        load.send(config, lines, batch=changed.get("batch"))
        done = live(self._ground.stack, config, lines.events, "whole", changed.get("workers", self._workers))
        self._ground.forget(config)
        points.append(Point(value, done.best_events_s, done.events_s, done.going_us, done.all_us, done.rows))
        self._takes_s = time.monotonic() - began_s


def measure(
    ground: Ground, directory: Path, workers: int, budget: Budget, say: Callable[[str], None], found: Sweeps
) -> None:
    """Add the points of each sweep to `found`: single JSON messages, but where the batch is what changes."""
    runs = _Runs(ground, directory, found.events, workers, budget, say)
    lines = runs.lines()
    for size in BATCHES:
        runs.run(found.batch, "events a message", size, lines, {}, batch=size)
    for partitions in PARTITIONS:
        both = {"TOLLSTREAM_KAFKA__PARTITIONS": str(partitions), "TOLLSTREAM_KAFKA__WINDOWS_PARTITIONS": "4"}
        runs.run(found.partitions, "partitions", partitions, lines, both)
    for count in WORKERS:
        runs.run(found.workers, "workers", count, lines, {}, workers=count)
    for subjects in SUBJECTS:
        runs.run(found.keys, "subjects", subjects, runs.lines(subjects), {})
