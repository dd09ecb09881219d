"""Usage for tests of rating: windows of a period, as totals."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from rating.periods import Period
from rating.states import High, State, Sum
from rating.totals import DAY_MS, Total, day_ms

OCTOBER = Period(date(2026, 10, 1), date(2026, 11, 1))  # 31 days
NOVEMBER = Period(date(2026, 11, 1), date(2026, 12, 1))  # 30 days
HOUR_MS = 3_600_000


def used(
    meter: str,
    state: State | str | int,
    *,
    day: int = 0,
    at_ms: int = 0,
    size_ms: int = HOUR_MS,
    subject: str = "",
    account: str = "",
    period: Period = NOVEMBER,
    **dimensions: str,
) -> Total:
    """A window that begins `at_ms` into a day of the period, counted from 0; a bare number is that of a sum."""
    start_ms = day_ms(period.start) + day * DAY_MS + at_ms
    held = Sum(Decimal(state)) if isinstance(state, str | int) else state
    return Total(meter, start_ms, start_ms + size_ms, held, subject, dimensions, account)


def five_minutes(meter: str, values: Iterable[str], *, subject: str = "") -> list[Total]:
    """A window each five minutes from the period's start on."""
    return [
        used(meter, value, at_ms=place * 300_000, size_ms=300_000, subject=subject)
        for place, value in enumerate(values)
    ]


def daily_peaks(meter: str, peaks: Iterable[str], period: Period, *, subject: str = "") -> list[Total]:
    """Three hours of each day: below the peak, the peak, nothing much."""
    totals = []
    for day, peak in enumerate(peaks):
        for hour, value in ((2, Decimal(peak) / 2), (9, Decimal(peak)), (23, Decimal(1))):
            totals.append(used(meter, High(value), day=day, at_ms=hour * HOUR_MS, subject=subject, period=period))
    return totals
