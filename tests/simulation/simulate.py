"""The whole protocol under faults, from one seed: the real Owner, Recorder, PartitionState and Rater between simulated
logs, slots, tables and topics. Processes die before and after every side effect, live on as zombies, lose Redis.

    python -m tests.simulation.simulate --start 1 --seeds 2000
    python -m tests.simulation.simulate --seed 17
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import msgspec
import numpy as np

from config.catalogue import Catalogue
from config.settings import Limits, Processing, Settings
from edge.murmur2 import partition_of
from processors.events import Decoder
from processors.meter import Batch, Letter
from processors.outputs import Released, WindowRow
from processors.owner import LogTooShortError, Mark, Owner
from processors.partials import DamagedError
from processors.rate import RatedRow, Rater
from processors.state import FencedError
from sinks.errors import Retryable
from tests.simulation.fakes import CrashError, FakeSlot, SlotStore, Topic, VersionedTable
from tests.simulation.logs import CATALOGUE, SKEW_MS, make_log
from tests.simulation.oracle import Oracle
from tests.simulation.verdict import check, row_faults

WINDOW_PARTITIONS = 2
_KEY = msgspec.msgpack.Encoder().encode
_FAULTS = (
    ("", 0.86),
    ("refused", 0.03),
    ("lost", 0.03),
    ("late", 0.02),
    ("torn", 0.02),
    ("before", 0.02),
    ("after", 0.02),
)


class Operation(NamedTuple):
    """Something on its way to a service. Kafka keeps the order of one producer; ClickHouse keeps none."""

    service: str  # kafka, clickhouse, redis
    sender: Any
    arrive: Callable[[], None]
    acknowledge: Callable[[], None]


class World:
    """Logs, services, processes, and what is on its way between them."""

    def __init__(self, seed: int, variants: frozenset[str] = frozenset()) -> None:
        self.seed, self.variants, self.rng = seed, variants, random.Random(seed)
        rng = self.rng
        limits = Limits(
            unique_max=rng.choice((3, 1_000)),
            dimension_sets_max=rng.choice((2, 1_000)),
            state_segment_bytes_max=rng.choice((500, 67_108_864)),
        )
        self.settings = Settings(processing=Processing(skew_ms=SKEW_MS), limits=limits)
        self.partitions = rng.randint(1, 2)
        self.logs = [make_log(rng, rng.randint(8, 45)) for _ in range(self.partitions)]
        self.oracles = [Oracle(CATALOGUE, limits, SKEW_MS).fold(log) for log in self.logs]
        self.shown = [0] * self.partitions
        self.low = [0] * self.partitions
        self.forgets = rng.random() < 0.1  # the log's retention may be too short in this run
        self.trouble = rng.choice((0.02, 0.05, 0.1))  # share of steps that are mischief
        fenced, compares = "no fence" not in variants, "no compare" not in variants
        self.stores = [SlotStore(fenced=fenced, compares=compares) for _ in range(self.partitions)]
        self.usage, self.ledger, self.rated = VersionedTable(), VersionedTable(), VersionedTable()
        self.letters: dict[tuple[int, int, int], Letter] = {}
        self.topics = [Topic() for _ in range(WINDOW_PARTITIONS)]
        self.newest: dict[Any, int] = {}  # of each row key of usage.windows the highest version that was ever there
        self.marks: dict[int, Mark] = {}
        self.flying: list[Operation] = []
        self.owners: dict[int, MeterProcess] = {}
        self.raters: dict[int, RateProcess] = {}
        self.zombies: list[MeterProcess | RateProcess] = []
        self.calm = False
        self.stopped = ""
        self.faults: list[str] = []
        self.seen: Counter[str] = Counter()

    # -- the services' side

    def fault(self, call: str) -> str:
        self.seen[f"call {call}"] += 1
        if self.calm:
            return ""
        found = self.rng.choices([name for name, _ in _FAULTS], [share for _, share in _FAULTS])[0]
        self.seen[found] += 1
        return found

    def maybe_crash(self) -> None:
        if not self.calm and self.rng.random() < 0.01:
            raise CrashError("between two side effects")

    def send(self, service: str, sender: Any, arrive: Callable[[], None], acknowledge: Callable[[], None]) -> None:
        self.flying.append(Operation(service, sender, arrive, acknowledge))

    def deliver(self) -> None:
        """One operation arrives, perhaps twice, perhaps without its acknowledgement."""
        at = self.rng.randrange(len(self.flying))
        chosen = self.flying[at]
        if chosen.service == "kafka":
            at = next(i for i, one in enumerate(self.flying) if one.service == "kafka" and one.sender is chosen.sender)
        operation = self.flying.pop(at)
        operation.arrive()
        if operation.service == "clickhouse" and not self.calm:
            if self.rng.random() < 0.1:
                self.flying.append(operation._replace(acknowledge=lambda: None))  # arrives once more, later
            if self.rng.random() < 0.1 and not operation.sender.dead:
                self.flying.append(operation)  # the acknowledgement is lost: it is sent again
                return
        operation.acknowledge()

    def take_usage(self, row: WindowRow) -> None:
        self.faults += row_faults(self.oracles[row.partition], row)
        self.usage.insert(_frozen(row), row.offset, row)

    def take_window(self, row: WindowRow, token: bytes) -> None:
        if "key without token" in self.variants:
            token = b""
        topic = self.topics[partition_of(row.account.encode(), WINDOW_PARTITIONS)]
        topic.send(_KEY(row.key()) + token, row)
        key = _frozen(row)
        self.newest[key] = max(row.offset, self.newest.get(key, -1))

    def compact(self) -> None:
        """Readers of the topic from its start must find the newest versions still."""
        topic = self.rng.choice(self.topics)
        topic.compact(topic.end - self.rng.randint(0, 5))
        found: dict[Any, int] = {}
        for record in topic.records:
            key = _frozen(record.value)
            found[key] = max(record.value.offset, found.get(key, -1))
        for key, version in found.items():
            if version < self.newest[key]:
                self.faults.append(f"I4: {key} went back from version {self.newest[key]} to {version}")

    # -- processes

    def assign(self, partition: int) -> MeterProcess:
        old = self.owners.get(partition)
        if old is not None and not old.dead:
            self.zombies.append(old)
        self.owners[partition] = MeterProcess(self, partition)
        return self.owners[partition]

    def assign_rater(self, partition: int) -> RateProcess:
        old = self.raters.get(partition)
        if old is not None and not old.dead:
            self.zombies.append(old)
        self.raters[partition] = RateProcess(self, partition)
        return self.raters[partition]

    def bury(self, process: MeterProcess | RateProcess) -> None:
        """What it sent may arrive or not; of one producer's records a first part does."""
        process.dead = True
        self.seen["deaths"] += 1
        kafka = [one for one in self.flying if one.sender is process and one.service == "kafka"]
        lost = {id(one) for one in kafka[self.rng.randint(0, len(kafka)) :]}
        self.flying = [
            one
            for one in self.flying
            if id(one) not in lost and (one.sender is not process or one.service == "kafka" or self.rng.random() < 0.5)
        ]

    # -- the run

    def run(self) -> list[str]:
        """What was violated, each with the invariant's name."""
        for _ in range(self.rng.randint(60, 350)):
            self.something()
            if self.stopped:
                return self.outcome()
        self.settle()
        return self.outcome()

    def outcome(self) -> list[str]:
        if self.stopped:
            return self.faults if self.forgets else [*self.faults, f"stopped: {self.stopped}"]
        return self.faults + check(self)

    def something(self) -> None:
        rng, chance = self.rng, self.rng.random()
        for partition in range(self.partitions):
            if (partition not in self.owners or self.owners[partition].dead) and rng.random() < 0.5:
                self.assign(partition)
        for partition in range(WINDOW_PARTITIONS):
            if (partition not in self.raters or self.raters[partition].dead) and rng.random() < 0.3:
                self.assign_rater(partition)
        if chance < 0.14:
            partition = rng.randrange(self.partitions)
            self.shown[partition] = min(len(self.logs[partition]), self.shown[partition] + rng.randint(1, 6))
        elif chance < 0.58:
            living = [one for one in [*self.owners.values(), *self.raters.values(), *self.zombies] if not one.dead]
            if living:
                rng.choice(living).step()
        elif chance < 1 - self.trouble:
            if self.flying:
                self.deliver()
        else:
            self.mischief()

    def mischief(self) -> None:
        rng, chance = self.rng, self.rng.random()
        partition = rng.randrange(self.partitions)
        store = self.stores[partition]
        if chance < 0.3:
            living = [one for one in [*self.owners.values(), *self.raters.values()] if not one.dead]
            if living:
                self.bury(rng.choice(living))
        elif chance < 0.45:
            self.assign(partition)
        elif chance < 0.53:
            self.assign_rater(rng.randrange(WINDOW_PARTITIONS))
        elif chance < 0.62:
            self.seen["rolled back"] += 1
            store.roll_back(rng.randint(1, 6))
        elif chance < 0.68:
            self.seen["lost"] += 1
            store.lose()
        elif chance < 0.82:
            self.seen["evicted"] += 1
            store.evict("head" if rng.random() < 0.1 else rng.choice([*sorted(store.now.chunks), "state:0"]))
            if rng.random() < 0.5:
                self.assign(partition)  # somebody else finds it
        elif chance < 0.95:
            self.compact()
        elif self.forgets:
            shown = self.logs[partition][: self.shown[partition]]
            if shown:
                self.low[partition] = max(self.low[partition], rng.choice(shown).offset)

    def settle(self) -> None:
        """No more faults: everything that can happen happens, until nothing is left to do."""
        self.calm = True
        self.shown = [len(log) for log in self.logs]
        for _ in range(400):
            busy = bool(self.flying)
            while self.flying:
                self.deliver()
            for partition in range(self.partitions):
                owner = self.owners.get(partition)
                if owner is None or owner.dead:
                    owner = self.assign(partition)
                busy |= owner.work()
            for zombie in self.zombies:
                busy |= not zombie.dead and zombie.work()
            for partition in range(WINDOW_PARTITIONS):
                rater = self.raters.get(partition)
                if rater is None or rater.dead:
                    rater = self.assign_rater(partition)
                busy |= rater.work()
            if self.stopped:
                return
            if not busy:
                return
        self.faults.append("livelock")


