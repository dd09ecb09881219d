"""One run: logs, services and machines made from a seed, what goes wrong among them, and the calm end."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from config.catalogue import END_MS, Catalogue
from processors.window_rows import WindowRow
from tests.simulation.alerting import Alerts
from tests.simulation.broker import Broker
from tests.simulation.calm import settle
from tests.simulation.clients import SimProducer
from tests.simulation.commands import Command, message_of
from tests.simulation.group import Group
from tests.simulation.intervals import settings
from tests.simulation.logs import HISTORIES, HOUR_MS, SKEW_MS, START, begins_ms, epoch_ms, make_log
from tests.simulation.mischief import EVENTS, MARKS, WINDOWS, mischief
from tests.simulation.oracle import Message, Oracle
from tests.simulation.processes import Machine, SimChild
from tests.simulation.readers import Readers, frozen
from tests.simulation.scheduling import Scheduler
from tests.simulation.slots import SlotStore
from tests.simulation.tables import Tables
from tests.simulation.tariffs import agreed
from tests.simulation.verdict import check, decoder, row_faults

_COMMANDS = 0.002  # share of steps at which somebody admits letters
_SLOT_FAULTS = ("refused", "lost", "late", "late", "torn", "before", "after", "after")
_OF_THE_LOG = ("the log", "another topic")  # what a refusal names where the log is at fault


class World:
    """Everything there is, and the one source of chance."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        rng = self.rng
        self.settings = settings(rng)
        self.trouble = rng.choice((0.01, 0.03, 0.06, 0.1))  # share of steps that are mischief, and of calls that fail
        self.batch_max = rng.choice((1, 3, 8, 8, 30))
        self.events_partitions, self.windows_partitions = rng.randint(1, 2), rng.randint(1, 2)
        self.calendar = random.Random(f"calendar {seed}")  # of its own, so that a seed's log is otherwise what it was
        self.catalogues = agreed(rng.choice(HISTORIES), self.calendar)
        self.idle_ms = self.calendar.choice((0, 0, -HOUR_MS))  # how far the clock of outputs is from that of events
        self.newest = 0  # the one that is published
        self.logs: list[list[Message]] = [[] for _ in range(self.events_partitions)]
        self.shown = [0] * self.events_partitions
        self.loses = rng.random() < 0.15  # records that were acknowledged, once
        self.all_came_back = False  # every late event was admitted at the calm end
        self.harmed: set[int] = set()  # partitions that lost what was read already
        self.remade = False  # the events topic was made anew
        self.forgets = rng.random() < 0.1  # the log's retention may be too short in this run
        self.scheduler = Scheduler(rng)
        self._make_services()
        for partition in range(self.events_partitions):
            self.set_log(partition, make_log(rng, rng.randint(8, 45)))
        self.machines: list[Machine] = []
        self.workers: list[SimChild] = []
        self.children = 0
        self.calm = False
        self.stopped = ""
        self.faults: list[str] = []
        self.seen: Counter[str] = Counter()

    def _make_services(self) -> None:
        rng, kafka = self.rng, self.settings.kafka
        counts = {EVENTS: self.events_partitions, WINDOWS: self.windows_partitions, MARKS: 1}
        counts |= {kafka.rated_topic: self.windows_partitions, kafka.late_topic: 1, kafka.dead_letter_topic: 1}
        counts[kafka.alerts_topic] = 1
        self.broker = Broker(rng, counts, trusted=rng.random() < 0.8)
        self.readers = Readers(kafka.windows_topic, kafka.rated_topic)
        self.broker.taken, self.broker.now_ms = self.readers.taken, self.wall_ms
        self.newest_ms = epoch_ms(START)  # the highest timestamp of any event
        self.alerts = Alerts(self)
        self.groups = {
            f"{kafka.group}-{name}": Group(
                rng, count, cooperative=rng.random() < 0.7, session_s=kafka.session_timeout_ms / 1000
            )
            for name, count in (("meter", self.events_partitions), ("rate", self.windows_partitions))
        }
        self.stores: dict[tuple[str, int], SlotStore] = {}
        self.tables = Tables()
        self.producers: list[SimProducer] = []
        self.flying: list[tuple[float, Callable[[], None]]] = []  # writes that the network has, and when they arrive
        self._truth: dict[tuple[str, int], Oracle] = {}

    def set_log(self, partition: int, log: list[Message]) -> None:
        """What is and will be on the current events topic."""
        self.logs[partition] = log
        oracle = Oracle(self.catalogues[-1], self.settings.limits, SKEW_MS, self.topic_id)
        self._truth[(self.topic_id, partition)] = oracle.fold(log[: self.shown[partition]])

    def truth(self, topic_id: str, partition: int) -> Oracle:
        """About what was shown of a log, be it of a topic that is gone."""
        return self._truth[(topic_id, partition)]

    def bring_back(self, partition: int, said: list[Any], value: bytes) -> int | None:
        """An admission record goes to the end of the log; its offset. None where nothing can be sent any more."""
        if partition in self.harmed:
            return None
        log, at = self.logs[partition], self.shown[partition]
        offset = max(log[at - 1].offset + 1 if at else 0, self.broker.topics[EVENTS].partitions[partition].end)
        at_ms = said[0] if self.rng.random() < 0.7 else max([one.timestamp_ms for one in log[:at]], default=said[0])
        moved = max(1, offset + 1 - log[at].offset) if log[at:] else 0
        log[at:] = [
            message_of(self, offset, at_ms, value, said),
            *(one._replace(offset=one.offset + moved) for one in log[at:]),
        ]
        self.show(partition, log[at : at + 1])
        self.seen["admission records"] += 1
        return offset

    @property
    def oracles(self) -> list[Oracle]:
        return [self._truth[(self.topic_id, partition)] for partition in range(self.events_partitions)]

    # -- what services ask

    def chance(self, share: float) -> bool:
        return not self.calm and self.rng.random() < share

    def fault(self, call: str, kinds: tuple[str, ...] = _SLOT_FAULTS, times: float = 1.0) -> str:
        """What goes wrong with a call; mostly nothing."""
        self.seen[f"call {call}"] += 1
        if not self.chance(self.trouble * times):
            return ""
        found = self.rng.choice(kinds)
        self.seen[f"{call}: {found}"] += 1
        return found

    def later(self, arrive: Callable[[], None]) -> None:
        """Its sender has given up, and the network has not."""
        self.flying.append((self.scheduler.now_s + self.rng.choice((0.0, 0.5, 3.0)), arrive))

    def batch(self) -> int:
        return self.rng.randint(1, self.batch_max) if not self.calm else 1_000

    def published(self) -> Catalogue:
        return self.catalogues[self.newest]

    def store(self, topic_id: str, partition: int) -> SlotStore:
        place = (topic_id, partition)
        if place not in self.stores:
            self.stores[place] = SlotStore()
        return self.stores[place]

    def take_usage(self, row: WindowRow) -> None:
        self.faults += row_faults(self._truth[(row.topic, row.partition)], row)
        self.tables.usage.insert(frozen(row), row.offset, row)

    def wall_ms(self) -> int:
        """The clock of the broker. It never goes back."""
        return self.newest_ms + self.idle_ms

    @property
    def topic_id(self) -> str:
        return self.broker.topics[EVENTS].id

    def living(self) -> list[SimChild]:
        self.workers = [one for one in self.workers if not one.dead]
        return self.workers

    # -- the run

    def run(self) -> list[str]:
        """What was violated, each with the invariant's name."""
        try:
            for _ in range(self.rng.randint(1, 3)):
                self.start_machine()
            for _ in range(self.rng.randint(150, 700)):
                self.something()
                if self.stopped or self.faults:
                    break
            else:
                settle(self)
            return self.outcome()
        finally:
            self.scheduler.end_all()

    def outcome(self) -> list[str]:
        if self.stopped:
            said = any(word in self.stopped for word in _OF_THE_LOG)
            expected = (self.forgets or self.harmed or self.remade) and said
            return self.faults if expected else [*self.faults, f"stopped: {self.stopped}"]
        self.faults += self.readers.faults
        self.faults += [fault for store in self.stores.values() for fault in store.faults]
        for partition in self.harmed:
            there = self.store(self.topic_id, partition).now.fields.get("offset", 0)
            if there > self.broker.topics[EVENTS].partitions[partition].end:
                self.faults.append(f"I9: the state of partition {partition} is past its log, and nobody says so")
        return self.faults if self.harmed else self.faults + check(self)

    def start_machine(self) -> None:
        self.machines.append(Machine(self, self.rng.choice((1, 1, 2))))

    def something(self) -> None:
        """The next thing that happens, of all that could."""
        rng, chance = self.rng, self.rng.random()
        self.scheduler.now_s += rng.random() * 0.02
        for group in self.groups.values():
            group.expire(self.scheduler.now_s)
        if chance < 0.06:
            self._grow()
        elif chance < 0.25:
            self.arrive()
        elif chance < 0.25 + self.trouble:
            mischief(self)
        elif chance > 1 - _COMMANDS and (self.tables.late.rows or self.tables.dead.rows):
            for _ in range(rng.choice((1, 1, 2))):
                Command(self, decoder)
        else:
            self.scheduler.step()
        self._mend()

    def _grow(self) -> None:
        """The events' producers send more."""
        partition = self.rng.randrange(self.events_partitions)
        if partition in self.harmed:
            return  # once the log is longer than the state again, nobody could tell
        log = self.logs[partition]
        upto = min(len(log), self.shown[partition] + self.rng.randint(1, 6))
        until_ms = begins_ms(self.catalogues) - SKEW_MS if not self._all_follow() else END_MS
        more = itertools.takewhile(lambda one: one.timestamp_ms < until_ms, log[self.shown[partition] : upto])
        self.show(partition, list(more))

    def _all_follow(self) -> bool:
        """Whether everybody works with the last catalogue, as a meter's begin in the future is there to see to."""
        last = self.catalogues[-1].generation
        at_work = [one.generation for one in self.living()] + [one.generation for one in self.machines]
        return all(generation == last for generation in at_work)

    def show(self, partition: int, messages: list[Message]) -> None:
        there = self.broker.topics[EVENTS].partitions[partition]
        self.truth(self.topic_id, partition).fold(messages)
        for one in messages:
            there.append(None, one.value, one.timestamp_ms, one.offset)
            self.newest_ms = max(self.newest_ms, one.timestamp_ms)
        self.shown[partition] += len(messages)

    def arrive(self) -> bool:
        """Something that is on its way gets there."""
        sending = [one for one in self.producers if one.queue and one.due()]
        flying = self.flying if self.calm else [one for one in self.flying if one[0] <= self.scheduler.now_s]
        if flying and (not sending or self.rng.random() < 0.2):
            arriving = self.rng.choice(flying)
            self.flying.remove(arriving)
            arriving[1]()
        elif sending:
            self.rng.choice(sending).deliver()
        return bool(self.flying or sending)

    def nothing_flies(self) -> bool:
        self.arrive()
        return not self.flying and not any(one.queue for one in self.producers)

    def _mend(self) -> None:
        """A machine whose workers died too often is started again by somebody; one that refused is not."""
        for machine in [one for one in self.machines if one.dead]:
            self.machines.remove(machine)
            if machine.refused and not machine.refused.startswith("workers ended"):
                self.stopped = machine.refused
            elif not self.calm:
                self.start_machine()
        if not self.calm and self.calendar.random() < 0.02:
            self.alerts.mend()
