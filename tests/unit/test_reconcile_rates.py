"""What the recount says of money is what stage 2 rates, whatever was agreed."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.rate import RatedRow, Rater
from processors.window_rows import WindowRow
from rating.periods import month_of
from reconcile.owed import RatedKey
from reconcile.rates import Rates
from reconcile.recount import WindowKey
from reconcile.states import Sample, State
from tests.unit.test_core_rate_closer import CHANGE, MAX, METERS, catalogue, seen, usage

BERLIN = {"account": "acme", "plan": "pro", "from": "2026-10-14T22:00:00Z", "time_zone": "Europe/Berlin"}
WEEKLY = {"account": "acme", "plan": "pro", "from": "2026-10-01T00:00:00Z", "anchor": {"every": "week", "day": 3}}
CONTRACTS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "months of days": [{"account": "acme", "plan": "pro", "from": "2026-10-01T00:00:00Z"}],
    "months of Berlin": [BERLIN],
    "weeks": [WEEKLY],
    "a change at five, prorated": [
        {
            **WEEKLY,
            "anchor": {"every": "month", "day": 15},
            "proration": "second",
            "change": [CHANGE],
            "tiers_on_change": "restart",
        }
    ],
    "between a noon and a morning": [
        {**BERLIN, "time_zone": "UTC", "from": "2026-11-01T12:00:00Z", "to": "2026-11-20T06:00:00Z"}
    ],
    "two that meet at noon": [
        {**BERLIN, "time_zone": "UTC", "from": "2026-10-01T00:00:00Z", "to": "2026-11-10T12:00:00Z"},
        {**BERLIN, "time_zone": "UTC", "from": "2026-11-10T12:00:00Z", "plan": "max"},
    ],
}


def recounted(rates: Rates, rows: list[WindowRow]) -> None:
    """The newest version of each partial."""
    windows: dict[WindowKey, State] = {}
    for row in sorted(rows, key=lambda row: row.offset):
        key: WindowKey = (row.meter, 1, (row.subject, *row.dimensions), row.window_start_ms, 0)
        state = windows.setdefault(key, State())
        state.events, state.value, state.sum = 1, row.value, (row.sum_hi << 32) + row.sum_lo
        if row.members:
            time_us, high, low, value = struct.unpack("<qQQq", row.members)
            state.samples = (state.samples or {}) | {high << 64 | low: Sample(time_us, high << 64 | low, value)}
    for key, state in windows.items():
        rates.take(key, state)


def differences(rates: Rates, found: list[RatedRow]) -> list[tuple[RatedKey, Any, Any]]:
    """As `reconcile.rated` compares them, but for rows that say zero, and openings of accounts without usage."""
    stored: dict[Any, dict[RatedKey, dict[str, Any]]] = {}
    for row in found:
        about = row.segment_start, row.price, row.meter, row.opening, row.day, row.part
        said = {"quantity": row.quantity, "quantity_total": row.quantity_total, "amount": row.amount}
        stored.setdefault((row.account, month_of(row.period_start)), {})[RatedKey(row.period_start, *about)] = said
    faults = []
    for place in sorted({*stored, *rates.places()}):
        there = stored.get(place, {})
        wanted = rates.expected(*place, there=there.keys())
        for key in there.keys() | wanted.keys():
            mine, theirs = wanted.get(key), there.get(key)
            zero = mine is None and theirs is not None and theirs["amount"] is not None and not any(theirs.values())
            if mine != theirs and not zero and not (theirs is None and key.opening):
                faults.append((key, mine, theirs))
    return faults


@pytest.mark.parametrize("which", CONTRACTS)
@given(st.integers(0, 10**6))
@settings(max_examples=4, deadline=None)
def test_i6_a_clean_run_has_no_difference_whatever_was_agreed(which: str, seed: int) -> None:
    rng = random.Random(seed)
    made = catalogue(CONTRACTS[which], [MAX])
    rows, _, _ = usage(rng)
    rates = Rates(made)
    recounted(rates, rows)
    found = seen(Rater(made, lambda account: True), rows, rng)
    assert differences(rates, found) == []


@pytest.mark.parametrize("which", ["months of Berlin", "weeks", "two that meet at noon"])
def test_i6_what_is_changed_in_a_period_of_a_contract_is_found(which: str) -> None:
    rng = random.Random(5)
    made = catalogue(CONTRACTS[which], [MAX])
    rows, _, _ = usage(rng)
    rates = Rates(made)
    recounted(rates, rows)
    found = seen(Rater(made, lambda account: True), rows, rng)
    spoilt = next(row for row in found if row.price == "egress" and row.quantity)
    spoilt.amount = None
    ((key, _, theirs),) = differences(rates, found)
    assert (key.price, key.day, theirs["amount"]) == ("egress", spoilt.day, None)
    assert {meter.id for meter in METERS} >= {key.meter}
