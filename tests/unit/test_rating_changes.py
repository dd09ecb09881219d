"""A price that is held for part of a period, or that changes within one: which pieces, and what each owes."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from rating.calendar import BillingPeriod, midnight
from rating.changes import Piece, is_tiered, pieces, scaled
from rating.contracts import Change, Contract
from rating.kernels import Step
from rating.plans import Plan
from rating.prices import Flat, Graduated, PerUnit, Tier, explain, price_amount, read_price
from rating.rate import Tariff
from rating.timeline import spans, timeline
from tests.unit.rating_contracts import HOUR, NOVEMBER, START

UNIT: dict[str, Any] = {"model": "per_unit", "unit_amount": 2}
CONDITION = {"percent": 50, "when": {"meter": "quantity", "above": 0}}
HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("written", "tiered"),
    [
        ({"model": "flat", "amount": 5, "minimum_amount": 1}, False),
        ({"model": "recurring", "quantity": 5, "price": UNIT}, False),
        (UNIT, False),
        ({"model": "dynamic"}, False),
        ({"model": "percentage", "percent": 3}, False),
        ({"model": "percentage", "tiers": [{"percent": 3}]}, True),
        ({"model": "graduated", "tiers": [{"unit_amount": 3}]}, True),
        ({"model": "matrix", "dimensions": ["zone"], "cell": [{"when": {"zone": ["x"]}, "price": UNIT}]}, True),
        ({**UNIT, "discount": CONDITION}, True),
        ({**UNIT, "discount_percent": 5}, False),
        ({**UNIT, "minimum_amount": 5}, True),
        ({**UNIT, "maximum_amount": 5}, True),
        ({**UNIT, "convert": {"divide_by": 5, "round": "up"}}, True),
        ({**UNIT, "convert": {"divide_by": 5}}, False),
        ({**UNIT, "free_quantity": 5}, True),
    ],
)
def test_a_price_is_tiered_where_two_parts_may_owe_something_else_than_one(
    written: dict[str, Any], tiered: bool
) -> None:
    assert is_tiered(read_price(written)) is tiered


START_OF_IT, CHANGE = START + 24 * HOUR, START + 240 * HOUR
OLD = Plan("old", 1, "USD", price=(Flat("base", "1"), PerUnit("p", "m", "2")))
NEW = Plan("new", 1, "USD", price=(Flat("base", "3"), PerUnit("p", "m", "4")))


def made_pieces(price: str, policy: Any, used_before: bool = False) -> list[Piece]:
    made = Contract("acme", "old", START_OF_IT, change=(Change(CHANGE, "new"),), tiers_on_change=policy)
    held = spans(timeline(made, Tariff(None, (OLD, NEW), (made,)).versions), NOVEMBER)[price]
    return pieces(made, NOVEMBER, held, used_before, NOVEMBER.end - HOUR)


@pytest.mark.parametrize("policy", [None, "restart", "reprice", "continue", "prorate"])
def test_a_flat_price_that_changes_is_two_pieces_whatever_becomes_of_tiers(policy: str | None) -> None:
    assert made_pieces("base", policy) == [
        Piece(OLD.price[0], OLD, 0, START_OF_IT, START_OF_IT, CHANGE, CHANGE),
        Piece(NEW.price[0], NEW, 0, CHANGE, CHANGE, NOVEMBER.end, NOVEMBER.end - HOUR),
    ]


def test_a_metered_price_that_changes_restarts_or_continues_or_is_repriced() -> None:
    first = Piece(OLD.price[1], OLD, 1, START_OF_IT, START_OF_IT, CHANGE, CHANGE)
    then = Piece(NEW.price[1], NEW, 1, CHANGE, CHANGE, NOVEMBER.end, NOVEMBER.end - HOUR)
    assert made_pieces("p", None) == made_pieces("p", "restart") == [first, then]
    assert made_pieces("p", "reprice") == [then._replace(since=START_OF_IT, start=START_OF_IT)]
    assert made_pieces("p", "continue") == [first, then._replace(since=START_OF_IT)]
    assert made_pieces("p", "continue", used_before=True) == [first._replace(since=START), then._replace(since=START)]
    assert [piece[1:] for piece in made_pieces("p", "prorate")] == [first[1:], then[1:]]


LAST_DAYS = midnight(date(2026, 3, 30), "Europe/Berlin")  # two of 31 days, 48 of 743 hours: one was left out


LAST_DAY = midnight(date(2026, 3, 31), "Europe/Berlin")


@pytest.mark.parametrize(
    ("proration", "changes", "minima"),
    [
        ("day", [LAST_DAYS], [29 * 743, 2 * 743]),
        ("second", [LAST_DAYS], [31 * 695, 31 * 48]),
        ("none", [LAST_DAYS], [31 * 695, 31 * 48]),
        (
            "day",
            [LAST_DAY + 9 * HOUR, LAST_DAY + 10 * HOUR],
            [30 * 743, 31, 743],
        ),  # an hour is no day, so it is seconds
    ],
)
def test_tiers_are_shared_out_by_days_where_the_contract_prorates_by_days_and_else_by_seconds(
    proration: Any, changes: list[datetime], minima: list[int]
) -> None:
    plans = tuple(
        Plan(id, 1, "USD", price=(PerUnit("p", "m", unit, minimum_amount=31 * 743),))
        for id, unit in (("a", 1), ("b", 2))
    )
    march = BillingPeriod(datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC))
    made = Contract(
        "acme",
        "a",
        march.start,
        change=tuple(Change(at, plan) for at, plan in zip(changes, "ba", strict=False)),
        time_zone="Europe/Berlin",
        proration=proration,
        tiers_on_change="prorate",
    )
    held = spans(timeline(made, Tariff(None, plans, (made,)).versions), march)["p"]
    found = pieces(made, march, held, False, march.end)
    assert [price_amount(piece.price, Decimal(0)) for piece in found] == minima


def test_a_price_of_the_whole_period_is_itself() -> None:
    price = read_price(UNIT)
    assert scaled(price, Fraction(1)) is price


def test_the_cells_of_a_matrix_are_scaled_each_once_and_its_default_with_them() -> None:
    minimum = {**UNIT, "minimum_amount": 10}
    cells = [{"when": {"zone": ["a", "b"]}, "price": minimum}, {"when": {"zone": ["c"]}, "price": UNIT}]
    written = {"model": "matrix", "dimensions": ["zone"], "cell": cells}
    whole: Any = read_price(written | {"default": {**UNIT, "minimum_amount": 30}})
    half: Any = scaled(whole, HALF)
    assert half.cells[("a",)] is half.cells[("b",)]
    assert [price_amount(half.cells[(zone,)], Decimal(0)) for zone in "abc"] == [5, 5, 0]
    assert price_amount(half.fallback, Decimal(0)) == 15
    without: Any = read_price(written)
    assert scaled(without, HALF).fallback is None


def test_a_share_has_its_discounts_and_explains_itself_to_the_last_digit() -> None:
    tiers = (Tier(up_to=10, unit_amount="1", flat_amount="4"), Tier(unit_amount="0.5"))
    price = scaled(Graduated("p", "m", tiers, discount=read_price({**UNIT, "discount": CONDITION}).discount), HALF)
    for met, owed in ((False, "9.5"), (True, "4.75")):  # half of 10 and 4 and 5, which is the price of 20
        assert price_amount(price, Decimal(10), met) == Decimal(owed)
        steps = explain(price, Decimal(10), met)
        assert sum(step.amount for step in steps) == Decimal(owed)
        assert (steps[-1].step, steps[-1].amount) == ("1/2 of the period", -Decimal(owed))
    assert [step.step for step in explain(price, Decimal(0), False)] == ["tier 1: units"]


def test_the_terms_alone_of_a_share_are_those_of_the_whole_and_one_step() -> None:
    pipeline = scaled(read_price({**UNIT, "discount": CONDITION, "maximum_amount": 100}), HALF).pipeline
    assert [pipeline.terms(Decimal(amount), False) for amount in (40, 60)] == [40, 50]
    assert pipeline.terms(Decimal(60), True) == 30
    assert pipeline.term_steps(Decimal(60), Decimal(50), False) == [
        Step("terms, for 1/2 of the period", Decimal(1), Decimal(-10), Decimal(-10))
    ]
