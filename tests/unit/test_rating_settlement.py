"""What stands between the prices of a period and its total: which terms hold in it, and what each of them looks at."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from rating.billing import rate_contract, rate_period
from rating.commitments import Commitment, Left
from rating.contracts import Contract
from rating.coupons import Coupon
from rating.credits import Credit, in_order_of_use, pay
from rating.openings import Invoiced, Opening
from rating.prices import Flat
from rating.rated import TermLine
from rating.settlement import Settlement, settle
from tests.unit.rating_contracts import HOUR, NOVEMBER, ONE, OPENING, START, contract, terms_of, used

DAY = 24 * HOUR


def settled(
    gross: dict[str, str], opening: Opening = OPENING, ahead: tuple[Invoiced, ...] = (), projected: bool = False,
    **terms: Any,
) -> Settlement:  # fmt: skip
    made = Contract("acme", "pro", **({"from_": START} | terms))
    amounts = {price: Decimal(amount) for price, amount in gross.items()}
    return settle(made, NOVEMBER, "USD", amounts, [], opening, ahead, projected)


def prepaid(**given: Any) -> Commitment:
    return Commitment(**{"id": "c", "kind": "prepaid", "amount": "10"} | given)


@pytest.mark.parametrize(
    ("given", "covered"),
    [
        ({}, 5),
        ({"from_": START + 2 * HOUR}, 3),
        ({"to": START + 2 * HOUR}, 2),
        ({"from_": START + 2 * HOUR, "to": START + 4 * HOUR}, 2),
        ({"from_": NOVEMBER.end}, None),
        ({"to": START}, 0),
        ({"from_": START, "to": NOVEMBER.end}, 5),
    ],
)
def test_a_commitment_holds_within_its_own_bounds(given: dict[str, Any], covered: int | None) -> None:
    """Of charges of 1 in each of five hours; None: it is not there at all."""
    made, tariff = contract(ONE, commitment=(prepaid(**given),))
    rated = rate_period(made, [used(hour, 1) for hour in range(5)], tariff, OPENING)
    assert -sum(term.amount for term in rated.terms) == (covered or 0)
    assert ("c" in rated.closing.commitments) == (covered is not None)


def test_a_term_that_ends_with_the_period_ends_in_it_and_one_that_ends_later_goes_on() -> None:
    promise = {"kind": "committed", "rollover_max": "3"}
    for to, kinds, left in (
        (NOVEMBER.end, ["true_up"], Left(Decimal(0), Decimal(3))),
        (NOVEMBER.end + HOUR, [], Left(Decimal(10), Decimal(0))),
        (None, [], Left(Decimal(10), Decimal(0))),
    ):
        found = settled({}, commitment=(prepaid(**promise, to=to),))
        assert [term.kind for term in found.terms] == kinds
        assert found.commitments == {"c": left}


def test_the_contract_ends_a_commitment_that_would_go_on() -> None:
    for given in ({}, {"every": "period"}, {"to": START + 5 * HOUR}):
        made, tariff = contract(ONE, commitment=(prepaid(kind="committed", **given),), to=START + 5 * HOUR)
        rated = rate_period(made, [used(1, 4)], tariff, OPENING)
        assert terms_of(rated) == [("true_up", "6.00")]


def test_a_commitment_of_each_period_is_whole_again_and_ends_with_the_period_or_before() -> None:
    opening = Opening(START, commitments={"c": Left(Decimal(1), Decimal(2)), "d": Left(Decimal(1), Decimal(2))})
    both = (prepaid(every="period"), prepaid(id="d"))
    made, tariff = contract(ONE, commitment=both)
    rated = rate_period(made, [used(1, 14)], tariff, opening)
    assert [(term.id, term.amount) for term in rated.terms] == [("c", -12), ("d", -2)]
    assert rated.closing.commitments == {"c": Left(), "d": Left(Decimal(1), Decimal(0))}
    short = prepaid(kind="committed", every="period", to=START + 5 * HOUR)
    made, tariff = contract(ONE, commitment=(short,))
    assert terms_of(rate_period(made, [used(1, 4), used(6, 50)], tariff, OPENING)) == [("true_up", "6.00")]


def test_of_a_commitment_that_is_over_only_what_was_rolled_over_is_left() -> None:
    _, tariff = contract(ONE)
    made = Contract("acme", "pro", START - 30 * DAY, commitment=(prepaid(every="period", to=START),))
    opening = Opening(START, commitments={"c": Left(Decimal(7), Decimal(3))})
    rated = rate_period(made, [used(1, 14)], tariff, opening)
    assert terms_of(rated) == [("prepaid", "-3.00")]
    assert rated.closing.commitments == {"c": Left()}


def test_the_minimum_is_shared_out_by_the_part_of_the_period_that_the_contract_holds() -> None:
    for given, owed in (
        ({}, "300.00"),
        ({"from_": START - DAY, "to": NOVEMBER.end + DAY}, "300.00"),
        ({"from_": START + 10 * DAY}, "200.00"),
        ({"to": START + 10 * DAY}, "100.00"),
        ({"from_": START + 10 * DAY, "to": START + 20 * DAY}, "100.00"),
    ):
        found = settled({}, minimum="300", proration="day", **given)
        assert [(term.kind, str(term.amount)) for term in found.terms] == [("minimum", owed)]
    whole = settled({}, minimum="300", from_=START + 10 * DAY)
    assert [str(term.amount) for term in whole.terms] == ["300.00"], "where nothing is prorated it is owed in full"
    assert not settled({"p": "300"}, minimum="300").terms
    assert settled({"p": "299.99"}, minimum="300").terms == (TermLine("minimum", Decimal("0.01")),)


def test_what_is_only_known_at_the_end_is_projected_until_then() -> None:
    ahead = (Invoiced("pro", "base", Decimal("20.00")),)
    opening = Opening(START, invoiced=(Invoiced("pro", "base", Decimal("15.00")),))
    promise = prepaid(kind="committed", every="period")
    credit = Credit(id="k", amount="1", counts="after_minimum")
    for projected in (True, False):
        found = settled(
            {"p": "5"}, opening, ahead, projected, minimum="300", commitment=(promise,), credit=(credit,),
            coupon=(Coupon(id="off", amount_off="1"),),
        )  # fmt: skip
        said = [(term.kind, str(term.amount), term.id, term.price, term.plan, term.projected) for term in found.terms]
        assert said == [
            ("coupon", "-1.00", "off", "p", None, False),
            ("true_up", "10.00", "c", None, None, projected),
            ("already_invoiced", "-15.00", "", "base", "pro", False),
            ("minimum", "286.00", "", None, None, projected),
            ("billed_ahead", "20.00", "", "base", "pro", projected),
            ("credit_after_minimum", "-1.00", "k", None, None, False),
        ]


def test_what_terms_take_from_a_price_is_the_difference_of_two_rounded_amounts() -> None:
    found = settled({"p": "0.005", "q": "0.005"}, coupon=(Coupon(id="off", percent_off="50"),), minimum="1")
    assert [(term.kind, str(term.amount)) for term in found.terms] == [
        ("coupon", "-0.01"),
        ("coupon", "-0.01"),
        ("minimum", "1.00"),
    ]


def test_a_commitment_that_begins_later_hides_none_that_holds() -> None:
    made, tariff = contract(ONE, commitment=(prepaid(id="later", from_=NOVEMBER.end), prepaid(id="now")))
    rated = rate_period(made, [used(1, 4)], tariff, OPENING)
    assert [(term.kind, term.id, term.price) for term in rated.terms] == [("prepaid", "now", "p")]
    over = prepaid(amount="1", overage_premium_percent="100")
    made, tariff = contract(ONE, commitment=(over,))
    terms = rate_period(made, [used(1, 4)], tariff, OPENING).terms
    assert [(term.kind, term.id, term.price) for term in terms] == [("prepaid", "c", "p"), ("overage_premium", "", "p")]


def test_a_coupon_holds_in_the_periods_that_begin_within_its_bounds() -> None:
    for given, off in (
        ({"from_": START, "to": START + HOUR}, 1),
        ({"from_": START + HOUR}, 0),
        ({"to": START}, 0),
    ):
        found = settled({"p": "5"}, coupon=(Coupon(id="off", amount_off="1", **given),))
        assert -sum(term.amount for term in found.terms) == off


def test_a_credit_that_expires_before_it_takes_effect_is_refused() -> None:
    for expires in (START, START - HOUR):
        with pytest.raises(ValueError, match=r"^expires: must be after"):
            Credit(id="k", amount="1", counts="after_minimum", effective=START, expires=expires)
    Credit(id="k", amount="1", counts="after_minimum", effective=START, expires=START + HOUR)


def test_credits_pay_in_their_order_what_is_due_before_and_after_the_minimum() -> None:
    before = Credit(id="b", amount="8", counts="before_minimum")
    after = Credit(id="a", amount="100", counts="after_minimum")
    found = settled({"p": "5"}, credit=(after, before), minimum="20")
    assert [(term.kind, str(term.amount), term.id) for term in found.terms] == [
        ("credit_before_minimum", "-5.00", "b"),
        ("minimum", "20.00", ""),
        ("credit_after_minimum", "-20.00", "a"),
    ]
    assert found.credits == {"b": 3, "a": 80}
    again = settled({"p": "50"}, Opening(START, credits=found.credits), credit=(after, before))
    assert again.credits == {"b": 0, "a": 33}


def test_a_credit_pays_where_it_is_in_effect_at_the_last_instant_of_the_period() -> None:
    def pays(**given: Any) -> bool:
        return Credit(id="k", amount="1", counts="after_minimum", **given).pays(NOVEMBER.end)

    assert pays()
    assert pays(expires=NOVEMBER.end)
    assert not pays(expires=NOVEMBER.end - HOUR)
    assert pays(effective=NOVEMBER.end - HOUR)
    assert not pays(effective=NOVEMBER.end)
    assert not pays(effective=START, expires=START + HOUR)


def test_a_credit_that_cannot_pay_leaves_all_that_is_due_to_the_next() -> None:
    spent, expired, last = (Credit(id=id, amount="9", counts="after_minimum") for id in "abc")
    expired = Credit(id="b", amount="9", counts="after_minimum", expires=START)
    paid = pay(Decimal(7), [spent, expired, last], {"a": Decimal(0)}, NOVEMBER.end)
    assert [(credit.id, amount) for credit, amount in paid] == [("c", 7)]


def test_of_credits_alike_the_one_without_an_expiry_is_last_and_the_one_without_a_start_first() -> None:
    def credit(id: str, **given: Any) -> Credit:
        return Credit(id=id, amount="1", counts="after_minimum", **given)

    expiries = [credit("c", expires=START), credit("b", expires=START + HOUR), credit("a")]
    effects = [credit("c"), credit("b", effective=START), credit("a", effective=START + HOUR)]
    created = [credit("c"), credit("b", created=START), credit("a", created=START + HOUR)]
    for ordered in (expiries, effects, created, [credit("a"), credit("b")]):
        assert in_order_of_use(reversed(ordered)) == ordered


def test_periods_follow_each_other_until_the_end_asked_for_or_that_of_the_contract() -> None:
    made, tariff = contract(ONE, to=START + 40 * DAY)
    december, january = datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    assert [one.start for one in rate_contract(made, [], tariff, january)] == [START, december]
    assert [one.start for one in rate_contract(made, [], tariff, december)] == [START]
    ended, tariff = contract(ONE, to=december)
    assert [one.start for one in rate_contract(ended, [], tariff, january)] == [START]


def test_what_is_billed_ahead_is_of_the_next_period_and_not_what_a_commitment_covers() -> None:
    flats = (Flat("seat", "5", billed="advance"), Flat("base", "20", billed="advance"), Flat("fee", "3"))
    made, tariff = contract(*flats, commitment=(prepaid(prices=("seat",)),))
    closing = rate_period(made, [], tariff, OPENING).closing
    assert closing.invoiced == (Invoiced("pro", "base", Decimal("20.00")),)
    assert str(closing.invoiced[0].amount) == "20.00"
