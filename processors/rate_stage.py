"""The shell of stage 2: `usage.windows` in, rated rows out to ClickHouse and `usage.rated`. It holds no business rule.

It keeps no state of its own: a new owner reads its partitions of `usage.windows` again, and emits nothing before it
has reached their end, so that no row of a half-read log gets out. Dying anywhere loses nothing: rows are absolute
states with versions, and the next owner sends all of its accounts' rows again.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import date
from functools import lru_cache, partial
from operator import attrgetter
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from config.catalogue import Catalogue
from config.settings import Settings
from edge.murmur2 import partition_of
from processors.columns import rated_columns
from processors.consume import PartitionConsumer, Portion
from processors.patience import patiently
from processors.rate import TAKEN_BACK, RatedRow, Rater, taken_back
from processors.services import Services
from sinks.topics import DurableProducer

T = TypeVar("T")
_SWEEP_STALLS = 10  # a stale worker's rows of an older catalogue may come at any time; looked for this often, in stalls
_NEVER = 2**63  # beyond any offset
_ENCODE = msgspec.json.Encoder().encode
# What a message of `usage.rated` is about. The period, too: two of a contract may begin a segment on one day.
_PLACE = attrgetter("account", "period_start", "segment_start", "price", "meter", "part")
# A date takes as long to write as all the rest of a key, and there are a few to a month. Days of eleven years.
_written = lru_cache(maxsize=4096)(date.isoformat)


class RateStage:
    """One worker's share of stage 2."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, pulse: Callable[[], None], services: Services, *, alone: bool
    ) -> None:
        """`pulse` is called every now and then while the stage waits for something; `alone`: in its group."""
        self._settings, self._catalogue, self._pulse = settings, catalogue, pulse
        self._services, self._clock = services, services.clock
        kafka = settings.kafka
        self._trouble = self._awaited = ""
        self._partitions = self._patiently(partial(services.partition_count, kafka.windows_topic), pulse)
        self._producer = DurableProducer(kafka, services.new_producer)
        self._sink = services.sink()
        self._token = services.token()
        self._inserting = services.beside()
        self._sent: Future[None] | None = None
        self._raters: dict[int, Rater] = {}
        self._quiet: dict[int, int] = {}  # partitions whose end at the start is not reached yet, and that end
        self._ends_trusted = self._patiently(services.ends_are_trusted, pulse)
        self._rated_at = self._clock.monotonic()
        self._swept: set[int] = set()  # partitions whose rows of older catalogues are taken back
        self._swept_at = self._rated_at
        self._portion = Portion(settings.processing.consume_messages_max)
        self._consumer = PartitionConsumer(
            kafka,
            kafka.windows_topic,
            f"{kafka.group}-rate",
            self._take_over,
            self._let_go,
            leaves=alone or self._ends_trusted,
            client=services.new_consumer,
        )

    def _take_over(self, partitions: list[int]) -> dict[int, int]:
        for partition in partitions:
            self._raters[partition] = Rater(self._catalogue, self._owner_of(partition))
        bounds = {
            partition: self._patiently(partial(self._consumer.bounds, partition), self._pulse)
            for partition in partitions
        }
        # The embedded broker's ends are wrong, so there only the consumer's own word for the end counts.
        self._quiet.update({p: end if self._ends_trusted else _NEVER for p, (_, end) in bounds.items()})
        return {partition: low for partition, (low, _) in bounds.items()}

    def _owner_of(self, partition: int) -> Callable[[str], bool]:
        return lambda account: partition_of(account.encode(), self._partitions) == partition

    def _let_go(self, partitions: list[int]) -> None:
        for partition in partitions:
            self._raters.pop(partition, None)
            self._quiet.pop(partition, None)
            self._swept.discard(partition)

    def step(self, timeout_s: float) -> int:
        """Take rows, merge them, and rate what changed when it is time. The number of rows taken."""
        taken = self._consumer.take(self._portion.messages, timeout_s)
        count = rows = 0
        for partition, messages in taken.items():
            rater = self._raters[partition]
            values = [message.value() for message in messages]
            if None in values:
                values = [value for value in values if value is not None]
            rows += rater.add(values, max([message.timestamp()[1] for message in messages]))
            count += len(messages)
        self._portion.took(count, rows)
        self._wake()
        processing = self._settings.processing
        behind = self._consumer.behind(int(self._clock.time() * 1000), processing.behind_ms)
        times = processing.behind_factor if behind else 1
        due_at = self._rated_at + processing.rate_interval_ms * times / 1000
        if self._clock.monotonic() >= due_at and (self._sent is None or self._sent.done()):
            self._emit()
        return rows

    def _wake(self) -> None:
        """A partition may speak once it has reached the end that it saw at its start."""
        position, at_end = self._consumer.position, self._consumer.at_end
        for partition in [p for p, end in self._quiet.items() if p in at_end or position.get(p, 0) >= end]:
            del self._quiet[partition]

    def _emit(self) -> None:
        """Send what changed, once what was sent before is acknowledged."""
        self._collect()
        stall_s = self._settings.processing.health_stall_ms / 1000
        if self._clock.monotonic() - self._swept_at >= _SWEEP_STALLS * stall_s:
            self._swept.clear()
            self._swept_at = self._clock.monotonic()
        batches: list[tuple[int, list[RatedRow], list[RatedRow]]] = []  # partition, rows taken back, rated ones
        for partition, rater in list(self._raters.items()):
            if partition not in self._quiet:
                rated = rater.rate()
                fresh = partition not in self._swept
                batches.append((partition, self._superseded(partition, rated) if fresh else [], rated))
                if partition in self._raters:  # it may have been let go meanwhile
                    self._swept.add(partition)
        self._rated_at = self._clock.monotonic()
        rows = [row for _, back, rated in batches for row in (*back, *rated)]
        if not rows:
            return
        columns = rated_columns(rows)

        def send() -> None:
            # What is to be taken back is found in the tables. So the topic hears of that first, and of all else last:
            # what it has, the tables have as well, until it has been told to forget it.
            for partition, back, rated in batches:
                self._tell(_taken_back(back, rated), partition)
            while any(back for _, back, _ in batches) and not self._producer.acknowledged(0.2):
                self._say("Kafka has not acknowledged yet")
            self._patiently(lambda: self._sink.insert_rated(columns))
            for partition, _, rated in batches:
                self._tell(_totals(rated), partition)

        self._sent = self._inserting.submit(send)

    def _tell(self, messages: dict[str, RatedRow], partition: int) -> None:
        """To the partition of their accounts, which is the one that the usage came from. Each key has the owner's
        token: compaction must not let a stale owner's record win."""
        topic, token, send = self._settings.kafka.rated_topic, self._token, self._producer.send
        for place, row in messages.items():
            send(topic, _ENCODE(row), f"{place}\x1f{token}".encode(), partition)

    def _superseded(self, partition: int, rated: list[RatedRow]) -> list[RatedRow]:
        """Zero rows for what older catalogues rated of our accounts, and we do not: what we sent before is inserted."""
        generation, mine = self._catalogue.generation, self._owner_of(partition)
        if generation <= 1:
            return []
        produced = {(*_PLACE(row), row.opening, row.day) for row in rated}
        old = self._patiently(lambda: self._services.rated_before(generation), self._alive)
        return [
            taken_back(one, generation)
            for one in old
            if mine(one.account) and (*_PLACE(one), one.opening, one.day) not in produced
        ]

    def _patiently(self, work: Callable[[], T], meanwhile: Callable[[], None] | None = None) -> T:
        return patiently(work, self._say, meanwhile, self._clock)

    def _collect(self) -> None:
        if self._sent is not None:
            while not self._sent.done():
                try:
                    self._sent.result(0.05)
                except TimeoutError:
                    self._awaited = "ClickHouse has not acknowledged yet"
                    self._alive()
            sent, self._sent = self._sent, None
            sent.result()
        while not self._producer.acknowledged(0.2):
            self._awaited = "Kafka has not acknowledged yet"
            self._alive()
        self._awaited = ""

    def _alive(self) -> None:
        self._consumer.keep_alive()
        self._pulse()

    def _say(self, trouble: str) -> None:
        self._trouble = trouble

    @property
    def trouble(self) -> str:
        """What is waited for just now, if anything."""
        return self._trouble or self._awaited

    # -- what others ask

    def look_again(self) -> None:
        """Ask the broker anew where the partitions end."""
        self._consumer.look_again()

    def progress(self) -> tuple[dict[int, int], set[int]]:
        """(the position of each partition, those whose log has more)."""
        return dict(self._consumer.position), set(self._raters) - self._consumer.at_end

    def caught_up(self) -> list[int]:
        """Partitions at their end, all of it rated and acknowledged."""
        ended = [partition for partition in self._raters if partition in self._consumer.at_end]
        self._wake()
        self._emit()
        self._collect()
        return ended

    def drain(self) -> None:
        """Rate what is known, wait for every acknowledgement, and leave the group."""
        self._emit()
        self._collect()
        self._consumer.close()
        self._inserting.shutdown()
        self._sink.close()


def _place(row: RatedRow) -> str:
    """_PLACE as the key of a message begins with it."""
    period, segment = _written(row.period_start), _written(row.segment_start)
    return f"{row.account}\x1f{period}\x1f{segment}\x1f{row.price}\x1f{row.meter}\x1f{row.part}"


def _totals(rows: list[RatedRow]) -> dict[str, RatedRow]:
    """Of each place the last row, whose totals cover the segment so far."""
    return dict(zip(map(_place, rows), rows, strict=True))


def _taken_back(back: list[RatedRow], rows: list[RatedRow]) -> dict[str, RatedRow]:
    """Zero, where nothing takes the place of what is gone.

    Below every other row of its generation, and under a key of its own: compaction must not let it displace them. The
    same whichever of its days was found, as the version is.
    """
    if not back:
        return {}
    produced = _totals(rows)
    return {
        f"{place}\x1fback": replace(row, version=TAKEN_BACK, day=row.segment_start, opening=False, currency="")
        for place, row in _totals(back).items()
        if place not in produced
    }
