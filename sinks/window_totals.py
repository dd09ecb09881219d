"""Usage window by window and series by series, as `rating` takes it: for what looks closer than a period's total."""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client

from rating.gauges import Reading, levels
from rating.states import Count, High, Latest, Low, Mean, Members, State, Sum
from rating.totals import Total
from sinks.reading import EPOCH, rows, where
from sinks.states import STATE_COLUMNS, scaled

Owner = Callable[[str, int], str]  # who pays for a subject at an instant in milliseconds


def window_totals(
    client: Client, account: str, start: datetime, end: datetime, apart: Collection[str]
) -> Iterator[Total]:
    """The windows of an account that begin in [start, end), partitions and versions of a meter merged; no gauges.

    Of the meters in `apart` each series has windows of its own; of all others the series of an account are merged too,
    so that what is read does not grow with them. Raises the client's error beyond a million windows.
    """
    condition, parameters = where({"account": account}, start, end)
    parameters["apart"] = sorted(apart)
    query = f"""SELECT p.meter AS meter, p.aggregation AS aggregation,
            p.meter IN {{apart:Array(String)}} AS kept, if(kept, p.subject, '') AS of_subject,
            if(kept, p.dims, '{{}}') AS of_dims,
            toUnixTimestamp64Milli(p.window_start) AS start_at, toUnixTimestamp64Milli(p.window_end) AS end_at,
            {STATE_COLUMNS}, groupUniqArrayArray(p.members) AS members
        FROM usage_partials AS p WHERE {condition} AND p.aggregation != 'gauge'
        GROUP BY meter, aggregation, kept, of_subject, of_dims, start_at, end_at HAVING events > 0
        ORDER BY meter, start_at, end_at, of_subject, of_dims"""
    for row in rows(client, query, parameters):
        dimensions = msgspec.json.decode(row["of_dims"], type=dict[str, str])
        yield Total(row["meter"], row["start_at"], row["end_at"], _state(row), row["of_subject"], dimensions, account)


def gauge_totals(
    client: Client, account: str, slots_ms: Mapping[str, int], end: datetime, owner: Owner
) -> Iterator[Total]:
    """The levels of an account's gauges, by meter in slots of `slots_ms`, from their first reading until `end`.

    A reading is carried as long as `owner` says that its subject belongs to the account.
    """
    condition, parameters = where({"account": account}, None, end)
    query = f"""SELECT p.meter AS meter, p.subject AS subject, p.dims AS dims,
            groupArrayArray(p.readings) AS readings
        FROM usage_partials AS p WHERE {condition} AND p.aggregation = 'gauge'
        GROUP BY meter, subject, dims HAVING notEmpty(readings) ORDER BY meter, subject, dims"""
    end_ms = (end - EPOCH) // timedelta(milliseconds=1)
    for row in rows(client, query, parameters):
        readings = [_reading(one) for one in row["readings"]]
        every_ms = slots_ms[row["meter"]]
        first_ms = min(readings).time_us // 1000 // every_ms * every_ms
        dimensions = msgspec.json.decode(row["dims"], type=dict[str, str])
        for start_ms, level in levels(readings, every_ms, first_ms, -(-end_ms // every_ms) * every_ms):
            if owner(row["subject"], start_ms + every_ms - 1) == account:
                yield Total(row["meter"], start_ms, start_ms + every_ms, level, row["subject"], dimensions, account)


def _reading(written: Any) -> Reading:
    time_us, id, value = written.values() if isinstance(written, dict) else written
    return Reading(time_us, id >> 64, id & (2**64 - 1), scaled(value))


def _state(row: Mapping[str, Any]) -> State:
    match row["aggregation"]:
        case "sum":
            return Sum(scaled(row["sum"]))
        case "count":
            return Count(row["events"])
        case "min":
            return Low(scaled(row["min"]))
        case "max":
            return High(scaled(row["max"]))
        case "avg":
            return Mean(scaled(row["sum"]), row["events"])
        case "latest":
            time_us, id_hi, id_lo = row["latest_order"]
            return Latest(time_us, id_hi, id_lo, scaled(row["latest"]))
        case "unique":
            return Members(frozenset(int(member).to_bytes(16, "little") for member in row["members"]))
    raise ValueError(f"unknown aggregation {row['aggregation']!r}")
