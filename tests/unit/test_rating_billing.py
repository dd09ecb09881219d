"""A billing period: terms in their order, prices that come and go, usage that has none."""

from decimal import Decimal

import pytest

from rating.billing import rate_contract, rate_period
from rating.calendar import Anchor
from rating.charges import ms
from rating.commitments import Commitment
from rating.contracts import AddOn, Contract, Override
from rating.coupons import Coupon
from rating.credits import Credit
from rating.invoices import period_document
from rating.openings import Opening
from rating.plans import Plan
from rating.prices import Flat, Graduated, PerUnit, Tier, read_price
from rating.rate import Tariff
from rating.states import Sum
from rating.totals import Total
from tests.unit.rating_contracts import HOUR, ONE, OPENING, START, contract, terms_of, used


def test_terms_come_in_their_order_and_each_shows_what_it_changed() -> None:
    made, tariff = contract(
        ONE,
        Flat("base", "20", billed="advance"),
        commitment=(
            Commitment(id="paid", kind="prepaid", amount="50", prices=("p",), overage_premium_percent="20"),
            Commitment(id="promise", kind="committed", amount="90", prices=("base",), every="period"),
        ),
        coupon=(Coupon(id="ten", percent_off="10", prices=("p",)),),
        credit=(
            Credit(id="early", amount="5", counts="before_minimum"),
            Credit(id="late", amount="7", counts="after_minimum"),
        ),
        minimum="300",
    )
    rated = rate_period(made, [used(1, 100)], tariff, OPENING)
    assert [(line.price, str(line.amount)) for line in rated.lines] == [("p", "100.00"), ("base", "20.00")]
    assert terms_of(rated) == [
        ("prepaid", "-50.00"),
        ("overage_premium", "10.00"),
        ("coupon", "-6.00"),
        ("true_up", "70.00"),
        ("credit_before_minimum", "-5.00"),
        ("minimum", "111.00"),  # 300 - (54 + 20 + 70 - 5 + the 50 that were prepaid)
        ("credit_after_minimum", "-7.00"),
    ]
    assert str(rated.total) == "243.00"


def test_a_flat_price_in_advance_is_billed_once_for_each_period() -> None:
    made, tariff = contract(Flat("base", "20", billed="advance"), to=START + 89 * 24 * HOUR, proration="day")
    rated = list(rate_contract(made, [], tariff, START + 200 * 24 * HOUR))
    assert [terms_of(period) for period in rated] == [
        [("billed_ahead", "20.00")],
        [("already_invoiced", "-20.00"), ("billed_ahead", "18.06")],  # 28 of 31 days
        [("already_invoiced", "-18.06")],
    ]
    assert [str(period.total) for period in rated] == ["40.00", "18.06", "0.00"]


def test_add_ons_and_overrides_hold_in_their_own_time_and_do_not_restart_other_prices() -> None:
    tiers = (Tier(up_to=10, unit_amount="0"), Tier(unit_amount="1"))
    main = Plan("pro", 1, "USD", price=(Graduated("p", "m", tiers), PerUnit("q", "n", "2")))
    extra = Plan("extra", 1, "USD", price=(PerUnit("x", "o", "5"),))
    made = Contract(
        "acme",
        "pro",
        START,
        add_on=(AddOn("extra", from_=START + 10 * HOUR, to=START + 20 * HOUR),),
        override=(Override(PerUnit("q", "n", "1"), START + 15 * HOUR),),
    )
    tariff = Tariff(None, (main, extra), (made,))
    windows = [used(hour, 8, meter) for hour in (5, 12, 17, 25) for meter in "mno"]
    rated = rate_period(made, windows, tariff, OPENING)
    assert [(line.price, line.plan, str(line.quantity), str(line.amount)) for line in rated.lines] == [
        ("p", "pro", "32", "22.00"),
        ("q", "pro", "16", "32.00"),
        ("q", "pro", "16", "16.00"),
        ("x", "extra", "16", "80.00"),
    ]
    reason = "plan 'pro' version 1 has no price for this meter"
    assert [(row.meter, row.quantity, row.reason) for row in rated.unrated] == [("o", 8, reason), ("o", 8, reason)]


def test_a_plan_version_holds_from_its_instant_and_before_it_usage_is_unrated_with_the_reason() -> None:
    first = Plan("pro", 1, "USD", price=(PerUnit("p", "m", "1"),), from_=START + 10 * HOUR)
    second = Plan("pro", 2, "USD", price=(PerUnit("p", "m", "3"),), from_=START + 20 * HOUR)
    made = Contract("acme", "pro", START)
    rated = rate_period(made, [used(5, 1), used(15, 1), used(25, 1)], Tariff(None, (second, first), (made,)), OPENING)
    assert [(line.plan_version, str(line.amount)) for line in rated.lines] == [(1, "1.00"), (2, "3.00")]
    assert [(row.quantity, row.reason) for row in rated.unrated] == [(1, "plan 'pro' has no version at that time")]


