"""Rates the recounted usage anew with the pure `rating` package, and compares with `rated_usage`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from rating.periods import Period, month_of
from reconcile.differences import Difference, Outcome, differing
from reconcile.owed import RatedKey
from reconcile.rates import Rates
from sinks.reading import rows

_EXTRA = "a rated row that the usage does not give"
_NUMBERS = ("quantity", "quantity_total", "amount")

Said = dict[str, Any]


class _Place(NamedTuple):
    account: str
    period: Period


def compare_rated(rates: Rates, client: Client, outcome: Outcome, since: date) -> None:
    """Every rated row of billing periods that start at `since` or later."""
    stored: dict[_Place, dict[RatedKey, Said]] = {}
    for row in _stored(client, since):
        place = _Place(row["account"], month_of(row["period_start"]))
        about = row["segment_start"], row["price"], row["meter"], bool(row["opening"]), row["day"], row["part"]
        key = RatedKey(row["period_start"], *about)
        stored.setdefault(place, {})[key] = {name: row[name] for name in _NUMBERS}
    used = {_Place(account, period) for account, period in rates.places() if period.start >= since}
    for place in sorted({*stored, *used}):
        found = stored.get(place, {})
        expected = rates.expected(*place, there=found.keys())
        for key in sorted({*found, *expected}):
            outcome.compared["rated"] += 1
            wanted, there = expected.get(key), found.get(key)
            if wanted != there and not _may_differ(key, wanted, there, place in used):
                _differ(outcome, place, key, wanted, there)


def _may_differ(key: RatedKey, wanted: Said | None, there: Said | None, used: bool) -> bool:
    """A row that a re-rate took back says zero; accounts without usage may have their opening rows, or not yet."""
    if wanted is None and there is not None:
        return not any(there.values()) and there["amount"] is not None
    return there is None and key.opening and not used


def _stored(client: Client, since: date) -> Iterator[Said]:
    query = "SELECT min(period_start) AS first, max(period_start) AS last, count() AS found FROM rated_usage"
    bounds = rows(client, query, {})[0]
    first = max(since, bounds["first"])
    while bounds["found"] and first <= bounds["last"]:  # a month at a time keeps each answer small
        after = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
        query = """SELECT account, period_start, segment_start, price, meter, opening, day, part, quantity,
            quantity_total, amount FROM rated_usage
            WHERE period_start >= {first:Date32} AND period_start < {after:Date32}"""
        yield from rows(client, query, {"first": first, "after": after})
        first = after


def _differ(outcome: Outcome, place: _Place, key: RatedKey, wanted: Said | None, there: Said | None) -> None:
    what = "a rated row differs" if wanted and there else "a rated row is missing" if wanted else _EXTRA
    mine, theirs = differing(wanted, there) if wanted and there else (wanted, there)
    row = {name: str(value) for name, value in key._asdict().items()}
    outcome.differ(
        Difference(
            place="rated", what=what, account=place.account, meter=key.meter, row=row, expected=mine, found=theirs
        )
    )
