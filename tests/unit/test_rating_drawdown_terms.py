"""One draw at a time: which commitment takes a charge, what its end leaves, and what comes back."""

from decimal import Decimal
from typing import Any

from rating.commitments import Charge, Commitment, Drawdown, Left, Term, draw
from tests.unit.rating_contracts import HOUR, START

END = START + 10 * HOUR


def commitment(id: str, amount: str = "100", **given: Any) -> Commitment:
    return Commitment(**{"id": id, "kind": "prepaid", "amount": amount} | given)


def term(one: Commitment, start_hour: int = 0, end_hour: int | None = None, *, rolls_only: bool = False) -> Term:
    return Term(one, START + start_hour * HOUR, None if end_hour is None else START + end_hour * HOUR, rolls_only)


def charge(hour: int, amount: str, price: str = "a", place: int = 0) -> Charge:
    return Charge(START + hour * HOUR, place, (), price, Decimal(amount))


def drawn(terms: list[Term], *charges: Charge, left: dict[str, Left] | None = None) -> Drawdown:
    return draw(terms, left or {}, charges)


def test_commitments_are_drawn_by_priority_then_the_earlier_end_then_the_id() -> None:
    ordered = [
        commitment("z", "1", priority=-1),
        commitment("y", "1", to=END),
        commitment("x", "1", to=END + HOUR),
        commitment("v", "1"),
        commitment("w", "1"),
        commitment("a", "1", priority=1),
    ]
    for count in range(1, len(ordered) + 1):
        found = drawn([term(one) for one in reversed(ordered)], charge(0, str(count)))
        assert [id for id, left in found.left.items() if not left.term] == [one.id for one in ordered[:count]]
        assert list(found.left) == [one.id for one in ordered]


def test_a_term_takes_charges_from_its_start_to_before_its_end() -> None:
    held = [term(commitment("c", overage_premium_percent="10"), 2, 5)]
    for hour, taken in ((1, 0), (2, 30), (4, 30), (5, 0)):
        found = drawn(held, charge(hour, "30"))
        assert sum(found.covered.values()) == taken
        assert not found.overage, "before its start and after its end nothing is beyond it"


def test_only_the_chosen_prices_are_drawn_and_those_beyond_it_pay_the_premium() -> None:
    held = [term(commitment("c", "10", prices=("a",), overage_premium_percent="20"))]
    found = drawn(held, charge(0, "15"), charge(1, "15", "b", 1), charge(2, "5"))
    assert found.covered == {("c", "a"): 10}
    assert found.overage == {"a": 10}
    assert found.premium == {"a": 2}


def test_overage_pays_the_premium_of_the_last_open_commitment_that_takes_it() -> None:
    held = [
        term(commitment("a", "10", overage_premium_percent="10"), 0, 5),
        term(commitment("b", "10", priority=1, overage_premium_percent="20"), 0, 3),
        term(commitment("c", "10", priority=2, prices=("other",), overage_premium_percent="50")),
    ]
    assert drawn(held, charge(0, "30")).premium == {"a": 2}
    assert drawn(held, charge(3, "30")).premium == {"a": 2}, "10 percent of 20, as b has ended"
    assert drawn(held, charge(5, "30")).premium == {}


def test_the_end_of_a_prepaid_term_keeps_the_cap_and_what_is_above_it_expires() -> None:
    one = commitment("c", "100", rollover_max="30")
    found = drawn([term(one, 0, 5)], charge(0, "40"), left={"c": Left(Decimal(70), Decimal(5))})
    assert (found.rolled, found.expired, found.true_up) == ({"c": 30}, {"c": 5}, {})
    assert found.left == {"c": Left(Decimal(0), Decimal(30))}
    assert found.covered == {("c", "a"): 40}


def test_the_end_of_a_promise_owes_what_is_missing_and_rolls_it_over_once() -> None:
    one = commitment("c", "100", kind="committed", rollover_max="30")
    found = drawn([term(one, 0, 5)], charge(0, "40"), charge(5, "50"), charge(6, "1"))
    assert found.true_up == {"c": 60}
    assert (found.rolled, found.expired) == ({"c": 30}, {"c": 30})
    assert found.covered == {("c", "a"): 30}, "what was rolled over is paid; the 40 before were owed as they came"
    assert found.left == {"c": Left(Decimal(0), Decimal(0))}
    assert not found.overage
    kept = drawn([term(one, 0, 5)], charge(0, "100"))
    assert (kept.true_up, kept.covered) == ({}, {})


def test_what_was_rolled_over_goes_first_and_is_all_that_is_left_of_a_commitment_that_is_over() -> None:
    one = commitment("c", "100", kind="committed")
    left = {"c": Left(Decimal(50), Decimal(20))}
    found = drawn([term(one)], charge(0, "30"), left=left)
    assert (found.covered, found.left["c"]) == ({("c", "a"): 20}, Left(Decimal(40), Decimal(0)))
    over = drawn([term(one, rolls_only=True)], charge(0, "30"), left=left)
    assert (over.covered, over.left["c"]) == ({("c", "a"): 20}, Left(Decimal(0), Decimal(0)))
    assert (over.overage, over.true_up) == ({}, {})


def test_a_negative_charge_takes_back_overage_first_with_its_premium_then_what_was_covered() -> None:
    held = [term(commitment("c", "10", overage_premium_percent="20"))]
    found = drawn(held, charge(0, "15"), charge(1, "-2"))
    assert (found.overage, found.premium, found.covered) == ({"a": 3}, {"a": Decimal("0.6")}, {("c", "a"): 10})
    found = drawn(held, charge(0, "15"), charge(1, "-2"), charge(2, "-7"), charge(3, "1"))
    assert (found.overage, found.premium, found.covered) == ({"a": 0}, {"a": 0}, {("c", "a"): 7})
    assert found.left["c"].term == 3


def test_what_a_price_did_not_draw_is_not_taken_back_for_it() -> None:
    held = [term(commitment("c", "10"))]
    found = drawn(held, charge(0, "4"), charge(1, "-9", "b", 1), charge(2, "-3"), charge(3, "-3"))
    assert (found.covered, found.left["c"].term) == ({("c", "a"): 0}, 10)


def test_what_a_closed_term_took_is_not_given_back_but_what_another_took_before_is() -> None:
    short = commitment("short", "10", priority=1, overage_premium_percent="10")
    held = [term(commitment("long", "10")), term(short, 0, 5)]
    found = drawn(held, charge(0, "18"), charge(6, "-5"))
    assert found.covered == {("long", "a"): 5, ("short", "a"): 8}
    assert (found.left["long"].term, found.expired) == (5, {"short": 2})


def test_what_was_rolled_over_comes_back_though_its_term_is_over() -> None:
    one = commitment("c", "10", rollover_max="6")
    found = drawn([term(one, 0, 5)], charge(6, "4"), charge(7, "-1"), charge(8, "-2"))
    assert (found.covered, found.left["c"]) == ({("c", "a"): 1}, Left(Decimal(0), Decimal(5)))
