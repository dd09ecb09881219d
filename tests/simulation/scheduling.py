"""Processes of the simulation: real code on threads of which one at a time runs, chosen by the seed.

A task runs until it waits (`pause`), which every simulated client does around each of its calls; then the scheduler
picks who goes on. So the stages' own waiting, retrying and rebalancing is what runs, in an order that replays.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

_KEEPS = 0.4  # share of waits of no length that hand nothing over: a switch of threads costs 30 us


class Killed(BaseException):
    """The process ended here, as by SIGKILL: not an Exception, so that nothing on the way catches it."""


class Task:
    """A thread that runs when it is given the baton, and gives it back when it waits."""

    def __init__(self, process: Process, work: Callable[[], None], now_s: float) -> None:
        self.process, self.wake_s, self.ended = process, now_s, False
        self._work = work
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self.process.dead:
                self._work()
        except Killed:
            pass
        finally:
            self.ended = True
            self._back.release()

    def resume(self) -> None:
        """Until it waits or ends. Called by the scheduler alone."""
        self._go.release()
        self._back.acquire()

    def wait(self) -> None:
        """Hand the baton back. Called on the task's own thread."""
        self._back.release()
        self._go.acquire()


class Process:
    """What lives and dies together: a main task and those beside it."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.scheduler, self.name = scheduler, name
        self.dead = False
        self.died_s = 0.0
        self.frozen_s = self.frozen_since_s = 0.0  # it does not run between these instants, and does not know
        self.on_death: list[Callable[[], None]] = []
        scheduler.processes.append(self)

    def begin(self, work: Callable[[], None]) -> Task:
        task = Task(self, work, self.scheduler.now_s)
        self.scheduler.tasks.append(task)
        return task

    def pause(self, seconds: float = 0.0) -> None:
        """Let others run; Killed if the process does not live any more."""
        self.scheduler.pause(seconds)
        self.check()

    def freeze(self, seconds: float) -> None:
        """It stands still, as in a long pause of its machine, and goes on as if nothing had been."""
        self.frozen_since_s = self.scheduler.now_s
        self.frozen_s = self.frozen_since_s + seconds

    def check(self) -> None:
        if self.dead:
            raise Killed

    def die(self) -> None:
        """All of it, now. Whoever is on one of its threads must raise Killed."""
        if not self.dead:
            self.dead, self.died_s = True, self.scheduler.now_s
            for what in self.on_death:
                what()


class Scheduler:
    """The one clock, and who runs next."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.now_s = rng, 0.0
        self.tasks: list[Task] = []
        self.processes: list[Process] = []
        self.running: Task | None = None

    def monotonic(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        """Called on a task's thread."""
        task = self.running
        assert task is not None
        if not seconds and self.rng.random() < _KEEPS:
            return
        task.wake_s = self.now_s + seconds
        task.wait()

    def step(self) -> bool:
        """Let one task run, after some time has passed; whether there was any."""
        now = self.now_s
        ready = [task for task in self.tasks if task.wake_s <= now and task.process.frozen_s <= now]
        if not ready:
            waking = [max(task.wake_s, task.process.frozen_s) for task in self.tasks]
            if not waking:
                return False
            self.now_s = min(waking)
            ready = [t for t in self.tasks if t.wake_s <= self.now_s and t.process.frozen_s <= self.now_s]
        self._run(ready[int(self.rng.random() * len(ready))])
        return True

    def _run(self, task: Task) -> None:
        self.running = task
        task.resume()
        self.running = None
        if task.ended:
            self.tasks.remove(task)
        self.bury()

    def bury(self) -> None:
        """Let the threads of dead processes end."""
        for task in [one for one in self.tasks if one.process.dead]:
            while not task.ended:
                self.running = task
                task.resume()
                self.running = None
            self.tasks.remove(task)

    def end_all(self) -> None:
        for process in self.processes:
            process.dead = True
        self.bury()


class Beside:
    """A ThreadPoolExecutor of one thread, as a task of its process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._queue: list[tuple[Promise, Callable[[], Any]]] = []
        self._task: Task | None = None

    def submit(self, work: Callable[[], Any]) -> Promise:
        promise = Promise(self._process)
        self._queue.append((promise, work))
        if self._task is None or self._task.ended:
            self._task = self._process.begin(self._work)
        return promise

    def _work(self) -> None:
        while self._queue:
            promise, work = self._queue.pop(0)
            promise.run(work)
            self._process.check()

    def shutdown(self) -> None:
        """Wait for what was submitted, as the real one does."""
        while self._task is not None and not self._task.ended:
            self._process.pause(0.01)


class Promise:
    """A concurrent.futures.Future whose wait is a task's."""

    def __init__(self, process: Process) -> None:
        self._process, self._done = process, False
        self._error: Exception | None = None

    def run(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (as a future does: it is raised again where it is asked for)
            self._error = error
        self._done = True

    def done(self) -> bool:
        return self._done

    def result(self, timeout_s: float | None = None) -> None:
        while not self._done:
            self._process.pause(timeout_s or 0.01)
            if timeout_s is not None and not self._done:
                raise TimeoutError
        if self._error is not None:
            raise self._error
