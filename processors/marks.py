"""The log of a partition as its owner sees it, and its marks: what was true when all outputs were acknowledged."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from config.settings import Settings
from processors.consume import PartitionConsumer
from processors.owner import Mark
from processors.patience import patiently
from processors.services import Services
from sinks.topics import DurableProducer

_DECODER = msgspec.json.Decoder(Mark)


class WrongLogError(Exception):
    """The log is not the one that there is state of. Only a person knows which of the two counts."""


class Marks:
    """The marks topic, as one worker uses it. Key: TOPIC_ID/PARTITION; the last one of a key holds."""

    def __init__(self, settings: Settings, topic_id: str, producer: DurableProducer, services: Services) -> None:
        self._settings, self._topic_id, self._producer, self._services = settings, topic_id, producer, services
        self._read: dict[str, Mark] | None = None

    def send(self, partition: int, mark: Mark | None) -> None:
        """Queue it, if there is one."""
        if mark is not None:
            key = f"{self._topic_id}/{partition}".encode()
            self._producer.send(self._settings.kafka.marks_topic, msgspec.json.encode(mark), key)

    def forget(self) -> None:
        """Others may have written since."""
        self._read = None

    def of(self, partition: int, say: Callable[[str], None], meanwhile: Callable[[], None]) -> Mark | None:
        """The last one, read once for each round of assignments. Raises WrongLogError."""
        if self._read is None:
            topic, services = self._settings.kafka.marks_topic, self._services
            records = patiently(lambda: services.read_to_end(topic), say, meanwhile, services.clock)
            self._read = {key.decode(): _DECODER.decode(value) for key, value in records if value}
            self._refuse_another_log()
        return self._read.get(f"{self._topic_id}/{partition}")

    def _refuse_another_log(self) -> None:
        """Asked for where Redis knows nothing of this topic. What another one brought is in the tables, and stays."""
        known = {key.rpartition("/")[0] for key in self._read or ()}
        if known and self._topic_id not in known and self._settings.processing.start_at is None:
            self._read = None
            raise WrongLogError(
                f"{self._settings.kafka.events_topic} is another topic (id {self._topic_id}) than the one processed so "
                f"far (id {', '.join(sorted(known))}): it was deleted and made again. Usage of the old one stays in "
                "the tables, and the same events sent again would count twice. Set processing.start_at = 0 to add what "
                "is on the new one, or begin with an empty database and new topics"
            )


class KafkaLog:
    """What an owner asks of its log. `mark`: of this partition."""

    def __init__(self, consumer: PartitionConsumer, partition: int, mark: Callable[[], Mark | None]) -> None:
        self._consumer, self._partition, self.mark = consumer, partition, mark

    def low(self) -> int:
        return self._consumer.bounds(self._partition)[0]

    def first_at(self, timestamp_ms: int) -> int:
        return self._consumer.first_at(self._partition, timestamp_ms)
