"""A merged state of stage 2, aggregation by aggregation: what moves it, what joins it, what it comes to."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from config.catalogue import Meter
from processors.states import UsageState
from processors.window_rows import WindowRow
from rating.states import Count, High, Latest, Low, Mean, Members, Sum

A, B, C = (bytes([n]) * 16 for n in (1, 2, 3))
SCALE = 10**12


def meter(aggregation: Any, precision: int = 2) -> Meter:
    return Meter("m", 1, "t", aggregation, None if aggregation == "count" else "v", precision=precision)


def row(value: int = 0, time_us: int = 0, id_hi: int = 0, id_lo: int = 0, members: bytes = b"") -> WindowRow:
    return WindowRow("m", 1, "s", [], "acme", 0, "T", 0, 0, 9, 1, 0, 0, value, time_us, id_hi, id_lo, members)


def extended(aggregation: str, *rows: WindowRow, precision: int = 2) -> UsageState:
    state = UsageState()
    for one in rows:
        state.extend(one, meter(aggregation, precision))
    return state


def test_a_move_adds_versions_events_and_the_scaled_sum_of_both_words() -> None:
    state = UsageState()
    state.move(row(), meter("sum"), 5, 2, 1, 7)
    state.move(row(), meter("sum", 12), 3, -1, -1, 1)
    state.move(row(), meter("sum", 0), 1, 4, 0, -3)
    assert (state.versions, state.events) == (9, 5)
    assert state.sum == (2**32 + 7) * 10**10 + (-(2**32) + 1) - 3 * SCALE
    assert (state.lowest, state.highest, state.latest, state.members) == (None, None, None, None)


@pytest.mark.parametrize("precision", [0, 2, 12])
def test_extremes_and_the_latest_are_kept_at_twelve_decimals(precision: int) -> None:
    scaled = 10 ** (12 - precision)
    values = [row(5), row(-7), row(3)]
    lowest, highest = (extended(kind, *values, precision=precision) for kind in ("min", "max"))
    assert (lowest.lowest, lowest.highest, lowest.latest) == (-7 * scaled, None, None)
    assert (highest.highest, highest.lowest, highest.latest) == (5 * scaled, None, None)
    told = [row(1, 10, 1, 1), row(2, 11, 0, 0), row(3, 11, 0, 2), row(4, 11, 1, 0), row(5, 9, 9, 9)]
    for order in (told, told[::-1]):
        assert extended("latest", *order, precision=precision).latest == (11, 1, 0, 4 * scaled)


def test_members_are_sixteen_bytes_each_and_counted_once() -> None:
    state = extended("unique", row(members=A + B), row(), row(members=B + C))
    assert state.members == {A, B, C}
    assert extended("unique", row()).members is None
    assert extended("sum", row(value=3, members=A)).members is None
    assert extended("count", row(value=3, time_us=1)) == UsageState()


def test_joining_another_day_adds_what_adds_and_keeps_the_further_of_what_does_not() -> None:
    one = UsageState(3, 2, 10, -5, 7, (4, 0, 0, 1), {A})
    other = UsageState(4, 1, -30, -6, 6, (5, 0, 0, 2), {B})
    for first, second in ((one, other), (other, one)):
        joined = UsageState()
        joined.merge(first)
        joined.merge(second)
        joined.merge(UsageState())
        assert joined == UsageState(7, 3, -20, -6, 7, (5, 0, 0, 2), {A, B})
    assert (one.members, other.members) == ({A}, {B}), "a day is not changed by joining it to others"


def test_a_mean_of_one_event_is_its_value() -> None:
    assert UsageState(events=1, sum=3 * SCALE).quantity("avg") == 3


FULL = UsageState(9, 4, 3 * SCALE, -5 * SCALE, 7 * SCALE, (4, 1, 2, 6 * SCALE // 5), {A, B})


@pytest.mark.parametrize(
    ("aggregation", "full", "empty", "state", "none"),
    [
        ("sum", 3, 0, Sum(Decimal(3)), Sum(Decimal(0))),
        ("count", 4, 0, Count(4), Count(0)),
        ("unique", 2, 0, Members(frozenset((A, B))), Members(frozenset())),
        ("avg", Fraction(3, 4), 0, Mean(Decimal(3), 4), Mean(Decimal(0), 0)),
        ("min", -5, 0, Low(Decimal(-5)), Low(Decimal(0))),
        ("max", 7, 0, High(Decimal(7)), High(Decimal(0))),
        ("latest", Decimal("1.2"), 0, Latest(4, 1, 2, Decimal("1.2")), Latest(0, 0, 0, Decimal(0))),
    ],
)
def test_what_a_state_comes_to_by_itself_and_as_a_price_takes_it(
    aggregation: str, full: Any, empty: Any, state: Any, none: Any
) -> None:
    assert FULL.quantity(aggregation) == full
    assert UsageState().quantity(aggregation) == empty
    assert FULL.state(aggregation) == state
    assert UsageState().state(aggregation) == none
    assert isinstance(FULL.quantity(aggregation), Fraction if aggregation == "avg" else Decimal)


def test_numbers_of_any_length_stay_exact() -> None:
    state = UsageState(events=3, sum=10**40 + 1, lowest=-(10**40) - 1)
    exact = "1" + "0" * 28 + "." + "0" * 11 + "1"
    assert (str(state.quantity("sum")), str(state.quantity("min"))) == (exact, "-" + exact)
    assert state.quantity("avg") == Fraction(10**40 + 1, 3 * SCALE)


def test_a_gauge_has_no_state_of_its_own() -> None:
    with pytest.raises(ValueError, match="gauge has no state"):
        UsageState().state("gauge")
    with pytest.raises(KeyError):
        UsageState().quantity("gauge")


def test_the_state_of_two_is_a_new_one() -> None:
    one, other = extended("unique", row(members=A + B)), extended("unique", row(members=B + C))
    one.sum, other.sum = 5, 7
    both = one.merged(other)
    assert (both.sum, both.members) == (12, {A, B, C})
    assert (one.sum, one.members, other.sum, other.members) == (5, {A, B}, 7, {B, C})


@pytest.mark.parametrize("value", [0, 7, -7, 10**12, -(10**40), 10**60 - 1])
def test_a_quantity_has_twelve_decimals_whatever_it_is(value: int) -> None:
    """Rows are written as it stands, zeros and all."""
    digits = tuple(map(int, str(abs(value))))
    for quantity in (UsageState(events=1, sum=value).quantity("sum"), UsageState(highest=value).quantity("max")):
        assert isinstance(quantity, Decimal)
        assert quantity.as_tuple() == (int(value < 0), digits, -12)
