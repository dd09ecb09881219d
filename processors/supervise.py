"""Runs N workers as processes: starts one again when it dies, follows the catalogue, and knows when all is done."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any

import msgspec

from config.catalogue import Catalogue
from config.settings import Settings
from processors.health import Health
from processors.services import Clock
from processors.worker import Anew, Refusal, Status, work

_LOOK_S = 0.2
_CATALOGUE_S = 5.0
_RESTARTS_MAX = 5  # of one worker in _RESTARTS_S: more is no accident, and needs a person
_RESTARTS_S = 60.0
_DRAIN_S = 30.0  # for saving and acknowledgements at the end; longer means that a service is away


class WorkersFailedError(Exception):
    """A worker refused to go on, and says why; or one died too often, with its own message above, on stderr."""


class Tally(msgspec.Struct):
    """What all workers have done so far."""

    workers: int = 0
    messages: int = 0
    rows: int = 0
    metered: int = 0  # partitions of events done
    rated: int = 0  # partitions of windows done
    restarts: int = 0
    health: Health = Health()


class Child:
    """A worker as its parent sees it. `pipe` is a Connection, `process` a multiprocessing.Process."""

    def __init__(self, pipe: Any, process: Any, now_s: float) -> None:
        self.pipe, self.process = pipe, process
        self.status: Status | None = None
        self.heard_at = now_s

    def health(self, now_s: float, stall_ms: int) -> Health:
        """What it says of itself; one that says nothing is not well."""
        silent_s = now_s - self.heard_at
        if silent_s * 1000 > stall_ms:
            return Health(False, f"worker {self.process.pid} has been silent for {silent_s:.0f} s")
        return self.status.health if self.status else Health()

    def tell(self, word: str) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # dead already, which `_listen` sees
            self.pipe.send(word)


class Nursery:
    """Where workers come from, and how they are heard. The simulator has its own."""

    clock: Clock = time

    def start(self, settings: Settings, catalogue: Catalogue, alone: bool) -> Child:
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        process = context.Process(target=work, args=(settings, catalogue, theirs, alone), daemon=True)
        process.start()
        theirs.close()
        return Child(pipe, process, self.clock.monotonic())

    def heard(self, children: list[Child], timeout_s: float) -> list[Child]:
        """Those that said something or died, as soon as there are any."""
        ready = wait([child.pipe for child in children], timeout_s)
        return [child for child in children if child.pipe in ready]


class Supervisor:
    """One `tollstream run`."""

    def __init__(
        self,
        settings: Settings,
        read_catalogue: Callable[[], Catalogue],
        workers: int,
        partitions: tuple[int, int],
        say: Callable[[str], None],
        nursery: Nursery | None = None,
    ) -> None:
        """`partitions`: of events and of windows. `read_catalogue` reads the published one."""
        self._settings, self._read_catalogue, self._workers = settings, read_catalogue, workers
        self._partitions, self._say = partitions, say
        self._nursery = nursery or Nursery()
        self._clock = self._nursery.clock
        self._catalogue = read_catalogue()
        self._children: list[Child] = []
        self._metered: set[int] = set()
        self._rated: set[int] = set()
        self._deaths: list[float] = []
        self._mishap: tuple[float, str] | None = None  # when a worker last lost a partition or died, and how
        self._past = Tally()  # of workers that are gone
        self._looking = self._stopping = False
        self._look_at = 0.0  # when to look for a new catalogue

    def stop(self) -> None:
        """Let every worker save what it has, and end."""
        self._stopping = True

    @property
    def pids(self) -> list[int]:
        return [child.process.pid for child in self._children]

    def tally(self) -> Tally:
        known = [child.status for child in self._children if child.status]
        stall_ms = self._settings.processing.health_stall_ms
        now = self._clock.monotonic()
        looks = [child.health(now, stall_ms) for child in self._children]
        if self._mishap is not None and (now - self._mishap[0]) * 1000 < stall_ms:
            # For as long as it takes to see a second one: neither two runs that take a partition from each other nor
            # workers that die of the same thing one after the other may look well in between.
            looks = [*looks, Health(False, f"{self._mishap[1]}, {now - self._mishap[0]:.0f} s ago")]
        return Tally(
            workers=len(self._children),
            messages=self._past.messages + sum(one.events for one in known),
            rows=self._past.rows + sum(one.rows for one in known),
            metered=len(self._metered),
            rated=len(self._rated),
            restarts=len(self._deaths),
            health=next((one for one in looks if not one.healthy), looks[0] if looks else Health()),
        )

    def run(self, *, until_caught_up: bool, watch: Callable[[Tally], None]) -> None:
        """Until stopped, or until all that was on the topics at the start is processed, rated and acknowledged."""
        self._look_at = self._clock.monotonic() + _CATALOGUE_S
        try:
            while not self._stopping:
                if self._clock.monotonic() >= self._look_at:
                    self._look_at = self._clock.monotonic() + _CATALOGUE_S
                    self._follow_catalogue()
                while len(self._children) < self._workers:
                    self._children.append(self._nursery.start(self._settings, self._catalogue, self._workers == 1))
                self._listen()
                watch(self.tally())
                if until_caught_up and self._done():
                    return
        finally:
            self._end_all()

    def _listen(self) -> None:
        for child in self._nursery.heard(self._children, _LOOK_S):
            try:
                heard = child.pipe.recv()
            except (EOFError, ConnectionResetError):
                self._bury(child)
                continue
            child.heard_at = self._clock.monotonic()
            if isinstance(heard, Refusal):
                raise WorkersFailedError(heard.reason)
            if isinstance(heard, Anew):
                self._say(f"worker {child.process.pid} starts anew: {heard.reason}")
                self._mishap = (self._clock.monotonic(), f"worker {child.process.pid} lost {heard.reason}")
                self._forget(child)
                continue
            child.status = heard
            self._metered.update(heard.metered)
            if heard.looked:
                self._rated.update(heard.rated)
            elif self._looking:
                child.tell("look")

    def _bury(self, child: Child) -> None:
        self._forget(child)
        now = self._clock.monotonic()
        self._deaths.append(now)
        death = f"worker {child.process.pid} ended with exit code {child.process.exitcode}"
        self._mishap = (now, death)
        self._say(f"{death}; starting another")
        if sum(now - at < _RESTARTS_S for at in self._deaths) > _RESTARTS_MAX:
            raise WorkersFailedError(f"workers ended {_RESTARTS_MAX + 1} times within {_RESTARTS_S:.0f} s")
        self._look_at = now  # its reason may be that the state was folded with a newer catalogue than ours

    def _forget(self, child: Child) -> None:
        child.process.join(5)
        self._children.remove(child)
        self._remember(child)

    def _remember(self, child: Child) -> None:
        """What a worker did still counts when it is gone, as far as it told."""
        if child.status:
            self._past.messages += child.status.events
            self._past.rows += child.status.rows

    def _done(self) -> bool:
        """First every partition of events, then, looked at anew since then, every partition of windows."""
        events, windows = self._partitions
        if len(self._metered) < events:
            return False
        if not self._looking:
            self._looking = True
            for child in self._children:
                child.tell("look")
        return len(self._rated) == windows

    def _follow_catalogue(self) -> None:
        newest = self._read_catalogue()
        if newest.generation > self._catalogue.generation:
            self._say(f"catalogue generation {newest.generation} is published; restarting the workers with it")
            self._catalogue = newest
            self._end_all()
            self._rated, self._looking = set(), False  # all of it is rated anew

    def _end_all(self) -> None:
        for child in self._children:
            child.tell("stop")
        until = self._clock.monotonic() + _DRAIN_S
        for child in self._children:
            while child.process.is_alive():
                if self._clock.monotonic() > until:
                    # As safe as any other death: what it had in hand is folded again by the next owner.
                    self._say(f"worker {child.process.pid} could not save all within {_DRAIN_S:.0f} s and is killed")
                    child.process.kill()
                    child.process.join()
                    break
                try:
                    if child.pipe.poll(_LOOK_S):  # a full pipe would block its last words
                        heard = child.pipe.recv()
                        child.status = heard if isinstance(heard, Status) else child.status
                except (EOFError, ConnectionResetError):
                    child.process.join(_LOOK_S)
            self._remember(child)
        self._children = []
