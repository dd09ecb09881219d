"""What invoices and overviews read: usage accumulated day by day, and rated usage.

Every function takes a client whose database is ours (`sinks.clickhouse.reader`) and raises the client's errors.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client

from sinks.reading import rows, where
from sinks.states import STATE_COLUMNS, State, plain, total


class RatedRecord(msgspec.Struct, frozen=True):
    """A rated day, or the opening row. Quantities in the meter's unit; amount in currency, unrounded; None: unrated."""

    account: str
    period_start: date
    segment_start: date
    price: str
    meter: str
    opening: bool
    day: date
    part: str
    plan: str
    plan_version: int
    model: str
    quantity: Decimal
    quantity_total: Decimal
    amount: Decimal | None
    currency: str
    unrated_reason: str


class Spend(msgspec.Struct, frozen=True):
    """What an account spent, in currency, not rounded."""

    account: str
    currency: str
    amount: Decimal


def rated_period(client: Client, account: str, period_start: date) -> list[RatedRecord]:
    """All rated rows of the account's period, by segment, price, meter, part, opening row first, then by day."""
    query = """SELECT account, period_start, segment_start, price, meter, toBool(opening) AS opening, day, part,
            plan, plan_version, model, quantity, quantity_total, amount, currency, unrated_reason
        FROM rated_usage AS r WHERE account = {account:String} AND period_start = {period_start:Date32}
        ORDER BY segment_start, price, meter, part, r.opening DESC, day"""
    records = []
    for row in rows(client, query, {"account": account, "period_start": period_start}):
        numbers = {name: row[name] for name in ("quantity", "quantity_total", "amount")}
        exact = {name: None if number is None else plain(number) for name, number in numbers.items()}
        records.append(RatedRecord(**row | exact))
    return records


def top_accounts(client: Client, start: date, end: date, limit: int) -> list[Spend]:
    """The accounts that spent most on the days [start, end); amounts of different currencies are not converted."""
    query = """SELECT account, currency, sum(s.amount) AS spent FROM spend_daily AS s
        WHERE day >= {start:Date32} AND day < {end:Date32}
        GROUP BY account, currency ORDER BY spent DESC, account, currency LIMIT {limit:UInt32}"""
    spends = rows(client, query, {"start": start, "end": end, "limit": limit})
    return [Spend(row["account"], row["currency"], plain(row["spent"])) for row in spends]


class DayTotal(msgspec.Struct, frozen=True):
    """Usage from the first day through `day`, of the merged states: right for every aggregation."""

    day: date
    quantity: Decimal
    events: int
    exact: Decimal | Fraction  # the quantity as prices take it: an average unrounded


def day_totals(client: Client, account: str, start: date, end: date) -> dict[str, list[DayTotal]]:
    """For each meter the account's cumulative usage through each day of [start, end) that has any, days ascending.

    Quantities of a meter whose versions differ in aggregation add up.
    """
    midnight = datetime.min.time()
    condition, parameters = where(
        {"account": account},
        datetime.combine(start, midnight, UTC),
        datetime.combine(end, midnight, UTC),
    )
    query = f"""SELECT p.meter AS meter, toDate32(p.window_start) AS day, p.aggregation AS aggregation, {STATE_COLUMNS}
        FROM usage_partials AS p WHERE {condition}
        GROUP BY meter, day, aggregation HAVING events > 0 ORDER BY meter, day, aggregation"""
    daily = rows(client, query, parameters)
    fresh: dict[tuple[str, date], int] = {}
    if any(row["aggregation"] == "unique" for row in daily):
        fresh = _new_members(client, condition, parameters)
    totals: dict[str, list[DayTotal]] = {}
    states: dict[str, State] = {}  # of the meter at hand, by aggregation
    for row in daily:
        meter, day, aggregation = row["meter"], row["day"], row["aggregation"]
        if meter not in totals:
            states = {}
        today = State.of(row, fresh.get((meter, day), 0) if aggregation == "unique" else 0)
        states[aggregation] = states[aggregation].merge(today) if aggregation in states else today
        quantity = total(merged.quantity(name) for name, merged in states.items())
        through = DayTotal(
            day=day,
            quantity=quantity,
            events=sum(merged.events for merged in states.values()),
            exact=states[aggregation].exact(aggregation) if len(states) == 1 else quantity,
        )
        days = totals.setdefault(meter, [])
        if days and days[-1].day == day:
            days.pop()
        days.append(through)
    return totals


def period_totals(client: Client, account: str, start: date, end: date) -> dict[str, DayTotal]:
    """For each meter the account's usage of [start, end), as of the last day that has any."""
    return {meter: days[-1] for meter, days in day_totals(client, account, start, end).items()}


def _new_members(client: Client, condition: str, parameters: Mapping[str, Any]) -> dict[tuple[str, date], int]:
    """How many members each (meter, day) has that no earlier day had: their running sum is the size of the union."""
    query = f"""SELECT meter, first_day, count() AS fresh FROM (
            SELECT p.meter AS meter, member, min(toDate32(p.window_start)) AS first_day
            FROM usage_partials AS p ARRAY JOIN p.members AS member
            WHERE p.aggregation = 'unique' AND {condition} GROUP BY meter, member)
        GROUP BY meter, first_day"""
    return {(row["meter"], row["first_day"]): row["fresh"] for row in rows(client, query, parameters)}
