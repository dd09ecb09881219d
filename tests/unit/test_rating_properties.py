"""What holds for every price, whatever its kernel and its terms."""

import random
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating import marginal, quote
from rating.days import usage_days
from rating.money import minor_digits, round_lines, round_money
from rating.numbers import Quantity, to_amount
from rating.pools import allocated, shares
from rating.prices import (
    BlockGraduated,
    BlockVolume,
    Capacity,
    Convert,
    Graduated,
    Package,
    PerUnit,
    Price,
    Rollup,
    Tier,
    Volume,
    explain,
    price_amount,
)
from rating.states import Sum
from rating.totals import Total
from rating.usage import price_usage
from tests.unit.rating_strategies import (
    ALL_DAYS,
    charges,
    from_totals,
    metered,
    one_number,
    positive,
    quantities,
    tiers,
    totals,
)
from tests.unit.rating_usage import NOVEMBER
from tests.unit.rating_usage import used as window


def exact(values: list[Decimal]) -> Fraction:
    return sum((Fraction(value) for value in values), Fraction(0))


@settings(deadline=None, max_examples=50)
@given(from_totals(), totals())
def test_i6_days_and_the_opening_row_add_up_for_every_price(price: Price, used: list[Total]) -> None:
    rows = usage_days(price, used, NOVEMBER, ALL_DAYS)
    assert exact([row.amount for row, _ in rows]) == Fraction(price_usage(price, used, NOVEMBER).amount)
    assert exact([row.quantity for row, _ in rows]) == Fraction(price_usage(price, used, NOVEMBER).quantity)


