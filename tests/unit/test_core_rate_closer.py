"""Stage 2 on prices that look closer than a total and contracts with periods of their own: the days add up (I6)."""

from __future__ import annotations

import random
import struct
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.catalogue import Catalogue, EventType, Meter
from processors.rate import RatedRow, Rater
from processors.window_rows import WindowRow, WindowRows
from rating.billing import rate_contract
from rating.charges import ms
from rating.contracts import Contract
from rating.gauges import Reading, levels
from rating.openings import Opening
from rating.periods import Period
from rating.plans import Plan
from rating.states import High, Sum
from rating.totals import DAY_MS, Total, day_ms
from rating.usage import price_usage

HOUR_MS = 3_600_000
NOVEMBER = Period(date(2026, 11, 1), date(2026, 12, 1))
METERS = (
    Meter("bytes", 1, "t", "sum", value="bytes", dimensions=("zone",), window="1h"),
    Meter("peak", 1, "t", "max", value="peak", dimensions=("zone",), window="1h"),
    Meter("stored", 1, "t", "gauge", value="stored", window="1h"),
)
TIERS = [{"up_to": "1000", "unit_amount": "0.03"}, {"unit_amount": "0.01"}]
PRICES: list[dict[str, Any]] = [
    {"id": "base", "model": "flat", "amount": "5.00"},
    {"id": "egress", "model": "graduated", "meter": "bytes", "tiers": TIERS},
    {"id": "argo", "model": "graduated", "meter": "bytes", "per": ["zone"],
     "tiers": [{"up_to": "100", "unit_amount": "0", "flat_amount": "5.00"}, {"unit_amount": "0.1"}]},
    {"id": "burst", "model": "per_unit", "meter": "peak", "unit_amount": "1.5",
     "rollup": {"every": "1h", "over": "percentile", "percentile": "95"}},
    {"id": "storage", "model": "per_unit", "meter": "stored", "unit_amount": "0.015", "free_quantity": "10",
     "rollup": {"every": "1d", "each": "max", "over": "mean"}},
    {"id": "regions", "model": "matrix", "meter": "bytes", "dimensions": ["zone"],
     "cell": [{"when": {"zone": ["z0", "z1"]},
               "price": {"id": "a", "meter": "bytes", "model": "graduated", "tiers": TIERS}}]},
]  # fmt: skip
PLAN = {"id": "pro", "version": 1, "currency": "USD", "price": PRICES}
runs = settings(max_examples=15, deadline=None)


def catalogue(contracts: Iterable[dict[str, Any]] = (), plans: Iterable[dict[str, Any]] = ()) -> Catalogue:
    return Catalogue(
        generation=1,
        default_plan="pro",
        events=(EventType("t", 24 * HOUR_MS),),
        meters=METERS,
        plans=tuple(msgspec.convert(plan, Plan) for plan in (PLAN, *plans)),
        contracts=tuple(msgspec.convert(one, Contract) for one in contracts),
    )


def window_row(meter: Meter, zone: str, start_ms: int, offset: int, value: int, samples: bytes = b"") -> WindowRow:
    dimensions = [zone] if meter.dimensions else []
    return WindowRow(
        meter=meter.id, meter_version=1, subject="acme", dimensions=dimensions, account="acme",
        window_start_ms=start_ms,
        topic="T", partition=0, chunk=1 if samples else 0, offset=offset, events=0 if samples else 1,
        sum_hi=value >> 32 if meter.aggregation == "sum" else 0,
        sum_lo=value & 0xFFFFFFFF if meter.aggregation == "sum" else 0,
        value=value if meter.aggregation == "max" else 0, time_us=0, id_hi=0, id_lo=0, members=samples,
    )  # fmt: skip


def encoded(rows: Iterable[WindowRow]) -> list[bytes]:
    return [value for _, _, value in WindowRows.of(rows).messages()]


