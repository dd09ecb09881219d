"""The whole pipeline on this machine: messages on a topic, through both stages, to acknowledged rated rows."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import msgspec

from benchmarks import floor, load, observed, profiles
from benchmarks.floor import Floor
from benchmarks.fresh import fresh
from benchmarks.observed import Report, Spent
from benchmarks.processes import Use, machine_busy_s, use
from config.loader import Config
from processors import supervise
from sinks.clickhouse import ClickHouseSink, reader
from sinks.topics import create_topics
from stack.running import Stack

_STEADY = 0.1, 0.9  # of the messages: before and after that, workers join, wait and leave
_NAMES = {"kafka": "broker", "redis": "Valkey", "clickhouse": "ClickHouse"}


class Process(msgspec.Struct):
    """A process from the first message taken until all was acknowledged."""

    name: str
    cpu_s: float
    peak_bytes: int  # since it began


class Pipeline(msgspec.Struct):
    events: int
    workers: int
    steady_events_s: float  # events a second while the middle 80% of the messages were taken
    whole_events_s: float  # all events over the time from the start of the workers
    start_s: float  # until the first message was taken: processes, imports, groups
    work_s: float  # from the first message taken until all is rated and acknowledged
    tail_s: float  # the part of it after the last message was taken
    taken: int  # messages, with those folded again because their partition moved
    rows: int  # messages of `usage.windows`
    restarts: int
    processes: list[Process]
    meter: Spent  # of all workers together
    rate: Spent
    floors: list[Floor]  # before and after
    differences: list[str]  # the first few; none: the answer is right
    wrong: int
    others_cores: float  # that other processes, or the machine's host, used meanwhile
    load_average: float  # of the last minute, at the end
    profile: list[profiles.Line] = []

    @property
    def events_s(self) -> float:
        """Events a second from the first message taken until all is rated and acknowledged."""
        return self.events / self.work_s

    @property
    def floor_us(self) -> float:
        """CPU microseconds that taking and counting a message costs, in the same run."""
        return sum(one.cpu_us for one in self.floors) / len(self.floors)


class _Watch:
    """Looks at every process while the supervisor runs, and keeps what it saw at the two ends."""

    def __init__(self, supervisor: supervise.Supervisor, stack: Stack, partitions: tuple[int, int]) -> None:
        self._supervisor, self._pids, self._partitions = supervisor, stack.services.pids, partitions
        self.begun_at_s = self.done_at_s = time.monotonic()
        self.before: list[tuple[float, float, dict[str, Use]]] = []  # time, machine busy, uses, until work begins
        self.after: dict[str, Use] = {}
        self.workers: dict[int, Use] = {}
        self.busy_s = 0.0

    def __call__(self, tally: supervise.Tally) -> None:
        if not tally.messages:
            self.before.append((time.monotonic(), machine_busy_s(), self._services()))
        if (tally.metered, tally.rated) == self._partitions:  # the supervisor ends right after this
            self.done_at_s, self.busy_s = time.monotonic(), machine_busy_s()
            self.after = self._services()
            self.workers = {pid: use(pid) for pid in self._supervisor.pids}

    def _services(self) -> dict[str, Use]:
        mine = {"supervisor": Use(time.process_time(), 0)}
        return {_NAMES[name]: use(pid) for name, pid in self._pids.items()} | mine

    def at(self, when_s: float) -> tuple[float, dict[str, Use]]:
        """(machine busy, uses) when last seen before an instant."""
        seen = [one for one in self.before if one[0] <= when_s] or self.before[:1]
        return seen[-1][1:]


def measure(
    directory: Path, events: int, workers: int, say: Callable[[str], None], *, profile: bool = False
) -> Pipeline:
    """Start everything in `directory`, run it all, and compare. With `profile` the workers are much slower."""
    with Stack(directory / "stack", say=lambda _: None) as stack:
        config = load.configuration(stack.services.environ)
        kafka = config.settings.kafka
        create_topics(kafka)
        ClickHouseSink(config.settings.clickhouse).migrate()
        truth = load.emit(config, events, say)
        counted = kafka.bootstrap, kafka.events_topic, kafka.partitions, events
        say("the floor: consume() and count")
        floors = [fresh(floor.count, *counted)]
        say(f"the pipeline with {workers} workers")
        supervisor, watch, reports = _run(stack, config, workers, directory, profile=profile)
        say("the floor again, and the comparison with the truth")
        floors.append(fresh(floor.count, *counted))
        wrong = load.differences(reader(config.settings.clickhouse), truth)
        done = _result(events, workers, supervisor.tally(), watch, reports, floors, wrong)
        if profile:
            done.profile = profiles.lines(sorted(directory.glob("*.prof")))
        return done


def _run(
    stack: Stack, config: Config, workers: int, directory: Path, *, profile: bool
) -> tuple[supervise.Supervisor, _Watch, list[Report]]:
    kafka = config.settings.kafka
    partitions = kafka.partitions, kafka.windows_partitions
    environment = {observed.REPORTS: str(directory), observed.PROFILE: "1" if profile else ""}
    with patch.object(supervise, "work", observed.work), patch.dict(os.environ, environment):
        supervisor = supervise.Supervisor(config.settings, lambda: config.catalogue, workers, partitions, print)
        watch = _Watch(supervisor, stack, partitions)
        supervisor.run(until_caught_up=True, watch=watch)
    reports = [msgspec.json.decode(path.read_bytes(), type=Report) for path in sorted(directory.glob("*.json"))]
    return supervisor, watch, reports


def _result(
    events: int,
    workers: int,
    tally: supervise.Tally,
    watch: _Watch,
    reports: list[Report],
    floors: list[Floor],
    wrong: list[str],
) -> Pipeline:
    busy = [report for report in reports if report.first_at_s]
    first_s = min(report.first_at_s for report in busy)
    last_s = max(report.progress[-1][0] for report in busy)
    busy_before_s, before = watch.at(first_s)
    processes = [
        Process(f"worker {number}", watch.workers[report.pid].cpu_s - report.first_cpu_s, report.peak_bytes)
        for number, report in enumerate(busy, 1)
        if report.pid in watch.workers
    ]
    processes += [Process(name, now.cpu_s - before[name].cpu_s, now.peak_bytes) for name, now in watch.after.items()]
    work_s = watch.done_at_s - first_s
    ours_s = sum(one.cpu_s for one in processes)
    return Pipeline(
        events=events,
        workers=workers,
        steady_events_s=steady(report.progress for report in busy),
        whole_events_s=events / (watch.done_at_s - watch.begun_at_s),
        start_s=first_s - watch.begun_at_s,
        work_s=work_s,
        tail_s=watch.done_at_s - last_s,
        taken=sum(report.meter.taken for report in busy),
        rows=sum(report.rate.taken for report in busy),
        restarts=tally.restarts,
        processes=processes,
        meter=_together(report.meter for report in busy),
        rate=_together(report.rate for report in busy),
        floors=floors,
        differences=wrong[:10],
        wrong=len(wrong),
        others_cores=max(0.0, watch.busy_s - busy_before_s - ours_s) / work_s,
        load_average=os.getloadavg()[0],
    )


def steady(progress: Iterable[list[tuple[float, int]]]) -> float:
    """Messages a second of all workers together while the middle 80% were taken.

    `progress`: for each worker (time in seconds, messages so far), ascending. Zero for too few to tell.
    """
    steps: list[tuple[float, int]] = []
    for one in progress:
        before = 0
        for at_s, so_far in one:
            steps.append((at_s, so_far - before))
            before = so_far
    total = sum(count for _, count in steps)
    ends: list[tuple[float, int]] = []
    so_far = 0
    for at_s, count in sorted(steps):
        so_far += count
        if len(ends) < len(_STEADY) and so_far >= _STEADY[len(ends)] * total:
            ends.append((at_s, so_far))
    with suppress(IndexError, ZeroDivisionError):
        return (ends[1][1] - ends[0][1]) / (ends[1][0] - ends[0][0])
    return 0.0


def _together(spent: Iterable[Spent]) -> Spent:
    total = Spent()
    for one in spent:
        total = Spent(
            total.wall_s + one.wall_s, total.cpu_s + one.cpu_s, total.steps + one.steps, total.taken + one.taken
        )
    return total
