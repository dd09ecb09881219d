"""Usage, ledger and letters as the command line shows them; for money see sinks.totals.

Every function takes a client whose database is ours (`sinks.clickhouse.reader`) and raises the client's errors.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

import msgspec
from clickhouse_connect.driver.client import Client

from sinks.letters import EVERY, Choice
from sinks.reading import rows, where
from sinks.states import STATE_COLUMNS, State

Window = Literal["hour", "day", "month", "total"]

_BUCKETS: dict[Window, str] = {
    "hour": "intDiv(toYYYYMMDDhhmmss(p.window_start), 10000)",
    "day": "toYYYYMMDD(p.window_start)",
    "month": "toYYYYMM(p.window_start)",
    "total": "0",
}


class UsageRecord(msgspec.Struct, frozen=True):
    """Usage of [window_start, window_end). `subject` and `account` are None unless grouped or filtered by."""

    meter: str
    aggregation: str
    window_start: datetime
    window_end: datetime
    subject: str | None
    account: str | None
    dimensions: dict[str, str]  # those grouped by, by dotted path
    quantity: Decimal
    events: int


class Partition(msgspec.Struct, frozen=True):
    """Counts of events of one partition, up to `offset`, the next message's."""

    topic: str
    partition: int
    offset: int
    consumed: int
    accepted: int
    duplicate: int
    late: int
    invalid: int
    unmetered: int
    balanced: bool  # consumed is the sum of the five verdicts
    clock: datetime  # highest record timestamp seen
    admitted: int = 0  # of the accepted ones


class Ledger(msgspec.Struct, frozen=True):
    """Counts of events over all partitions; balanced if every partition is. `waiting`: letters that may come back."""

    consumed: int
    accepted: int
    duplicate: int
    late: int
    invalid: int
    unmetered: int
    balanced: bool
    partitions: list[Partition]
    admitted: int = 0
    waiting_late: int = 0
    waiting_refused: int = 0


class Letter(msgspec.Struct, frozen=True):
    """A late or refused event with its coordinates and original bytes, and whether it came back."""

    topic: str
    partition: int
    offset: int
    index: int
    reason: str
    raw: bytes
    record_timestamp: datetime
    type: str
    subject: str
    status: str = "waiting"  # or admitted duplicate unmetered
    last_reason: str = ""  # why the last try to admit it left it waiting


def usage(
    client: Client,
    meter: str,
    subject: str | None = None,
    account: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    window: Window = "hour",
    group_by: Sequence[str] = (),
) -> list[UsageRecord]:
    """Usage of the meter's windows that start in [start, end), by UTC hour, day, month or altogether.

    `group_by` names "subject", "account" or dimensions by dotted path; states of all others are merged. A window of the
    meter that is longer than `window` stays whole. "total" spans [start, end), or what there is where one is missing. A
    meter whose versions differ in aggregation gives a record for each.
    """
    condition, parameters = where({"meter": meter, "subject": subject, "account": account}, start, end)
    columns = []
    for number, name in enumerate(group_by):
        path = f"path_{number}"
        parameters[path] = name
        column = f"p.{name}" if name in ("subject", "account") else f"JSONExtractString(p.dims, {{{path}:String}})"
        columns.append(f"{column} AS group_{number}, ")
    names = "".join(f", group_{number}" for number in range(len(columns)))
    query = f"""SELECT p.aggregation AS aggregation, {"".join(columns)} {_BUCKETS[window]} AS bucket,
            toUnixTimestamp64Milli(min(p.window_start)) AS first_ms,
            toUnixTimestamp64Milli(max(p.window_end)) AS last_ms,
            {STATE_COLUMNS}, uniqExactArray(p.members) AS unique
        FROM usage_partials AS p WHERE {condition}
        GROUP BY aggregation, bucket{names} HAVING events > 0 ORDER BY bucket{names}, aggregation"""
    records = []
    for row in rows(client, query, parameters):
        values = {name: row[f"group_{number}"] for number, name in enumerate(group_by)}
        window_start, window_end = _bounds(window, row["first"], row["last"], start, end)
        records.append(
            UsageRecord(
                meter=meter,
                aggregation=row["aggregation"],
                window_start=window_start,
                window_end=window_end,
                subject=values.pop("subject", subject),
                account=values.pop("account", account),
                dimensions=values,
                quantity=State.of(row, row["unique"]).quantity(row["aggregation"]),
                events=row["events"],
            )
        )
    return records


def ledger(client: Client) -> Ledger:
    """The latest counts of every partition, of every topic that was ever read."""
    query = """SELECT topic, partition, offset, consumed, accepted, duplicate, late, invalid, unmetered, admitted,
        toBool(balanced) AS balanced, toUnixTimestamp64Milli(clock) AS clock_ms
        FROM ledger_current ORDER BY topic, partition"""
    partitions = [Partition(**row) for row in rows(client, query, {})]
    counts = ("consumed", "accepted", "duplicate", "late", "invalid", "unmetered", "admitted")
    return Ledger(
        **{name: sum(getattr(partition, name) for partition in partitions) for name in counts},
        balanced=all(partition.balanced for partition in partitions),
        waiting_late=_waiting(client, "late_events"),
        waiting_refused=_waiting(client, "dead_letters"),
        partitions=partitions,
    )


def _waiting(client: Client, view: str) -> int:
    return int(rows(client, f"SELECT count() AS n FROM {view} WHERE status = 'waiting'", {})[0]["n"])


def dead_letters(client: Client, limit: int, chosen: Choice = EVERY) -> list[Letter]:
    """The newest refused events, newest first."""
    return _letters(client, "dead_letters", limit, chosen)


def late_events(client: Client, limit: int, chosen: Choice = EVERY) -> list[Letter]:
    """The newest late events, newest first."""
    return _letters(client, "late_events", limit, chosen)


def _letters(client: Client, view: str, limit: int, chosen: Choice) -> list[Letter]:
    condition, parameters = chosen.condition()
    query = f"""SELECT topic, partition, offset, event_index AS index, reason, raw, type, subject, status, last_reason,
            toUnixTimestamp64Milli(record_timestamp) AS record_timestamp_ms
        FROM {view} WHERE {condition}
        ORDER BY record_timestamp_ms DESC, topic, partition, offset DESC, event_index DESC
        LIMIT {{limit:UInt32}}"""
    # Without the format the client would turn bytes that are no UTF-8 into hex text.
    return [Letter(**row) for row in rows(client, query, {"limit": limit, **parameters}, {"raw": "bytes"})]


def _bounds(
    window: Window, first: datetime, last: datetime, start: datetime | None, end: datetime | None
) -> tuple[datetime, datetime]:
    """The bucket that holds windows from `first` to `last`; longer if one window is longer than it."""
    if window == "total":
        return start or first, end or last
    if window == "hour":
        bucket = first.replace(minute=0, second=0, microsecond=0)
        return bucket, max(bucket + timedelta(hours=1), last)
    bucket = first.replace(hour=0, minute=0, second=0, microsecond=0)
    if window == "day":
        return bucket, max(bucket + timedelta(days=1), last)
    bucket = bucket.replace(day=1)
    return bucket, (bucket + timedelta(days=32)).replace(day=1)
