"""I6, exact sum: rated days plus the opening row add up to price(total), and a preview is their sum, rounded once.

The broken variants at the end show that the checks catch what they are for.
"""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating.days import DayAmount, rate_days
from rating.invoices import MeterTotal, SegmentUsage, preview
from rating.money import round_money
from rating.numbers import ZERO, Quantity, to_amount
from rating.periods import Period
from rating.plans import Plan
from rating.prices import Flat, Graduated, Package, PerUnit, Price, Tier, Volume, explain, price_amount
from rating.rate import Segment

Days = Sequence[tuple[date, Quantity]]
START = date(2026, 11, 1)
NOVEMBER = Period(START, date(2026, 12, 1))

amounts = st.decimals(-(10**6), 10**6, places=4) | st.decimals(0, 1, places=12) | st.decimals(0, 10**29, places=18)
positive = st.decimals(Decimal("0.0001"), 10**9, places=4)
decimal_quantities = st.decimals(0, 10**9, places=0) | st.decimals(-(10**4), 10**15, places=12)
fractions = st.fractions(-(10**4), 10**9)


@st.composite
def tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    bounds = sorted(draw(st.sets(positive, max_size=4)))
    return tuple(Tier(up_to=bound, unit_amount=draw(amounts), flat_amount=draw(amounts)) for bound in [*bounds, None])


prices = st.one_of(
    st.builds(Flat, st.just("p"), amounts),
    st.builds(PerUnit, st.just("p"), st.just("m"), amounts),
    st.builds(Package, st.just("p"), st.just("m"), positive, amounts),
    st.builds(Graduated, st.just("p"), st.just("m"), tiers(), st.booleans()),
    st.builds(Volume, st.just("p"), st.just("m"), tiers(), st.booleans()),
)


def numbered(totals: Sequence[Quantity]) -> Days:
    return [(START + timedelta(days=place), total) for place, total in enumerate(totals)]


def cumulative(parts: Sequence[Decimal]) -> Days:
    return numbered([Decimal(total) for total in accumulate(parts)])


days = st.lists(decimal_quantities, max_size=30).map(cumulative) | st.lists(fractions, max_size=8).map(numbered)


def exact_sum(values: Sequence[Decimal]) -> Fraction:
    return sum((Fraction(value) for value in values), Fraction(0))


def total_of(given_days: Days) -> Quantity:
    return given_days[-1][1] if given_days else ZERO


def assert_i6_days(rate: Callable[[Price, Days], list[DayAmount]], price: Price, given_days: Days) -> None:
    rows = rate(price, given_days)
    assert exact_sum([row.amount for row in rows]) == Fraction(price_amount(price, total_of(given_days)))


def assert_i6_preview(bill: Callable[[Price, Days], Decimal], price: Price, given_days: Days) -> None:
    rated = exact_sum([row.amount for row in rate_days(price, given_days)])
    with localcontext(prec=200):
        rounded = round_money(Decimal(rated.numerator) / Decimal(rated.denominator), "USD")
    assert bill(price, given_days) == rounded


def invoiced(price: Price, given_days: Days) -> Decimal:
    totals = {"m": MeterTotal(total_of(given_days), len(given_days))}
    plan = Plan("pro", 1, "USD", price=(price,))
    invoice = preview("acme", NOVEMBER, [SegmentUsage(Segment(plan, START, NOVEMBER.end), totals)])
    assert exact_sum([step.amount for step in invoice.lines[0].explanation]) == invoice.lines[0].amount_unrounded
    return invoice.total


@settings(deadline=None)
@given(prices, days)
def test_i6_rated_days_and_the_opening_row_add_up_to_the_price_of_the_total(price: Price, given_days: Days) -> None:
    assert_i6_days(rate_days, price, given_days)


@settings(deadline=None)
@given(prices, days)
def test_i6_a_preview_is_the_sum_of_the_rated_days_rounded_once(price: Price, given_days: Days) -> None:
    assert_i6_preview(invoiced, price, given_days)


def test_a_day_row_says_its_day_its_own_quantity_and_the_total_so_far() -> None:
    first, second = START, START + timedelta(days=1)
    rows = rate_days(PerUnit("p", "m", "2"), [(first, Decimal(3)), (second, Decimal(5))])
    said = [(row.day, row.quantity, row.quantity_total, row.amount) for row in rows]
    assert said == [(None, 0, 0, 0), (first, 3, 3, 6), (second, 2, 5, 4)]


@settings(deadline=None)
@given(prices, days)
def test_every_rated_amount_fits_twelve_decimals_and_quantities_add_up_too(price: Price, given_days: Days) -> None:
    rows = rate_days(price, given_days)
    assert all(row.amount.as_tuple().exponent == -12 for row in rows)
    assert exact_sum([row.quantity for row in rows]) == Fraction(rows[-1].quantity_total)


@settings(deadline=None)
@given(prices, st.lists(decimal_quantities, min_size=1, max_size=10), st.data())
def test_any_split_of_the_same_usage_into_days_adds_up_to_the_same(
    price: Price, parts: list[Decimal], data: st.DataObject
) -> None:
    last = len(parts) - 1
    kept = data.draw(st.sets(st.integers(0, last)), label="days kept") | {last}
    all_days = cumulative(parts)
    fewer = [all_days[place] for place in sorted(kept)]
    whole = exact_sum([row.amount for row in rate_days(price, all_days)])
    assert exact_sum([row.amount for row in rate_days(price, fewer)]) == whole


