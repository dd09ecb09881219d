"""What a person decides where going on by itself would be guessing: another topic, more partitions, a gap in the log.

Each decision is a record on the marks topic, or a move of the state in Redis, made while no worker runs. Each is
refused while it could lose or double an event without anybody having said so.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import msgspec

from config.catalogue import Catalogue
from config.settings import Settings
from processors.checkpoint import Checkpoint, Head
from processors.columns import letter_columns
from processors.marks import Begin, Layout, Recorded
from processors.meter import Ledger, Letter
from processors.sequences import DAY_US
from processors.state import RedisSlot, connect
from sinks.clickhouse import ClickHouseSink, reader
from sinks.queries import ledger as read_ledger
from sinks.streams import TopicReader
from sinks.topics import DurableProducer, partition_count, read_to_end, topic_id

_DAY_MS = DAY_US // 1000


class RecoveryRefusedError(Exception):
    """What was asked for would lose or double events, or is not needed; the message says which, and what to do."""


class Standing(msgspec.Struct):
    """Where a partition stands. Offsets are of next messages; None where a service knows nothing of it."""

    partition: int
    log_begins: int
    log_ends: int
    redis: int | None
    acknowledged: int | None  # `published` in Redis
    mark: int | None
    ledger: int | None  # in ClickHouse
    begun: int  # nothing below it counts, as a person decided


class Gap(msgspec.Struct):
    """Messages from `first` to `last` will never be counted; the fold goes on at `last` + 1."""

    partition: int
    first: int
    last: int
    why: str


class Recovery:
    """Looks at every place that remembers something of the events topic, and writes decisions down."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._settings, self._catalogue = settings, catalogue
        kafka = settings.kafka
        self.topic = topic_id(kafka, kafka.events_topic)
        self.partitions = partition_count(kafka, kafka.events_topic)
        self.recorded = Recorded.of(read_to_end(kafka, kafka.marks_topic))
        self._redis = connect(settings.redis.url)
        self._log = TopicReader(kafka, kafka.events_topic)
        with closing(reader(settings.clickhouse)) as client:
            self._ledgers = {one.partition: one for one in read_ledger(client).partitions if one.topic == self.topic}

    def close(self) -> None:
        self._log.close()
        self._redis.close()

    def standings(self) -> list[Standing]:
        """Of every partition."""
        found = []
        for partition in range(self.partitions):
            low, high = self._log.bounds(partition)
            head = self._slot(partition).peek()
            mark = self.recorded.mark(self.topic, partition)
            ledger = self._ledgers.get(partition)
            found.append(
                Standing(
                    partition,
                    low,
                    high,
                    head.offset if head else None,
                    head.published if head else None,
                    mark.offset if mark else None,
                    ledger.offset if ledger else None,
                    mark.begun if mark else 0,
                )
            )
        return found

    # -- a topic made anew

    def adopt_topic(self, start_at: int) -> list[str]:
        """Let the events topic that is there now count from `start_at` on; ids of the topics processed before it."""
        others = sorted(self.recorded.topics - {self.topic})
        if self.topic in self.recorded.topics or not others:
            raise RecoveryRefusedError(
                f"{self._settings.kafka.events_topic} (id {self.topic}) is the topic that is processed: there is "
                "nothing to decide, `tollstream run` goes on with it"
            )
        for partition in range(self.partitions):
            low, _ = self._log.bounds(partition)
            if start_at < low:
                raise RecoveryRefusedError(f"partition {partition} begins at offset {low}: --start-at that or later")
        begin = Begin(start_at, Ledger(), f"adopted after topic {', '.join(others)}")
        records: dict[str, Any] = {f"{self.topic}/{partition}/begin": begin for partition in range(self.partitions)}
        self._write(records | {f"{self.topic}/partitions": Layout(self.partitions)})
        return others

    # -- more partitions

    def quiet_at_ms(self, agreed: int) -> int:
        """From this record timestamp on every event that is counted on one of the first `agreed` partitions is late."""
        lateness = max((one.lateness_ms for one in self._catalogue.events), default=0)
        grown = [self._first_timestamp(partition) for partition in range(agreed, self.partitions)]
        first_new = min((at_ms for at_ms in grown if at_ms is not None), default=None)
        last_old = max((self._last_timestamp(partition, first_new) for partition in range(agreed)), default=0)
        return last_old + self._settings.processing.skew_ms + lateness

    def agree_to_partitions(self, now_ms: int, *, sure: bool) -> tuple[int, int]:
        """Let the partitions added since count. `sure`: a person knows that no event goes to two partitions."""
        layout = self.recorded.layouts.get(self.topic)
        if layout is None or layout.partitions >= self.partitions:
            raise RecoveryRefusedError(
                f"the topic has {self.partitions} partitions, as before: there is nothing to agree to"
            )
        if not sure:
            quiet_ms = self.quiet_at_ms(layout.partitions)
            for partition in range(layout.partitions, self.partitions):
                begins_ms = self._first_timestamp(partition)
                if (now_ms if begins_ms is None else begins_ms) <= quiet_ms:
                    raise RecoveryRefusedError(_unquiet(partition, begins_ms, quiet_ms, now_ms))
        self._write({f"{self.topic}/partitions": Layout(self.partitions)})
        return layout.partitions, self.partitions

    def _first_timestamp(self, partition: int) -> int | None:
        return next((message.timestamp_ms for message in self._log.messages(partition)), None)

    def _last_timestamp(self, partition: int, before_ms: int | None) -> int:
        """The highest record timestamp, of the messages before the first one of at least `before_ms`."""
        low, high = self._log.bounds(partition)
        end = high
        if before_ms is not None:
            found = self._log.first_at(partition, before_ms)
            end = high if found is None else found
        ledger = self._ledgers.get(partition)
        clock_ms = round(ledger.clock.timestamp() * 1000) if ledger is not None and ledger.offset <= end else 0
        last = 0
        for message in self._log.messages(partition, max(low, end - 1)) if end > low else ():
            if message.offset < end:
                last = max(last, message.timestamp_ms)
            else:
                break
        return max(last, clock_ms)

    # -- a gap

    def plan_gap(self, partition: int) -> Gap:
        """The smallest gap that loses no more than is lost already, and doubles nothing."""
        low, _ = self._log.bounds(partition)
        head = self._slot(partition).peek()
        if head is not None:
            if head.offset >= low:
                raise RecoveryRefusedError(
                    f"partition {partition}: the state in Redis continues at offset {head.offset}, and the log begins "
                    f"at {low}: nothing is missing, `tollstream run` goes on"
                )
            return Gap(partition, head.offset, low - 1, "the log was shortened before these were counted")
        counted, clock_ms = self._counted(partition)
        lateness = max((one.lateness_ms for one in self._catalogue.events), default=0)
        skew = self._settings.processing.skew_ms
        if self._restorable(partition, low):
            raise RecoveryRefusedError(f"partition {partition}: the log has all that is needed: `tollstream run`")
        # What was counted is of this instant or before; from `safe_ms` on all of it, and its windows, are closed.
        safe_ms = -(-(clock_ms + skew + 1) // _DAY_MS) * _DAY_MS + lateness
        found = self._log.first_at(partition, safe_ms)
        if found is None:
            raise RecoveryRefusedError(
                f"partition {partition}: neither Redis nor the log can tell which events of the last {lateness} ms are "
                "counted already. Going on is safe from the first record of "
                f"{safe_ms} ms since 1970 on, and the log has none yet. Restore a backup of Redis; or ask again later"
            )
        return Gap(partition, counted, found - 1, "neither state nor log could tell which events were counted before")

    def _restorable(self, partition: int, low: int) -> bool:
        """Whether an owner can fold the open state again, as `Owner.begin` does."""
        mark = self.recorded.mark(self.topic, partition)
        if mark is None:
            return low == 0
        lateness = max((one.lateness_ms for one in self._catalogue.events), default=0)
        since_ms = (mark.clock_ms - lateness) // _DAY_MS * _DAY_MS
        start = self._log.first_at(partition, since_ms - self._settings.processing.skew_ms)
        return low <= mark.offset and (low <= mark.begun or start is None or start > low)

    def _counted(self, partition: int) -> tuple[int, int]:
        """(offset, clock) through which events are counted, by whoever remembers most."""
        mark, ledger = self.recorded.mark(self.topic, partition), self._ledgers.get(partition)
        found = [(mark.offset, mark.clock_ms)] if mark is not None else []
        if ledger is not None:
            found.append((ledger.offset, round(ledger.clock.timestamp() * 1000)))
        if not found:
            raise RecoveryRefusedError(
                f"partition {partition}: nothing of it was ever counted; say where to begin with processing.start_at"
            )
        return max(found)

    def accept_gap(self, gap: Gap) -> None:
        """Write the gap down as a dead letter, and go on behind it.

        Dying after the letter: it stands there for a gap that is not accepted yet; asking again writes the same one.
        """
        kafka, limits = self._settings.kafka, self._settings.limits
        count = gap.last - gap.first + 1
        letter = Letter("invalid", gap.first, 0, f"gap: {count} messages to offset {gap.last}: {gap.why}", b"", 0)
        key = f"{self.topic}/{gap.partition}/{gap.first}/0".encode()
        self._send(kafka.dead_letter_topic, key, letter)
        with closing(ClickHouseSink(self._settings.clickhouse, rows_max=limits.sink_rows_max)) as sink:
            sink.insert_dead_letters(letter_columns([(gap.partition, letter)], self.topic))
        slot = self._slot(gap.partition)
        head = slot.claim(self._catalogue.generation)
        if head is not None:
            slot.write(Checkpoint(head.offset, _moved(head, gap.last + 1), [], []))
            return
        mark, ledger = self.recorded.mark(self.topic, gap.partition), self._ledgers.get(gap.partition)
        counts = mark.ledger if mark is not None else Ledger()
        if ledger is not None and (mark is None or ledger.offset > mark.offset):
            counts = Ledger(*(getattr(ledger, name) for name in Ledger.__struct_fields__))
        self._write({f"{self.topic}/{gap.partition}/begin": Begin(gap.last + 1, counts, gap.why)})

    # -- writing

    def _slot(self, partition: int) -> RedisSlot:
        return RedisSlot(self._redis, self.topic, partition)

    def _write(self, records: dict[str, Any]) -> None:
        for key, record in records.items():
            self._send(self._settings.kafka.marks_topic, key.encode(), record)

    def _send(self, topic: str, key: bytes, record: Any) -> None:
        producer = DurableProducer(self._settings.kafka)
        producer.send(topic, msgspec.json.encode(record), key)
        while not producer.acknowledged(1.0):  # ends by KafkaException after kafka.delivery_timeout_ms
            pass


def _moved(head: Head, offset: int) -> Head:
    return msgspec.structs.replace(head, offset=offset)


def _unquiet(partition: int, begins_ms: int | None, quiet_ms: int, now_ms: int) -> str:
    if begins_ms is None:
        return (
            f"partition {partition} is empty, and events counted on the old partitions are not late before "
            f"{quiet_ms} ms since 1970, {(quiet_ms - now_ms) // 1000:,} s from now. Let the producers rest until then "
            "and ask again; or, if each event is surely sent to the partition that its first try went to, say --sure"
        )
    return (
        f"partition {partition} begins with a record of {begins_ms} ms since 1970, when events counted on the old "
        f"partitions were not late yet (from {quiet_ms} on they are): a retry may be on both. If each event was surely "
        "sent to the partition that its first try went to, say --sure; else process the topic's events into a new one"
    )
