"""What a price comes to for a quantity, explained: for people, tests and price pages."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from rating.kernels import OneNumberIsNotEnoughError, Step
from rating.money import MixedCurrencyError, round_money
from rating.numbers import EXACT, Quantity, canonical, settled
from rating.prices import Matrix, Price, Recurring, explain, price_amount, read_price
from rating.rollups import combined

Given = int | str | Decimal | Fraction
Context = Mapping[str, Given]


class Quote(msgspec.Struct, frozen=True):
    """`amount`, unrounded (12 decimals), is what the `lines` add up to; `rounded` has the digits of its currency."""

    amount: Decimal
    rounded: Decimal
    currency: str
    lines: tuple[Step, ...]


def quote(
    price: Price | Mapping[str, Any], quantity: Given, *, currency: str = "USD", context: Context | None = None
) -> Quote:
    """What `price` owes for `quantity`, the period's quantity after its rollup.

    `price` is a struct or its plain form, whose `id` and `meter` may be left out. `context` holds by name what the
    price asks for beside the quantity: dimensions (texts), which choose the cell of a matrix, and the quantities of
    other meters, on which a discount may depend. The quantity of a recurring price takes the place of its own.

    Raises TypeError for a float, ValueError for what is no exact number, for a price that is refused, for a currency
    that there is not, and OneNumberIsNotEnoughError for a context that lacks something; MixedCurrencyError where the
    price is of money in another currency.
    """
    made = as_price(price)
    amount, lines = _quoted(made, exact_number(quantity), {} if context is None else context, currency)
    return Quote(amount, round_money(amount, currency), currency, lines)


def marginal(
    price: Price | Mapping[str, Any], before: Given, after: Given, *, context: Context | None = None
) -> Decimal:
    """What going from one quantity to another adds, at 12 decimals; below zero where more is cheaper."""
    made, asked = as_price(price), {} if context is None else context
    amounts = [_quoted(made, exact_number(given), asked, None)[0] for given in (before, after)]
    return EXACT.subtract(amounts[1], amounts[0])


def as_price(price: Price | Mapping[str, Any]) -> Price:
    """The struct of a price in either form. Raises msgspec.ValidationError, a ValueError, for one that is refused."""
    return read_price(price) if isinstance(price, Mapping) else price


def exact_number(given: Given) -> Quantity:
    """An int, a Decimal, a Fraction or a plain decimal string as an exact number. Raises TypeError or ValueError."""
    if isinstance(given, str):
        return Decimal(canonical(given))
    if isinstance(given, bool) or not isinstance(given, int | Decimal | Fraction):
        raise TypeError(f"{given!r} is no exact number; give an int, a Decimal or a decimal string")
    if isinstance(given, Fraction):
        return settled(given)
    number = Decimal(given)
    if not number.is_finite():
        raise ValueError(f"{given} is no quantity")
    return number


def _quoted(price: Price, number: Quantity, asked: Context, currency: str | None) -> tuple[Decimal, tuple[Step, ...]]:
    """The amount and the steps to it; `currency` None: that of the price's own money, if it is of money."""
    own = getattr(price, "currency", None)
    if None not in (own, currency) and own != currency:
        raise MixedCurrencyError(f"price {price.id!r} is of a meter in {own}; quote it in that, not in {currency}")
    met = price.discount is not None and price.discount.when.holds(_measured(price, number, asked))
    if isinstance(price, Matrix | Recurring):
        inner = price.price if isinstance(price, Recurring) else _cell(price, asked)
        charged, steps = _quoted(inner, number, asked, currency)
        final = price.pipeline.terms(charged, met)
        return final, (*steps, *price.pipeline.term_steps(charged, final, met))
    return price_amount(price, number, met), explain(price, number, met)


def _cell(matrix: Matrix, asked: Context) -> Price:
    missing = [name for name in matrix.dimensions if name not in asked]
    if missing:
        raise OneNumberIsNotEnoughError(
            f"price {matrix.id!r} is a matrix: give {', '.join(missing)} in the context, such as"
            f" {{{missing[0]!r}: {matrix.cell[0].when[missing[0]][0]!r}}}"
        )
    key = tuple(str(asked[name]) for name in matrix.dimensions)
    found = matrix.cells.get(key, matrix.fallback)
    if found is None:
        raise OneNumberIsNotEnoughError(f"price {matrix.id!r} has no matrix row for {' '.join(key)!r}, and no default")
    return found


def _measured(price: Price, number: Quantity, asked: Context) -> Quantity:
    """The quantity that the price's condition looks at: the price's own meter is what is quoted unless given."""
    assert price.discount is not None
    when = price.discount.when
    meters = (when.meter, *(when.combine.meters if when.combine else ()))
    given = {} if price.meter is None or price.combine else {price.meter: number}
    given |= {meter: exact_number(asked[meter]) for meter in meters if meter in asked}
    missing = [meter for meter in meters if meter not in given]
    if missing:
        raise OneNumberIsNotEnoughError(
            f"price {price.id!r} has a discount that depends on {', '.join(missing)}: give the quantity in the context"
        )
    return combined(when.combine.how if when.combine else "sum", [given[meter] for meter in meters])