def usage(rng: random.Random) -> tuple[list[WindowRow], list[Total], list[Reading]]:
    """Rows with some of their earlier versions, and the totals of the newest; over October, November and December."""
    rows, totals, readings = [], [], []
    begin = day_ms(date(2026, 10, 20))
    places = {(rng.randrange(2), rng.choice("012"), rng.randrange(60 * 24)) for _ in range(rng.randint(3, 40))}
    for which, zone, hour in sorted(places):
        meter, start_ms, value = METERS[which], begin + hour * HOUR_MS, 0
        for offset in sorted(rng.sample(range(1000), rng.randint(1, 3))):
            value += rng.randint(1, 400)
            rows.append(window_row(meter, f"z{zone}", start_ms, offset, value))
        state = Sum(Decimal(value)) if meter.aggregation == "sum" else High(Decimal(value))
        totals.append(Total(meter.id, start_ms, start_ms + HOUR_MS, state, "acme", {"zone": f"z{zone}"}, "acme"))
    for number, hour in enumerate(sorted(rng.sample(range(60 * 24), rng.randint(0, 6)))):
        at_us, value = (begin + hour * HOUR_MS + rng.randrange(HOUR_MS)) * 1000, rng.randrange(500)
        sample = struct.pack("<qQQq", at_us, number, 0, value)
        rows.append(window_row(METERS[2], "", begin + hour * HOUR_MS, number, 0, sample))
        readings.append(Reading(at_us, number, 0, Decimal(value)))
    return rows, totals, readings


