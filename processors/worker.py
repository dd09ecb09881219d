"""A worker process: both stages in one loop, until it is told to stop. Its parent hears from it twice a second."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any, Protocol

import msgspec

from config.catalogue import Catalogue
from config.settings import Settings
from processors.health import Health, Progress
from processors.marks import WrongLogError
from processors.meter_stage import LostPartitionError, MeterStage
from processors.owner import LogTooShortError
from processors.rate_stage import RateStage
from processors.services import Services
from processors.state import FullError

_TELL_S = 0.5
_IDLE_S = 0.05


class Status(msgspec.Struct):
    """What a worker tells its parent."""

    health: Health
    metered: list[int]  # partitions of events whose end was reached, all of it acknowledged
    rated: list[int]  # partitions of windows, the same, since it was last asked to look
    looked: bool  # it has been asked to look
    events: int  # messages taken since the start
    rows: int


class Refusal(msgspec.Struct):
    """The last word of a worker that no new start would help."""

    reason: str


class Anew(msgspec.Struct):
    """The last word of a worker that lost a partition: the next one begins with what is in Redis now."""

    reason: str


class Pipe(Protocol):
    """A worker's end of the connection to its parent."""

    def poll(self) -> bool: ...

    def recv(self) -> Any: ...

    def send(self, word: Any, /) -> None: ...


class Worker:
    """Runs the two stages in turn. One thread: the fold is what takes the time, and it never waits for a lock."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, parent: Pipe, services: Services, *, alone: bool
    ) -> None:
        self._settings, self._catalogue, self._parent, self._alone = settings, catalogue, parent, alone
        self._services, self._clock = services, services.clock
        self._stop = threading.Event()  # set by a signal, too
        self._looked = False
        self._events = self._rows = 0
        self._told_at = 0.0

    def stop(self) -> None:
        """Finish what is in hand, save it, and end."""
        self._stop.set()

    def run(self) -> Anew | None:
        """Until stopped, by a signal or by the parent, or until a partition is lost."""
        meter = MeterStage(self._settings, self._catalogue, self._pulse, self._services, alone=self._alone)
        rate = RateStage(self._settings, self._catalogue, self._pulse, self._services, alone=self._alone)
        stall_ms = self._settings.processing.health_stall_ms
        self._watch = (Progress(stall_ms), meter), (Progress(stall_ms), rate)
        lost = None
        try:
            while not self._stop.is_set():
                taken = meter.step(_IDLE_S)
                rows = rate.step(0 if taken else _IDLE_S, backlog=meter.behind)
                self._events += taken
                self._rows += rows
                self._listen(meter, rate)
            meter.drain()
        except LostPartitionError as error:
            lost = Anew(str(error))
            meter.abandon()
        rate.drain()
        return lost

    def _listen(self, meter: MeterStage, rate: RateStage) -> None:
        now = self._clock.monotonic()
        if now - self._told_at < _TELL_S:
            return
        self._told_at = now
        try:
            while self._parent.poll():
                if self._parent.recv() == "look":
                    rate.look_again()
                    self._looked = True
                else:
                    self.stop()
            self._parent.send(self._status(now, meter, rate))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            _end_alone()

    def _pulse(self) -> None:
        """Tell how we are while a stage waits, and nothing that could wait as well."""
        now = self._clock.monotonic()
        if now - self._told_at >= _TELL_S:
            self._told_at = now
            try:
                self._parent.send(Status(self._health(now), [], [], self._looked, self._events, self._rows))
            except (BrokenPipeError, ConnectionResetError):
                _end_alone()

    def _health(self, now: float) -> Health:
        trouble = next((stage.trouble for _, stage in self._watch if stage.trouble), "")  # what one awaits, both do
        looks = [progress.look(now, *stage.progress(), trouble) for progress, stage in self._watch]
        return next((one for one in looks if not one.healthy), looks[0])

    def _status(self, now: float, meter: MeterStage, rate: RateStage) -> Status:
        rated = rate.caught_up() if self._looked else []
        return Status(self._health(now), meter.caught_up(), rated, self._looked, self._events, self._rows)


def _end_alone() -> None:
    """The parent is gone, and perhaps the services with it: a drain could wait for ever, and nobody would see it.

    As good as a SIGKILL, which loses nothing.
    """
    os._exit(1)


def few_collections() -> None:
    """Batches make many short-lived objects and no cycles: references alone free what is looked for."""
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)


def work(settings: Settings, catalogue: Catalogue, parent: Connection, alone: bool) -> None:
    """Entry point of the process. `alone`: it is the only worker of its run."""
    worker = Worker(settings, catalogue, parent, Services(settings), alone=alone)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which tells us to stop
    # The client warns of every try that failed; we say what we wait for, once.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    few_collections()
    code = 1
    try:
        last = last_word(worker)
        if last is not None:
            parent.send(last)
        code = 0
    finally:
        if code:
            traceback.print_exc()
        # All that could be saved is. The clients' destructors would have a silent member leave its group after all.
        os._exit(code)


def last_word(worker: Worker) -> Anew | Refusal | None:
    """Run it to its end. What it raises is a death like any other, and its parent starts another."""
    try:
        return worker.run()
    except (LogTooShortError, WrongLogError, FullError) as error:
        return Refusal(str(error))
