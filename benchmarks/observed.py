"""A worker with a watch beside each of its stages. What it does is what any worker does; two clock reads a step.

Or with one of its stages alone: the other one is there and does nothing.
"""

import cProfile
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar
from unittest.mock import patch

import msgspec

from benchmarks.processes import peak_resident_bytes
from config.catalogue import Catalogue
from config.settings import Settings
from processors import worker
from processors.meter_stage import MeterStage
from processors.rate_stage import RateStage

REPORTS = "BENCHMARK_WORKER_REPORTS"  # environment variable: the directory that reports go to
PROFILE = "BENCHMARK_WORKER_PROFILE"  # environment variable: profile each worker's loop, which slows it down
ONLY = "BENCHMARK_WORKER_ONLY"  # environment variable: meter, rate, or whole for both

Part = Literal["meter", "rate", "whole"]
P = ParamSpec("P")
Stage = TypeVar("Stage", MeterStage, RateStage)


class Spent(msgspec.Struct):
    """What the steps of one stage took since the worker's first message."""

    wall_s: float = 0.0
    cpu_s: float = 0.0  # of the worker's main thread
    steps: int = 0
    taken: int = 0  # messages


class Report(msgspec.Struct):
    """What one worker saw. Times are of the monotonic clock, which all processes of a machine share."""

    pid: int
    meter: Spent
    rate: Spent
    first_at_s: float = 0.0  # begin of the step that took the first message; 0: it never took one
    first_cpu_s: float = 0.0  # CPU time that the process had used by then: start-up, imports, joining the group
    progress: list[tuple[float, int, float]] = []  # time, messages taken so far, CPU time of the process by then
    peak_bytes: int = 0


class Idle:
    """Stands where a stage would, and takes nothing."""

    trouble = ""
    behind = False

    def __init__(self, *_: Any, alone: bool) -> None:
        """As a stage is made."""

    def step(self, timeout_s: float, *, backlog: bool = False) -> int:
        return 0

    def look_again(self) -> None:
        """Nothing to look for."""

    def progress(self) -> tuple[dict[int, int], set[int]]:
        return {}, set()

    def caught_up(self) -> list[int]:
        return []

    def drain(self) -> None:
        """Nothing to save."""

    abandon = drain


def work(settings: Settings, catalogue: Catalogue, parent: Connection, alone: bool) -> None:
    """Entry point of the process, in the place of `processors.worker.work`, which ends it: the report goes before."""
    report = Report(os.getpid(), Spent(), Spent())
    directory = Path(os.environ[REPORTS])
    profile = cProfile.Profile(time.thread_time) if os.environ.get(PROFILE) else None
    only = os.environ[ONLY]
    end = os._exit

    def write_and_end(code: int) -> None:
        if profile is not None:
            profile.disable()
            profile.dump_stats(directory / f"{report.pid}.prof")
        report.peak_bytes = peak_resident_bytes(report.pid)
        (directory / f"{report.pid}.json").write_bytes(msgspec.json.encode(report))
        end(code)

    # The stage whose messages say when work began and how far it is.
    leads = report.rate if only == "rate" else report.meter
    with (
        patch.object(worker, "MeterStage", Idle if only == "rate" else MeterStage),
        patch.object(worker, "RateStage", Idle if only == "meter" else RateStage),
        patch.object(MeterStage, "step", _timed(MeterStage.step, report, report.meter, leads, profile)),
        patch.object(RateStage, "step", _timed(RateStage.step, report, report.rate, leads, profile)),
        patch.object(os, "_exit", write_and_end),
    ):
        worker.work(settings, catalogue, parent, alone)


def _timed(
    step: Callable[Concatenate[Stage, P], int],
    report: Report,
    spent: Spent,
    leads: Spent,
    profile: cProfile.Profile | None,
) -> Callable[Concatenate[Stage, P], int]:
    leading = spent is leads

    def run(stage: Stage, /, *args: P.args, **kwargs: P.kwargs) -> int:
        wall_s, cpu_s = time.monotonic(), time.thread_time()
        before_s = 0.0 if report.first_at_s else time.process_time()
        taken = step(stage, *args, **kwargs)
        if taken and leading and not report.first_at_s:
            report.first_at_s, report.first_cpu_s = wall_s, before_s
            if profile is not None:
                profile.enable()  # from here on: start-up and waiting for the group are no work
        if report.first_at_s:
            now_s = time.monotonic()
            spent.wall_s += now_s - wall_s
            spent.cpu_s += time.thread_time() - cpu_s
            spent.steps += 1
            spent.taken += taken
            if taken and leading:
                report.progress.append((now_s, spent.taken, time.process_time()))
        return taken

    return run
