"""Gauges carried forward: levels of slots against a count moment by moment, and what they cost."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from rating.gauges import Reading, levels
from rating.periods import Period
from rating.prices import PerUnit
from rating.rollups import period_quantity
from rating.states import Level, merged
from rating.terms import Rollup
from rating.totals import DAY_MS, Total, day_ms
from rating.usage import price_usage

MOMENT_MS = 1  # the naive count looks at each millisecond
READINGS = st.lists(
    st.builds(
        lambda at, identity, value: Reading(at * 1000, identity, 0, Decimal(value)),
        st.integers(-6, 20),
        st.integers(0, 9),
        st.integers(-3, 9),
    ),
    max_size=8,
    unique_by=lambda reading: (reading.time_us, reading.id_hi),
)


def naive(readings: list[Reading], slot_ms: int, every_ms: int) -> list[Decimal | None]:
    """What the gauge said at each millisecond of a slot; None while it is not there."""
    said: list[Decimal | None] = []
    for moment in range(slot_ms, slot_ms + every_ms):
        before = [reading for reading in readings if reading.time_us <= moment * 1000]
        said.append(max(before).value if before else None)
    return said


@given(READINGS, st.sampled_from([2, 4, 12]), st.randoms(use_true_random=False))
def test_levels_are_what_a_count_moment_by_moment_says(readings: list[Reading], every: int, order: object) -> None:
    shuffled = readings[:]
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    found = dict(levels(shuffled, every, 0, 12))
    for slot in range(0, 12, every):
        said = naive(readings, slot, every)
        there = [value for value in said if value is not None]
        if not there:
            assert slot not in found
            continue
        level = found[slot]
        assert level.unit_us == 1000 * sum(there)
        assert (level.highest, level.lowest, level.last) == (max(there), min(there), there[-1])
        assert level.each("mean") == Fraction(sum(there)) / every


@given(READINGS, st.sampled_from([2, 4, 6]))
def test_slots_merge_to_the_level_of_a_longer_slot(readings: list[Reading], every: int) -> None:
    whole = dict(levels(readings, 12, 0, 12))
    parts = [level for _, level in levels(readings, every, 0, 12)]
    found = merged(parts)
    if found is None:
        assert not whole
    else:
        assert isinstance(found, Level)
        assert (found.unit_us, found.highest, found.lowest, found.last) == (
            whole[0].unit_us, whole[0].highest, whole[0].lowest, whole[0].last,
        )  # fmt: skip


def test_a_bucket_that_sends_nothing_in_december_still_owes_for_december() -> None:
    """100 GB stored since 20 November; 10 GB-months of it free of charge; 0.015 a GB-month of 31 daily peaks."""
    stored = [Reading(day_ms(date(2026, 11, 20)) * 1000, 1, 1, Decimal(100))]
    december = Period(date(2026, 12, 1), date(2027, 1, 1))
    days = levels(stored, DAY_MS, day_ms(december.start), day_ms(december.end))
    totals = [Total("stored_gb", start, start + DAY_MS, level, "bucket-1") for start, level in days]
    peak = Rollup(every="1d", each="max", over="mean")
    price = PerUnit(id="storage", meter="stored_gb", unit_amount="0.015", free_quantity="10", rollup=peak)
    assert price_usage(price, totals, december).amount == Decimal("1.35")
    assert len(totals) == 31


def test_without_a_rollup_a_gauge_counts_in_unit_hours() -> None:
    """Two instances for 36 hours and one for 12 are 84 instance-hours."""
    start = date(2026, 12, 1)
    at = day_ms(start) * 1000
    up = [Reading(at, 1, 1, Decimal(2)), Reading(at + 36 * 3_600_000_000, 2, 1, Decimal(1))]
    totals = [
        Total("up", ms, ms + DAY_MS, level)
        for ms, level in levels(up, DAY_MS, day_ms(start), day_ms(start) + 2 * DAY_MS)
    ]
    price = PerUnit(id="hours", meter="up", unit_amount="1")
    assert period_quantity(price, totals, day_ms(start), day_ms(start) + 2 * DAY_MS) == 84
