"""Shares of a billing period, by second or by day, as exact fractions; an amount is quantised once, cumulatively."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from rating.calendar import BillingPeriod, Calendar
from rating.numbers import EXACT, to_amount

Proration = Literal["none", "second", "day"]
_UNIT = timedelta(microseconds=1)


def share_until(calendar: Calendar, period: BillingPeriod, instant: datetime, by: Proration) -> Fraction:
    """How much of `period` lies before `instant`, 0 to 1.

    By second: of the seconds that pass, so the day on which clocks change counts 23 or 25 hours. By day: of the local
    days, where the day of a change belongs to what comes after it. Raises ValueError outside the period.
    """
    if not period.start <= instant <= period.end:
        raise ValueError(f"{instant.isoformat()} is outside the period {period.start} to {period.end}")
    if by == "day":
        first = calendar.day_of(period.start)
        days = (calendar.day_of(period.end) - first).days
        return Fraction((calendar.day_of(instant) - first).days, days)
    return Fraction((instant - period.start) // _UNIT, (period.end - period.start) // _UNIT)


def share(calendar: Calendar, period: BillingPeriod, start: datetime, end: datetime, by: Proration) -> Fraction:
    """The share of `period` that [start, end) is; 1 where nothing is prorated."""
    if by == "none":
        return Fraction(1)
    return share_until(calendar, period, end, by) - share_until(calendar, period, start, by)


def prorated(
    amount: Decimal, calendar: Calendar, period: BillingPeriod, start: datetime, end: datetime, by: Proration
) -> Decimal:
    """`amount` for [start, end) of `period`, at 12 decimals; the parts of a period add up to `amount` exactly.

    The cumulative amount is what is quantised, once, before the difference is taken.
    """
    if by == "none":
        return to_amount(amount)
    until = [to_amount(Fraction(amount) * share_until(calendar, period, bound, by)) for bound in (start, end)]
    return EXACT.subtract(until[1], until[0])
