"""Contracts of one account in November 2026, drawn at random or made by hand, and their usage."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from rating.calendar import BillingPeriod
from rating.charges import ms
from rating.commitments import Commitment
from rating.contracts import Change, Contract
from rating.coupons import Coupon
from rating.credits import Credit
from rating.openings import Opening
from rating.plans import Plan
from rating.prices import Flat, Graduated, Package, PerUnit, Price, Tier, Volume
from rating.rate import Tariff
from rating.rated import RatedPeriod
from rating.states import Sum
from rating.totals import Total

START = datetime(2026, 11, 1, tzinfo=UTC)


NOVEMBER = BillingPeriod(START, datetime(2026, 12, 1, tzinfo=UTC))


HOUR = timedelta(hours=1)


OPENING = Opening(START)


money = st.decimals(0, 1000, places=4)


bounds = st.lists(st.integers(1, 500), max_size=3, unique=True).map(sorted)


@st.composite
def usage_prices(draw: st.DrawFn, id: str, meter: str) -> Price:
    tiers = tuple(Tier(up_to=to, unit_amount=draw(money), flat_amount=draw(money)) for to in [*draw(bounds), None])
    per = draw(st.sampled_from([(), ("zone",)]))
    return draw(
        st.sampled_from(
            [
                PerUnit(id, meter, draw(money), per=per),
                PerUnit(id, meter, draw(money), minimum_amount=draw(money), per=per),
                Graduated(id, meter, tiers, per=per),
                Volume(id, meter, tiers, per=per),
                Package(id, meter, draw(st.integers(1, 50)), draw(money), per=per),
            ]
        )
    )


@st.composite
def plans(draw: st.DrawFn, id: str) -> Plan:
    prices = (Flat("base", draw(money)), draw(usage_prices("a", "m")), draw(usage_prices("b", "n")))
    return Plan(id, 1, "USD", price=prices)


hours = st.integers(0, 30 * 24 - 1)


quantities = st.decimals(-20, 300, places=1)


@st.composite
def totals(draw: st.DrawFn) -> list[Total]:
    found = {}
    for _ in range(draw(st.integers(0, 8))):
        meter, hour = draw(st.sampled_from(["m", "n", "unpriced"])), draw(hours)
        zone = draw(st.sampled_from(["x", "y"]))
        start = ms(START) + hour * 3_600_000
        state = Sum(draw(quantities))
        found[meter, hour, zone] = Total(meter, start, start + 3_600_000, state, dimensions={"zone": zone})
    return list(found.values())


@st.composite
def contracts(draw: st.DrawFn) -> tuple[Contract, Tariff]:
    cuts = sorted(draw(st.lists(st.integers(1, 30 * 24 - 1), max_size=2, unique=True)))
    chosen = st.sampled_from(["old", "new"])
    priced: Any = st.lists(st.sampled_from(["a", "b", "base"]), max_size=2, unique=True).map(tuple)
    commitment = st.builds(
        Commitment,
        id=st.just("c"),
        kind=st.sampled_from(["prepaid", "committed"]),
        amount=st.integers(1, 5000),
        prices=priced,
        every=st.sampled_from(["term", "period"]),
        overage_premium_percent=st.integers(0, 30),
        rollover_max=st.integers(0, 100),
    )
    credit = st.builds(
        Credit,
        id=st.sampled_from(["k", "l"]),
        amount=st.integers(1, 300),
        counts=st.sampled_from(["before_minimum", "after_minimum"]),
        priority=st.integers(0, 1),
    )
    coupon = st.builds(Coupon, id=st.just("off"), amount_off=st.integers(1, 100), prices=priced) | st.builds(
        Coupon, id=st.just("off"), percent_off=st.integers(1, 100), prices=priced
    )
    made = Contract(
        "acme",
        "old",
        START + draw(st.sampled_from([0, 0, 48])) * HOUR,
        draw(st.sampled_from([None, None, START + 29 * 24 * HOUR])),
        tiers_on_change=draw(st.sampled_from(["restart", "prorate", "continue", "reprice"])),
        proration=draw(st.sampled_from(["none", "second", "day"])),
        minimum=draw(st.none() | st.integers(0, 2000)),
        change=tuple(Change(START + 49 * HOUR + cut * HOUR, draw(chosen)) for cut in cuts if cut < 600),
        commitment=draw(st.lists(commitment, max_size=1).map(tuple)),
        credit=draw(st.lists(credit, max_size=2, unique_by=lambda credit: credit.id).map(tuple)),
        coupon=draw(st.lists(coupon, max_size=1).map(tuple)),
    )
    return made, Tariff(None, (draw(plans("old")), draw(plans("new"))), (made,))


def exact(amounts: Sequence[Decimal]) -> Fraction:
    return sum((Fraction(amount) for amount in amounts), Fraction(0))


def contract(*prices: Price, **terms: Any) -> tuple[Contract, Tariff]:
    made = Contract("acme", "pro", START, **terms)
    return made, Tariff(None, (Plan("pro", 1, "USD", price=prices),), (made,))


def used(hour: int, quantity: int | str, meter: str = "m", **dimensions: str) -> Total:
    start = ms(START + hour * HOUR)
    return Total(meter, start, start + 3_600_000, Sum(Decimal(quantity)), dimensions=dimensions)


def terms_of(rated: RatedPeriod) -> list[tuple[str, str]]:
    return [(term.kind, str(term.amount)) for term in rated.terms]


ONE = PerUnit("p", "m", "1")