def test_usage_before_the_contract_is_unrated_and_a_window_that_a_change_cuts_raises() -> None:
    _, tariff = contract(ONE)
    late = Contract("acme", "pro", START + 10 * HOUR, tiers_on_change="continue")
    rated = rate_period(late, [used(5, 1), used(15, 2)], tariff, OPENING)
    assert [(row.reason, row.quantity) for row in rated.unrated] == [("no contract at that time", 1)]
    day = Total("m", ms(START), ms(START + 24 * HOUR), Sum(Decimal(1)))
    with pytest.raises(ValueError, match="is cut where price 'p' begins or ends"):
        rate_period(late, [day], tariff, OPENING)


def test_a_contract_that_follows_within_a_period_may_continue_its_tiers() -> None:
    tiers = (Tier(up_to=10, unit_amount="1"), Tier(unit_amount="0.5"))
    plan = Plan("pro", 1, "USD", price=(Graduated("p", "m", tiers),))
    change = START + 10 * HOUR
    old = Contract("acme", "pro", START, change)
    for policy, owed in (("continue", "4.00"), ("restart", "8.00")):
        new = Contract("acme", "pro", change, tiers_on_change=policy)  # type: ignore[arg-type]
        tariff = Tariff(None, (plan,), (old, new))
        before = rate_period(old, [used(5, 12)], tariff, OPENING)
        opening = Opening(change, used=before.closing.used)
        assert str(rate_period(new, [used(15, 8)], tariff, opening).total) == owed


def test_a_matrix_is_drawn_down_and_prorated_like_any_price_and_its_gaps_are_unrated() -> None:
    tiers = [{"up_to": 10, "unit_amount": "1"}, {"unit_amount": "2"}]
    cell = {"when": {"zone": ["x"]}, "price": {"model": "graduated", "tiers": tiers}}
    price = read_price({"id": "p", "model": "matrix", "meter": "m", "dimensions": ["zone"], "cell": [cell]})
    commitment = Commitment(id="c", kind="prepaid", amount="8", overage_premium_percent="10")
    made = Contract("acme", "pro", START + 15 * 24 * HOUR, tiers_on_change="prorate", commitment=(commitment,))
    tariff = Tariff(None, (Plan("pro", 1, "USD", price=(price,)),), (made,))
    hour = 16 * 24
    rated = rate_period(made, [used(hour, 9, zone="x"), used(hour, 3, zone="y")], tariff, OPENING)
    (line,) = rated.lines
    assert (line.values, str(line.amount)) == ({"zone": "x"}, "13.00")  # 5 at 1 and 4 at 2, as half a period is left
    assert terms_of(rated) == [("prepaid", "-8.00"), ("overage_premium", "0.50")]
    assert [(row.values, row.quantity) for row in rated.unrated] == [({"zone": "y"}, 3)]


def test_the_cost_of_a_pool_is_given_back_by_usage_to_the_cent() -> None:
    tiers = [{"up_to": 100, "unit_amount": "0"}, {"unit_amount": "40"}]
    pool = read_price({"id": "p", "model": "graduated", "meter": "m", "tiers": tiers, "allocate_by": "zone"})
    made, tariff = contract(pool)
    usage = [used(1, "62.5", zone="a"), used(2, "41.25", zone="b"), used(3, "11.25", zone="c")]
    (line,) = period_document(rate_period(made, usage, tariff, OPENING))["lines"]
    assert line["allocated"] == {"a": "326.09", "b": "215.22", "c": "58.69"}


def test_nothing_is_carried_beyond_the_instant_up_to_which_usage_is_known() -> None:
    rollup = {"every": "1h", "over": "sum", "missing": "carry"}
    price = read_price({"id": "p", "model": "per_unit", "meter": "m", "unit_amount": "1", "rollup": rollup})
    made, tariff = contract(price)
    for hours, owed in ((10, "27.00"), (720, "2157.00")):  # 3 in each hour from the second on
        rated = rate_period(made, [used(1, 3)], tariff, OPENING, through=START + hours * HOUR)
        assert str(rated.total) == owed


def test_periods_follow_the_anchor_and_time_zone_of_the_contract() -> None:
    made, tariff = contract(ONE, anchor=Anchor(day=31), time_zone="America/New_York")
    rated = list(rate_contract(made, [used(24 * 30 - 21, 1), used(24 * 30 + 5, 2)], tariff, START + 50 * 24 * HOUR))
    assert [period.start.isoformat() for period in rated] == [
        "2026-10-31T04:00:00+00:00",
        "2026-11-30T05:00:00+00:00",
    ]
    assert [str(period.total) for period in rated] == ["1.00", "2.00"]


def test_usage_without_a_price_says_for_how_long_and_names_all_plans_that_have_none() -> None:
    plans = tuple(Plan(id, 1, "USD", price=(Flat(id, "1"),)) for id in ("pro", "more", "most"))
    later = START + 10 * 24 * HOUR
    made = Contract("acme", "pro", START, add_on=(AddOn("more"), AddOn("most", from_=later)))
    rated = rate_period(made, [used(1, 2), used(3, 3), used(11 * 24, 4)], Tariff(None, plans, (made,)), OPENING)
    assert [(row.quantity, row.reason, row.start, row.end) for row in rated.unrated] == [
        (5, "plans 'pro' version 1, 'more' version 1 have no price for this meter", START, later),
        (
            4,
            "plans 'pro' version 1, 'more' version 1, 'most' version 1 have no price for this meter",
            later,
            rated.end,
        ),
    ]