@settings(deadline=None, max_examples=50)
@given(from_totals(), totals(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(price: Price, used: list[Total], chance: random.Random) -> None:
    shuffled = used.copy()
    chance.shuffle(shuffled)
    assert price_usage(price, shuffled, NOVEMBER, steps=True) == price_usage(price, used, NOVEMBER, steps=True)


@settings(deadline=None, max_examples=50)
@given(from_totals(), totals(), st.data())
def test_windows_split_into_states_that_merge_owe_the_same(
    price: Price, used: list[Total], data: st.DataObject
) -> None:
    split = []
    for total in used:
        assert isinstance(total.state, Sum)
        part = data.draw(st.decimals(0, 100, places=2), label="part")
        for value in (part, total.state.value - part):
            split.append(msgspec.structs.replace(total, state=Sum(value)))
    assert price_usage(price, split, NOVEMBER) == price_usage(price, used, NOVEMBER)


@settings(deadline=None)
@given(one_number, quantities)
def test_the_steps_of_any_price_add_up_to_its_amount(price: Price, quantity: Quantity) -> None:
    assert exact([step.amount for step in explain(price, quantity)]) == Fraction(price_amount(price, quantity))


@settings(deadline=None, max_examples=50)
@given(from_totals(), totals())
def test_the_steps_of_each_part_add_up_to_it(price: Price, used: list[Total]) -> None:
    for part in price_usage(price, used, NOVEMBER, steps=True).parts:
        assert exact([step.amount for step in part.steps]) == Fraction(part.amount)


@settings(deadline=None, max_examples=50)
@given(from_totals())
def test_a_round_trip_through_json_changes_nothing(price: Price) -> None:
    back: Price = msgspec.json.decode(msgspec.json.encode(price), type=Price)
    assert back == price
    assert msgspec.json.encode(back) == msgspec.json.encode(price)
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(price))
    assert msgspec.convert(plain, type=Price) == price


def rises(price: Price) -> bool:
    """Whether the model is monotone: where all units move to a cheaper tier, it is not."""
    return not isinstance(price, Volume | BlockVolume) and getattr(price, "mode", "graduated") == "graduated"


@settings(deadline=None)
@given(metered(charges).filter(rises), quantities, quantities)
def test_more_usage_never_owes_less_where_no_amount_is_negative(price: Price, one: Quantity, other: Quantity) -> None:
    less, more = sorted((one, other))
    assert price_amount(price, less) <= price_amount(price, more)
    assert marginal(price, less, more) >= 0


def integral(terms: tuple[Tier, ...], total: Fraction) -> Fraction:
    """What graduated tiers come to, added up unit by unit of each tier."""
    below, owed = Fraction(0), Fraction(0)
    for tier in terms:
        end = total if tier.up_to is None else min(total, Fraction(tier.up_to))
        if total > below:
            owed += (end - below) * Fraction(tier.unit_amount) + Fraction(tier.flat_amount)
            below = end
    return total * Fraction(terms[0].unit_amount) if total < 0 else owed


@settings(deadline=None)
@given(tiers(), quantities, positive, st.integers(0, 10**6))
def test_a_converted_graduated_price_equals_an_independent_integral(
    terms: tuple[Tier, ...], quantity: Quantity, divide_by: Decimal, free: int
) -> None:
    price = Graduated("p", "m", terms, convert=Convert(divide_by), free_quantity=free)
    billable = Fraction(quantity) / Fraction(divide_by)
    billable = billable if billable <= 0 else max(billable - free, Fraction(0))
    assert price_amount(price, quantity) == to_amount(integral(terms, billable))


@settings(deadline=None)
@given(quantities, positive, charges, st.integers(0, 100), tiers(charges, 250))
def test_sugar_is_what_it_compiles_to(
    quantity: Quantity, size: Decimal, amount: Decimal, free: int, terms: tuple[Tier, ...]
) -> None:
    whole = Convert(size, "up")
    assert price_amount(Package("p", "m", size, amount), quantity) == price_amount(
        PerUnit("p", "m", amount, convert=whole), quantity
    )
    packages = Package("p", "m", 30, amount, 30 * free)
    converted = PerUnit("p", "m", amount, convert=Convert(30, "up"), free_quantity=free)
    if quantity >= 0:
        assert price_amount(packages, quantity) == price_amount(converted, quantity)
    in_blocks = tuple(
        msgspec.structs.replace(tier, up_to=None if tier.up_to is None else int(tier.up_to) // 250) for tier in terms
    )
    for sugar, plain in ((BlockGraduated, Graduated), (BlockVolume, Volume)):
        price = plain("p", "m", in_blocks, convert=Convert(250, "up"))
        assert price_amount(sugar("p", "m", terms, block_size=250), quantity) == price_amount(price, quantity)
    steps = (Tier(up_to=size, unit_amount=0, flat_amount=amount), Tier(unit_amount=2))
    assert price_amount(Capacity("p", "m", size, amount, 2), quantity) == price_amount(
        Graduated("p", "m", steps, True), quantity
    )


@settings(deadline=None)
@given(one_number, quantities)
def test_the_precision_that_a_program_has_set_changes_nothing(price: Price, quantity: Quantity) -> None:
    """Python's decimal context loses digits silently; nothing here may use it."""
    before = quote(price, quantity)
    fresh: Price = msgspec.json.decode(msgspec.json.encode(price), type=Price)
    with localcontext(prec=3):
        assert quote(fresh, quantity) == before


lines = st.lists(st.decimals(-(10**9), 10**9, places=12), max_size=12)


@settings(deadline=None)
@given(lines, st.sampled_from(["USD", "JPY", "KWD", "credits/0"]))
def test_rounding_lines_neither_creates_nor_loses_a_minor_unit(amounts: list[Decimal], currency: str) -> None:
    rounded = round_lines(amounts, currency)
    unit = Decimal(1).scaleb(-minor_digits(currency))
    assert sum(rounded, Decimal(0)) == round_money(sum(amounts, Decimal(0)), currency)
    assert all(abs(line - amount) < unit for line, amount in zip(rounded, amounts, strict=True))


@settings(deadline=None)
@given(totals(), st.decimals(-(10**9), 10**9, places=2))
def test_a_pool_given_back_by_usage_adds_up(used: list[Total], owed: Decimal) -> None:
    price = PerUnit("p", "m", "1", allocate_by="zone")
    by = shares(price, used, NOVEMBER)
    if by:
        assert sum(allocated(owed, "USD", by).values(), Decimal(0)) == owed


# Broken variants: each is a mistake that is easy to make, and adding up catches it.


def assert_adds_up(rows: list[Decimal], price: Price, used: list[Total]) -> None:
    assert exact(rows) == Fraction(price_usage(price, used, NOVEMBER).amount)


def each_window_by_itself(price: Price, used: list[Total]) -> list[Decimal]:
    return [price_usage(price, [total], NOVEMBER).amount for total in used]


def days_alone(price: Price, used: list[Total]) -> list[Decimal]:
    return [row.amount for row, _ in usage_days(price, used, NOVEMBER, ALL_DAYS)][1:]


def days_that_changed_alone(price: Price, used: list[Total]) -> list[Decimal]:
    changed = [day for place, day in enumerate(ALL_DAYS) if place < 2]
    return [row.amount for row, _ in usage_days(price, used, NOVEMBER, changed)]


@pytest.mark.parametrize(
    ("broken", "price"),
    [
        (each_window_by_itself, PerUnit("p", "m", "1", convert=Convert(20, "up"))),
        (each_window_by_itself, PerUnit("p", "m", "1", free_quantity=3)),
        (days_alone, PerUnit("p", "m", "1", minimum_amount=100)),
        (days_that_changed_alone, PerUnit("p", "m", "1", rollup=Rollup("1d", "mean", missing="carry"))),
    ],
)
def test_adding_up_catches_a_broken_rating(broken: Callable[[Price, list[Total]], list[Decimal]], price: Price) -> None:
    used = [window("m", 8, day=0), window("m", 9, day=1)]
    assert_adds_up([row.amount for row, _ in usage_days(price, used, NOVEMBER, ALL_DAYS)], price, used)
    with pytest.raises(AssertionError):
        assert_adds_up(broken(price, used), price, used)
