"""What the parent tells a side, what a side tells the parent, and the watch that a side carries.

A side is one process that reads the topic and adds it up its own way. Its start, imports and joining a group are left
out: the watch begins when the first messages are there, and ends when the last is processed and saved.
"""

import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.processes import children_cpu_s, use

Key = tuple[str, str, str, int]  # meter, subject, dimension, hour since 1970
Totals = dict[Key, int]  # whole quantities, scaled by the meter's precision


class Job(msgspec.Struct, frozen=True):
    """`events` messages from the start of `topic`, and nothing behind them. `directory` is the side's own."""

    topic: str
    partitions: int
    events: int
    directory: str
    environ: dict[str, str]  # the settings that point at the services
    servers: dict[str, int]  # their names and process ids
    variant: str = ""

    @property
    def bootstrap(self) -> str:
        return self.environ["TOLLSTREAM_KAFKA__BOOTSTRAP"]

    @property
    def redis_url(self) -> str:
        return self.environ["TOLLSTREAM_REDIS__URL"]


class Taken(msgspec.Struct):
    """What a side did. CPU of itself, all its threads and its children; `servers_cpu_s` in the same time, in steps of
    10 ms; `totals` None for a floor, which adds nothing up."""

    events: int
    wall_s: float
    cpu_s: float
    servers_cpu_s: dict[str, float]
    peak_bytes: int
    versions: dict[str, str]
    totals: list[tuple[str, str, str, int, int]] | None = None


class Watch:
    """Reads the clocks at the first message and after the last."""

    def __init__(self, job: Job) -> None:
        self._servers = job.servers
        self._began: tuple[float, float, dict[str, float]] | None = None
        self._ended: tuple[float, float, dict[str, float]] | None = None

    def begin(self) -> None:
        """Now, or anew: a loop calls it before each attempt until one brings messages."""
        self._began = self._look()

    def end(self) -> None:
        """All is processed and saved."""
        self._ended = self._look()

    @property
    def begun(self) -> bool:
        return self._began is not None

    @property
    def ended(self) -> bool:
        return self._ended is not None

    def _look(self) -> tuple[float, float, dict[str, float]]:
        servers = {name: use(pid).cpu_s for name, pid in self._servers.items()}
        return time.monotonic(), time.process_time() + children_cpu_s(os.getpid()), servers

    def taken(self, events: int, packages: tuple[str, ...], totals: Totals | None, cpu_s: float | None = None) -> Taken:
        """`cpu_s`: instead of the process's own, where only a part of it is meant."""
        assert self._began and self._ended, "a side begins and ends its watch"
        (began_s, began_cpu_s, before), (ended_s, ended_cpu_s, after) = self._began, self._ended
        return Taken(
            events=events,
            wall_s=ended_s - began_s,
            cpu_s=ended_cpu_s - began_cpu_s if cpu_s is None else cpu_s,
            servers_cpu_s={name: after[name] - before[name] for name in before},
            peak_bytes=use(os.getpid()).peak_bytes,
            versions={name: version(name) for name in packages},
            totals=None if totals is None else [(*key, quantity) for key, quantity in totals.items()],
        )


def add(totals: Totals, key: Key, quantity: int) -> None:
    totals[key] = totals.get(key, 0) + quantity


def side(measure: Callable[[Job], Taken]) -> None:
    """Entry point of a side's process: its argument is the file that holds the job; the answer goes beside it."""
    path = Path(sys.argv[1])
    taken = measure(msgspec.json.decode(path.read_bytes(), type=Job))
    scratch = path.with_name("taken.part")
    scratch.write_bytes(msgspec.json.encode(taken))
    scratch.replace(path.with_name("taken.json"))
