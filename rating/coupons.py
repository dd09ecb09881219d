"""Coupons: a percentage or an amount off chosen prices, in the order in which the contract lists them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

from rating.checks import Limit, PathFault, Read
from rating.instants import Dated, Instant, within
from rating.numbers import EXACT, ZERO, to_amount
from rating.prices import Amount, Id


class Coupon(Dated, frozen=True, kw_only=True):
    """Takes `percent_off` or `amount_off` from `prices` (none: all) in each period that begins in [from, to)."""

    limits: ClassVar[Mapping[str, Limit]] = {"percent_off": "percent", "amount_off": "above 0"}
    id: Id
    percent_off: Amount | None = None
    amount_off: Amount | None = None
    prices: tuple[Id, ...] = ()
    from_: Instant | None = None
    to: Instant | None = None

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """Both kinds, or none, too."""
        yield from super().faults_in(item, read)
        given = [read(item, name) is not None for name in ("percent_off", "amount_off")]
        if all(given) or not any(given):
            yield ("percent_off",), "give either percent_off or amount_off"


def take_off(coupon: Coupon, owed: Mapping[str, Decimal], period_start: datetime) -> dict[str, Decimal]:
    """What a coupon takes off each price, above zero, given what is owed of each, in the order of the prices.

    At 12 decimals. An amount is shared in proportion to what is owed and never takes more than that; a price of which
    nothing is owed, or that is a refund, is left alone.
    """
    if not within(period_start, coupon.from_, coupon.to):
        return {}
    chosen = {p: amount for p, amount in owed.items() if amount > 0 and (not coupon.prices or p in coupon.prices)}
    if coupon.percent_off is not None:
        rate = Fraction(Decimal(coupon.percent_off)) / 100
        return {price: to_amount(Fraction(amount) * rate) for price, amount in chosen.items()}
    whole = sum((Fraction(amount) for amount in chosen.values()), Fraction(0))
    assert coupon.amount_off is not None
    taken = min(Fraction(Decimal(coupon.amount_off)), whole)
    found, reached, before = {}, Fraction(0), ZERO
    for price, amount in chosen.items():
        reached += Fraction(amount)
        until = to_amount(taken * reached / whole)
        found[price] = EXACT.subtract(until, before)
        before = until
    return found
