"""Writes every row of ClickHouse anew from the topics that keep them: lost tables, or an older backup, become whole.

Rows are absolute and versioned, so it may run at any time, also beside the processors, and again after it died: what is
there stays, what is newer wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from config.catalogue import BEGIN_MS, Catalogue
from config.settings import Settings
from edge.murmur2 import partition_of
from processors.columns import letter_columns, rated_columns, returned_columns, usage_columns
from processors.marks import Recorded
from processors.meter import Ledger, Letter
from processors.patience import patiently
from processors.rate import Rater, taken_back
from processors.returned_again import ReturnedAgain
from processors.row_records import Taken, rows_in
from processors.state import RedisSlot, connect
from processors.window_rows import WindowRows
from sinks.clickhouse import ClickHouseSink, reader
from sinks.rows import ArchiveGapRows, LedgerRows
from sinks.streams import TopicReader
from sinks.superseded import rated_before
from sinks.topics import partition_count, read_to_end, topic_id

_LETTER = msgspec.json.Decoder(Letter)

Say = Callable[[str], None]
_Stand = tuple[str, int, int, int, Ledger]  # topic id, partition, offset, clock in ms, counts


class Written(msgspec.Struct):
    """Rows sent to ClickHouse, by what they are."""

    usage: int = 0
    rated: int = 0
    ledger: int = 0
    late: int = 0
    dead_letters: int = 0
    admissions: int = 0


def republish(settings: Settings, catalogue: Catalogue, counted: Callable[[int], None], say: Say) -> Written:
    """All of it; `counted` is told of rows on their way, `say` of what is waited for. Tables must be there.

    Usage comes from `usage.windows`, which has every row before ClickHouse acknowledges it; rated usage is rated anew
    from the same; letters come from their topics, the ledger from marks and Redis, and what became of events that came
    back from the log, folded again. What cannot be told again is said. Raises KafkaException, Retryable.
    """
    sink = ClickHouseSink(settings.clickhouse, rows_max=settings.limits.sink_rows_max)
    written = Written()
    with closing(sink):
        writer = _Writer(settings, catalogue, sink, written, counted, say)
        writer.usage()
        writer.letters(settings.kafka.late_topic, late=True)
        writer.letters(settings.kafka.dead_letter_topic, late=False)
        writer.ledgers()
    return written


class _Writer:
    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        sink: ClickHouseSink,
        written: Written,
        counted: Callable[[int], None],
        say: Say,
    ) -> None:
        self._settings, self._catalogue, self._sink = settings, catalogue, sink
        self._written, self._counted, self._say = written, counted, say

    def usage(self) -> None:
        """Partition by partition, as stage 2 owns them: usage, then what it costs."""
        kafka = self._settings.kafka
        count = partition_count(kafka, kafka.windows_topic)
        meters = {(one.id, one.version) for one in self._catalogue.meters}
        with closing(TopicReader(kafka, kafka.windows_topic)) as topic:
            for partition in range(count):
                rater = Rater(self._catalogue, _owner_of(partition, count))
                for some in _of_rows(topic.messages(partition), self._settings.limits.sink_rows_max):
                    values = [message.value for message in some]
                    rows = WindowRows.of(Taken(values))
                    unknown = {block.meter for block in rows.blocks} - meters
                    assert not unknown, f"the published catalogue lacks {unknown}"
                    rater.add(values, max(message.timestamp_ms for message in some))
                    columns = usage_columns(rows, self._catalogue)
                    self._send(partial(self._sink.insert_usage, columns), len(rows))
                    self._written.usage += len(rows)
                self._rated(rater, partition, count)

    def _rated(self, rater: Rater, partition: int, count: int) -> None:
        rated = rater.rate()
        generation, mine = self._catalogue.generation, _owner_of(partition, count)
        with closing(reader(self._settings.clickhouse)) as client:
            old = patiently(lambda: rated_before(client, generation), self._say) if generation > 1 else []
        produced = {_key(row) for row in rated}
        rated += [taken_back(one, generation) for one in old if mine(one.account) and _key(one) not in produced]
        columns = rated_columns(rated)
        self._send(lambda: self._sink.insert_rated(columns), len(rated))
        self._written.rated += len(rated)

    def letters(self, name: str, *, late: bool) -> None:
        """Each stands on its topic with its coordinates as key."""
        kafka = self._settings.kafka
        with closing(TopicReader(kafka, name)) as topic:
            for partition in range(partition_count(kafka, name)):
                for some in _batches(topic, partition, 10_000):
                    by_topic: dict[str, list[tuple[int, Letter]]] = {}
                    for message in some:
                        if message.value is not None:
                            of, at, _, _ = message.key.decode().rsplit("/", 3)
                            by_topic.setdefault(of, []).append((int(at), _LETTER.decode(message.value)))
                    for of, letters in by_topic.items():
                        columns = letter_columns(letters, of)
                        insert = self._sink.insert_late if late else self._sink.insert_dead_letters
                        self._send(partial(insert, columns), len(letters))
                        if late:
                            self._written.late += len(letters)
                        else:
                            self._written.dead_letters += len(letters)

    def ledgers(self) -> None:
        """As of the last marks, and of the state in Redis where all of it is acknowledged. The highest offset wins."""
        kafka = self._settings.kafka
        recorded = Recorded.of(read_to_end(kafka, kafka.marks_topic))
        found: list[_Stand] = []
        for place, mark in recorded.marks.items():
            of, _, number = place.rpartition("/")
            found.append((of, int(number), mark.offset, mark.clock_ms, mark.ledger))
        ours, client = topic_id(kafka, kafka.events_topic), connect(self._settings.redis.url)
        with closing(client):
            for partition in range(partition_count(kafka, kafka.events_topic)):
                head = RedisSlot(client, ours, partition).peek()
                if head is not None and head.published == head.offset and head.clock_ms > BEGIN_MS:
                    found.append((ours, partition, head.offset, head.clock_ms, head.ledger))
        lateness_max_ms = max((event.lateness_ms for event in self._catalogue.events), default=0)
        self._returned({one[1]: one for one in sorted(found, key=lambda one: one[2]) if one[0] == ours})
        if found:
            self._say(_archive_lost(found))
        # Before the ledger: then no command reads a clock without what is missing from the archive below it.
        self._send(lambda: self._sink.insert_archive_gaps(_gaps(found)), 0)
        self._send(lambda: self._sink.insert_ledger(_ledger_rows(found, lateness_max_ms)), len(found))
        self._written.ledger += len(found)

    def _returned(self, found: dict[int, _Stand]) -> None:
        """What became of events that came back, of each partition as far as its ledger goes."""
        kafka = self._settings.kafka
        with closing(TopicReader(kafka, kafka.events_topic)) as topic:
            for _, partition, offset, _, ledger in found.values():
                again = ReturnedAgain(self._settings, self._catalogue, topic, partition, offset)
                for outcomes in again:
                    columns = returned_columns(outcomes, found[partition][0], partition)
                    self._send(partial(self._sink.insert_admissions, columns), len(outcomes))
                    self._written.admissions += len(outcomes)
                if again.low > 0:
                    self._say(
                        f"partition {partition}: the log begins at offset {again.low}: what became of events that came "
                        f"back before is not on it, nor of {again.left_out:,} soon after; they show as waiting, and "
                        "usage and ledger hold them"
                    )
                elif (again.admitted or 0) != ledger.admitted:
                    self._say(
                        f"partition {partition}: the log gives {again.admitted or 0:,} admitted events under this "
                        f"catalogue, and the ledger counts {ledger.admitted:,}: the catalogue has changed since, and "
                        "verdicts on events that came back are today's"
                    )

    def _send(self, insert: Callable[[], None], rows: int) -> None:
        patiently(insert, self._say)
        self._counted(rows)


def _batches(topic: TopicReader, partition: int, most: int) -> Iterator[list[Any]]:
    messages = topic.messages(partition)
    while some := list(islice(messages, most)):
        yield some


def _of_rows(messages: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """Messages of usage.windows, until they hold so many rows."""
    some, rows = [], 0
    for message in messages:
        if message.value is not None:
            some.append(message)
            rows += rows_in(message.value)
        if rows >= most:
            yield some
            some, rows = [], 0
    if some:
        yield some


def _owner_of(partition: int, count: int) -> Callable[[str], bool]:
    return lambda account: partition_of(account.encode(), count) == partition


def _key(row: Any) -> tuple[Any, ...]:
    return (row.account, row.segment_start, row.price, row.meter, row.opening, row.day, row.part)


def _ledger_rows(found: list[_Stand], lateness_max_ms: int) -> LedgerRows:
    def count(name: str) -> list[int]:
        return [getattr(ledger, name) for *_, ledger in found]

    return LedgerRows(
        topic=[of for of, *_ in found],
        partition=[partition for _, partition, *_ in found],
        offset=[offset for _, _, offset, *_ in found],
        consumed=count("consumed"),
        accepted=count("accepted"),
        duplicate=count("duplicate"),
        late=count("late"),
        invalid=count("invalid"),
        unmetered=count("unmetered"),
        clock_ms=[clock_ms for _, _, _, clock_ms, _ in found],
        admitted=count("admitted"),
        lateness_max_ms=[lateness_max_ms] * len(found),
        archived_since_ms=[clock_ms for _, _, _, clock_ms, _ in found],  # what was archived before may be lost
    )


def _gaps(found: list[_Stand]) -> ArchiveGapRows:
    """The archive is on no topic: what was in it cannot be written anew, and must not be taken for complete, also
    when the workers' own ledger rows follow."""
    return ArchiveGapRows(
        topic=[of for of, *_ in found],
        partition=[partition for _, partition, *_ in found],
        before_ms=[max(clock_ms, 0) for _, _, _, clock_ms, _ in found],
    )


def _archive_lost(found: list[_Stand]) -> str:
    """For people: what admissions cannot know from now on."""
    places = ", ".join(
        f"partition {part}: {datetime.fromtimestamp(max(at, 0) / 1000, UTC):%Y-%m-%dT%H:%MZ}"
        for _, part, _, at, _ in sorted(found, key=lambda one: one[:2])
    )
    return (
        "the archive of identities begins anew, as it is on no topic: late and refused events of hours that ended "
        f"before can no longer be told from their retries, and wait as not archived ({places})"
    )
