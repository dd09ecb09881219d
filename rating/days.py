"""A period priced day by day, so that the parts add up to the price of the whole (I6)."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec

from rating.numbers import EXACT, ZERO, Quantity, shown
from rating.prices import Price, price_amount


class DayAmount(msgspec.Struct, frozen=True, gc=False):
    """What one day added to the period; `day` None is the opening row, what is owed before any usage.

    `amount` is in units of currency at 12 decimals; both quantities are in the meter's units, a mean at 12 decimals.
    """

    day: date | None
    quantity: Decimal
    quantity_total: Decimal
    amount: Decimal


def rate_days(price: Price, days: Sequence[tuple[date, Quantity]]) -> list[DayAmount]:
    """The opening row and a row a day; their amounts add up to `price_amount(price, last total)` exactly.

    `days` holds (day, quantity of the period up to and including that day), days ascending, days without a change left
    out as the caller likes. amount(d) = price(total up to d) - price(total up to the day before), so it is negative
    where more usage makes the period cheaper (volume) or the total falls. Raises ValueError if days do not ascend.
    """
    owed, total = price_amount(price, ZERO), ZERO
    rows = [DayAmount(None, ZERO, ZERO, owed)]
    last: date | None = None
    for day, quantity in days:
        if last is not None and day <= last:
            raise ValueError(f"{day} comes after {last}; give each day once, in ascending order")
        owed_now = price_amount(price, quantity)
        total_now = shown(quantity)
        rows.append(DayAmount(day, EXACT.subtract(total_now, total), total_now, EXACT.subtract(owed_now, owed)))
        owed, total, last = owed_now, total_now, day
    return rows
