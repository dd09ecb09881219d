"""Exact decimal numbers: how they are written, and the arithmetic that may not lose a digit.

Python's default decimal context keeps 28 digits and drops the rest silently, so nothing here uses it: EXACT raises when
a digit would be lost, and `to_amount` is the one place where a cumulative price is brought to AMOUNT_DIGITS.
"""

import re
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from fractions import Fraction

# An amount has at most 30 + 18 digits and a quantity (10^18 scaled, summed over any log) fewer than 60; a product
# with tier offsets then needs about 110. Precision that is not used costs nothing.
PRECISION_DIGITS = 200
EXACT = Context(prec=PRECISION_DIGITS, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
# In the decimal module "half up" means half away from zero, for both signs.
ROUNDED = Context(prec=PRECISION_DIGITS, rounding=ROUND_HALF_UP, traps=[InvalidOperation, DivisionByZero, Overflow])

AMOUNT_DIGITS = 12  # what a rated row stores
AMOUNT_UNIT = Decimal(1).scaleb(-AMOUNT_DIGITS)
ZERO = Decimal(0)

# A mean (sum and count) need not have a finite decimal form, so it comes as a Fraction; everything else is a Decimal.
Quantity = Decimal | Fraction

_DECIMAL = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,18})?", re.ASCII)


def text(value: Decimal) -> str:
    """The shortest plain form: no exponent, no trailing zeros, no negative zero ("0.0000003", never "3E-7")."""
    plain = format(value, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain == "-0" else plain


def canonical(written: str | int | Decimal) -> str:
    """A decimal as written in a file, in the form of `text`, so that equal amounts are equal strings.

    Raises ValueError for anything but ASCII `-?digits[.digits]` of at most 30 digits and 18 decimals: no exponent, no
    NaN or infinity, no underscores, spaces or signs in front, and never a float (or a bool).
    """
    if isinstance(written, Decimal) and written.is_finite():
        candidate = text(written)
    elif isinstance(written, int) and not isinstance(written, bool):
        candidate = str(Decimal(written))  # str(int) itself refuses beyond 4300 digits
    else:
        candidate = written  # type: ignore[assignment]  # the constructor of a struct does not check its types
    if not isinstance(candidate, str) or _DECIMAL.fullmatch(candidate) is None:
        shown = repr(written) if len(repr(written)) <= 60 else repr(written)[:57] + "..."
        raise ValueError(
            f'{shown} is not a decimal; write a string such as "0.0000003" (at most 30 digits and 18 decimals)'
        )
    return text(Decimal(candidate))


def to_amount(value: Quantity) -> Decimal:
    """`value` at AMOUNT_DIGITS decimals, half away from zero: the only inexact step before rounding to minor units.

    Raises decimal.InvalidOperation for NaN, infinity and what needs more than PRECISION_DIGITS.
    """
    if not isinstance(value, Decimal):  # asked first: isinstance of Fraction, an abstract base, is slow
        if not isinstance(value, Fraction):
            raise TypeError(f"{value!r} is no exact number; give a Decimal or a Fraction")
        scaled = abs(value) * 10**AMOUNT_DIGITS
        units = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
        return Decimal(-units if value < 0 else units).scaleb(-AMOUNT_DIGITS, EXACT)
    if value.is_nan():  # passes through arithmetic without a signal, as infinity does not
        raise InvalidOperation("NaN is no amount")
    return ROUNDED.quantize(value, AMOUNT_UNIT)


def settled(value: Fraction) -> Quantity:
    """The same number as a Decimal where it has a finite decimal form of at most PRECISION_DIGITS."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return value
    try:
        return EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))
    except Inexact:
        return value


def shown(quantity: Quantity) -> Decimal:
    """A quantity as rows and invoices show it: as it is, or a mean at AMOUNT_DIGITS. Prices take it unrounded."""
    return quantity if isinstance(quantity, Decimal) else to_amount(quantity)
