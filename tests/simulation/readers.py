"""Those who follow usage.windows and usage.rated: of each key the highest version that ever was there (I4)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec

from processors.rate import RatedRow
from processors.row_records import Taken
from processors.window_rows import WindowRow
from tests.simulation.broker import Partition, Record

RatedPlace = tuple[str, date, date, str, str, str]  # account, period and segment start, price, meter, part
Version = tuple[int, int]  # generation, and the version in it

_RATED = msgspec.json.Decoder(RatedRow)
_KEY = msgspec.msgpack.Encoder().encode


def frozen(row: WindowRow) -> bytes:
    """A row's key, fit for a dictionary."""
    return _KEY(row.key())


def rated_row(record: Record) -> RatedRow:
    """One message of usage.rated."""
    return _RATED.decode(record.value or b"")


def place_of(row: RatedRow) -> RatedPlace:
    """What a message of usage.rated is about."""
    return (row.account, row.period_start, row.segment_start, row.price, row.meter, row.part)


def version_of(row: RatedRow) -> Version:
    """Of two messages about one thing the higher one holds."""
    return row.generation, row.version


def newest_rated(partitions: Iterable[Partition]) -> dict[RatedPlace, RatedRow]:
    """What a reader of usage.rated from its start makes of it."""
    found: dict[RatedPlace, RatedRow] = {}
    for partition in partitions:
        for record in partition.records:
            row = rated_row(record)
            held = found.get(place_of(row))
            if held is None or version_of(row) > version_of(held):
                found[place_of(row)] = row
    return found


class Readers:
    """Told of every record as it is appended."""

    def __init__(self, windows_topic: str, rated_topic: str) -> None:
        self._windows_topic, self._rated_topic = windows_topic, rated_topic
        self.windows: dict[bytes, int] = {}
        self.rated: dict[RatedPlace, RatedRow] = {}
        self._by_key: dict[bytes | None, Version] = {}  # of the log's own keys: compaction keeps the last of each
        self.faults: list[str] = []

    def taken(self, topic: str, partition: int, record: Record) -> None:
        """A record is on its topic."""
        if topic == self._windows_topic and record.value is not None:
            for row in Taken([record.value]):
                self.windows[frozen(row)] = max(row.offset, self.windows.get(frozen(row), -1))
        elif topic == self._rated_topic:
            self._rated(record)

    def _rated(self, record: Record) -> None:
        row = rated_row(record)
        place, version = place_of(row), version_of(row)
        held = self.rated.get(place)
        if held is None or version > version_of(held):
            self.rated[place] = row
        elif version == version_of(held) and row != held:
            self.faults.append(f"I4: usage.rated: a tie of unlike rows: {row} and {held}")
        if version < self._by_key.get(record.key, version):
            before = self._by_key[record.key]
            self.faults.append(f"I4: usage.rated: {record.key!r} went back from {before} to {version}")
        self._by_key[record.key] = version

    def gone_back(self, topic: str, log: Partition) -> list[str]:
        """I4: what a reader of one partition from its start would miss now."""
        if topic == self._windows_topic:
            found: dict[bytes, int] = {}
            for row in Taken([record.value or b"" for record in log.records]):
                found[frozen(row)] = max(row.offset, found.get(frozen(row), -1))
            return [
                f"I4: {k!r} went back from version {self.windows[k]} to {v}"
                for k, v in found.items()
                if v < self.windows[k]
            ]
        if topic == self._rated_topic:
            return [
                f"I4: usage.rated: {place} went back from {version_of(self.rated[place])} to {version_of(row)}"
                for place, row in newest_rated([log]).items()
                if version_of(row) < version_of(self.rated[place])
            ]
        return []
