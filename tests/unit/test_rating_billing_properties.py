"""A billing period as a whole: what adds up, whatever the usage, the changes and the terms."""

import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rating.billing import rate_period
from rating.changes import pieces, scaled
from rating.charges import ms, price_piece, usage_of, window_charges
from rating.contracts import Contract
from rating.invoices import period_document
from rating.money import round_money
from rating.prices import PerUnit, Price, price_amount
from rating.rate import Tariff
from rating.states import Sum
from rating.timeline import spans, timeline
from rating.totals import Total
from tests.unit.rating_contracts import (
    NOVEMBER,
    OPENING,
    contract,
    contracts,
    exact,
    totals,
    usage_prices,
    used,
)


@settings(deadline=None, max_examples=100)
@given(contracts(), totals(), st.randoms())
def test_lines_and_terms_add_up_and_each_price_is_rounded_once(
    agreed: tuple[Contract, Tariff], used: list[Total], rng: random.Random
) -> None:
    made, tariff = agreed
    rated = rate_period(made, used, tariff, OPENING)
    assert exact([line.amount for line in rated.lines]) == Fraction(rated.subtotal)
    assert Fraction(rated.subtotal) + exact([term.amount for term in rated.terms]) == Fraction(rated.total)
    for price in {line.price for line in rated.lines}:
        lines = [line for line in rated.lines if line.price == price]
        whole = exact([line.amount_unrounded for line in lines])
        unrounded = Decimal(whole.numerator) / Decimal(whole.denominator)
        assert exact([line.amount for line in lines]) == Fraction(round_money(unrounded, "USD"))
        for line in lines:
            assert abs(line.amount - line.amount_unrounded) < Decimal("0.01")
            assert exact([step.amount for step in line.explanation]) == Fraction(line.amount_unrounded)
    shuffled = rng.sample(used, len(used))
    assert period_document(rate_period(made, shuffled, tariff, OPENING)) == period_document(rated)


@settings(deadline=None, max_examples=100)
@given(contracts(), totals())
def test_no_usage_is_lost_it_is_on_a_line_or_in_a_row_that_says_why(
    agreed: tuple[Contract, Tariff], used: list[Total]
) -> None:
    made, tariff = agreed
    rated = rate_period(made, used, tariff, OPENING)
    for meter in ("m", "n", "unpriced"):
        seen = exact([line.quantity for line in rated.lines if line.meter == meter])
        seen += exact([row.quantity for row in rated.unrated if row.meter == meter])
        assert seen == exact([total.state.quantity() for total in used if total.meter == meter])  # type: ignore[misc]
    assert all(row.reason for row in rated.unrated)


@settings(deadline=None, max_examples=100)
@given(contracts(), totals())
def test_i6_the_charges_of_windows_and_the_opening_add_up_to_the_price(
    agreed: tuple[Contract, Tariff], used: list[Total]
) -> None:
    made, tariff = agreed
    for held in spans(timeline(made, tariff.versions), NOVEMBER).values():
        for piece in pieces(made, NOVEMBER, held, used_before=False, through=NOVEMBER.end):
            if piece.price.meter is not None:
                mine = usage_of(piece, used)
                charges = list(window_charges(piece, mine, NOVEMBER))
                priced = price_piece(piece, mine, NOVEMBER, steps=False)
                assert exact([charge.amount for charge in charges]) == Fraction(priced.amount)
                assert all(piece.start <= charge.at < piece.end for charge in charges)


def test_i6_catches_windows_without_their_opening() -> None:
    made, tariff = contract(PerUnit("p", "m", "1", minimum_amount="100"))
    (held,) = spans(timeline(made, tariff.versions), NOVEMBER).values()
    (piece,) = pieces(made, NOVEMBER, held, used_before=False, through=NOVEMBER.end)
    mine = [used(1, 20), used(2, 40)]
    opening, *rest = window_charges(piece, mine, NOVEMBER)
    assert price_piece(piece, mine, NOVEMBER, steps=False).amount == opening.amount == 100
    assert exact([charge.amount for charge in rest]) == 0


@settings(deadline=None, max_examples=60)
@given(contracts(), totals())
def test_additive_meters_may_be_summed_first(agreed: tuple[Contract, Tariff], used: list[Total]) -> None:
    made, tariff = agreed
    if made.commitment:
        return  # a drawdown is in time order, so it looks at windows
    cuts = [ms(NOVEMBER.start), *(ms(s.start) for s in timeline(made, tariff.versions)), ms(NOVEMBER.end)]
    bounds = sorted({cut for cut in [*cuts, ms(made.to or NOVEMBER.end)] if cut <= ms(NOVEMBER.end)})
    summed: dict[Any, Total] = {}
    for total in used:
        start = max(bound for bound in bounds if bound <= total.start_ms)
        end = min(bound for bound in bounds if bound > total.start_ms)
        key = (total.series, start)
        state = Sum(total.state.quantity() + (summed[key].state.quantity() if key in summed else 0))  # type: ignore
        summed[key] = Total(total.meter, start, end, state, dimensions=total.dimensions)
    one = period_document(rate_period(made, used, tariff, OPENING))
    assert period_document(rate_period(made, list(summed.values()), tariff, OPENING)) == one


@given(usage_prices("p", "m"), st.decimals(0, 1000, places=2), st.fractions(Fraction(1, 31), 1))
def test_a_scaled_price_is_the_share_of_the_price_of_a_whole_period(
    price: Price, quantity: Decimal, part: Fraction
) -> None:
    owed = Fraction(price_amount(scaled(price, part), quantity))
    whole = Fraction(price_amount(price, Fraction(quantity) / part))
    assert abs(owed - part * whole) <= Fraction(1, 2 * 10**12)
    assert price_amount(scaled(price, Fraction(1)), quantity) == price_amount(price, quantity)