class MeterProcess:
    """What processors.meter_stage does, one step at a time, for one partition."""

    def __init__(self, world: World, partition: int) -> None:
        self.world, self.partition, self.dead = world, partition, False
        slot = FakeSlot(world.stores[partition], world.rng, world.fault, self._arrive_late)
        self.owner = Owner(slot, self, CATALOGUE, world.settings, "T", partition)
        self.phase = "begin"
        self.at = 0
        self.pending = 0
        self.through: int | None = None

    def _arrive_late(self, write: Callable[[], object]) -> None:
        def arrive() -> None:
            with contextlib.suppress(FencedError, DamagedError):
                write()

        self.world.send("redis", self, arrive, lambda: None)

    # LogView
    def low(self) -> int:
        return self.world.low[self.partition]

    def first_at(self, timestamp_ms: int) -> int:
        log = self.visible()
        found = [message.offset for message in log if message.timestamp_ms >= timestamp_ms]
        return found[0] if found else (log[-1].offset + 1 if log else 0)

    def mark(self) -> Mark | None:
        return self.world.marks.get(self.partition)

    def visible(self) -> list[Any]:
        return [
            m for m in self.world.logs[self.partition][: self.world.shown[self.partition]] if m.offset >= self.low()
        ]

    def step(self) -> None:
        self._guarded(self._step)

    def work(self) -> bool:
        """One round of everything, for the calm end. Whether it changed anything."""
        before = self._position()
        self._guarded(self._round)
        return self.dead or before != self._position()

    def _position(self) -> tuple[object, ...]:
        state = self.owner.state if self.phase != "begin" else None
        return (self.phase, self.at, state and state.offset, self.owner.published, self.pending, self.through)

    def _round(self) -> None:
        if self.phase == "begin":
            self._begin()
            return
        self._fold()
        self._checkpoint()
        self._send_mark()
        self._verify()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except CrashError:
            self.world.bury(self)
        except (FencedError, DamagedError):
            self.dead = True  # drops the partition; what it sent is on its way all the same
        except LogTooShortError as error:
            self.world.stopped = str(error)

    def _step(self) -> None:
        if self.phase == "begin":
            self._begin()
        elif self.phase == "checkpoint":
            self._checkpoint()
        else:
            work = self.world.rng.choices((self._fold, self._checkpoint, self._send_mark, self._verify), (6, 6, 1, 1))[
                0
            ]
            work()

    def _begin(self) -> None:
        with contextlib.suppress(Retryable):
            self.at = self.owner.begin()
            self.phase = "run"
            self.world.seen["restores"] += self.owner.restoring

    def _fold(self) -> None:
        world = self.world
        visible = self.visible()
        if world.logs[self.partition] and self.at < self.low():
            raise LogTooShortError(f"the broker no longer has offset {self.at}")
        taken = [message for message in visible if message.offset >= self.at][: world.rng.randint(1, 8)]
        if taken and "cut message" in world.variants and len(taken[-1].facts) > 1 and not self.owner.restoring:
            *taken, last = taken
            self.owner.fold(batch_of([*taken, last._replace(value=self.owner.state.decoder.raw(last.value, 0))]))
            self.owner.state.offset = self.at = last.offset  # the rest of it is for the next batch
        elif taken:
            self.owner.fold(batch_of(taken))
            self.at = taken[-1].offset + 1
        if not visible or self.at > visible[-1].offset:
            self.owner.at_end()

    def _checkpoint(self) -> None:
        world = self.world
        for letter in self.owner.letters:
            world.maybe_crash()
            world.letters[(self.partition, letter.offset, letter.index)] = letter
        self.owner.letters = []
        world.maybe_crash()
        if self.pending:
            return
        if self.through is not None:
            self.owner.acknowledged(self.through)
            self.through = None
        try:
            self.phase = "checkpoint"
            released = self.owner.checkpoint()
            self.phase = "run"
        except Retryable:
            return
        if released is not None:
            world.maybe_crash()
            self._release(released)

    def _release(self, released: Released) -> None:
        world, rows = self.world, list(released.rows)
        cut = world.rng.randint(0, len(rows))
        self.pending, self.through = 0, released.through
        for row in rows:
            self._send("kafka", lambda row=row: world.take_window(row, released.token))
            world.maybe_crash()
        for block in (rows[:cut], rows[cut:]):
            if block:
                self._send("clickhouse", lambda block=block: [world.take_usage(row) for row in block])
                world.maybe_crash()
        ledger = dict(released.ledger)
        self._send("clickhouse", lambda: world.ledger.insert(self.partition, released.through, ledger))

    def _send(self, service: str, arrive: Callable[[], object]) -> None:
        self.pending += 1

        def acknowledge() -> None:
            self.pending -= 1

        self.world.send(service, self, lambda: (arrive(), None)[1], acknowledge)

    def _send_mark(self) -> None:
        mark = self.owner.mark()
        if mark is not None:
            self.world.send("kafka", self, lambda: self.world.marks.__setitem__(self.partition, mark), lambda: None)

    def _verify(self) -> None:
        if not self.owner.restoring and not self.owner.unsaved:
            with contextlib.suppress(Retryable):
                self.owner.slot.verify(self.owner.state.offset)


