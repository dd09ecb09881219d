"""Commitments are drawn down in time order, and credits pay no more than there is."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.billing import rate_contract, rate_period
from rating.commitments import Charge, Commitment, Drawdown, Left, Term, draw
from rating.credits import Credit, in_order_of_use, pay
from rating.prices import PerUnit, read_price
from tests.unit.rating_contracts import (
    HOUR,
    NOVEMBER,
    ONE,
    OPENING,
    START,
    contract,
    exact,
    terms_of,
    used,
)


@given(st.lists(st.integers(1, 50), max_size=5), st.decimals(-50, 300, places=2), st.data())
def test_credits_never_pay_more_than_is_due_nor_more_than_they_hold(
    amounts: list[int], due: Decimal, data: st.DataObject
) -> None:
    credits = [Credit(id=str(n), amount=amount, counts="after_minimum") for n, amount in enumerate(amounts)]
    left = {c.id: data.draw(st.decimals(0, Decimal(c.amount), places=2)) for c in credits[::2]}
    paid = pay(due, credits, left, NOVEMBER.end)
    assert all(0 < amount <= left.get(credit.id, Decimal(credit.amount)) for credit, amount in paid)
    held = exact([left.get(credit.id, Decimal(credit.amount)) for credit in credits])
    assert exact([amount for _, amount in paid]) == min(max(Fraction(due), Fraction(0)), held)


charges = st.lists(
    st.builds(
        lambda hour, place, amount: Charge(START + hour * HOUR, place, (), "ab"[place], amount),
        st.integers(0, 20),
        st.integers(0, 1),
        st.decimals(0, 100, places=2),
    ),
    max_size=12,
)


POOL = Commitment(id="pool", kind="prepaid", amount="300", overage_premium_percent="10")


Draw = Callable[[Sequence[Charge]], Drawdown]


def drawn(given_charges: Sequence[Charge]) -> Drawdown:
    return draw([Term(POOL, START, None, False)], {}, given_charges)


def assert_time_order(drawing: Draw, given_charges: Sequence[Charge]) -> None:
    """A cent at a time, in time order."""
    left, over = 30_000, {"a": 0, "b": 0}
    for charge in sorted(given_charges):
        cents = int(charge.amount * 100)
        over[charge.price] += max(cents - left, 0)
        left = max(left - cents, 0)
    found = drawing(given_charges)
    assert {price: int(amount * 100) for price, amount in found.overage.items()} == {p: o for p, o in over.items() if o}
    assert found.left["pool"].term * 100 == left
    assert {price: amount / 10 for price, amount in found.overage.items()} == found.premium


@given(charges)
def test_a_drawdown_equals_one_made_cent_by_cent_in_time_order(given_charges: list[Charge]) -> None:
    assert_time_order(drawn, given_charges)


def test_the_check_of_a_drawdown_catches_one_by_price_and_one_that_forgets_the_premium() -> None:
    late_b_first = [Charge(START + HOUR, 1, (), "b", Decimal(250)), Charge(START + 2 * HOUR, 0, (), "a", Decimal(100))]

    def by_price(given_charges: Sequence[Charge]) -> Drawdown:
        return drawn([charge._replace(at=START + charge.place * HOUR) for charge in given_charges])

    def without_premium(given_charges: Sequence[Charge]) -> Drawdown:
        found = drawn(given_charges)
        found.premium.clear()
        return found

    assert_time_order(drawn, late_b_first)
    for broken in (by_price, without_premium):
        with pytest.raises(AssertionError):
            assert_time_order(broken, late_b_first)


@given(charges, charges)
def test_what_is_taken_back_leaves_a_commitment_as_if_it_had_never_been_charged(
    kept: list[Charge], taken: list[Charge]
) -> None:
    later = [charge._replace(at=START + (40 + place) * HOUR) for place, charge in enumerate(taken)]
    back = [
        charge._replace(at=START + (99 - place) * HOUR, amount=-charge.amount) for place, charge in enumerate(later)
    ]
    one, other = drawn(kept), drawn([*kept, *later, *back])
    assert other.left == one.left
    assert {key: amount for key, amount in other.overage.items() if amount} == one.overage


def test_a_commitment_of_each_period_rolls_over_up_to_its_cap_and_is_trued_up() -> None:
    terms = {"every": "period", "rollover_max": "30", "amount": "100"}
    for kind, totals_ in (("prepaid", ["0.00", "0.00", "20.00"]), ("committed", ["100.00", "100.00", "120.00"])):
        made, tariff = contract(ONE, commitment=(Commitment(id="c", kind=kind, **terms),))  # type: ignore[arg-type]
        months = [used(1, 60), used(31 * 24, 120), used(62 * 24, 130)]
        rated = list(rate_contract(made, months, tariff, datetime(2027, 2, 1, tzinfo=UTC)))
        assert [period.closing.commitments["c"].rolled for period in rated] == [30, 10, 0]
        assert [str(period.total) for period in rated] == totals_
    assert [term.kind for period in rated for term in period.terms] == ["true_up", "prepaid", "true_up", "prepaid"]


def test_a_term_that_ends_within_a_period_covers_what_came_before_it_and_leaves_its_rollover() -> None:
    commitment = Commitment(id="c", kind="prepaid", amount="100", rollover_max="30", to=START + 10 * HOUR,
                            overage_premium_percent="50")  # fmt: skip
    made, tariff = contract(ONE, commitment=(commitment,))
    rated = rate_period(made, [used(5, 40), used(15, 50)], tariff, OPENING)
    assert terms_of(rated) == [("prepaid", "-70.00")]
    assert str(rated.total) == "20.00"
    assert rated.closing.commitments["c"] == Left(Decimal(0), Decimal(0))


def test_credits_are_used_by_priority_expiry_category_effective_and_created() -> None:
    def credit(id: str, **given: Any) -> Credit:
        return Credit(id=id, amount="10", counts="after_minimum", **given)

    at = [START - n * HOUR for n in range(3)]
    ordered = [
        credit("z", priority=-1),
        credit("y", expires=NOVEMBER.end),
        credit("x", effective=None, category="promotional"),
        credit("w", effective=at[1]),
        credit("v", effective=at[0], created=at[1]),
        credit("u", effective=at[0], created=at[0]),
        credit("t", category="paid"),
    ]
    assert in_order_of_use(reversed(ordered)) == ordered
    expired = credit("a", expires=NOVEMBER.end - HOUR, priority=-9)
    not_yet = credit("b", effective=NOVEMBER.end, priority=-9)
    made, tariff = contract(ONE, credit=(expired, *reversed(ordered), not_yet))
    rated = rate_period(made, [used(1, 25)], tariff, OPENING)
    assert [(term.id, str(term.amount)) for term in rated.terms] == [("z", "-10.00"), ("y", "-10.00"), ("x", "-5.00")]
    assert rated.closing.credits == {"z": 0, "y": 0, "x": 5}


def test_a_rollup_is_drawn_when_it_is_known_at_the_end() -> None:
    rollup = {"every": "1h", "over": "max"}
    price = read_price({"id": "peak", "model": "per_unit", "meter": "m", "unit_amount": "1", "rollup": rollup})
    commitment = Commitment(id="c", kind="prepaid", amount="12")
    made, tariff = contract(price, PerUnit("q", "n", "1"), commitment=(commitment,))
    rated = rate_period(made, [used(1, 9), used(2, 3), used(700, 10, "n")], tariff, OPENING)
    assert [(term.price, str(term.amount)) for term in rated.terms] == [("q", "-10.00"), ("peak", "-2.00")]
