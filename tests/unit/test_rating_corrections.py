"""Late usage after an invoice: what differs, in which documents, and what cannot be placed."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from rating.billing import rate_period
from rating.commitments import Commitment, Left
from rating.contracts import AddOn, Contract, Override
from rating.corrections import Books, Correction, CorrectionLine, correction, late_correction
from rating.openings import Invoiced, Opening
from rating.plans import Plan
from rating.prices import Flat, Graduated, PerUnit, Tier, read_price
from rating.rate import Tariff
from rating.states import Sum
from rating.totals import Total
from tests.unit.rating_contracts import HOUR, NOVEMBER, ONE, OPENING, START, contract, used

DECEMBER = Opening(NOVEMBER.end)
PEAK = {"model": "per_unit", "unit_amount": "1", "rollup": {"every": "1h", "over": "max"}}


def corrected(made: Contract, tariff: Tariff, late: list[Total], current: list[Total] | None = None) -> Correction:
    return late_correction(made, late, Books([used(1, 7)], OPENING), Books(current or [], DECEMBER), tariff)


def test_a_correction_has_the_lines_that_changed_and_what_is_handed_on_now() -> None:
    commitment = Commitment(id="c", kind="prepaid", amount="20", prices=("p",))
    made, tariff = contract(ONE, PerUnit("q", "n", "2"), Flat("base", "5"), commitment=(commitment,))
    found = corrected(made, tariff, [used(2, 15), used(3, 1, "n"), used(4, 1, "n")])
    assert found.lines == (
        CorrectionLine("price", "", "p", "pro", Decimal("15.00")),
        CorrectionLine("price", "", "q", "pro", Decimal("4.00")),
        CorrectionLine("prepaid", "c", "p", None, Decimal("-13.00")),
    )
    assert str(found.total) == "6.00"
    assert (found.account, found.contract, found.currency) == ("acme", made.name, "USD")
    assert (found.start, found.end) == NOVEMBER
    assert found.closing.commitments == {"c": Left()}
    nothing = corrected(made, tariff, [used(5, 3, "unpriced")])
    assert (nothing.lines, str(nothing.total)) == ((), "0.00")


def test_lines_of_one_price_and_plan_are_one_line_of_the_document_and_those_of_two_plans_two() -> None:
    made, tariff = contract(replace(ONE, per=("zone",)))
    found = corrected(made, tariff, [used(2, 1, zone="x"), used(2, 2, zone="y")])
    assert found.lines == (CorrectionLine("price", "", "p", "pro", Decimal("3.00")),)
    ahead = (Invoiced("old", "base", Decimal("5.00")), Invoiced("new", "base", Decimal("5.00")))
    final = rate_period(made, [], tariff, OPENING)
    again = rate_period(made, [], tariff, Opening(START, invoiced=ahead))
    assert correction(final, again).lines == (
        CorrectionLine("already_invoiced", "", "base", "old", Decimal("-5.00")),
        CorrectionLine("already_invoiced", "", "base", "new", Decimal("-5.00")),
    )
    assert [line.amount for line in correction(again, final).lines] == [5, 5]
    twice = rate_period(made, [], tariff, Opening(START, invoiced=(ahead[0], ahead[0])))
    assert [line.amount for line in correction(final, twice).lines] == [-10]


@pytest.mark.parametrize("changed", [{"contract": "other"}, {"start": START + HOUR}, {"currency": "EUR"}])
def test_two_periods_have_no_difference(changed: dict[str, Any]) -> None:
    made, tariff = contract(ONE)
    final = rate_period(made, [], tariff, OPENING)
    with pytest.raises(ValueError, match="are not one period"):
        correction(final, replace(final, **changed))


def test_usage_moved_into_the_current_period_is_priced_at_its_last_instant() -> None:
    """On top of what is there, and by the plan that holds then."""
    tiers = (Tier(up_to=10, unit_amount="1"), Tier(unit_amount="3"))
    plan = Plan("pro", 1, "USD", price=(Graduated("p", "m", tiers),))
    made = Contract("acme", "pro", START, late_policy="marginal_in_current",
                    override=(Override(PerUnit("p", "m", "7"), NOVEMBER.end + HOUR, NOVEMBER.end + 2 * HOUR),),
                    tiers_on_change="continue")  # fmt: skip
    tariff = Tariff(None, (plan,), (made,))
    found = corrected(made, tariff, [used(2, 5)], [used(725, 8)])
    assert found.start == NOVEMBER.end
    assert str(found.total) == "11.00"  # 2 up to 10 and 3 beyond at 3 each, as 8 are there already
    commitment = Commitment(id="c", kind="prepaid", amount="10")
    made, tariff = contract(ONE, late_policy="marginal_in_current", commitment=(commitment,))
    found = corrected(made, tariff, [used(2, 5)], [used(725, 8)])
    assert found.closing.commitments == {"c": Left(Decimal(0))}


@pytest.mark.parametrize("where", ["plan", "add_on", "override", "condition"])
def test_usage_that_a_rollup_must_place_cannot_be_moved(where: str) -> None:
    peak = read_price({**PEAK, "id": "p", "meter": "m"})
    plain = PerUnit("p", "other", "1")
    terms: dict[str, Any] = {"late_policy": "marginal_in_current", "tiers_on_change": "restart"}
    if where == "override":
        terms["override"] = (Override(peak, NOVEMBER.end, NOVEMBER.end + HOUR),)
    elif where == "add_on":
        terms["add_on"] = (AddOn("extra"),)
        peak = read_price({**PEAK, "id": "x", "meter": "m"})
    elif where == "condition":
        combine = {"how": "sum", "meters": ["m", "n"]}
        peak = read_price({**PEAK, "id": "p", "meter": "n", "combine": combine})
    first = peak if where in ("plan", "condition") else plain
    made = Contract("acme", "pro", START, **terms)
    plans = (Plan("pro", 1, "USD", price=(first,)), Plan("extra", 1, "USD", price=(peak,)))
    tariff = Tariff(None, plans, (made,))
    with pytest.raises(ValueError, match="has a place in its own period alone"):
        corrected(made, tariff, [used(2, 5), used(2, 5, "unpriced")])
    assert corrected(made, tariff, [used(2, 5, "unpriced")]).total == 0, "of another meter nothing is to be placed"


def test_usage_is_moved_to_the_last_millisecond_whatever_its_window() -> None:
    made, tariff = contract(ONE, late_policy="marginal_in_current", to=datetime(2026, 12, 11, tzinfo=UTC))
    found = corrected(made, tariff, [used(2, 5)])
    assert str(found.total) == "0.00", "the contract is over by then"
    last = Override(PerUnit("p", "m", "7"), datetime(2026, 12, 31, 23, 59, 59, 999_000, UTC))
    made, tariff = contract(ONE, late_policy="marginal_in_current", override=(last,))
    assert str(corrected(made, tariff, [used(2, 5)]).total) == "35.00"
    made, tariff = contract(ONE, late_policy="marginal_in_current")
    late = Total("m", 0, 10**15, Sum(Decimal(5)))
    assert str(corrected(made, tariff, [late]).total) == "5.00"
