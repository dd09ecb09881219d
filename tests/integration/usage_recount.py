"""Random histories of usage rows, and what a reader must see of them, counted the slow way."""

import json
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from sinks.rows import UsageRows

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NEW_YEAR_MS = 1_767_225_600_000  # 2026-01-01
EXTREME = 2**63 - 1
METERS = {  # meter -> its versions' (aggregation, precision, window)
    "requests": [("sum", 0, HOUR_MS), ("sum", 12, HOUR_MS // 12)],
    "calls": [("count", 0, HOUR_MS)],
    "low": [("min", 3, HOUR_MS)],
    "high": [("max", 12, HOUR_MS), ("max", 0, HOUR_MS)],
    "mean": [("avg", 2, HOUR_MS)],
    "level": [("latest", 6, HOUR_MS)],
    "visitors": [("unique", 0, DAY_MS)],
    "tails": [("unique", 0, HOUR_MS)],
    "moody": [("sum", 1, HOUR_MS), ("max", 1, HOUR_MS)],
}
Row = dict[str, Any]
KEY = ("meter", "meter_version", "subject", "dims", "window_start_ms", "topic", "partition", "chunk", "admission")


def version(row: Row) -> int:
    return row["generation"] << 64 | row["offset"]


def history(seed: int) -> list[Row]:
    """Several versions of some hundred rows: growing, shrinking to nothing, moving between accounts."""
    draw = random.Random(seed)
    rows = {}
    for _ in range(1500):
        meter = draw.choice(list(METERS))
        number = draw.randrange(len(METERS[meter]))
        aggregation, precision, window_ms = METERS[meter][number]
        at_ms = NEW_YEAR_MS + draw.choice([0, 3, 9, 30, 31, 40]) * DAY_MS + draw.choice([0, 0, 5, 23]) * HOUR_MS
        start_ms = at_ms // window_ms * window_ms
        # 30 of the largest sums pass 10^30; times before 1970 and after 2106 must not wrap
        start_ms = draw.choice([start_ms] * 20 + [-DAY_MS * 9000, DAY_MS * 60_000])
        wide = draw.random() < 0.2
        row: Row = {
            "meter": meter,
            "meter_version": number + 1,
            "aggregation": aggregation,
            "precision": precision,
            "subject": draw.choice(["zone-1", "zone'2\\\t", "zoné 3"]),
            "dims": draw.choice(["{}", json.dumps({"a.b": 'x"\u00e9', "r": ""})]),
            "account": draw.choice(["acme", "bolt"]),
            "window_start_ms": start_ms,
            "window_end_ms": start_ms + window_ms,
            "topic": "topic-id",
            "partition": draw.randrange(3),
            "chunk": draw.randrange(3) if aggregation == "unique" else 0,
            "offset": draw.choice([draw.randrange(50), 2**64 - 1 - draw.randrange(50)]),
            "generation": draw.randrange(1, 3),
            "events": draw.choice([0, 1, 2, 7, 1000]),
            "sum_hi": draw.choice([EXTREME, -EXTREME]) if wide else draw.randrange(-1, 2),
            "sum_lo": draw.randrange(2**32),
            "min": draw.choice([-(10**18), draw.randrange(-99, 99)]),
            "max": draw.choice([10**18, draw.randrange(-99, 99)]),
            "latest_time_us": draw.choice([5, 5, draw.randrange(10**15)]),
            "latest_id_hi": draw.choice([2**64 - 1, draw.randrange(2**64)]),
            "latest_id_lo": draw.randrange(2**64),
            "latest_value": draw.randrange(-(10**18), 10**18),
            "members": [],
        }
        row["admission"] = 7 if row["latest_id_lo"] % 4 == 0 else 0
        if aggregation == "unique":
            row["members"] = draw.sample([2**128 - 1, *range(40)], draw.randrange(9))
            row["events"] = row["events"] if row["chunk"] == 0 else 0
        rows[(*(row[name] for name in KEY), version(row))] = row  # equal versions are equal rows
    return list(rows.values())


def newest(rows: list[Row]) -> list[Row]:
    best: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in KEY)
        if key not in best or version(row) > version(best[key]):
            best[key] = row
    return list(best.values())


def quantity(rows: list[Row]) -> Decimal | None:
    """The naive recount of rows of one aggregation; None without events."""
    counted = [row for row in rows if row["events"]]
    events = sum(row["events"] for row in counted)
    if not events:
        return None

    def exact(row: Row, name: str) -> Fraction:
        value = row["sum_hi"] * 2**32 + row["sum_lo"] if name == "sum" else row[name]
        return Fraction(value, 10 ** row["precision"])

    aggregation = rows[0]["aggregation"]
    if aggregation in ("sum", "avg"):
        result = sum((exact(row, "sum") for row in rows), Fraction())
        if aggregation == "avg":
            twice = abs(result) * 10**12 / events * 2
            result = Fraction((int(twice) + 1) // 2, 10**12) * (1 if result >= 0 else -1)
    elif aggregation in ("min", "max"):
        result = {"min": min, "max": max}[aggregation](exact(row, aggregation) for row in counted)
    elif aggregation == "latest":
        order = ("latest_time_us", "latest_id_hi", "latest_id_lo")
        result = exact(max(counted, key=lambda row: [row[name] for name in order]), "latest_value")
    else:
        members = {member for row in rows for member in row["members"]}
        result = Fraction(len(members) if aggregation == "unique" else events)
    with localcontext(prec=100):
        return Decimal(result.numerator) / Decimal(result.denominator)


def recount(rows: list[Row], key: Callable[[Row], tuple[Any, ...] | None]) -> dict[tuple[Any, ...], Any]:
    groups = defaultdict(list)
    for row in newest(rows):
        if (group := key(row)) is not None:
            groups[group].append(row)
    return {
        group: (quantity(members), sum(row["events"] for row in members))
        for group, members in groups.items()
        if quantity(members) is not None
    }


def instant(at_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)


def who(row: Row) -> tuple[Any, ...]:
    return (row["meter"], row["aggregation"], row["subject"], row["account"], row["dims"])


def batch(rows: list[Row]) -> UsageRows:
    return UsageRows(**{name: [row[name] for row in rows] for name in UsageRows.__struct_fields__ if name in rows[0]})
