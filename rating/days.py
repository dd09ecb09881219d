"""A period priced day by day, so that the parts add up to the price of the whole (I6)."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from rating.numbers import EXACT, ZERO, Quantity, shown
from rating.periods import Period
from rating.prices import Price, price_amount
from rating.totals import Total
from rating.usage import Priced, price_usage


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


def usage_days(
    price: Price, totals: Sequence[Total], period: Period, days: Sequence[date], *, whole: Period | None = None
) -> list[tuple[DayAmount, Priced]]:
    """The same for a price of any kind, from the totals themselves: a row for each of `days`, ascending, and the parts.

    The quantity of a row is that of all parts. A day may be left out where nothing changed; with `missing = "carry"`
    each day changes something. The amounts add up to `price_usage(price, totals, period, day after the last)` exactly.
    """
    before = price_usage(price, totals, period, period.start, whole=whole)
    rows = [(DayAmount(None, before.quantity, before.quantity, before.amount), before)]
    last: date | None = None
    for day in days:
        if last is not None and day <= last:
            raise ValueError(f"{day} comes after {last}; give each day once, in ascending order")
        now = price_usage(price, totals, period, day + timedelta(days=1), whole=whole)
        quantity = EXACT.subtract(now.quantity, before.quantity)
        rows.append((DayAmount(day, quantity, now.quantity, EXACT.subtract(now.amount, before.amount)), now))
        before, last = now, day
    return rows
