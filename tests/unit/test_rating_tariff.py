"""What a tariff says of its accounts and prices: agreements over time, and who is priced by days or whole."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from rating.calendar import Anchor, BillingPeriod
from rating.commitments import Commitment
from rating.contracts import AddOn, Change, Contract, Override
from rating.coupons import Coupon
from rating.credits import Credit
from rating.periods import Period
from rating.plans import Plan
from rating.prices import Flat, PerUnit
from rating.rate import Segment, Tariff, is_priced_by_day


def day(month: int, day: int = 1, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


NOVEMBER, MONTH = Period(date(2026, 11, 1), date(2026, 12, 1)), BillingPeriod(day(11), day(12))
FREE = Plan("free", 1, "USD")
PRO = Plan("pro", 1, "USD", price=(PerUnit("requests", "http_requests", "0.30"), Flat("base", "5")))


JANUARY = day(1)


def agreed(from_: datetime = JANUARY, to: datetime | None = None, account: str = "acme", **terms: Any) -> Contract:
    return Contract(account, "pro", from_, to, **terms)


def test_agreements_are_the_contracts_and_the_default_plan_between_them() -> None:
    first, second = agreed(day(2), day(3)), agreed(day(4))
    tariff = Tariff("free", (FREE, PRO), (second, first))

    def default(start: datetime, end: datetime) -> Contract:
        return Contract("acme", "free", start, end)

    assert tariff.agreements("acme", day(1), day(6)) == [
        default(day(1), day(2)),
        first,
        default(day(3), day(4)),
        second,
    ]
    assert tariff.agreements("acme", day(2, 10), day(2, 20)) == [first]
    assert tariff.agreements("acme", day(2), day(3)) == [first]
    assert tariff.agreements("acme", day(1), day(2)) == [default(day(1), day(2))]
    assert tariff.agreements("acme", day(3), day(3, 15)) == [default(day(3), day(3, 15))]
    assert tariff.agreements("acme", day(3), day(5)) == [default(day(3), day(4)), second]
    assert Tariff(None, (FREE, PRO), (first, second)).agreements("acme", day(1), day(6)) == [first, second]
    assert Tariff(None, (FREE,)).agreements("acme", day(1), day(6)) == []


@pytest.mark.parametrize(
    ("terms", "whole"),
    [
        ({}, False),
        ({"to": day(11, 16)}, False),
        ({"tiers_on_change": "continue"}, False),
        ({"minimum": "5"}, False),
        ({"anchor": Anchor(day=5)}, True),
        ({"time_zone": "Europe/Berlin"}, True),
        ({"proration": "day"}, True),
        ({"from_": day(1, 1, 12)}, True),
        ({"to": day(11, 16, 12)}, True),
        ({"change": (Change(day(11, 9), "free"),)}, True),
        ({"tiers_on_change": "prorate"}, True),
    ],
)
def test_an_account_is_priced_whole_where_days_may_not_express_a_month(terms: dict[str, Any], whole: bool) -> None:
    tariff = Tariff("free", (FREE, PRO), (agreed(**terms), agreed(account="plain")))
    assert tariff.accounts_priced_whole() == ({"acme"} if whole else set())


@pytest.mark.parametrize(
    ("terms", "by_day"),
    [
        ({}, True),
        ({"minimum": "5"}, False),
        ({"commitment": (Commitment(id="c", kind="prepaid", amount="5"),)}, False),
        ({"credit": (Credit(id="c", amount="5", counts="before_minimum"),)}, False),
        ({"coupon": (Coupon(id="c", percent_off="5"),)}, False),
        ({"override": (Override(Flat("requests", "1")),)}, True),
        ({"override": (Override(Flat("requests", "1", billed="advance")),)}, False),
        ({"time_zone": "Europe/Berlin"}, False),
        ({"to": day(11, 16), "proration": "day"}, False),
        ({"proration": "day"}, True),
    ],
)
def test_the_prices_of_a_month_are_those_of_its_days_unless_a_term_adds_to_them(
    terms: dict[str, Any], by_day: bool
) -> None:
    contract = agreed(**terms)
    assert is_priced_by_day(contract, Tariff(None, (FREE, PRO), (contract,)), MONTH) is by_day


def test_a_price_is_taken_apart_by_what_any_version_of_it_has_parts_by() -> None:
    later = Plan("pro", 2, "USD", price=(PerUnit("requests", "http_requests", "0.25", per=("zone",)),))
    own = PerUnit("requests", "http_requests", "0.20", per=("subject",))
    tariff = Tariff(None, (PRO, later), (agreed(override=(Override(own),)),))
    assert tariff.taken_apart_by == {"requests": {"zone", "subject"}, "base": set()}


def test_a_contract_of_another_month_leaves_the_next_one_its_own() -> None:
    tariff = Tariff(None, (PRO, FREE), (agreed(day(1), day(10)), agreed(day(11)), agreed(day(12), account="late")))
    assert tariff.segments("acme", NOVEMBER) == [Segment(PRO, NOVEMBER.start, NOVEMBER.end)]
    (unrated,) = tariff.segments("late", NOVEMBER)
    assert (unrated.plan, unrated.start, unrated.end) == (None, NOVEMBER.start, NOVEMBER.end)


def test_a_whole_month_is_priced_by_days_whatever_a_part_of_one_would_be() -> None:
    either: tuple[dict[str, Any], ...] = ({"proration": "day"}, {"tiers_on_change": "prorate"})
    for terms in either:
        (whole,) = Tariff(None, (PRO,), (agreed(**terms),)).segments("acme", NOVEMBER)
        assert whole == Segment(PRO, NOVEMBER.start, NOVEMBER.end)
        part = Tariff(None, (PRO,), (agreed(day(11, 16), **terms),)).segments("acme", NOVEMBER)[-1]
        assert part.plan is None
        assert "is prorated" in part.reason


def test_a_month_with_an_add_on_that_is_not_there_yet_is_not_rated_and_says_why() -> None:
    more = Plan("more", 1, "USD", from_=day(12))
    (found,) = Tariff(None, (PRO, more), (agreed(add_on=(AddOn("more"),), to=day(12)),)).segments("acme", NOVEMBER)
    assert found == Segment(None, NOVEMBER.start, NOVEMBER.end, "plan 'more' has no version at that time")
