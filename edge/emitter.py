"""Puts usage events on Kafka, durably and each always on the same partition.

Sending a file again is always safe: the same line goes to the same partition, where the processors know it by its
identity. Not so where the emitter numbers the events: then only itself can send one again.
"""

import logging
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import TracebackType
from typing import Any, NamedTuple, Self
from zlib import crc32

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from edge.forms import Form, Format, form_of
from edge.lines import subject_of
from edge.murmur2 import partition_of
from edge.numbering import Numbering

__all__ = ["BATCH_MAX", "MESSAGE_BYTES_MAX", "EmitError", "EmitReport", "Emitter", "Format", "Refusal"]

# What a broker takes by default (`message.max.bytes`), for one uncompressed record.
MESSAGE_BYTES_MAX = 1_048_588
BATCH_MAX = 10_000  # the processors refuse a message of more events by default
_QUEUE_MESSAGES_MAX = 200_000  # about 50 MB of single events, a second's worth at full speed
_QUEUE_KBYTES_MAX = 131_072
_SUBJECTS_CACHED_MAX = 1 << 18  # murmur2 in Python costs 3 us, a cached subject 0.1 us
_REFUSALS_KEPT_MAX = 100  # the first ones are enough to see what is wrong; all are counted
_POLL_S = 0.1  # the longest that an interrupt waits
_METADATA_S = 20.0
_INTERRUPTED_S = 5.0  # what is queued when an interrupt arrives may still leave
_STEP_LINES = 1024  # between two looks at the client's callbacks


class EmitError(Exception):
    """Events could not be put on Kafka; the message says what to do."""


class Refusal(NamedTuple):
    """A message that was not taken because it is too large. `line` is None where only the broker refused it."""

    line: int | None
    reason: str


class EmitReport(NamedTuple):
    """What became of the lines of one `emit_lines`. All but the `refused` are acknowledged; `refusals` holds the first
    hundred of those."""

    lines: int
    blank: int
    messages: int
    refused: int
    refusals: list[Refusal]


