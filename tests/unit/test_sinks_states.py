from decimal import Decimal
from fractions import Fraction

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, Error, OperationalError

from sinks.clickhouse import retryable
from sinks.states import State, plain, scaled, total

EXTREME = 3 * 10**41 + 1  # of 10^-12: a sum near 10^30 at precision 12


def state(value: int, events: int = 1, order: tuple[int, int, int] = (0, 0, 0), unique: int = 0) -> State:
    return State(sum=value, events=events, min=value, max=value, latest_order=order, latest=value, unique=unique)


@pytest.mark.parametrize(
    ("sum_12", "events", "quantity"),
    [(1, 2, "1e-12"), (-1, 2, "-1e-12"), (1, 3, "0"), (-2, 3, "-1e-12"), (5, 0, "0"), (EXTREME, 1, scaled(EXTREME))],
)
def test_an_average_is_rounded_to_12_digits_half_away_from_zero(sum_12: int, events: int, quantity: str) -> None:
    assert state(sum_12, events).quantity("avg") == Decimal(quantity)


def test_prices_take_an_average_unrounded() -> None:
    assert state(2 * 10**12, 3).exact("avg") == Fraction(2, 3)
    assert state(5, 0).exact("avg") == 0
    assert state(5, 3).exact("sum") == scaled(5)


def test_quantities_keep_every_digit() -> None:
    assert str(scaled(EXTREME)) == "300000000000000000000000000000.000000000001"
    assert str(total([scaled(EXTREME), scaled(-1)])) == "300000000000000000000000000000"
    assert [str(plain(Decimal(text))) for text in ("1E+3", "0.00", "-1.50", "100")] == ["1000", "0", "-1.5", "100"]


def test_states_merge_in_any_order() -> None:
    early, late, tie = state(5, order=(1, 9, 9)), state(-7, 2, (2, 0, 1)), state(6, order=(2, 0, 2))
    nothing = state(999, events=0, order=(99, 0, 0), unique=3)
    for parts in ((early, late, tie, nothing), (nothing, tie, late, early)):
        merged = parts[0]
        for part in parts[1:]:
            merged = merged.merge(part)
        assert (merged.sum, merged.events, merged.min, merged.max, merged.latest) == (4, 4, -7, 6, 6)
        assert merged.quantity("unique") == 3


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (DatabaseError("too many parts", code=252), True),
        (DatabaseError("read-only replica", code=242), True),
        (DatabaseError("HTTP driver received HTTP status 503, server response: busy"), True),
        (DatabaseError("HTTP driver received HTTP status 403"), False),
        (OperationalError("Error Connection refused executing HTTP request attempt 1"), True),
        (DatabaseError("no such table", code=60), False),
        (OperationalError("readonly user", code=164), False),
        (DatabaseError("wrong password", code=516), False),
    ],
)
def test_only_what_passes_by_itself_is_retryable(error: Error, again: bool) -> None:
    found = retryable(error)
    assert (found is not None) == again
    assert found is None or found.retry_after_ms > 0
