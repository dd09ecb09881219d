"""Stage 2 without services: rows in any order, any number of times; days that add up to the price."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import Limits
from processors import account_usage
from processors.events import Decoder
from processors.merge import Merged
from processors.meter import PartitionState
from processors.outputs import changed_rows
from processors.rate import RatedRow, Rater
from processors.row_records import Taken
from processors.window_rows import WindowRow, WindowRows
from rating.totals import DAY_MS
from tests.simulation.bills import Bills
from tests.simulation.logs import CATALOGUE, SKEW_MS, batch_of, make_log
from tests.simulation.oracle import Oracle

SEED = st.integers(0, 10**6)
runs = settings(max_examples=25, deadline=None)


def encoded(rows: Iterable[WindowRow]) -> list[bytes]:
    return [value for one in rows for _, _, value in WindowRows.of([one]).messages()]


def released(seed: int) -> tuple[list[WindowRow], Oracle]:
    """All rows of a log folded in many batches, with every version that a partial had; and the recount."""
    rng = random.Random(seed)
    log = make_log(rng, 40)
    state = PartitionState(CATALOGUE, Limits(), Decoder(CATALOGUE, Limits(), SKEW_MS))
    rows = []
    with mock.patch("processors.partials.CHUNK_MEMBERS", 2), mock.patch("processors.outputs.CHUNK_MEMBERS", 2):
        for start in range(0, 40, 3):
            state.fold(batch_of(log[start : start + 3]))
            rows += changed_rows(state, "T", 0)
            for table in state.tables.values():
                table.settle()
    return rows, Oracle(CATALOGUE, Limits(), SKEW_MS, "T").fold(log)


def rated_by(rows: list[WindowRow], rng: random.Random, most: int) -> dict[object, RatedRow]:
    """What readers see: of each key the row of the highest version."""
    rater, seen = Rater(CATALOGUE, lambda account: False), {}
    at = 0
    while at < len(rows):
        size = rng.randint(1, most)
        rater.add(encoded(rows[at : at + size]))
        at += size
        for row in rater.rate():
            key = (row.account, row.period_start, row.segment_start, row.price, row.meter, row.opening, row.day)
            if key not in seen or (row.generation, row.version) >= (seen[key].generation, seen[key].version):
                seen[key] = row
    return seen


@given(SEED, st.integers(1, 60))
@runs
def test_i6_days_are_differences_of_the_price_of_the_whole(seed: int, most: int) -> None:
    rows, oracle = released(seed)
    found = {
        (row.account, row.period_start, row.segment_start, row.price, row.meter, row.part, row.opening, row.day): row
        for row in rated_by(rows, random.Random(seed), most).values()
    }
    wanted = Bills(CATALOGUE, [oracle], {0: date.min}, lambda account: 0, named=False).rows()
    assert found.keys() == wanted.keys()
    for key, owed in wanted.items():
        row = found[key]
        assert (row.quantity_total, row.amount, row.amount_total) == (owed.quantity_total, owed.amount, owed.total)


@given(SEED)
@runs
def test_i5_order_and_repetition_of_rows_change_nothing(seed: int) -> None:
    rows, _ = released(seed)
    rng = random.Random(seed)
    plain = rated_by(rows, rng, len(rows))
    shuffled = [*rows, *rng.sample(rows, len(rows) // 2)]
    rng.shuffle(shuffled)
    other = rated_by(shuffled, rng, len(shuffled))
    assert plain == other
    merged, again = (Merged({(meter.id, meter.version): meter for meter in CATALOGUE.meters}) for _ in range(2))
    merged.add(encoded(rows))
    for row in shuffled:
        again.add(encoded([row]))
    assert merged.days == again.days


def check_versions(seed: int) -> None:
    rows, _ = released(seed)
    seen: dict[object, RatedRow] = {}
    rater = Rater(CATALOGUE, lambda account: False)
    for row in rows:
        rater.add(encoded([row]))
        for one in rater.rate():
            key = (one.account, one.period_start, one.segment_start, one.price, one.meter, one.opening, one.day)
            if key in seen and one != seen[key]:
                assert one.version > seen[key].version
            seen[key] = one


@given(SEED)
@runs
def test_i4_versions_grow_with_every_change(seed: int) -> None:
    """So that the highest version holds, whoever wrote it and whenever it arrived."""
    check_versions(seed)


def test_i4_catches_the_version_of_one_partial() -> None:
    add = Merged.add

    def versioned(self: Merged, values: list[bytes]) -> int:
        rows = add(self, values)
        for days in self.days.values():
            for state in days.values():
                state.versions = list(Taken(values[-1:]))[-1].window_start_ms // 1000
        return rows

    with mock.patch.object(Merged, "add", versioned), pytest.raises(AssertionError):
        check_versions(1)


def test_named_accounts_owe_flat_prices_in_any_month_with_usage() -> None:
    rows, _ = released(3)
    rater = Rater(CATALOGUE, lambda account: True)
    rater.add(encoded(row for row in rows if row.account not in CATALOGUE.account_ids())[:1])
    found = {(row.account, row.price): row.amount for row in rater.rate() if row.opening and row.price == "base"}
    assert {account for account, _ in found} == {"acme", "umbra"}
    assert rater.rate() == []


def test_a_month_rated_day_by_day_is_what_it_is_at_once() -> None:
    """Days that are over are not added up again, but where a late event falls among them."""
    rng, rows = random.Random(5), []
    meters = [meter for meter in CATALOGUE.meters if meter.aggregation not in ("unique", "gauge")]
    days = sorted(rng.choices(range(40), k=300))
    for offset, day in enumerate(rng.choice(days) if rng.random() < 0.1 else day for day in days):
        meter = rng.choice(meters)
        state = (rng.randint(1, 9), 0, rng.randint(0, 999), rng.randint(0, 999), offset, 0, 0)
        place = ("acme", 1_793_491_200_000 + day * DAY_MS, "T", 0, 0, offset)  # from November 2026 on
        rows.append(
            WindowRow(meter.id, meter.version, f"s{offset}", ["x"] * len(meter.dimensions), *place, *state, b"")
        )
    plain = rated_by(rows, rng, len(rows))
    with mock.patch.object(account_usage, "Prefix", wraps=account_usage.Prefix) as kept:
        assert rated_by(rows, rng, 3) == plain
    assert kept.call_count > 30
