"""Stage 2 without services: rows in any order, any number of times; days that add up to the price."""

from __future__ import annotations

import random
from datetime import date
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import Limits
from processors.events import Decoder
from processors.merge import Merged
from processors.meter import PartitionState
from processors.outputs import WindowRow, changed_rows
from processors.rate import RatedRow, Rater
from tests.simulation.bills import Bills
from tests.simulation.logs import CATALOGUE, SKEW_MS, batch_of, make_log
from tests.simulation.oracle import Oracle

SEED = st.integers(0, 10**6)
runs = settings(max_examples=25, deadline=None)


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
        rater.add(rows[at : at + size])
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
    merged.add(rows)
    for row in shuffled:
        again.add([row])
    assert merged.days == again.days


def check_versions(seed: int) -> None:
    rows, _ = released(seed)
    seen: dict[object, RatedRow] = {}
    rater = Rater(CATALOGUE, lambda account: False)
    for row in rows:
        rater.add([row])
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
    apply = Merged._apply

    def versioned(self: Merged, row: WindowRow, *moved: int) -> None:
        apply(self, row, *moved)
        for days in self.days.values():
            for state in days.values():
                state.versions = row.window_start_ms // 1000

    with mock.patch.object(Merged, "_apply", versioned), pytest.raises(AssertionError):
        check_versions(1)


def test_named_accounts_owe_flat_prices_in_any_month_with_usage() -> None:
    rows, _ = released(3)
    rater = Rater(CATALOGUE, lambda account: True)
    rater.add([row for row in rows if row.account not in CATALOGUE.account_ids()][:1])
    found = {(row.account, row.price): row.amount for row in rater.rate() if row.opening and row.price == "base"}
    assert {account for account, _ in found} == {"acme", "umbra"}
    assert rater.rate() == []
