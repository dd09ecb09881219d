"""Shares of a period: of nothing prorated, by the second and by the day."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest

from rating.calendar import Anchor, BillingPeriod, Calendar, midnight
from rating.proration import Proration, prorated, share

BERLIN = Calendar(Anchor(), "Europe/Berlin")
MARCH = BERLIN.period_of(datetime(2026, 3, 10, tzinfo=UTC))  # an hour is missing on the 29th
AFTER_THE_CHANGE = midnight(date(2026, 3, 30), "Europe/Berlin")


def part(by: Proration) -> tuple[Fraction, Decimal]:
    bounds = (AFTER_THE_CHANGE, MARCH.end)
    return share(BERLIN, MARCH, *bounds, by), prorated(Decimal(743 * 31), BERLIN, MARCH, *bounds, by)


def test_what_is_not_prorated_is_owed_whole_however_short_it_was_held() -> None:
    assert part("none") == (Fraction(1), Decimal(743 * 31))


def test_what_is_not_prorated_does_not_ask_where_in_the_period_it_lies() -> None:
    november = BillingPeriod(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert share(BERLIN, november, MARCH.start, MARCH.end, "none") == 1
    assert prorated(Decimal("0.0000000000005"), BERLIN, november, MARCH.start, MARCH.end, "none") == Decimal("1e-12")


@pytest.mark.parametrize(("by", "held"), [("second", Fraction(48, 743)), ("day", Fraction(2, 31))])
def test_the_two_days_after_a_change_of_clocks_weigh_more_by_the_second_than_by_the_day(
    by: Proration, held: Fraction
) -> None:
    assert part(by) == (held, Decimal(int(held * 743 * 31)))