class RateProcess:
    """What processors.rate_stage does, one step at a time, for one partition of usage.windows."""

    def __init__(self, world: World, partition: int) -> None:
        self.world, self.partition, self.dead = world, partition, False
        self.rater = Rater(CATALOGUE, lambda account: partition_of(account.encode(), WINDOW_PARTITIONS) == partition)
        self.quiet_below = world.topics[partition].end
        self.at = 0
        self.pending = 0

    def step(self) -> None:
        if self.world.rng.random() < 0.7:
            self._read(self.world.rng.randint(1, 25))
        else:
            self._emit()

    def work(self) -> bool:
        before = (self.at, self.pending)
        self._read(1_000)
        self._emit()
        return before != (self.at, self.pending)

    def _read(self, most: int) -> None:
        records = self.world.topics[self.partition].read(self.at, most)
        self.rater.add([record.value for record in records])
        self.at = records[-1].offset + 1 if records else max(self.at, self.world.topics[self.partition].end)

    def _emit(self) -> None:
        if self.at < self.quiet_below or self.pending:
            return
        rows = self.rater.rate()
        cut = self.world.rng.randint(0, len(rows))
        for block in (rows[:cut], rows[cut:]):
            if block:
                self.pending += 1
                self.world.send("clickhouse", self, lambda block=block: self._insert(block), self._acknowledge)

    def _insert(self, rows: list[RatedRow]) -> None:
        for row in rows:
            key = (row.account, row.period_start, row.segment_start, row.price, row.meter, row.opening, row.day)
            self.world.rated.insert(key, (row.generation, row.version), row)

    def _acknowledge(self) -> None:
        self.pending -= 1


