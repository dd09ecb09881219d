"""The log of a partition as its owner sees it, and its marks: what was true when all outputs were acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from config.catalogue import BEGIN_MS
from config.settings import Settings
from processors.consume import PartitionConsumer
from processors.meter import Ledger
from processors.owner import Mark
from processors.patience import patiently
from processors.services import Services
from sinks.topics import DurableProducer


class WrongLogError(Exception):
    """The log is not the one that there is state of. Only a person knows which of the two counts."""


class Begin(msgspec.Struct):
    """A person's decision: of this partition nothing below `offset` counts beyond what is counted already."""

    offset: int
    ledger: Ledger  # of all that was counted before
    why: str


class Layout(msgspec.Struct):
    """How many partitions the events topic had when it was first processed, or when a person last agreed to more."""

    partitions: int


class Recorded(msgspec.Struct):
    """All that the marks topic says. Its keys: TOPIC_ID/PARTITION a mark, with /begin behind it a decision, and
    TOPIC_ID/partitions the layout. The last record of a key holds."""

    marks: dict[str, Mark] = {}
    begins: dict[str, Begin] = {}
    layouts: dict[str, Layout] = {}

    @classmethod
    def of(cls, records: Iterable[tuple[bytes, bytes | None]]) -> Recorded:
        found = cls()
        for key, value in records:
            place, _, kind = key.decode().rpartition("/")
            if value is None:
                continue
            if kind == "begin":
                found.begins[place] = msgspec.json.decode(value, type=Begin)
            elif kind == "partitions":
                found.layouts[place] = msgspec.json.decode(value, type=Layout)
            else:
                found.marks[key.decode()] = msgspec.json.decode(value, type=Mark)
        return found

    @property
    def topics(self) -> set[str]:
        """Ids of all topics that were ever processed, be it for a moment."""
        return {place.rpartition("/")[0] for place in (*self.marks, *self.begins)} | self.layouts.keys()

    def mark(self, topic_id: str, partition: int) -> Mark | None:
        """The last one; where a person had it begin anew after that, one that says so."""
        place = f"{topic_id}/{partition}"
        mark, begin = self.marks.get(place), self.begins.get(place)
        if begin is None:
            return mark
        if mark is None or mark.offset <= begin.offset:
            return Mark(begin.offset, BEGIN_MS, begin.ledger, "", begun=begin.offset)
        return msgspec.structs.replace(mark, begun=begin.offset)


class Marks:
    """The marks topic, as one worker uses it."""

    def __init__(self, settings: Settings, topic_id: str, producer: DurableProducer, services: Services) -> None:
        self._settings, self._topic_id, self._producer, self._services = settings, topic_id, producer, services
        self._read: Recorded | None = None
        self._agreed = 0  # partitions

    def send(self, partition: int, mark: Mark | None) -> None:
        """Queue it, if there is one."""
        if mark is not None:
            key = f"{self._topic_id}/{partition}".encode()
            self._producer.send(self._settings.kafka.marks_topic, msgspec.json.encode(mark), key)

    def forget(self) -> None:
        """Others may have written since."""
        self._read = None

    def of(self, partition: int, say: Callable[[str], None], meanwhile: Callable[[], None]) -> Mark | None:
        """The last one, read once for each round of assignments."""
        return self._recorded(say, meanwhile).mark(self._topic_id, partition)

    def agree(self, partitions: list[int], say: Callable[[str], None], meanwhile: Callable[[], None]) -> None:
        """Raises WrongLogError for another topic than the one processed so far, and where the topic has grown: a key
        may then belong to another partition than before, where its earlier events are not known."""
        if all(partition < self._agreed for partition in partitions):
            return
        topic = self._settings.kafka.events_topic
        recorded = self._recorded(say, meanwhile)
        layout = recorded.layouts.get(self._topic_id)
        if layout is None:  # the first to process it
            self._refuse_another_log(recorded)  # before a record says that it is ours
            layout = Layout(max(self._services.partition_count(topic), *(partition + 1 for partition in partitions)))
            key = f"{self._topic_id}/partitions".encode()
            self._producer.send(self._settings.kafka.marks_topic, msgspec.json.encode(layout), key)
        self._agreed = layout.partitions
        if max(partitions) >= self._agreed:
            raise WrongLogError(
                f"{topic} has more partitions than the {self._agreed} it had: a subject may belong to another one now, "
                "and a retry of an event that is counted on its old one would count twice. See `tollstream recover "
                "partitions`, which agrees once that cannot happen any more"
            )

    def _recorded(self, say: Callable[[str], None], meanwhile: Callable[[], None]) -> Recorded:
        if self._read is None:
            topic, services = self._settings.kafka.marks_topic, self._services
            self._read = Recorded.of(patiently(lambda: services.read_to_end(topic), say, meanwhile, services.clock))
        return self._read

    def _refuse_another_log(self, recorded: Recorded) -> None:
        """What another one brought is in the tables, and stays."""
        known = recorded.topics
        if known and self._topic_id not in known and self._settings.processing.start_at is None:
            self._read = None
            raise WrongLogError(
                f"{self._settings.kafka.events_topic} is another topic (id {self._topic_id}) than the one processed so "
                f"far (id {', '.join(sorted(known))}): it was deleted and made again. Usage of the old one stays in "
                "the tables, and the same events sent again would count twice. Run `tollstream recover topic`, or set "
                "processing.start_at = 0, to add what is on the new one; or begin with an empty database and new topics"
            )


class KafkaLog:
    """What an owner asks of its log. `mark`: of this partition."""

    def __init__(self, consumer: PartitionConsumer, partition: int, mark: Callable[[], Mark | None]) -> None:
        self._consumer, self._partition, self.mark = consumer, partition, mark

    def low(self) -> int:
        return self._consumer.bounds(self._partition)[0]

    def first_at(self, timestamp_ms: int) -> int:
        return self._consumer.first_at(self._partition, timestamp_ms)
