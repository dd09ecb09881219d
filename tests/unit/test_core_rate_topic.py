"""What `usage.rated` is told: totals of a segment, and what is gone."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from processors.rate import TAKEN_BACK, taken_back
from processors.rate_stage import _taken_back, _totals, _written
from sinks.superseded import RatedKey

OCTOBER, LAST = date(2026, 10, 1), date(2026, 10, 31)
OLD = RatedKey("acme", OCTOBER, LAST, "r", "requests", False, LAST, "", "USD")


def test_two_periods_that_begin_a_segment_on_one_day_are_told_apart() -> None:
    """As where a contract of another time zone changes hours before its next period."""
    one = taken_back(OLD, 2)
    other = msgspec.structs.replace(one, period_start=LAST)
    assert list(_totals([one, other]).values()) == [one, other]


def test_what_is_gone_is_below_all_that_its_generation_says_and_displaces_none_of_it() -> None:
    """A key of its own: compaction keeps the last record of each."""
    gone = taken_back(OLD, 2)
    ((place, row),) = _taken_back([gone], []).items()
    assert (row.generation, row.version, row.amount_total) == (2, TAKEN_BACK, 0)
    assert row.version < gone.version
    assert place not in _totals([gone])


def test_what_is_gone_says_the_same_whichever_of_its_days_was_found() -> None:
    """Two owners may find others, and tell it under one version."""
    one, other = taken_back(OLD, 2), taken_back(msgspec.structs.replace(OLD, day=OCTOBER, currency="EUR"), 2)
    assert _taken_back([one], []) == _taken_back([other], []) == _taken_back([one, other], [])


def test_what_is_priced_anew_is_not_taken_back() -> None:
    gone = taken_back(OLD, 2)
    assert _taken_back([gone], [msgspec.structs.replace(gone, day=OCTOBER)]) == {}


def test_a_key_begins_with_what_its_message_is_about() -> None:
    """Records of one key displace each other, so it says the same for ever."""
    row = taken_back(msgspec.structs.replace(OLD, part='{"zone":"eu"}'), 2)
    about = 'acme\x1f2026-10-01\x1f2026-10-31\x1fr\x1frequests\x1f{"zone":"eu"}'
    assert list(_totals([row])) == [about]
    assert list(_taken_back([row], [])) == [f"{about}\x1fback"]


def test_days_are_written_the_same_when_they_are_more_than_are_remembered() -> None:
    most = _written.cache_info().maxsize
    assert most is not None
    days = [OCTOBER + timedelta(days=n) for n in range(most + 10)]
    assert [_written(day) for day in days * 2] == [str(day) for day in days * 2]
    assert _written.cache_info().currsize == most
