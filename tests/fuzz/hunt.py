"""Runs rounds of a fuzz target in child processes, and names the input that kills or hangs one.

A hang inside C code holds the interpreter, so a thread could not see it: the parent does, by the child's silence. It
then has the round's inputs tried one by one, and the last one that was begun is the culprit.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

MEMORY_BYTES_MAX = 3 * 2**30  # of a child: more than any input may make it ask for
_START_S = 120.0
SILENCE_S = 30.0  # a round takes a fraction of a second


class Target(NamedTuple):
    """Something to be fuzzed. Both functions take (seed, round) and must be importable: children are spawned."""

    name: str
    inputs: int  # of one round
    run: Callable[[int, int], Counter[str]]
    run_one: Callable[[int, int, int], object]  # and the place of the input


class Found(NamedTuple):
    """One fault: `python -m tests.fuzz --target T --seed S --round N` shows it again."""

    target: str
    seed: int
    number: int
    what: str


class Hunt:
    """`jobs` children, each with every jobs-th round."""

    def __init__(self, target: Target, seed: int, jobs: int, say: Callable[[str], None], silence_s: float = SILENCE_S):
        self.target, self.seed, self.jobs, self.say, self.silence_s = target, seed, jobs, say, silence_s
        self.counts: Counter[str] = Counter()
        self.inputs = 0
        self.found: list[Found] = []
        self.slowest = (0.0, -1)  # seconds of CPU, round

    def run(self, first: int, rounds: int) -> None:
        """All rounds, or until there are ten faults."""
        children = [
            _Child(_rounds, (self.target, self.seed, list(range(first + job, first + rounds, self.jobs))))
            for job in range(min(self.jobs, rounds))
        ]
        try:
            while children and len(self.found) < 10:
                wait([child.pipe for child in children], 1.0)
                children = [child for child in children if self._listen(child)]
        finally:
            for child in children:
                child.kill()

    def _listen(self, child: _Child) -> bool:
        """Takes in what it says; False once it is done."""
        try:
            while child.pipe.poll():
                word, *rest = child.hear()
                if word == "end":
                    child.process.join()
                    return False
                if word == "fault":
                    self._note(*rest)
                if word == "done":
                    number, seconds, counts = rest
                    self.counts += counts
                    self.inputs += self.target.inputs
                    self.slowest = max(self.slowest, (seconds, number))
        except EOFError:
            child.process.join()
            self._narrow(child, f"the process died with exit code {child.process.exitcode}")
            return False
        if child.hangs(self.silence_s):
            child.kill()
            self._narrow(child, f"no end after {self.silence_s:.0f} s")
            return False
        return True

    def _note(self, number: int, what: str) -> None:
        self.found.append(Found(self.target.name, self.seed, number, what))
        self.say(f"FAULT in {self.target.name}, seed {self.seed}, round {number}: {what}")

    def _narrow(self, child: _Child, what: str) -> None:
        """Which input of its last round it was."""
        one_by_one = _Child(_inputs, (self.target, self.seed, child.number))
        place = -1
        while True:
            try:
                if not one_by_one.pipe.poll(self.silence_s if place >= 0 else _START_S):
                    break
                word, *rest = one_by_one.hear()
            except EOFError:
                break
            if word == "end":
                place = -1
                break
            place = rest[0] if word == "begin" else place
        one_by_one.kill()
        self._note(child.number, f"{what}, at input {place}" if place >= 0 else f"{what}; no input alone does that")


class _Child:
    def __init__(self, work: Any, arguments: tuple[Any, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.number = -1  # the round, or the input, that it began last
        self._heard_at: float | None = None  # starting takes its time
        self._heard_cpu_s = 0.0

    def hear(self) -> tuple[Any, ...]:
        said: tuple[Any, ...] = self.pipe.recv()
        self._heard_at, self._heard_cpu_s = time.monotonic(), _cpu_s(self.process.pid)
        if said[0] == "begin":
            self.number = said[1]
        return said

    def hangs(self, patience_s: float) -> bool:
        """Whether it has worked so long since it was last heard, or slept for ten times that. On a busy machine it may
        get no turn for a while, which is no fault of its input."""
        if self._heard_at is None or time.monotonic() - self._heard_at <= patience_s:
            return False
        worked_s = _cpu_s(self.process.pid) - self._heard_cpu_s
        return worked_s > patience_s or time.monotonic() - self._heard_at > 10 * patience_s

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def _cpu_s(pid: int | None) -> float:
    """What a process has used so far; 0 of one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # of itself, in user code and in the kernel


def _rounds(pipe: Connection, target: Target, seed: int, numbers: list[int]) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    for number in numbers:
        pipe.send(("begin", number))
        started = time.process_time()
        try:
            counts = target.run(seed, number)
        except Exception:  # noqa: BLE001 - whatever it is, it is what we look for
            pipe.send(("fault", number, traceback.format_exc()))
            continue
        pipe.send(("done", number, time.process_time() - started, counts))
    pipe.send(("end",))


def _inputs(pipe: Connection, target: Target, seed: int, number: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    for place in range(target.inputs):
        pipe.send(("begin", place))
        target.run_one(seed, number, place)
    pipe.send(("end",))
