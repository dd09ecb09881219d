"""The cost of a pool, given back to those who used it, to the last minor unit."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from rating.money import allocate, minor_digits
from rating.numbers import EXACT, ZERO, Quantity
from rating.periods import Period
from rating.prices import Price
from rating.totals import Total
from rating.usage import Span, span_of


def shares(
    price: Price, totals: Sequence[Total], period: Period, through: date | None = None, *, whole: Period | None = None
) -> dict[str, Quantity]:
    """What each subject, account or dimension value used, as the price's `allocate_by` says, by the price's rollup.

    By value, sorted. ValueError for a price that allocates by nothing.
    """
    if price.allocate_by is None:
        raise ValueError(f"price {price.id!r} has no allocate_by")
    return span_shares(price, totals, span_of(period, through, whole))


def span_shares(price: Price, totals: Sequence[Total], span: Span) -> dict[str, Quantity]:
    """`shares` between instants; nothing for a price that allocates by nothing."""
    if price.allocate_by is None:
        return {}
    groups: dict[str, list[Total]] = {}
    for total in totals:
        if total.meter == price.meter and total.start_ms < span.through_ms:
            groups.setdefault(total.label(price.allocate_by), []).append(total)
    return {label: span.quantity(price, group) for label, group in sorted(groups.items())}


def allocated(rounded: Decimal, currency: str, by: Mapping[str, Quantity]) -> dict[str, Decimal]:
    """A rounded amount split by usage, largest remainder first: the parts add up to it, each in minor units' digits.

    Who used less than nothing pays nothing; where nobody used anything, all pay alike. ValueError for an amount that
    is no whole number of minor units, or that nobody is there to pay.
    """
    digits = minor_digits(currency)
    minor = EXACT.scaleb(rounded, digits)
    if minor != minor.to_integral_value():
        raise ValueError(f"{rounded} is not rounded to {currency}")
    if rounded and not by:
        raise ValueError(f"there is nobody to pay {rounded}")
    weights = [max(quantity, ZERO) for quantity in by.values()]
    if not any(weights):
        weights = [Decimal(1)] * len(weights)
    parts = allocate(int(minor), weights)
    return {label: EXACT.scaleb(Decimal(part), -digits) for label, part in zip(by, parts, strict=True)}
