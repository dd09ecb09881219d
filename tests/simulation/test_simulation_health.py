"""I9 in simulated time: a worker that is stalled, silent, fenced or past the end of its log is told of within 30 s.

The real supervisors, workers and stages under the intervals that are shipped. The time counted is from the instant at
which the trouble begins to the supervisor's look that says so, so it holds what each of them waits in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from unittest import mock

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from config.settings import Kafka, Processing
from tests.simulation.clients import SimConsumer
from tests.simulation.logs import SKEW_MS
from tests.simulation.mischief import EVENTS
from tests.simulation.processes import Machine
from tests.simulation.simulate import small
from tests.simulation.world import World

WITHIN_S = 30.0
SEEDS = range(1, 5)


class Steady(World):
    """A run in which nothing goes wrong by itself."""

    def __init__(self, seed: int, *, trusted: bool = True) -> None:
        super().__init__(seed)
        self.calm, self.loses, self.forgets = True, False, False
        self.broker.trusted = trusted
        self.settings = msgspec.structs.replace(
            self.settings, kafka=Kafka(), processing=Processing(skew_ms=SKEW_MS, archive_identities=False)
        )
        for group in self.groups.values():
            group.session_s = self.settings.kafka.session_timeout_ms / 1000
        self.machine = Machine(self, 1)
        self.machines.append(self.machine)

    def until(self, over: Callable[[], bool], most_s: float) -> float:
        """How long it takes, in seconds; at most `most_s`."""
        since_s = self.scheduler.now_s
        while not over():
            taken_s = self.scheduler.now_s - since_s
            assert taken_s <= most_s, f"still healthy after {taken_s:.1f} s: {self.machine.health}"
            for group in self.groups.values():
                group.expire(self.scheduler.now_s)
            self.arrive()
            self.scheduler.step()
        return self.scheduler.now_s - since_s

    def work(self, messages: int) -> None:
        """So many more messages of each partition come, and are folded."""
        for partition, log in enumerate(self.logs):
            at = self.shown[partition]
            self.show(partition, log[at : at + messages])
        ends = [log.end for log in self.broker.topics[EVENTS].partitions]
        stores = [self.store(self.topic_id, partition) for partition in range(len(ends))]
        self.until(lambda: [one.now.fields.get("offset", 0) for one in stores] == ends, 60)

    def unwell_after_s(self) -> float:
        return self.until(lambda: self.machine.dead or not self.machine.health.healthy, WITHIN_S)


def trouble(what: str, world: Steady) -> None:
    """It begins now."""
    if what == "ClickHouse is away":
        mock.patch.object(world, "fault", lambda call, *_: "refused" if call == "insert" else "").start()
        show(world, 3)
    elif what == "nothing arrives":
        mock.patch.object(World, "batch", lambda self: 1).start()
        before = [log.consumed for log in logs(world)]
        show(world, 5)
        world.until(lambda: any(b < log.consumed < log.end for b, log in zip(before, logs(world), strict=True)), 5)
        mock.patch.object(SimConsumer, "_fetch", lambda self, most: []).start()
    elif what == "the worker stands still":
        world.living()[0].freeze(1e9)
    elif what == "every worker dies soon":
        mock.patch.object(SimConsumer, "_fetch", broken).start()
    elif what == "another owner, and nothing to do":
        take(world)
    elif what == "another owner, and work to do":
        take(world)
        show(world, 3)
    elif what == "the log is shorter than the state":
        for log in logs(world):
            log.truncate(log.records[len(log.records) // 2].offset)


def broken(consumer: SimConsumer, _most: int) -> list[object]:
    if not consumer._places:
        return []
    raise KafkaException(KafkaError(KafkaError._FAIL, "something is wrong with this client"))


def logs(world: Steady) -> list:  # type: ignore[type-arg]
    return world.broker.topics[EVENTS].partitions


def show(world: Steady, messages: int) -> None:
    for partition, log in enumerate(world.logs):
        at = world.shown[partition]
        world.show(partition, log[at : at + messages])


def take(world: Steady) -> None:
    """Somebody who is not in the group claims the partitions."""
    for partition in range(world.events_partitions):
        world.store(world.topic_id, partition).changing().fields["token"] = b"another"


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    yield
    mock.patch.stopall()


@pytest.mark.parametrize("trusted", [True, False], ids=["LogAppendTime", "embedded"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "what",
    [
        "ClickHouse is away",
        "nothing arrives",
        "the worker stands still",
        "every worker dies soon",
        "another owner, and nothing to do",
        "another owner, and work to do",
        "the log is shorter than the state",
    ],
)
def test_i9_trouble_is_told_of_within_30_seconds(what: str, seed: int, trusted: bool) -> None:
    with small(seed):
        world = Steady(seed, trusted=trusted)
        try:
            world.work(4)
            began_s = world.scheduler.now_s
            world.until(lambda: world.scheduler.now_s - began_s > 5, 6)  # all is saved, so that nobody has to write
            assert world.machine.health.healthy
            trouble(what, world)
            world.unwell_after_s()
        finally:
            world.scheduler.end_all()


def test_i9_a_stall_of_30_seconds_is_told_of_too_late() -> None:
    """What this would find: the time to stall at the promise itself leaves nothing for the looks in between."""
    with small(1):
        world = Steady(1)
        processing = msgspec.structs.replace(world.settings.processing, health_stall_ms=30_000)
        world.settings = msgspec.structs.replace(world.settings, processing=processing)
        try:
            world.machine.die()
            world.scheduler.bury()
            world.machine = Machine(world, 1)
            world.work(4)
            trouble("ClickHouse is away", world)
            with pytest.raises(AssertionError, match="still healthy"):
                world.unwell_after_s()
        finally:
            world.scheduler.end_all()
