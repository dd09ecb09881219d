"""Billing cases of whole contracts, to the cent: drawdown, changes of plan, late usage, credits, opening amounts."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest

from rating.billing import rate_period
from rating.calendar import BillingPeriod
from rating.charges import ms
from rating.commitments import Commitment, Left
from rating.contracts import Change, Contract, TiersOnChange
from rating.corrections import Books, late_correction
from rating.credits import Credit
from rating.openings import Invoiced, Opening
from rating.plans import Plan
from rating.prices import Flat, Graduated, PerUnit, Price, Tier, Volume
from rating.rate import Tariff
from rating.rated import RatedPeriod
from rating.states import Sum
from rating.totals import Total

NOVEMBER = BillingPeriod(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
OPENING = Opening(NOVEMBER.start)
DAY = timedelta(days=1)


def day(number: int) -> datetime:
    return NOVEMBER.start + (number - 1) * DAY


def used(meter: str, on: int, quantity: str | int, days: int = 1) -> Total:
    return Total(meter, ms(day(on)), ms(day(on + days)), Sum(Decimal(quantity)))


def contract(*prices: Price, **terms: object) -> tuple[Contract, Tariff]:
    made = Contract("acme", "pro", NOVEMBER.start, **terms)  # type: ignore[arg-type]
    return made, Tariff(None, (Plan("pro", 1, "USD", price=prices),), (made,))


def amounts(rated: RatedPeriod) -> dict[str, str]:
    """What is owed for each price, with the terms that are about it."""
    owed: dict[str, Decimal] = {}
    for line in rated.lines:
        owed[line.price] = owed.get(line.price, Decimal(0)) + line.amount
    for term in rated.terms:
        if term.price is not None:
            owed[term.price] += term.amount
    return {price: str(amount) for price, amount in owed.items()}


COMMITMENT = Commitment(id="prepaid", kind="prepaid", amount="5000", overage_premium_percent="10")
WINDOWS = [used("a", 3, 400), used("b", 7, 500), used("a", 9, 300), used("b", 15, 250)]


@pytest.mark.parametrize(
    ("late", "owed", "total"),
    [((), {"A": "220.00", "B": "275.00"}, "495.00"), ((used("b", 2, 150),), {"A": "330.00", "B": "330.00"}, "660.00")],
)
def test_a_late_window_moves_the_boundary_of_a_drawdown_and_so_the_lines_of_both_prices(
    late: tuple[Total, ...], owed: dict[str, str], total: str
) -> None:
    made, tariff = contract(PerUnit("A", "a", "1"), PerUnit("B", "b", "1"), commitment=(COMMITMENT,))
    opening = Opening(NOVEMBER.start, commitments={"prepaid": Left(Decimal(1000))})
    for windows in permutations([*WINDOWS, *late]):
        rated = rate_period(made, windows, tariff, opening)
        assert (amounts(rated), str(rated.total)) == (owed, total)
        assert rated.closing.commitments == {"prepaid": Left(Decimal(0))}


def allowance(free: int, unit_amount: str) -> Graduated:
    return Graduated("requests", "requests", (Tier(up_to=free, unit_amount="0"), Tier(unit_amount=unit_amount)))


OLD = Plan("old", 1, "USD", price=(Flat("base", "25.00"), allowance(10_000_000, "0.0000003")))
NEW = Plan("new", 1, "USD", price=(Flat("base", "250.00"), allowance(50_000_000, "0.00000025")))


def upgrade(policy: TiersOnChange, opening: Opening = OPENING) -> RatedPeriod:
    made = Contract(
        "acme", "old", NOVEMBER.start, change=(Change(day(16), "new"),), tiers_on_change=policy, proration="second"
    )
    totals = [used("requests", 1, 24_000_000, 15), used("requests", 16, 36_000_000, 15)]
    return rate_period(made, totals, Tariff(None, (OLD, NEW), (made,)), opening)


@pytest.mark.parametrize(
    ("policy", "usage"), [("restart", "4.20"), ("prorate", "8.45"), ("continue", "6.70"), ("reprice", "2.50")]
)
def test_an_upgrade_half_way_has_four_usage_totals_one_for_each_policy(policy: TiersOnChange, usage: str) -> None:
    assert amounts(upgrade(policy)) == {"base": "137.50", "requests": usage}


def test_an_upgrade_credits_the_flat_amount_billed_in_advance_and_charges_the_new_one() -> None:
    rated = upgrade("restart", Opening(NOVEMBER.start, invoiced=(Invoiced("old", "base", Decimal("25.00")),)))
    flat = {plan: Decimal(0) for plan in ("old", "new")}
    for line in rated.lines:
        flat[line.plan] += line.amount if line.price == "base" else 0
    for term in rated.terms:
        flat[term.plan or ""] += term.amount
    assert {plan: str(amount) for plan, amount in flat.items()} == {"old": "-12.50", "new": "125.00"}


TEN_MILLION = allowance(10_000_000, "0.0000003")


@pytest.mark.parametrize(("policy", "total"), [("reprice_original", "0.12"), ("marginal_in_current", "0.15")])
def test_late_usage_reprices_the_finalised_period_or_is_priced_on_top_of_the_current_one(
    policy: str, total: str
) -> None:
    made, tariff = contract(TEN_MILLION, late_policy=policy)
    current = Total("requests", ms(NOVEMBER.end), ms(NOVEMBER.end + DAY), Sum(Decimal(20_000_000)))
    found = late_correction(
        made,
        [used("requests", 2, 500_000)],
        Books([used("requests", 1, 9_900_000)], OPENING),
        Books([current], Opening(NOVEMBER.end)),
        tariff,
    )
    assert str(found.total) == total


def test_late_usage_that_reaches_a_cheaper_volume_tier_is_a_credit() -> None:
    tiers = (Tier(up_to=1_000_000, unit_amount="0.05"), Tier(unit_amount="0.04"))
    made, tariff = contract(Volume("egress", "gb", tiers))
    final, late = [used("gb", 1, 990_000)], [used("gb", 2, 20_000)]
    found = late_correction(made, late, Books(final, OPENING), Books([], Opening(NOVEMBER.end)), tariff)
    assert str(found.total) == "-9100.00"
    assert [(line.price, str(line.amount)) for line in found.lines] == [("egress", "-9100.00")]


@pytest.mark.parametrize(("counts", "total"), [("after_minimum", "50.00"), ("before_minimum", "100.00")])
def test_a_credit_counts_before_or_after_the_minimum(counts: str, total: str) -> None:
    credit = Credit(id="grant", amount="50.00", counts=counts)  # type: ignore[arg-type]
    made, tariff = contract(PerUnit("p", "m", "1"), minimum="100.00", credit=(credit,))
    rated = rate_period(made, [used("m", 5, 60)], tariff, OPENING)
    assert str(rated.total) == total
    assert rated.closing.credits == {"grant": 0}


def test_what_is_owed_before_any_usage_is_in_the_invoice_and_in_the_drawdown() -> None:
    price = PerUnit("p", "m", "1.00", minimum_amount="100.00")
    made, tariff = contract(price, commitment=(COMMITMENT,))
    plain, plain_tariff = contract(price)
    for windows in ([], [used("m", 1, 20)], [used("m", 1, 20), used("m", 2, 20)]):
        assert str(rate_period(plain, windows, plain_tariff, OPENING).total) == "100.00"
        rated = rate_period(made, windows, tariff, OPENING)
        assert (str(rated.total), rated.closing.commitments["prepaid"].term) == ("0.00", 4900)