def batch_of(messages: list[Any]) -> Batch:
    """A batch as the consumer hands it over."""
    return Batch(
        [message.value for message in messages],
        np.array([message.offset for message in messages], np.int64),
        np.array([message.timestamp_ms for message in messages], np.int64),
    )


def _frozen(row: WindowRow) -> tuple[Any, ...]:
    return tuple(tuple(part) if isinstance(part, list) else part for part in row.key())


@contextlib.contextmanager
def small(seed: int) -> Iterator[None]:
    """Chunks, pieces and frames so small that a short run fills many of them; compactions seldom, often or always."""
    with contextlib.ExitStack() as until:
        for name, value in {
            "partials.CHUNK_MEMBERS": 3,
            "outputs.CHUNK_MEMBERS": 3,
            "checkpoint.HOUR_PIECE_BYTES": 80,
            "checkpoint._FRAME_BYTES": 300,
            "checkpoint._COMPACT_FLOOR_BYTES": (500, 0, -1_000_000)[seed % 3],
        }.items():
            until.enter_context(mock.patch(f"processors.{name}", value))
        until.enter_context(mock.patch("processors.owner.Decoder", _decoder))
        yield


@functools.cache
def _compiled(limits: Limits, skew_ms: int) -> Decoder:
    return Decoder(CATALOGUE, limits, skew_ms)


def _decoder(catalogue: Catalogue, limits: Limits, skew_ms: int) -> Decoder:
    """Compiling the structs is most of a short run, and they hold no state of it."""
    return _compiled(limits, skew_ms)


def simulate(seed: int, variants: frozenset[str] = frozenset()) -> tuple[World, list[str]]:
    """One run: its world and what it violated."""
    with small(seed):
        world = World(seed, variants)
        return world, world.run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--seed", type=int, help="one seed, with all that it violated")
    asked = parser.parse_args()
    seeds = range(asked.start, asked.start + asked.seeds) if asked.seed is None else [asked.seed]
    seen: Counter[str] = Counter()
    for seed in seeds:
        world, faults = simulate(seed)
        seen.update(world.seen)
        seen["stopped"] += bool(world.stopped)
        if faults:
            print("\n".join(faults[:20]))
            print(f"replay: python -m tests.simulation.simulate --seed {seed}")
            return 1
        if (seed - asked.start) % 500 == 499:
            print(f"{seed - asked.start + 1} seeds", flush=True)
    print(f"{len(seeds)} seeds, every invariant held. Seen: {dict(sorted(seen.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
