"""The level of a gauge over windows: one number of them, whichever is asked for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rating.states import Level

HOUR_US = 3_600_000_000
FIRST = Level(Decimal(6) * HOUR_US, HOUR_US, Decimal(9), Decimal(2), Decimal(4), HOUR_US)
THEN = Level(Decimal(3) * HOUR_US, 2 * HOUR_US, Decimal(5), Decimal(1), Decimal(5), 3 * HOUR_US)


@pytest.mark.parametrize(("how", "expected"), [("sum", 9), ("mean", 3), ("max", 9), ("min", 1), ("last", 5)])
def test_windows_of_a_gauge_are_one_level_in_any_order(how: str, expected: int) -> None:
    for level in (FIRST.merge(THEN), THEN.merge(FIRST)):
        assert level.each(how) == expected
        assert (level.span_us, level.until_us) == (3 * HOUR_US, 3 * HOUR_US)
        assert level.quantity() == 9
