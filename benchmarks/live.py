"""One run of the workers over events that are on the topic already: both stages, or one of them alone."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import msgspec

from benchmarks import observed, profiles
from benchmarks.observed import Part, Report, Spent
from benchmarks.processes import Use, machine_busy_s, use
from config.loader import Config
from processors import supervise
from stack.running import Stack

_STEADY = 0.1, 0.9  # of the messages: before and after that, workers join, wait and leave
_STEPS_MIN = 10  # of all workers together: a few large ones say nothing about what lies between them
_OWN_STEPS_MIN = 3  # of one worker: its cost needs no more than an end of a step to begin at, and another one
NAMES = {"kafka": "broker", "redis": "Valkey", "clickhouse": "ClickHouse"}
WORKERS = "worker"  # what their processes' names begin with


class Process(msgspec.Struct):
    """A process from the first message taken until all was acknowledged."""

    name: str
    cpu_s: float
    peak_bytes: int  # since it began


class Run(msgspec.Struct):
    part: Part
    events: int
    workers: int
    steady_events_s: float  # events a second while the middle 80% of the messages were taken; 0: too few steps
    steady_us: float  # CPU microseconds an event of all workers, each over the middle 80% of its own; 0: too few steps
    whole_events_s: float  # all events over the time from the start of the workers
    start_s: float  # until the first message was taken: processes, imports, groups
    work_s: float  # from the first message taken until all is acknowledged
    tail_s: float  # the part of it after the last message was taken; 0 if a late joiner took some again after it
    taken: int  # messages of events, with those folded again because their partition moved
    rows: int  # of `usage.windows`
    restarts: int
    processes: list[Process]
    meter: Spent  # of all workers together
    rate: Spent
    others_cores: float  # that other processes, or the machine's host, used meanwhile
    load_average: float  # of the last minute, at the end
    profile: list[profiles.Line] = []

    @property
    def events_s(self) -> float:
        """Events a second from the first message taken until all is acknowledged."""
        return self.events / self.work_s

    @property
    def best_events_s(self) -> float:
        """While it kept running, or where it was too short to tell, from end to end."""
        return self.steady_events_s or self.events_s

    @property
    def workers_us(self) -> float:
        """CPU microseconds an event of all workers: every thread of theirs, once they had begun."""
        return sum(one.cpu_s for one in self.processes if one.name.startswith(WORKERS)) / self.events * 1e6

    @property
    def all_us(self) -> float:
        """CPU microseconds an event of every process."""
        return sum(one.cpu_s for one in self.processes) / self.events * 1e6

    @property
    def going_us(self) -> float:
        """As `workers_us`, while it kept running; where it was too short to tell, from end to end."""
        return self.steady_us or self.workers_us

    @property
    def core_events_s(self) -> float:
        """Events a second that a core of workers comes to."""
        return 1e6 / self.going_us


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
        if not tally.messages + tally.rows:
            self.before.append((time.monotonic(), machine_busy_s(), self._services()))
        if (tally.metered, tally.rated) == self._partitions:  # the supervisor ends right after this
            self.done_at_s, self.busy_s = time.monotonic(), machine_busy_s()
            self.after = self._services()
            self.workers = {pid: use(pid) for pid in self._supervisor.pids}

    def _services(self) -> dict[str, Use]:
        mine = {"supervisor": Use(time.process_time(), 0)}
        return {NAMES[name]: use(pid) for name, pid in self._pids.items()} | mine

    def at(self, when_s: float) -> tuple[float, dict[str, Use]]:
        """(machine busy, uses) when last seen before an instant."""
        seen = [one for one in self.before if one[0] <= when_s] or self.before[:1]
        return seen[-1][1:]


def live(
    stack: Stack, config: Config, events: int, part: Part = "whole", workers: int = 2, *, profile: bool = False
) -> Run:
    """Run the workers until all that is on the topics is processed and acknowledged. With `profile` much slower.

    `events`: how many there are in the messages. RuntimeError if no worker ever took a message.
    """
    kafka = config.settings.kafka
    partitions = (
        0 if part == "rate" else kafka.partitions,
        0 if part == "meter" else kafka.windows_partitions,
    )
    with TemporaryDirectory(prefix="reports-") as name:
        directory = Path(name)
        environment = {observed.REPORTS: name, observed.PROFILE: "1" if profile else "", observed.ONLY: part}
        with patch.object(supervise, "work", observed.work), patch.dict(os.environ, environment):
            supervisor = supervise.Supervisor(config.settings, lambda: config.catalogue, workers, partitions, print)
            watch = _Watch(supervisor, stack, partitions)
            supervisor.run(until_caught_up=True, watch=watch)
        reports = [msgspec.json.decode(path.read_bytes(), type=Report) for path in sorted(directory.glob("*.json"))]
        done = _result(part, events, workers, supervisor.tally(), watch, reports)
        if profile:
            done.profile = profiles.lines(sorted(directory.glob("*.prof")))
        return done


def _result(part: Part, events: int, workers: int, tally: supervise.Tally, watch: _Watch, reports: list[Report]) -> Run:
    busy = [report for report in reports if report.first_at_s]
    if not busy:
        raise RuntimeError("no worker took a message: look at what they said above")
    first_s = min(report.first_at_s for report in busy)
    last_s = max(report.progress[-1][0] for report in busy)
    busy_before_s, before = watch.at(first_s)
    processes = [
        Process(f"{WORKERS} {number}", watch.workers[report.pid].cpu_s - report.first_cpu_s, report.peak_bytes)
        for number, report in enumerate(busy, 1)
        if report.pid in watch.workers
    ]
    processes += [Process(name, now.cpu_s - before[name].cpu_s, now.peak_bytes) for name, now in watch.after.items()]
    work_s = watch.done_at_s - first_s
    ours_s = sum(one.cpu_s for one in processes)
    messages = sum(report.progress[-1][1] for report in busy)
    return Run(
        part=part,
        events=events,
        workers=workers,
        steady_events_s=steady(report.progress for report in busy) * events / messages,
        steady_us=steady_us(report.progress for report in busy) * messages / events,
        whole_events_s=events / (watch.done_at_s - watch.begun_at_s),
        start_s=first_s - watch.begun_at_s,
        work_s=work_s,
        tail_s=max(0.0, watch.done_at_s - last_s),
        taken=sum(report.meter.taken for report in busy),
        rows=sum(report.rate.taken for report in busy),
        restarts=tally.restarts,
        processes=processes,
        meter=_together(report.meter for report in busy),
        rate=_together(report.rate for report in busy),
        others_cores=max(0.0, watch.busy_s - busy_before_s - ours_s) / work_s,
        load_average=os.getloadavg()[0],
    )


def steady(progress: Iterable[list[tuple[float, int, float]]]) -> float:
    """Messages a second of all workers together while the middle 80% were taken.

    `progress`: for each worker (time in seconds, messages and CPU seconds so far), ascending. Zero for fewer steps than
    can tell.
    """
    steps: list[tuple[float, int]] = []
    for one in progress:
        before = 0
        for at_s, so_far, _ in one:
            steps.append((at_s, so_far - before))
            before = so_far
    if len(steps) < _STEPS_MIN:
        return 0.0
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


def steady_us(progress: Iterable[list[tuple[float, int, float]]]) -> float:
    """CPU microseconds a message of all workers, each over the middle 80% of its own. Zero as for `steady`.

    What a worker spends once is not in it: its first insert, the last acknowledgements, imports on first use.
    """
    cpu_s, messages = 0.0, 0
    for one in progress:
        if len(one) < _OWN_STEPS_MIN:
            return 0.0
        begin, end = (next(step for step in one if step[1] >= share * one[-1][1]) for share in _STEADY)
        cpu_s += end[2] - begin[2]
        messages += end[1] - begin[1]
    return cpu_s / messages * 1e6 if messages else 0.0


def _together(spent: Iterable[Spent]) -> Spent:
    total = Spent()
    for one in spent:
        total = Spent(
            total.wall_s + one.wall_s, total.cpu_s + one.cpu_s, total.steps + one.steps, total.taken + one.taken
        )
    return total
