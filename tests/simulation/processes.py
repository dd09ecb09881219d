"""Machines: the real Supervisor and its real Workers, as processes of the simulation, on simulated services."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from config.catalogue import Catalogue
from config.settings import Settings
from processors.health import Health
from processors.merge import UnknownMeterError
from processors.partials import DamagedError
from processors.services import Services
from processors.state import FencedError, OlderCatalogueError
from processors.supervise import Child, Nursery, Supervisor, Tally, WorkersFailedError
from processors.worker import Worker, last_word
from sinks.errors import Retryable
from sinks.superseded import RatedKey
from tests.simulation.clients import SimConsumer, SimProducer
from tests.simulation.scheduling import Beside, Killed, Process
from tests.simulation.slots import CrashError, FakeSlot
from tests.simulation.tables import SimSink, rated_before

if TYPE_CHECKING:
    from tests.simulation.world import World

# What ends a worker loudly; its parent starts another.
_DEATHS = (KafkaException, OlderCatalogueError, UnknownMeterError, Retryable, CrashError)


class SimClock:
    """Time as a process has it: it waits by letting others run."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def monotonic(self) -> float:
        return self._process.scheduler.now_s

    def time(self) -> float:
        """Long after the logs were written: whatever is not read yet is a backlog."""
        return 4e9 + self._process.scheduler.now_s

    def sleep(self, seconds: float) -> None:
        self._process.pause(seconds)


class SimServices(Services):
    """What a simulated worker talks to."""

    def __init__(self, world: World, process: Process, catalogue: Catalogue) -> None:
        self._world, self._process, self._catalogue = world, process, catalogue
        self.clock = SimClock(process)
        self.new_consumer = lambda config: SimConsumer(world, process, config)
        self.new_producer = lambda config: SimProducer(world, process, config)

    def topic_id(self, topic: str) -> str:
        self._process.pause()
        return self._world.broker.topics[topic].id

    def partition_count(self, topic: str) -> int:
        return len(self._world.broker.topics[topic].partitions)

    def ends_are_trusted(self) -> bool:
        return self._world.broker.trusted

    def read_to_end(self, topic: str) -> list[tuple[bytes, bytes | None]]:
        self._process.pause()
        if self._world.chance(0.02):
            raise Retryable("Kafka gave nothing", 1)
        partitions = self._world.broker.topics[topic].partitions
        return [(record.key or b"", record.value) for one in partitions for record in one.records]

    def slot(self, topic_id: str, partition: int) -> FakeSlot:  # type: ignore[override]
        world, process = self._world, self._process

        def fault(call: str) -> str:
            process.pause()
            return world.fault(call, times=3.0 if call == "write" else 1.0)

        def later(write: Callable[[], object]) -> None:
            def arrive() -> None:
                try:
                    write()
                except (FencedError, DamagedError):
                    world.seen["late writes refused"] += 1

            world.later(arrive)

        return FakeSlot(world.store(topic_id, partition), world.rng, fault, later, process.pause)

    def sink(self) -> Any:
        return SimSink(self._world, self._process, self._catalogue)

    def rated_before(self, generation: int) -> list[RatedKey]:
        self._process.pause()
        if self._world.chance(0.05):
            raise Retryable("ClickHouse is away", 1)
        return rated_before(self._world.tables, generation)

    def beside(self) -> Any:
        return Beside(self._process)

    def token(self) -> str:
        return self._world.rng.randbytes(8).hex()


class SimPipe:
    """One end of a connection between parent and child."""

    def __init__(self, mine: Process, theirs: Process, out: list[Any], into: list[Any]) -> None:
        self._mine, self._theirs, self._out, self._into = mine, theirs, out, into

    @property
    def readable(self) -> bool:
        return bool(self._into) or self._theirs.dead

    def poll(self, timeout_s: float = 0.0) -> bool:
        if timeout_s and not self.readable:
            self._mine.pause(timeout_s)
        return self.readable

    def recv(self) -> Any:
        while not self.readable:
            self._mine.pause(0.01)
        if not self._into:
            raise EOFError
        return self._into.pop(0)

    def send(self, word: Any) -> None:
        self._mine.check()
        if self._theirs.dead:
            raise BrokenPipeError
        self._out.append(word)


class SimChild(Process):
    """A worker's process, with what a parent asks of a multiprocessing.Process."""

    def __init__(self, world: World, parent: Process, settings: Settings, catalogue: Catalogue, alone: bool) -> None:
        world.children += 1
        super().__init__(world.scheduler, f"worker {world.children}")
        self.pid, self.exitcode, self._parent = world.children, 0, parent
        self.generation = catalogue.generation
        up: list[Any] = []
        down: list[Any] = []
        self.theirs = SimPipe(parent, self, down, up)

        def work() -> None:
            pipe = SimPipe(self, parent, up, down)
            try:
                worker = Worker(settings, catalogue, pipe, SimServices(world, self, catalogue), alone=alone)
                last = last_word(worker)
                if last is not None:
                    pipe.send(last)
            except _DEATHS as error:
                world.seen[f"death: {type(error).__name__}"] += 1
                self.exitcode = 1
            except (BrokenPipeError, EOFError):
                self.exitcode = 1
            except Exception as error:  # noqa: BLE001 (a bug in the code under test is what this looks for)
                at = traceback.extract_tb(error.__traceback__)[-1]
                world.faults.append(f"bug: {type(error).__name__}: {error} at {at.filename}:{at.lineno}")
            finally:
                self.die()

        self.begin(work)

    def is_alive(self) -> bool:
        return not self.dead

    def join(self, timeout_s: float = 1e9) -> None:
        until = self.scheduler.now_s + timeout_s
        while not self.dead and self.scheduler.now_s < until:
            self._parent.pause(0.05)

    def kill(self) -> None:
        self.die()


class SimNursery(Nursery):
    def __init__(self, world: World, machine: Process) -> None:
        self._world, self._machine = world, machine
        self.clock = SimClock(machine)

    def start(self, settings: Settings, catalogue: Catalogue, alone: bool) -> Child:
        child = SimChild(self._world, self._machine, settings, catalogue, alone)
        self._world.workers.append(child)
        return Child(child.theirs, child, self.clock.monotonic())

    def heard(self, children: list[Child], timeout_s: float) -> list[Child]:
        if not any(child.pipe.readable for child in children):
            self._machine.pause(timeout_s)
        return [child for child in children if child.pipe.readable]


class Machine(Process):
    """One `tollstream run`. `refused` is why its workers would not go on."""

    def __init__(self, world: World, workers: int, *, until_caught_up: bool = False) -> None:
        super().__init__(world.scheduler, "machine")
        self.refused = ""
        self.health = Health()  # as of the supervisor's last look
        partitions = (world.events_partitions, world.windows_partitions)
        nursery = SimNursery(world, self)
        self.supervisor = Supervisor(world.settings, world.published, workers, partitions, self._say, nursery)
        self._heard = world.seen

        def work() -> None:
            try:
                self.supervisor.run(until_caught_up=until_caught_up, watch=self._watch)
            except WorkersFailedError as error:
                self.refused = str(error)
            self.die()

        self.begin(work)

    @property
    def generation(self) -> int:
        """Of the catalogue that its next worker gets."""
        return self.supervisor._catalogue.generation

    def _watch(self, tally: Tally) -> None:
        self.health = tally.health

    def _say(self, line: str) -> None:
        self._heard[f"said: {line.split(' ')[2]}"] += 1


def end_alone() -> None:
    """processors.worker ends the process where its parent is gone."""
    raise Killed