class Emitter:
    """A Kafka producer for one topic. Not for several threads at once.

    Acknowledged means durable: `flush`, `emit_lines` and a normal end of the `with` block return only when the broker
    has acknowledged all.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
        delivery_timeout_ms: int = 120_000,
        linger_ms: int = 20,
        numbered: bool = False,
    ) -> None:
        """`numbered`: events are known by a number of this emitter instead of their ids (see `edge.numbering`). Not by
        default: it is for events that this process makes, and would count a file twice that is sent twice.

        Raises EmitError when the broker or the topic is not there.
        """
        self.topic = topic
        self._numbering = Numbering() if numbered else None
        self._unsent: list[tuple[bytes, bytes | None, int]] = []  # of a numbered emitter: value, key, partition
        self._message_bytes_max = message_bytes_max
        self._config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": linger_ms,
            "delivery.timeout.ms": delivery_timeout_ms,
            # The client's own check counts key and overhead too; ours comes first and knows the line.
            "message.max.bytes": message_bytes_max + 16_384,
            "queue.buffering.max.messages": _QUEUE_MESSAGES_MAX,
            "queue.buffering.max.kbytes": _QUEUE_KBYTES_MAX,
            # Seeing reports of success would cost 0.3 us each, and they say nothing new: the client gives each
            # message one report, and counts it in len(producer) until then. At 0, all but the failed are
            # acknowledged.
            "delivery.report.only.error": True,
            "on_delivery": self._on_failure,
            "logger": logging.getLogger(__name__),
        }
        self._producer = Producer(self._config)
        self.partitions = self._partition_count()
        self._of_subject = lru_cache(_SUBJECTS_CACHED_MAX)(self._place_subject)
        self._sent = 0
        self._failed = 0
        self._first_failure: KafkaError | None = None
        self._refused = 0
        self._refusals: list[Refusal] = []

    @property
    def acknowledged(self) -> int:
        """Messages that the broker has acknowledged so far."""
        return self._sent - self._failed - len(self._producer)

    def place(self, line: bytes) -> tuple[bytes | None, int, bool]:
        """(key, partition, whether the line is one JSON object). The subject decides the partition; without one, the
        line's bytes do."""
        subject, is_object = subject_of(line)
        if subject is None:
            return None, crc32(line) % self.partitions, is_object
        key, partition = self._of_subject(subject)
        return key, partition, is_object

    def emit_lines(
        self,
        lines: Iterable[bytes],
        batch: int | None = None,
        format: Format = "json",
        rate: float | None = None,
        progress: Callable[[int, int], None] = lambda lines, size: None,
    ) -> EmitReport:
        """Send NDJSON lines, each as it stands, and wait until they are acknowledged.

        Up to `batch` events of one partition share a message, by default one, or 5,000 as `columnar`; a line that is
        not one JSON object goes alone, and as it stands in any format. `rate` is in events a second. `progress` hears
        now and then how many lines and bytes were added. A message that is too large is reported and left out; raises
        EmitError for every other failure.
        """
        if not 1 <= (1 if batch is None else batch) <= BATCH_MAX or (rate is not None and rate <= 0):
            raise ValueError(f"batch must be from 1 to {BATCH_MAX:,}, and rate above 0")
        self._refused, self._refusals = 0, []
        form, sent = form_of(format, batch, self._message_bytes_max), self._sent
        try:
            count, blank = self._emit(lines, form, rate, progress)
        except EmitError:
            for place, message in form.batches.rest():
                self._keep(message, None, place)
            raise
        return EmitReport(count - blank, blank, self._sent - sent, self._refused, self._refusals)

    def _emit(
        self,
        lines: Iterable[bytes],
        form: Form,
        rate: float | None,
        progress: Callable[[int, int], None],
    ) -> tuple[int, int]:
        """How many lines there were, and how many of them blank."""
        item, batches = form
        step = _STEP_LINES if rate is None else max(1, min(_STEP_LINES, int(rate / 20)))
        start = time.monotonic()
        blank = size = told_lines = told_size = 0
        number = 0
        for number, line in enumerate(lines, 1):
            size += len(line)
            line = line.rstrip(b"\r\n")
            if not line or line.isspace():
                blank += 1
                continue
            key, partition, whole = self.place(line)
            if whole and self._numbering is not None:
                line = self._numbering.stamp(line, partition)
            value, part = item(line, whole)
            if batches.count_max > 1 and part is not None and len(value) <= batches.bytes_max:
                self._send_all([*batches.add(partition, part, len(value))], number)
            else:
                self._send(value, key, partition, number)
            if number % step == 0:
                self._serve(0 if rate is None else start + number / rate)
                self._send_all([*batches.aged()], number)
                progress(number - told_lines, size - told_size)
                told_lines, told_size = number, size
        self._send_all([*batches.rest()], number)
        self.flush()
        progress(number - told_lines, size - told_size)
        return number, blank

    def resend(self) -> None:
        """Of a numbered emitter, after an EmitError: send what is not acknowledged again, the same bytes to the same
        partitions, and wait as `flush` does. Lines that were not taken yet are the caller's to send."""
        while len(self._producer):
            self._producer.flush(_POLL_S)  # all that is still on its way is acknowledged or fails
        self._producer = Producer(self._config)  # the broker may have fenced the old one while it was away
        again, self._unsent = self._unsent, []
        self._sent -= self._failed
        self._failed, self._first_failure = 0, None
        for at, (value, key, partition) in enumerate(again):
            try:
                self._send(value, key, partition, 0)
            except EmitError:
                self._unsent += again[at + 1 :]
                raise
        self.flush()

    def flush(self) -> None:
        """Wait until the broker has acknowledged every message sent so far; EmitError if one failed."""
        while self._producer.flush(_POLL_S):
            self._check()
        self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
            elif not self._failed:
                # Interrupted: what is queued may still go; `acknowledged` then says how much did.
                deadline = time.monotonic() + _INTERRUPTED_S
                while len(self._producer) and time.monotonic() < deadline:
                    self._producer.flush(_POLL_S)
        finally:
            self._producer.purge()  # nothing is left after a flush; after a failure, waiting longer would not help
            self._producer.flush(_POLL_S)

    def _place_subject(self, subject: str) -> tuple[bytes, int]:
        key = subject.encode()
        return key, partition_of(key, self.partitions)

    def _send(self, value: bytes, key: bytes | None, partition: int, line: int) -> None:
        if len(value) > self._message_bytes_max:
            self._refuse(line, f"is larger than the {self._message_bytes_max:,} bytes of one message")
            return
        while True:
            try:
                self._producer.produce(self.topic, value, key, partition)
            except BufferError:  # the queue is full: wait for the broker, which is all the back-pressure there is
                self._producer.poll(_POLL_S)
                if self._first_failure is not None:
                    self._keep(value, key, partition)
                self._check()
            except KafkaException as error:
                self._keep(value, key, partition)
                raise EmitError(f"Kafka refuses events for {self.topic}: {error.args[0].str()}") from error
            else:
                self._sent += 1
                return

    def _send_all(self, messages: list[tuple[int, bytes]], line: int) -> None:
        for at, (partition, value) in enumerate(messages):
            try:
                self._send(value, None, partition, line)
            except EmitError:
                for place, left in messages[at + 1 :]:
                    self._keep(left, None, place)
                raise

    def _serve(self, not_before: float) -> None:
        self._producer.poll(0)
        while (wait_s := not_before - time.monotonic()) > 0:
            self._producer.poll(min(wait_s, _POLL_S))
        self._check()

    def _on_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self._sent -= 1
            value = message.value() or b""
            self._refuse(None, f"the broker refuses a message of {len(value):,} bytes that begins with {value[:80]!r}")
            return
        self._failed += 1
        self._first_failure = self._first_failure or error
        key = message.key()
        self._keep(message.value() or b"", key.encode() if isinstance(key, str) else key, message.partition())

    def _keep(self, value: bytes, key: bytes | None, partition: int | None) -> None:
        if self._numbering is not None and partition is not None:
            self._unsent.append((value, key, partition))

    def _refuse(self, line: int | None, reason: str) -> None:
        self._refused += 1
        if len(self._refusals) < _REFUSALS_KEPT_MAX:
            self._refusals.append(Refusal(line, reason))

    def _check(self) -> None:
        if self._first_failure is not None:
            mend = "send the same file again" if self._numbering is None else "let this emitter `resend`"
            raise EmitError(
                f"{self._failed:,} messages for {self.topic} were not acknowledged: {self._first_failure.str()}. "
                f"Look after the broker and {mend}; what has arrived is not counted twice."
            )

    def _partition_count(self) -> int:
        try:
            # All topics: to ask for one by name would make it, on a broker that makes topics by itself.
            found = self._producer.list_topics(timeout=_METADATA_S).topics.get(self.topic)
        except KafkaException as error:
            reason = error.args[0].str()
            raise EmitError(f"no Kafka broker answers: {reason}. Start one with `tollstream up`") from error
        if found is None or found.error is not None or not found.partitions:
            raise EmitError(f"there is no topic {self.topic}; `tollstream up` makes it")
        return len(found.partitions)
