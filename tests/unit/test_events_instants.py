"""Instants by example: the ends of the range, each refusal with its reason, and what a column reads by itself."""

from __future__ import annotations

import pyarrow as pa
import pytest

from processors.instants import (
    END_US,
    LEAP_SECOND,
    NO_INSTANT,
    NO_ZONE,
    OUT_OF_RANGE,
    InstantError,
    instant_column,
    instant_us,
)

SECOND_US = 1_000_000
USUAL = "2026-11-01T12:30:45Z"
USUAL_US = 1_793_536_245_000_000


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01z", SECOND_US),
        (USUAL, USUAL_US),
        ("2026-11-01T12:30:45.5Z", USUAL_US + 500_000),
        ("2026-11-01T12:30:45.000001Z", USUAL_US + 1),
        ("2026-11-01T12:30:45.1234569Z", USUAL_US + 123_456),
        ("2026-11-01T14:30:45+02:00", USUAL_US),
        ("2026-11-01T12:00:45-00:30", USUAL_US),
        ("2026-11-02T12:29:45+23:59", USUAL_US),
        ("1969-12-31T23:00:00-01:00", 0),
        ("2261-12-31T23:59:59.999999Z", END_US - 1),
        ("2262-01-01T00:59:59+01:00", END_US - SECOND_US),
    ],
)
def test_a_text_is_its_distance_from_1970(text: str, us: int) -> None:
    assert instant_us(text) == us


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-11-01T12:30:45", NO_ZONE),
        ("2026-11-01 12:30:45.5", NO_ZONE),
        ("2026-11-01 12:30:45Z", NO_INSTANT),
        ("2026-13-01T12:30:45Z", NO_INSTANT),
        ("2026-11-01T24:30:45Z", NO_INSTANT),
        ("2026-11-01T12:30:61Z", NO_INSTANT),
        ("2026-11-01T12:30:45+24:00", NO_INSTANT),
        ("2026-11-01T12:30:45+01:60", NO_INSTANT),
        ("2026-12-31T23:59:60Z", LEAP_SECOND),
        ("1969-12-31T23:59:59.999999Z", OUT_OF_RANGE),
        ("1970-01-01T00:00:00+00:01", OUT_OF_RANGE),
        ("1968-12-31T00:00:00Z", OUT_OF_RANGE),
        ("0000-01-01T00:00:00Z", OUT_OF_RANGE),
        ("2262-01-01T00:00:00Z", OUT_OF_RANGE),
        ("2263-01-01T00:00:00Z", OUT_OF_RANGE),
        ("2263-99-01T00:00:00Z", OUT_OF_RANGE),
    ],
)
def test_a_text_that_is_no_instant_is_refused_with_what_to_do(text: str, reason: str) -> None:
    with pytest.raises(InstantError) as refused:
        instant_us(text)
    assert str(refused.value) == reason


def test_a_column_reads_every_usual_form_by_itself() -> None:
    texts = [USUAL, "2026-11-01T12:30:45.123456789Z", "2026-11-01T14:30:45+02:00", "2026-11-01T12:00:45.5-00:30"]
    texts += ["1970-01-01T00:00:00Z", "2261-12-31T23:59:59.999999Z"]
    micros, odd = instant_column(pa.array(texts, pa.string()))
    assert odd.tolist() == [False] * 6
    assert micros.tolist() == [USUAL_US, USUAL_US + 123_456, USUAL_US, USUAL_US + 500_000, 0, END_US - 1]


@pytest.mark.parametrize(
    "text",
    [
        *("2026-11-01t12:30:45Z", "2026-11-01T12:30:45z", "2026-11-01T12:30:45.1234567890Z"),  # read one by one
        *("2026x11-01T12:30:45Z", "2026-11x01T12:30:45Z", "2026-11-01 12:30:45Z", "2026-11-01T12x30:45Z"),
        *("2026-11-01T12:30x45Z", "2026-11-01T12:30:45", "2026-11-01T12:30:45+0200", "2026-11-01T12:30:45x02:00"),
        *("2026-11-01 00Z", "", "Z", "2026-13-01T12:30:45Z", "2026-11-01T12:30:45+02x00"),
        *("1969-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "2026-11-01T12:30Z", "é026-11-01T12:30:45Z"),
    ],
)
def test_a_column_leaves_what_is_odd_and_reads_its_neighbours(text: str) -> None:
    micros, odd = instant_column(pa.array([USUAL, text, USUAL, text], pa.string()))
    assert odd.tolist() == [False, True, False, True]
    assert micros.tolist() == [USUAL_US, 0, USUAL_US, 0]


def test_a_column_without_one_usual_text_is_odd_throughout() -> None:
    for texts in ([], [""], ["x", ""]):
        micros, odd = instant_column(pa.array(texts, pa.string()))
        assert (micros.tolist(), odd.tolist()) == ([0] * len(texts), [True] * len(texts))


def test_a_slice_of_a_column_is_read_from_where_it_begins() -> None:
    whole = pa.array(["x", USUAL, "1970-01-01T00:00:01Z", "y"], pa.string())
    micros, odd = instant_column(whole.slice(1, 2))
    assert (micros.tolist(), odd.tolist()) == ([USUAL_US, SECOND_US], [False, False])
