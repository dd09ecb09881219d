"""The shell of stage 1: Kafka in, Redis checkpoints, ClickHouse and Kafka out. It holds no business rule.

The order of side effects, for every checkpoint:
  1 letters to their topics and tables, acknowledged     dying here: the next owner sends them again, same keys
  2 the checkpoint in Redis                              dying here: outputs are behind `published` and go out again
  3 partials and ledger to ClickHouse and usage.windows  dying here: the same, absolute rows with versions
  4 acknowledgements -> `published` in the next checkpoint, and now and then the mark
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec
from confluent_kafka import KafkaException

from config.catalogue import Catalogue
from config.settings import Settings
from processors.columns import (
    identity_columns,
    ledger_columns,
    letter_columns,
    number_columns,
    outcome_columns,
    usage_columns,
)
from processors.consume import PartitionConsumer, Portion, batch_of
from processors.health import past_the_end
from processors.homes import Homes
from processors.marks import KafkaLog, Marks, WrongLogError
from processors.outputs import Released
from processors.owner import Owner
from processors.partials import DamagedError
from processors.patience import patiently
from processors.services import Services
from processors.state import FencedError
from processors.window_rows import WindowRows
from sinks.errors import Retryable
from sinks.topics import LETTER_RAW_BYTES_MAX, DurableProducer

T = TypeVar("T")


class MeterStage:
    """One worker's share of stage 1."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, pulse: Callable[[], None], services: Services, *, alone: bool
    ) -> None:
        """`pulse` is called every now and then while the stage waits for something; `alone`: in its group."""
        self._settings, self._catalogue, self._pulse = settings, catalogue, pulse
        self._services, self._clock = services, services.clock
        kafka, self._processing = settings.kafka, settings.processing
        self._trouble = self._awaited = ""
        self._topic_id = self._patiently(partial(services.topic_id, kafka.events_topic), pulse)
        self._ends_trusted = self._patiently(services.ends_are_trusted, pulse)
        self._producer = DurableProducer(kafka, services.new_producer)
        self._sink = services.sink()
        self._homes = Homes(self._patiently(partial(services.partition_count, kafka.windows_topic), pulse))
        self._marks = Marks(settings, self._topic_id, self._producer, services)
        self._inserting = services.beside()
        self._sent: tuple[Future[None], dict[int, int]] | None = None  # outputs on their way: partition -> through
        self._owners: dict[int, Owner] = {}
        self._first_end: dict[int, int] = {}  # partition -> the end of its log when first reached
        self._since_checkpoint = self._letter_bytes = 0  # events; bytes of their letters
        self._portion = Portion(self._processing.consume_messages_max)
        self.behind = False  # the log has more, and what was taken last is old
        now = self._clock.monotonic()
        self._checkpoint_at = self._mark_at = self._verify_at = now
        self._consumer = PartitionConsumer(
            kafka,
            kafka.events_topic,
            f"{kafka.group}-meter",
            self._take_over,
            self._let_go,
            leaves=alone or self._ends_trusted,
            client=services.new_consumer,
        )

    # -- partitions come and go

    def _take_over(self, partitions: list[int]) -> dict[int, int]:
        self._marks.forget()
        if partitions:
            self._marks.agree(partitions, self._say, self._pulse)
        starts = {}
        for partition in partitions:
            slot = self._services.slot(self._topic_id, partition)
            log = KafkaLog(self._consumer, partition, partial(self._marks.of, partition, self._say, self._pulse))
            owner = Owner(slot, log, self._catalogue, self._settings, self._topic_id, partition, self._homes)
            try:
                starts[partition] = self._patiently(owner.begin, self._pulse)
            except FencedError as error:
                raise LostPartitionError(f"partition {partition}: {error}") from error
            self._patiently(partial(self._check_end, partition, starts[partition]), self._pulse)
            self._owners[partition] = owner
        self._patiently(self._same_topic, self._pulse)  # offsets of one topic mean nothing on another
        return starts

    def _let_go(self, partitions: list[int]) -> None:
        for partition in partitions:
            self._owners.pop(partition, None)
            self._first_end.pop(partition, None)

    def _check_end(self, partition: int, offset: int) -> None:
        if self._ends_trusted:
            fault = past_the_end(partition, offset, self._consumer.bounds(partition)[1])
            if fault:
                raise WrongLogError(f"{fault}. Restore the topic, or clear its state in Redis and the tables")

    # -- the loop

    def step(self, timeout_s: float) -> int:
        """Take messages, fold them, and checkpoint when it is time. The number of messages taken."""
        taken = self._consumer.take(self._portion.messages, timeout_s)
        count, seen = 0, self._since_checkpoint
        for partition, messages in taken.items():
            owner = self._owners[partition]
            events, letters = owner.state.ledger.consumed, len(owner.letters)
            owner.fold(batch_of(messages))
            count += len(messages)
            self._since_checkpoint += max(owner.state.ledger.consumed - events, len(messages))
            self._letter_bytes += sum(len(letter.raw) for letter in owner.letters[letters:])
        self._portion.took(count, self._since_checkpoint - seen)
        for partition in self._consumer.at_end:
            if partition in self._owners:
                self._owners[partition].at_end()
                self._first_end.setdefault(partition, self._owners[partition].state.offset)
        now = self._clock.monotonic()
        self.behind = self._consumer.behind(int(self._clock.time() * 1000), self._processing.behind_ms)
        times = self._processing.behind_factor if self.behind else 1
        due_at = self._checkpoint_at + self._processing.checkpoint_interval_ms * times / 1000
        full = self._since_checkpoint >= self._processing.checkpoint_events * times
        if full or self._letter_bytes >= self._settings.limits.letters_bytes_max or now >= due_at:
            self._checkpoint()
        self._producer.poll()
        return count

    def _checkpoint(self) -> None:
        """Steps 1 to 4, for every partition that has news."""
        self._send_letters()
        self._collect(wait=True)
        released, folded = [], {}
        for partition, owner in list(self._owners.items()):
            try:
                out = self._patiently(owner.checkpoint, self._alive)
            except (FencedError, DamagedError) as error:
                raise LostPartitionError(f"partition {partition}: {error}") from error
            if out is not None:
                released.append(out)
                folded[partition] = out.through
        if released:
            self._release(released)
        self._consumer.commit(folded)
        self._since_checkpoint, self._checkpoint_at = 0, self._clock.monotonic()
        if (self._checkpoint_at - self._verify_at) * 1000 >= self._processing.health_stall_ms / 3:
            self._verify()
        if (self._checkpoint_at - self._mark_at) * 1000 >= self._processing.mark_interval_ms:
            self._send_marks()

    def _send_letters(self) -> None:
        """Step 1. Keyed by coordinates, so that a repeat is the same row."""
        letters = [(owner, letter) for owner in self._owners.values() for letter in owner.letters]
        if not letters:
            return
        kafka = self._settings.kafka
        for owner, letter in letters:
            topic = kafka.late_topic if letter.verdict == "late" else kafka.dead_letter_topic
            key = f"{self._topic_id}/{owner.partition}/{letter.offset}/{letter.index}".encode()
            kept = msgspec.structs.replace(letter, raw=letter.raw[:LETTER_RAW_BYTES_MAX])  # whole in ClickHouse
            self._producer.send(topic, msgspec.json.encode(kept), key)
        by_verdict = {
            verdict: letter_columns(
                [(o.partition, one) for o, one in letters if one.verdict == verdict], self._topic_id
            )
            for verdict in ("late", "invalid")
        }
        self._in_background(lambda: self._sink.insert_late(by_verdict["late"]))
        self._in_background(lambda: self._sink.insert_dead_letters(by_verdict["invalid"]))
        self._await_producer()
        for owner, _ in letters:
            owner.letters = []
        self._letter_bytes = 0

    def _release(self, released: list[Released]) -> None:
        """Step 3. Kafka takes the rows at once; ClickHouse is waited for in the background, while the fold goes on."""
        topic, send = self._settings.kafka.windows_topic, self._producer.send
        for one in released:
            for partition, key, value in one.records:
                send(topic, value, key, partition)
        usage = usage_columns(WindowRows(block for one in released for block in one.rows.blocks), self._catalogue)
        ledger, outcomes = ledger_columns(released, self._topic_id), outcome_columns(released, self._topic_id)
        hours, days = identity_columns(released, self._topic_id), number_columns(released, self._topic_id)

        def insert() -> None:
            self._patiently(lambda: self._sink.insert_usage(usage))
            for hour in hours:
                self._patiently(partial(self._sink.insert_identities, hour))
            for day in days:
                self._patiently(partial(self._sink.insert_numbers, day))
            self._patiently(lambda: self._sink.insert_admissions(outcomes))
            # Last: a command that reads this clock relies on all that was closed or admitted by then being there.
            self._patiently(lambda: self._sink.insert_ledger(ledger))

        self._sent = (self._inserting.submit(insert), {one.partition: one.through for one in released})

    def _collect(self, *, wait: bool) -> None:
        """Step 4: once both sinks have acknowledged, the next checkpoint may say so."""
        if self._sent is None or not (wait or self._sent[0].done()):
            return
        future, through = self._sent
        self._await(future)
        self._await_producer()
        self._sent = None
        for partition, offset in through.items():
            if partition in self._owners:
                self._owners[partition].acknowledged(offset)

    def _send_marks(self) -> None:
        self._mark_at = self._clock.monotonic()
        for partition, owner in self._owners.items():
            self._marks.send(partition, owner.mark())

    def _verify(self) -> None:
        """An idle owner asks too; a position past the end is found, and a topic made anew under the same name."""
        self._verify_at = self._clock.monotonic()
        with suppress(KafkaException, Retryable):  # gone or not reachable: the consumer says so itself
            self._same_topic()
        for partition, owner in list(self._owners.items()):
            if not owner.restoring and not owner.unsaved:
                ask = partial(owner.slot.verify, owner.state.offset)
                try:
                    self._patiently(ask, self._pulse)
                except FencedError as error:
                    raise LostPartitionError(f"partition {partition}: {error}") from error
            with suppress(Retryable):  # the broker is away, and the consumer says so itself
                self._check_end(partition, owner.state.offset)

    def _same_topic(self) -> None:
        now = self._services.topic_id(self._settings.kafka.events_topic)
        if now != self._topic_id:
            raise LostPartitionError(f"the events topic was {self._topic_id}, and is {now} now")

    # -- waiting without leaving the group

    def _patiently(self, work: Callable[[], T], meanwhile: Callable[[], None] | None = None) -> T:
        return patiently(work, self._say, meanwhile, self._clock)

    def _in_background(self, work: Callable[[], None]) -> None:
        self._await(self._inserting.submit(lambda: self._patiently(work)))

    def _alive(self) -> None:
        self._consumer.keep_alive()
        self._pulse()

    def _await(self, future: Future[None]) -> None:
        while not future.done():
            try:
                future.result(0.05)
            except TimeoutError:
                self._awaited = "ClickHouse has not acknowledged yet"
                self._alive()
        self._awaited = ""
        future.result()

    def _await_producer(self) -> None:
        while not self._producer.acknowledged(0.2):
            self._awaited = "Kafka has not acknowledged yet"
            self._alive()
        self._awaited = ""

    def _say(self, trouble: str) -> None:
        self._trouble = trouble

    @property
    def trouble(self) -> str:
        """What is waited for just now, if anything."""
        return self._trouble or self._awaited

    # -- what others ask

    def progress(self) -> tuple[dict[int, int], set[int]]:
        """(the position of each partition, those whose log has more)."""
        return {p: owner.state.offset for p, owner in self._owners.items()}, set(self._owners) - self._consumer.at_end

    def caught_up(self) -> list[int]:
        """Partitions of which all that was there when the end was first reached is processed and acknowledged."""
        self._collect(wait=False)
        return [p for p, end in self._first_end.items() if self._owners[p].published >= end]

    def drain(self) -> None:
        """Checkpoint, wait for every acknowledgement, record it, leave a mark, and leave the group."""
        self._checkpoint()
        self._collect(wait=True)
        self._checkpoint()
        self._collect(wait=True)
        self._send_marks()
        self._await_producer()
        self._consumer.close()
        self._inserting.shutdown()
        self._sink.close()

    def abandon(self) -> None:
        """Leave the group and save nothing: somebody else owns what we held."""
        self._consumer.close()
        self._inserting.shutdown()
        self._sink.close()


class LostPartitionError(Exception):
    """Another owner, or nobody knows who, changed a partition's state: drop everything and begin anew."""
