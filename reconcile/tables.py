"""What ClickHouse holds of one events topic, read through the views and FINAL, as people read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from clickhouse_connect.driver.client import Client
from xxhash import xxh3_128_intdigest

from config.catalogue import BEGIN_MS, END_MS, Meter
from reconcile.compare import StoredLetter, StoredRow
from reconcile.recount import COUNTS
from reconcile.returned import Outcome as Returned
from reconcile.states import Row, Sample
from reconcile.takes import MeterKey

_PLACES = {"late": "late_events", "dead-letter": "dead_letters"}
_CALENDAR_MS = (-2_208_988_800_000, 10_413_791_999_000)  # what a DateTime64(3) holds: the years 1900 to 2299


class Tables:
    """A reader of one topic's rows. Raises the client's errors."""

    def __init__(self, client: Client, topic: str) -> None:
        self._client, self._topic = client, topic

    def ledgers(self) -> dict[int, tuple[int, dict[str, int]]]:
        """Partition -> (offset of the next message, counts and `clock_ms`)."""
        query = f"""SELECT partition, offset, {", ".join(COUNTS)}, toUnixTimestamp64Milli(clock) AS at
            FROM ledger_current WHERE topic = {{topic:String}}"""
        found = self._rows(query, {})
        return {row[0]: (row[1], dict(zip((*COUNTS, "clock_ms"), row[2:], strict=True))) for row in found}

    def others(self) -> list[str]:
        """Topics other than ours that usage was ever counted from."""
        query = "SELECT DISTINCT topic FROM usage_rows WHERE topic != {topic:String} ORDER BY topic"
        return [row[0] for row in self._rows(query, {})]

    def sources(self) -> list[tuple[int, str, int, int]]:
        """(partition, meter, version, rows) of all that there is of our topic."""
        query = """SELECT partition, meter, meter_version, count() FROM usage_rows FINAL WHERE topic = {topic:String}
            GROUP BY partition, meter, meter_version ORDER BY partition, meter, meter_version"""
        return [(row[0], row[1], row[2], row[3]) for row in self._rows(query, {})]

    def usage(
        self,
        partition: int,
        meters: Iterable[Meter],
        from_ms: int = BEGIN_MS,
        to_ms: int = END_MS,
        offset: int = 0,
        admitted: bool | None = None,
    ) -> Iterator[tuple[MeterKey, StoredRow]]:
        """Rows of windows that start in [from_ms, to_ms), the newest version of each, if its offset is high enough.
        `admitted`: only those of events that came back, or only the others."""
        by_key = {(one.id, one.version): one for one in meters}
        first, last = _CALENDAR_MS
        kinds = {one.aggregation for one in by_key.values()}
        members = "members" if "unique" in kinds else "[]"
        samples = "arrayMap(one -> (one.time_us, one.id, one.value), samples)" if "gauge" in kinds else "[]"
        query = f"""SELECT meter, meter_version, subject, dims, toUnixTimestamp64Milli(window_start) AS at, chunk,
                admission, account, offset, events, sum_hi, sum_lo, min, max, latest_value,
                latest_time_us, latest_id_hi, latest_id_lo, {members} AS held, {samples} AS readings,
                aggregation, precision, toUnixTimestamp64Milli(window_end) - at, generation
            FROM usage_rows FINAL
            WHERE topic = {{topic:String}} AND partition = {{partition:Int32}} AND meter IN {{meters:Array(String)}}
                AND window_start >= fromUnixTimestamp64Milli({{first:Int64}}, 'UTC')
                AND window_start < fromUnixTimestamp64Milli({{last:Int64}}, 'UTC')
                AND offset >= {{offset:UInt64}}"""
        if admitted is not None:
            query += f" AND admission {'>' if admitted else '='} 0"
        parameters = {
            "partition": partition,
            "meters": sorted({meter for meter, _ in by_key}),
            "first": max(from_ms, first),
            "last": min(to_ms, last),
            "offset": max(offset, 0),
        }
        for row in self._rows(query, parameters):
            meter = by_key.get((row[0], row[1]))
            if meter is not None:
                yield (row[0], row[1]), _stored(meter, row[2:])

    def letters(self, partition: int, first: int, last: int) -> dict[str, Iterator[StoredLetter]]:
        """Late events and dead letters of messages with first <= offset < last."""
        return {place: self._letters(view, partition, first, last) for place, view in _PLACES.items()}

    def _letters(self, view: str, partition: int, first: int, last: int) -> Iterator[StoredLetter]:
        query = f"""SELECT offset, event_index, raw FROM {view}
            WHERE topic = {{topic:String}} AND partition = {{partition:Int32}}
                AND offset >= {{first:UInt64}} AND offset < {{last:UInt64}}"""
        parameters = {"partition": partition, "first": first, "last": last}
        for offset, index, raw in self._rows(query, parameters, {"raw": "bytes"}):
            yield StoredLetter(offset, index, xxh3_128_intdigest(raw))

    def outcomes(self, partition: int, first: int, last: int) -> Iterator[Returned]:
        """What became of the events of admission records with first <= offset < last."""
        query = """SELECT offset, event_index, letter_topic, letter_partition, letter_offset, letter_index, verdict,
                identity, toUnixTimestamp64Milli(clock) FROM admissions
            WHERE topic = {topic:String} AND partition = {partition:Int32}
                AND offset >= {first:UInt64} AND offset < {last:UInt64}"""
        for offset, place, *rest in self._rows(query, {"partition": partition, "first": first, "last": last}):
            topic, of, at, index, verdict, identity, clock_ms = rest
            yield Returned(offset, place, (topic, of, at, index), verdict, int(identity), clock_ms)

    def _rows(
        self, query: str, parameters: dict[str, Any], formats: dict[str, str | dict[str, str]] | None = None
    ) -> Iterator[Any]:
        values = {"topic": self._topic, **parameters}
        with self._client.query_rows_stream(query, parameters=values, column_formats=formats) as stream:
            yield from stream


def _stored(meter: Meter, row: Any) -> StoredRow:
    subject, dims, at, chunk, admission, account, offset, events, sum_hi, sum_lo, low, high, latest = row[:13]
    time_us, id_hi, id_lo, members, samples, *fixed = row[13:]
    picked = {"min": low, "max": high, "latest": latest}
    value = picked.pop("latest" if meter.aggregation == "gauge" else meter.aggregation, 0)
    held = members if meter.aggregation == "unique" else [Sample(*one) for one in samples]
    return StoredRow(
        start_ms=at,
        series=(subject, *_dimensions(dims, meter.dimensions)),
        chunk=chunk,
        account=account,
        row=Row(
            offset,
            events,
            (sum_hi << 32) + sum_lo,
            value,
            time_us,
            (id_hi << 64) | id_lo,
            frozenset(held) if chunk else None,
        ),
        # Numbers that the aggregation does not have must be zero, and partials have one generation only.
        admission=admission,
        odd=any(picked.values()) or fixed != [meter.aggregation, meter.precision, meter.window_ms, 0],
    )


@lru_cache(maxsize=65_536)
def _dimensions(text: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The values of a row's dimensions in the meter's order; the text itself where it has others than the meter."""
    found = json.loads(text)
    return tuple(found[name] for name in names) if sorted(found) == sorted(names) else (text,)