@settings(deadline=None)
@given(prices, decimal_quantities)
def test_the_steps_of_an_explanation_multiply_and_leave_less_than_a_unit_to_bring_to_twelve_decimals(
    price: Price, total: Decimal
) -> None:
    steps = [step for step in explain(price, total) if step.step != "brought to 12 decimals"]
    assert all(Fraction(step.quantity) * Fraction(step.unit_amount) == Fraction(step.amount) for step in steps)
    explained = exact_sum([step.amount for step in steps])
    assert abs(explained - Fraction(price_amount(price, total))) <= Fraction(1, 2 * 10**12)


@settings(deadline=None)
@given(tiers(), decimal_quantities | fractions)
def test_graduated_equals_an_independent_integral_of_its_unit_amounts(terms: tuple[Tier, ...], total: Quantity) -> None:
    below, owed = Fraction(0), Fraction(0)
    for tier in terms:
        end = Fraction(total) if tier.up_to is None else min(Fraction(total), Fraction(tier.up_to))
        if total > below:
            owed += (end - below) * Fraction(tier.unit_amount) + Fraction(tier.flat_amount)
            below = end
    if total < 0:
        owed = Fraction(total) * Fraction(terms[0].unit_amount)
    assert price_amount(Graduated("p", "m", terms), total) == to_amount(owed)


@settings(deadline=None)
@given(tiers(), decimal_quantities | fractions)
def test_volume_equals_an_independent_search_from_the_last_tier(terms: tuple[Tier, ...], total: Quantity) -> None:
    chosen = terms[0]
    for below, tier in pairwise(terms):
        if total > Fraction(below.up_to or 0):
            chosen = tier
    owed = Fraction(total) * Fraction(chosen.unit_amount) + (Fraction(chosen.flat_amount) if total > 0 else 0)
    assert price_amount(Volume("p", "m", terms), total) == to_amount(owed)


def test_a_flat_price_without_any_usage_is_owed_by_its_opening_row() -> None:
    assert rate_days(Flat("base", "5"), []) == [DayAmount(None, ZERO, ZERO, Decimal(5))]


def test_days_out_of_order_or_repeated_are_refused() -> None:
    for second in (START, START - timedelta(days=1)):
        with pytest.raises(ValueError, match="ascending order"):
            rate_days(Flat("base", "5"), [(START, ZERO), (second, ZERO)])


# Broken variants: each is a mistake that is easy to make, and the checks above must catch it.


def without_the_opening_row(price: Price, given_days: Days) -> list[DayAmount]:
    return rate_days(price, given_days)[1:]


def with_tiers_that_restart_each_day(price: Price, given_days: Days) -> list[DayAmount]:
    opening, *rows = rate_days(price, given_days)
    fresh = [DayAmount(row.day, row.quantity, row.quantity_total, price_amount(price, row.quantity)) for row in rows]
    return [opening, *fresh]


def rounded_each_day(price: Price, given_days: Days) -> list[DayAmount]:
    rows = rate_days(price, given_days)
    return [DayAmount(row.day, row.quantity, row.quantity_total, round_money(row.amount, "USD")) for row in rows]


def quantised_on_each_difference(price: Price, given_days: Days) -> list[DayAmount]:
    assert isinstance(price, PerUnit)
    rows, before = rate_days(price, []), Fraction(0)
    for day, total in given_days:
        amount = to_amount((Fraction(total) - before) * Fraction(price.unit_amount))
        rows.append(DayAmount(day, ZERO, ZERO, amount))
        before = Fraction(total)
    return rows


def in_twenty_eight_digits(price: Price, given_days: Days) -> list[DayAmount]:
    rows, owed = rate_days(price, []), price_amount(price, ZERO)
    for day, total in given_days:
        owed_now = price_amount(price, total)
        rows.append(DayAmount(day, ZERO, ZERO, owed_now - owed))
        owed = owed_now
    return rows


FREE_TEN = Graduated("p", "m", (Tier(up_to="10", unit_amount="0"), Tier(unit_amount="0.30")))
THIRDS = numbered([Fraction(1, 3), Fraction(2, 3), Fraction(1)])


@pytest.mark.parametrize(
    ("broken", "price", "given_days"),
    [
        (without_the_opening_row, Flat("p", "100"), cumulative([Decimal(20), Decimal(40)])),
        (with_tiers_that_restart_each_day, FREE_TEN, cumulative([Decimal(8), Decimal(8)])),
        (rounded_each_day, PerUnit("p", "m", "0.004"), cumulative([Decimal(1), Decimal(1)])),
        (quantised_on_each_difference, PerUnit("p", "m", "1"), THIRDS),
        (in_twenty_eight_digits, PerUnit("p", "m", "1" * 30), cumulative([Decimal("0.1"), Decimal("1E+20")])),
    ],
)
def test_i6_catches_a_broken_rating_of_days(
    broken: Callable[[Price, Days], list[DayAmount]], price: Price, given_days: Days
) -> None:
    assert_i6_days(rate_days, price, given_days)
    with pytest.raises(AssertionError):
        assert_i6_days(broken, price, given_days)


def test_i6_catches_an_invoice_that_rounds_each_day() -> None:
    price, given_days = PerUnit("p", "m", "0.004"), cumulative([Decimal(1)] * 3)

    def day_by_day(price: Price, given_days: Days) -> Decimal:
        return sum((row.amount for row in rounded_each_day(price, given_days)), ZERO)

    assert_i6_preview(invoiced, price, given_days)
    with pytest.raises(AssertionError):
        assert_i6_preview(day_by_day, price, given_days)
