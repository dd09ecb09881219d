"""Which letters are meant, and what ClickHouse knows of them: status, raw bytes, the archive, earlier admissions.

Every function takes a client whose database is ours (`sinks.clickhouse.reader`) and raises the client's errors.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
from clickhouse_connect.driver.client import Client

from sinks.reading import EPOCH, rows

View = Literal["late_events", "dead_letters"]
LOOKUP_MAX = 2_000  # identities of one query: 100 KB of text, below max_query_size


class Coordinate(NamedTuple):
    """Where an event stands in the log. Its topic is that of the partition's ledger."""

    partition: int
    offset: int
    place: int  # in its message


class Choice(msgspec.Struct, frozen=True):
    """Conditions that a letter meets, all of them. Times are of the records that the events came in."""

    subject: str | None = None
    type: str | None = None
    start: datetime | None = None  # inclusive
    end: datetime | None = None  # exclusive
    coordinates: tuple[Coordinate, ...] = ()
    status: str | None = None

    def condition(self) -> tuple[str, dict[str, Any]]:
        """A condition on either view of letters, and its parameters."""
        equal = {name: getattr(self, name) for name in ("subject", "type", "status")}
        parameters: dict[str, Any] = {name: value for name, value in equal.items() if value is not None}
        conditions = ["1", *(f"{name} = {{{name}:String}}" for name in parameters)]
        for name, operator, instant in (("start_ms", ">=", self.start), ("end_ms", "<", self.end)):
            if instant is not None:
                conditions.append(f"record_timestamp {operator} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
                parameters[name] = (instant - EPOCH) // timedelta(milliseconds=1)
        if self.coordinates:
            conditions.append(f"(partition, offset, event_index) IN ({_tuples(self.coordinates)})")
        return " AND ".join(conditions), parameters


EVERY = Choice()


class Ledgered(msgspec.Struct, frozen=True):
    """What a partition's ledger says of the archive: all of the hours that its clock has closed is there."""

    topic: str
    partition: int
    clock_ms: int
    lateness_max_ms: int
    archived_since_ms: int


class Found(msgspec.Struct, frozen=True):
    """A letter, without its bytes."""

    at: Coordinate
    bytes: int


class Tried(msgspec.Struct, frozen=True):
    """What became of one event of an admission record."""

    at: Coordinate  # of its letter
    admission: int  # offset of the record
    verdict: str
    reason: str


def ledgered(client: Client, topic: str) -> dict[int, Ledgered]:
    """By partition. Read it before the archive: then the archive holds what it says."""
    query = """SELECT topic, partition, toUnixTimestamp64Milli(clock) AS at, lateness_max_ms AS lateness,
            toUnixTimestamp64Milli(archived_since) AS since
        FROM ledger_current WHERE topic = {topic:String}"""
    found = rows(client, query, {"topic": topic})
    return {
        row["partition"]: Ledgered(topic, row["partition"], row["at"], row["lateness"], row["since"]) for row in found
    }


def letters_of(client: Client, view: View, topic: str, chosen: Choice, limit: int) -> list[Found]:
    """The letters of a topic that meet the choice, in the order of the log."""
    condition, parameters = chosen.condition()
    query = f"""SELECT partition, offset, event_index, length(raw) AS bytes FROM {view}
        WHERE topic = {{topic:String}} AND {condition} ORDER BY partition, offset, event_index LIMIT {{limit:UInt32}}"""
    found = rows(client, query, {"topic": topic, "limit": limit, **parameters})
    return [Found(Coordinate(row["partition"], row["offset"], row["event_index"]), row["bytes"]) for row in found]


def strangers(client: Client, view: View, topic: str, chosen: Choice) -> int:
    """Letters that meet the choice and wait, of topics that are no more."""
    condition, parameters = chosen.condition()
    query = f"SELECT count() AS n FROM {view} WHERE topic != {{topic:String}} AND {condition}"
    return int(rows(client, query, {"topic": topic, **parameters})[0]["n"])


def raws(client: Client, view: View, topic: str, places: Sequence[Coordinate]) -> dict[Coordinate, bytes]:
    """The original bytes of letters."""
    found: dict[Coordinate, bytes] = {}
    for some in _groups(places):
        query = f"""SELECT partition, offset, event_index, raw FROM {_TABLES[view]} FINAL
            WHERE topic = {{topic:String}} AND (partition, offset, event_index) IN ({_tuples(some)})"""
        for row in rows(client, query, {"topic": topic}, {"raw": "bytes"}):
            found[Coordinate(row["partition"], row["offset"], row["event_index"])] = row["raw"]
    return found


class Asked(NamedTuple):
    """An event that may have been counted. `hour`: of its time, since 1970; the first of the day for a numbered one."""

    identity: int
    lasting: int  # the identity under which admissions are kept
    hour: int
    source: int  # digest of the source; where the event is known by its number
    number: int  # -1: known by its id


def archived(client: Client, topic: str, partition: int, asked: Iterable[Asked]) -> set[int]:
    """Lasting identities, of those asked for, that were accepted, in time or by an admission."""
    found: set[int] = set()
    for some in _groups(asked):
        # Integers of ours, written out: as parameters they would go into the address, which is bounded. As texts: what
        # passes 64 bits would be read as a float, which no identity equals.
        place = "topic = {topic:String} AND partition = {partition:Int32}"
        parameters = {"topic": topic, "partition": partition}
        hours = ", ".join(f"({one.hour}, '{one.identity}')" for one in some)
        alone = ", ".join(f"'{one.lasting}'" for one in some)
        in_time = f"SELECT hour, identity FROM identity_archive_rows WHERE {place} AND (hour, identity) IN ({hours})"
        admitted = f"""SELECT identity FROM admission_rows
            WHERE {place} AND verdict = 'accepted' AND identity IN ({alone})"""
        found.update(row["identity"] for row in rows(client, admitted, parameters))
        there = {(row["hour"], row["identity"]) for row in rows(client, in_time, parameters)}
        found.update(one.lasting for one in some if (one.hour, one.identity) in there)
        numbered = [one for one in some if one.number >= 0]
        if numbered:
            days = ", ".join(sorted({f"({one.hour // 24}, '{one.source}')" for one in numbered}))
            query = (
                f"SELECT day, source, first, last FROM number_archive_rows WHERE {place} AND (day, source) IN ({days})"
            )
            covers: dict[tuple[int, int], list[tuple[int, int]]] = {}
            for row in rows(client, query, parameters):
                covers.setdefault((row["day"], row["source"]), []).append((row["first"], row["last"]))
            found.update(
                one.lasting
                for one in numbered
                if any(first <= one.number <= last for first, last in covers.get((one.hour // 24, one.source), ()))
            )
    return found


def tried(client: Client, topic: str, records: Iterable[tuple[int, int]]) -> list[Tried]:
    """What became of the events of admission records, given as (partition, offset)."""
    found = []
    for some in _groups(records):
        query = f"""SELECT letter_partition, letter_offset, letter_index, offset, verdict, reason FROM admissions
            WHERE topic = {{topic:String}} AND (partition, offset) IN ({_tuples(some)})"""
        for row in rows(client, query, {"topic": topic}):
            at = Coordinate(row["letter_partition"], row["letter_offset"], row["letter_index"])
            found.append(Tried(at, row["offset"], row["verdict"], row["reason"]))
    return found


_TABLES: dict[View, str] = {"late_events": "late_event_rows", "dead_letters": "dead_letter_rows"}


def _tuples(values: Iterable[tuple[int, ...]]) -> str:
    return ", ".join(f"({', '.join(map(str, value))})" for value in values)


_T = TypeVar("_T")


def _groups(values: Iterable[_T]) -> Iterator[list[_T]]:
    """In lists that one query can name."""
    rest = iter(values)
    while some := list(islice(rest, LOOKUP_MAX)):
        yield some
