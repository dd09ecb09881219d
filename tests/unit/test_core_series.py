"""What stage 2 holds series by series: windows, and the readings of gauges, of those who ask for it."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from config.catalogue import Catalogue, EventType, Meter
from processors.series import SeriesStates
from processors.window_rows import WindowRow
from rating.contracts import Account
from rating.states import Level, Mean, Sum
from rating.totals import DAY_MS, Total

HOUR_MS = 3_600_000
DAY = 20_000  # since 1970
BEGIN_MS = DAY * DAY_MS
START, END = (
    date.fromordinal(date(1970, 1, 1).toordinal() + DAY),
    date.fromordinal(date(1970, 1, 1).toordinal() + DAY + 2),
)
NOON = datetime.fromtimestamp(BEGIN_MS / 1000 + 12 * 3600, UTC)
SUMS = (
    Meter("s", 1, "a", "sum", "v", dimensions=("d", "e"), precision=2),
    Meter("s", 2, "a", "sum", "v", dimensions=("d",), precision=3, window="5m"),
)
MEAN = Meter("m", 1, "a", "avg", "v", precision=1)
GAUGE = Meter("g", 1, "a", "gauge", "v", dimensions=("d",), precision=1)
SLOW = Meter("g", 2, "a", "gauge", "v", dimensions=("d",), precision=1, window="1d")
FAST = Meter("other", 1, "a", "gauge", "v", window="1m")
CATALOGUE = Catalogue(
    events=(EventType("a", 1),),
    meters=(*SUMS, MEAN, GAUGE, SLOW, FAST),
    accounts=(Account("acme", ("z",)), Account("late", ("moved",), NOON)),
)


def series(
    *meters: str, accounts: tuple[str, ...] = (), by_window: tuple[str, ...] = (), of: Catalogue = CATALOGUE
) -> SeriesStates:
    return SeriesStates(of, frozenset(meters), frozenset(accounts), frozenset(by_window))


def row(meter: Meter, at_ms: int = 0, members: bytes = b"", **changes: Any) -> WindowRow:
    made = WindowRow(
        *(meter.id, meter.version, "z", [name.upper() for name in meter.dimensions], "acme", BEGIN_MS + at_ms, "T", 0),
        *(0, 7, 2, 0, 0, 0, 0, 0, 0, members),
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def sample(at_ms: int, value: int, high: int = 1, low: int = 2) -> bytes:
    return struct.pack("<qQQq", (BEGIN_MS + at_ms) * 1000, high, low, value)


def totals(held: SeriesStates, *meters: str, account: str = "acme") -> list[Total]:
    return held.totals(account, frozenset(meters), START, END)


def slots(held: SeriesStates, account: str = "acme", start: date = START) -> list[tuple[int, int, Decimal]]:
    """Hour it begins, hours it lasts, and what the gauge said last."""
    found = []
    for one in held.totals(account, frozenset({"g"}), start, END):
        assert isinstance(one.state, Level)
        found.append(((one.start_ms - BEGIN_MS) // HOUR_MS, (one.end_ms - one.start_ms) // HOUR_MS, one.state.last))
    return found


def test_it_takes_the_meters_that_were_asked_for_and_all_of_the_accounts_that_were() -> None:
    held = series("s", accounts=("acme",))
    assert [held.takes(account, meter) for account in ("acme", "x") for meter in ("s", "m")] == [
        True,
        True,
        True,
        False,
    ]
    held.add(row(MEAN, account="x"), MEAN, 8, 2, 0, 50)
    assert totals(held, "m", account="x") == []
    held.add(row(MEAN), MEAN, 8, 2, 0, 50)
    assert totals(held, "m") == [
        Total("m", BEGIN_MS, BEGIN_MS + HOUR_MS, Mean(Decimal(5), 2), "z", {}, "acme"),
    ]


def test_each_series_window_and_version_of_a_meter_is_a_total_of_its_own() -> None:
    held = series("s")
    first, second = SUMS
    held.add(row(first), first, 8, 2, 0, 500)
    held.add(row(first), first, 1, 1, 1, 100)
    held.add(row(first, HOUR_MS), first, 8, 2, 0, 300)
    held.add(row(first, dimensions=["D", "F"]), first, 8, 2, 0, 200)
    held.add(row(first, subject="y"), first, 8, 2, 0, 100)
    held.add(row(second), second, 8, 2, 0, 7)
    held.add(row(first, account="other"), first, 8, 2, 0, 11)
    whole = {"d": "D", "e": "E"}
    assert totals(held, "s", "m") == [
        Total("s", BEGIN_MS, BEGIN_MS + HOUR_MS, Sum((Decimal(600) + 2**32) / 100), "z", whole, "acme"),
        Total("s", BEGIN_MS + HOUR_MS, BEGIN_MS + 2 * HOUR_MS, Sum(Decimal(3)), "z", whole, "acme"),
        Total("s", BEGIN_MS, BEGIN_MS + HOUR_MS, Sum(Decimal(2)), "z", {"d": "D", "e": "F"}, "acme"),
        Total("s", BEGIN_MS, BEGIN_MS + HOUR_MS, Sum(Decimal(1)), "y", whole, "acme"),
        Total("s", BEGIN_MS, BEGIN_MS + 300_000, Sum(Decimal("0.007")), "z", {"d": "D"}, "acme"),
    ]
    assert [one.state for one in totals(held, "s", account="other")] == [Sum(Decimal("0.11"))]


def test_meters_come_in_order_and_a_gauge_does_not_keep_the_next_one_back() -> None:
    held = series("g", "s", "m")
    held.add(row(GAUGE, members=sample(0, 15)), GAUGE, 1, 0, 0, 0)
    held.add(row(MEAN), MEAN, 8, 2, 0, 50)
    held.add(row(SUMS[0]), SUMS[0], 8, 2, 0, 500)
    assert [one.meter for one in totals(held, "s", "m", "g")] == ["g", "g", "m", "s"]


def test_a_gauge_is_had_by_day_but_by_window_where_somebody_asks() -> None:
    for held, size, count in (
        (series("g"), 24, 2),
        (series("g", by_window=("g",)), 1, 45),
        (series(accounts=("acme",)), 1, 45),
        (series("g", accounts=("x",), by_window=("other",)), 24, 2),
    ):
        held.add(row(GAUGE, members=sample(3 * HOUR_MS, 15)), GAUGE, 1, 0, 0, 0)
        found = slots(held)
        assert {(lasts, last) for _, lasts, last in found} == {(size, Decimal("1.5"))}
        assert len(found) == count
        assert found[0][0] == 3 // size * size


def test_a_reading_of_before_is_carried_into_the_days_and_one_of_after_is_not() -> None:
    held = series("g")
    held.add(row(GAUGE, members=sample(-3 * DAY_MS, 15)), GAUGE, 1, 0, 0, 0)
    held.add(row(GAUGE, members=sample(3 * DAY_MS, 25)), GAUGE, 1, 0, 0, 0)
    assert slots(held) == [(0, 24, Decimal("1.5")), (24, 24, Decimal("1.5"))]
    held = series("g")
    held.add(row(GAUGE, members=sample(DAY_MS + 1, 15)), GAUGE, 1, 0, 0, 0)
    held.add(row(GAUGE, members=sample(-1, 0)), GAUGE, 1, 0, 0, 0)
    assert slots(held) == [(0, 24, Decimal(0)), (24, 24, Decimal("1.5"))]
    held = series("g")
    held.add(row(GAUGE, members=sample(DAY_MS, 15)), GAUGE, 1, 0, 0, 0)
    assert slots(held) == [(24, 24, Decimal("1.5"))], "before its first reading a gauge is not there"


def test_readings_add_up_over_chunks_and_windows_and_the_highest_identity_of_an_instant_holds() -> None:
    held = series("g")
    held.add(row(GAUGE, members=sample(0, 10) + sample(HOUR_MS, 20, 5, 0)), GAUGE, 1, 0, 0, 0)
    held.add(row(GAUGE, HOUR_MS, members=sample(HOUR_MS, 30, 4, 9), chunk=2), GAUGE, 1, 0, 0, 0)
    held.add(row(GAUGE, HOUR_MS, members=sample(HOUR_MS, 15, 5, 1)), GAUGE, 1, 0, 0, 0)
    (first, _) = totals(held, "g")
    assert isinstance(first.state, Level)
    assert (first.state.last, first.state.lowest, first.state.highest) == (Decimal("1.5"), 1, Decimal("1.5"))
    assert (first.subject, first.dimensions, first.account, first.end_ms) == (
        *("z", {"d": "D"}, "acme"),
        BEGIN_MS + DAY_MS,
    )


def test_a_gauge_without_samples_is_not_there() -> None:
    held = series("g")
    held.add(row(GAUGE), GAUGE, 1, 0, 0, 0)
    assert totals(held, "g") == []


@pytest.mark.parametrize("by_window", [(), ("g",)])
def test_a_reading_is_carried_while_its_subject_belongs_to_the_account(by_window: tuple[str, ...]) -> None:
    """From noon of the first day on the subject is of another account: a slot is of whoever has it at its last
    millisecond."""
    size = 1 if by_window else 24
    held = series("g", by_window=by_window)
    for account in ("moved", "late"):
        held.add(row(GAUGE, members=sample(0, 15), subject="moved", account=account), GAUGE, 1, 0, 0, 0)
    before = [begin for begin, _, _ in slots(held, "moved")]
    after = [begin for begin, _, _ in slots(held, "late")]
    assert before == ([] if size == 24 else list(range(12)))
    assert after == ([0, 24] if size == 24 else list(range(12, 48)))


@pytest.mark.parametrize(("before_ms", "had"), [(0, [0]), (1, [])])
def test_a_day_is_of_who_has_the_subject_in_its_last_millisecond(before_ms: int, had: list[int]) -> None:
    midnight = datetime.fromtimestamp(BEGIN_MS / 1000 + 86_400, UTC) - timedelta(milliseconds=before_ms)
    moved = Catalogue(events=CATALOGUE.events, meters=(GAUGE,), accounts=(Account("late", ("moved",), midnight),))
    held = series("g", of=moved)
    for account in ("moved", "late"):
        held.add(row(GAUGE, members=sample(0, 15), subject="moved", account=account), GAUGE, 1, 0, 0, 0)
    assert [begin for begin, _, _ in slots(held, "moved")] == had
    assert [begin for begin, _, _ in slots(held, "late")] == [0, 24][len(had) :]