def seen(rater: Rater, rows: list[WindowRow], rng: random.Random) -> list[RatedRow]:
    """What readers see in the end: rows in any order and any batches, the clock moving on between them."""
    rows = [*rows, *rng.sample(rows, len(rows) // 3)]
    rng.shuffle(rows)
    clock_ms, newest = day_ms(date(2026, 10, 25)), {}
    while rows or clock_ms < day_ms(date(2026, 12, 20)):
        size = rng.randint(0, 40)
        rater.add(encoded(rows[:size]), clock_ms)
        del rows[:size]
        clock_ms += rng.randrange(30) * DAY_MS
        for row in rater.rate():
            key = (row.period_start, row.segment_start, row.price, row.meter, row.opening, row.day, row.part)
            if key not in newest or row.version >= newest[key].version:
                newest[key] = row
    rater.add([], day_ms(date(2026, 12, 20)))
    for row in rater.rate():
        newest[(row.period_start, row.segment_start, row.price, row.meter, row.opening, row.day, row.part)] = row
    return list(newest.values())


def added_up(rows: list[RatedRow]) -> dict[tuple[str, str], Decimal]:
    """(price, part) -> the sum of its days and opening rows; of what is refused the quantity."""
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        found[(row.price, row.part)] += row.quantity if row.amount is None else row.amount
    return {key: amount for key, amount in found.items() if amount}


def levelled(readings: list[Reading], end: date) -> list[Total]:
    if not readings:
        return []
    first = min(readings).time_us // 1000 // HOUR_MS * HOUR_MS
    return [
        Total("stored", start, start + HOUR_MS, level, "acme", {}, "acme")
        for start, level in levels(readings, HOUR_MS, first, day_ms(end))
    ]


@given(st.integers(0, 10**6))
@runs
def test_i6_the_days_of_every_price_add_up_to_the_price_of_the_month(seed: int) -> None:
    rng = random.Random(seed)
    rows, totals, readings = usage(rng)
    found = seen(Rater(catalogue(), lambda account: True), rows, rng)
    totals += levelled(readings, NOVEMBER.end)
    wanted = {}
    if any(row.period_start == NOVEMBER.start for row in found):
        for price in catalogue().plans[0].price:
            priced = price_usage(price, totals, NOVEMBER)
            parts: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
            for part in priced.parts:
                values = {name: part.values[name] for name in price.per}
                parts[(price.id, msgspec.json.encode(values).decode() if values else "")] += part.amount
            for refused in priced.refused:
                parts[(price.id, msgspec.json.encode(dict(refused.values)).decode())] += Decimal(refused.quantity)
            wanted |= {key: amount for key, amount in parts.items() if amount}
    assert added_up([row for row in found if row.period_start == NOVEMBER.start]) == wanted


CHANGE = {"plan": "max", "at": "2026-11-20T17:00:00Z"}
MAX = {
    **PLAN,
    "id": "max",
    "price": [{**PRICES[0], "amount": "9.00"}, {**PRICES[1], "tiers": [{"unit_amount": "0.02"}]}, *PRICES[2:]],
}


@pytest.mark.parametrize("policy", ["restart", "prorate", "continue", "reprice"])
@given(st.integers(0, 10**6))
@settings(max_examples=4, deadline=None)
def test_i6_the_days_of_a_contract_add_up_to_its_invoice(policy: str, seed: int) -> None:
    """Periods from the 15th in New York, a change of plan in the middle of a day, prorated by the second."""
    rng = random.Random(seed)
    rows, totals, readings = usage(rng)
    contract = {
        "account": "acme", "plan": "pro", "from": "2026-10-15T04:00:00Z", "anchor": {"every": "month", "day": 15},
        "time_zone": "America/New_York", "tiers_on_change": policy, "proration": "second", "change": [CHANGE],
    }  # fmt: skip
    made = catalogue([contract], [MAX])
    rater = Rater(made, lambda account: True)
    found = seen(rater, rows, rng)
    tomorrow = rater.usage.today + timedelta(days=1)
    totals += levelled(readings, tomorrow)
    end = datetime.combine(tomorrow, time(), UTC)
    for rated in rate_contract(
        made.contracts[0], totals, made.tariff(), end, Opening(made.contracts[0].from_), now=end
    ):
        wanted: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for line in rated.lines:
            values = line.values if line.price == "argo" else {}  # the cells of a matrix have one row
            wanted[(line.price, part(values))] += line.amount_unrounded
        for row in rated.unrated:
            wanted[("", part(row.values))] += row.quantity
        days = [row for row in found if row.period_start == rated.start.date()]
        if days:
            assert added_up(days) == {key: amount for key, amount in wanted.items() if amount}
        else:  # nothing of the account was seen in these months
            assert not any(ms(rated.start) <= total.start_ms < ms(rated.end) for total in totals)


def part(values: Any) -> str:
    return msgspec.json.encode(dict(sorted(values.items()))).decode() if values else ""


def test_a_gauge_that_sends_nothing_owes_for_every_day_that_passes() -> None:
    """And a reading that comes late changes all days after it, in the months after it too."""
    rater = Rater(catalogue(), lambda account: True)
    at = day_ms(date(2026, 11, 30))
    sample = struct.pack("<qQQq", at * 1000, 1, 0, 310)
    rater.add(encoded([window_row(METERS[2], "", at, 1, 0, sample)]), at)
    rater.rate()
    rater.add([], day_ms(date(2026, 12, 31)))
    december = [row for row in rater.rate() if row.price == "storage" and row.period_start == date(2026, 12, 1)]
    assert sum(row.amount or 0 for row in december) == Decimal("4.5")  # (310 - 10) * 0.015
    assert len([row for row in december if not row.opening]) == 31
    late = struct.pack("<qQQq", at * 1000 + 1, 2, 0, 620)
    rater.add(encoded([window_row(METERS[2], "", at, 2, 0, late)]), at)
    again = [row for row in rater.rate() if row.price == "storage" and row.period_start == date(2026, 12, 1)]
    assert sum(row.amount or 0 for row in again) == Decimal("9.15")


def test_a_gauge_whose_samples_are_still_on_their_way_is_worth_nothing_yet() -> None:
    """Its own row goes out before those of its samples, and stage 2 may take it alone."""
    rater = Rater(catalogue(), lambda account: True)
    at = day_ms(date(2026, 11, 30))
    rater.add(encoded([window_row(METERS[2], "", at, 1, 0)]), at)
    assert sum(row.amount or 0 for row in rater.rate() if row.price == "storage") == 0
    rater.add(encoded([window_row(METERS[2], "", at, 1, 0, struct.pack("<qQQq", at * 1000, 1, 0, 310))]), at)
    assert sum(row.amount or 0 for row in rater.rate() if row.price == "storage") > 0


def gauge_rows(*readings: tuple[int, int]) -> list[bytes]:
    """Readings of `stored` as (time in ms, value), one window each."""
    rows = []
    for offset, (at_ms, value) in enumerate(readings):
        sample = struct.pack("<qQQq", at_ms * 1000, 0, offset, value)
        rows.append(window_row(METERS[2], "", at_ms // HOUR_MS * HOUR_MS, offset, value, sample))
    return [value for _, _, value in WindowRows.of(rows).messages()]


def stored(rows: Iterable[RatedRow]) -> dict[date, RatedRow]:
    return {row.day: row for row in rows if row.meter == "stored" and not row.opening}


def test_i4_the_version_of_a_gauge_grows_with_each_day_that_passes() -> None:
    """Its total does as well, and who follows `usage.rated` takes the highest version."""
    start_ms = day_ms(NOVEMBER.start)
    rater = Rater(catalogue(), lambda account: True)
    rater.add(gauge_rows((start_ms, 50)), start_ms)
    first = stored(rater.rate())
    rater.add([], start_ms + 2 * DAY_MS)
    later = stored(rater.rate())
    assert list(first) == [date(2026, 11, 1)] and list(later) == [date(2026, 11, 2), date(2026, 11, 3)]
    versions = [row.version for row in (*first.values(), *later.values())]
    assert versions == sorted(set(versions))


def test_readings_of_two_months_change_the_month_between_them_too() -> None:
    rater = Rater(catalogue(), lambda account: True)
    october, december = day_ms(date(2026, 10, 5)), day_ms(date(2026, 12, 5))
    rater.add(gauge_rows((october, 50), (december, 60)), december)
    found = stored(rater.rate())
    assert found[date(2026, 11, 15)].quantity > 0
    assert len(found) == (date(2026, 12, 5) - date(2026, 10, 5)).days + 1


def test_a_late_reading_changes_all_days_after_it_though_the_clock_goes_on_at_once() -> None:
    rater = Rater(catalogue(), lambda account: True)
    october, december = day_ms(date(2026, 10, 5)), day_ms(date(2026, 12, 5))
    rater.add(gauge_rows((october, 50), (december, 60)), december)
    rater.rate()
    late = window_row(METERS[2], "", october + DAY_MS, 9, 0, struct.pack("<qQQq", (october + DAY_MS) * 1000, 0, 9, 90))
    rater.add(encoded([late]), december + 2 * DAY_MS)
    assert len(stored(rater.rate())) == (date(2026, 12, 7) - date(2026, 10, 6)).days + 1


def test_the_series_of_a_meter_are_held_only_where_a_price_looks_closer_than_at_its_total() -> None:
    plain = msgspec.convert({**PLAN, "price": [{**PRICES[1]}]}, Plan)
    rater = Rater(msgspec.structs.replace(catalogue(), plans=(plain,)), lambda account: True)
    assert not rater.usage.series.takes("acme", "bytes")
    assert rater.usage.series.takes("acme", "stored"), "a gauge is carried by series"
    assert Rater(catalogue(), lambda account: True).usage.series.takes("acme", "bytes")


def test_a_reading_ahead_of_the_clock_is_rated_as_it_is_once_the_clock_has_come() -> None:
    """Under one version a day must not say two things."""
    start_ms = day_ms(NOVEMBER.start)
    rows = gauge_rows((start_ms - HOUR_MS, 50), (start_ms + HOUR_MS, 20))
    early, late = Rater(catalogue(), lambda account: True), Rater(catalogue(), lambda account: True)
    early.add(rows, start_ms - 1)
    late.add(rows, start_ms + DAY_MS - 1)
    assert stored(early.rate()) == stored(late.rate())


def test_a_period_of_a_contract_opens_once() -> None:
    """Alone on the topic, an opening row would stand where compaction takes a later total away."""
    weekly = {"account": "acme", "plan": "pro", "from": datetime(2026, 10, 1, tzinfo=UTC), "anchor": {"every": "week"}}
    rater, seen = Rater(catalogue([weekly]), lambda account: True), set[tuple[object, ...]]()
    for days in (0, 1, 9, 40):
        at_ms = day_ms(date(2026, 10, 25)) + days * DAY_MS
        rater.add(gauge_rows((at_ms, 50)), at_ms)
        opened = [(row.period_start, row.segment_start, row.price) for row in rater.rate() if row.opening]
        assert seen.isdisjoint(opened)
        seen.update(opened)
    assert len({period for period, *_ in seen}) > 5


def test_what_is_used_on_the_day_of_a_contract_and_outside_of_it_is_said_to_have_no_price() -> None:
    noon = {"account": "acme", "plan": "pro", "from": "2026-11-01T12:00:00Z", "to": "2026-11-20T06:00:00Z"}
    rater = Rater(msgspec.structs.replace(catalogue([noon]), default_plan=None), lambda account: True)
    first, last = day_ms(NOVEMBER.start), day_ms(date(2026, 11, 20))
    times = first, first + 11 * HOUR_MS, first + 12 * HOUR_MS, last + 5 * HOUR_MS, last + 6 * HOUR_MS, last + DAY_MS
    rater.add(encoded(window_row(METERS[0], "z0", at, n, 10**n) for n, at in enumerate(times)), last + DAY_MS)
    rows = [row for row in rater.rate() if row.meter == "bytes" and not row.opening]
    unrated = {(row.day.day, row.quantity, row.unrated_reason) for row in rows if row.amount is None and not row.price}
    assert unrated == {
        (1, 11, "no contract at that time of the day"),
        (20, 10_000, "no contract at that time of the day"),
        (21, 100_000, "no contract on these days, and the catalogue has no default_plan"),
    }
    assert sum(row.quantity for row in rows if row.price == "egress") == 1_100
