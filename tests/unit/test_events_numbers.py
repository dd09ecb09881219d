"""The column readers against the exact reader of one value, and that against fractions and datetime."""

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from processors.instants import END_US, InstantError, instant_column, instant_us
from processors.numbers import SCALED_MAX, NumberError, canonical_number, scale, scale_column

DECIMALS = st.from_regex(r"-?[0-9]{1,22}(\.[0-9]{1,14})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
ALMOST = st.text(alphabet="0123456789.-+eE_ \n\u0661", max_size=8)
VALUES = DECIMALS | ALMOST | st.integers() | st.floats() | st.sampled_from([None, True, b"1", [1]])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def scaled_or_none(value: object, precision: int) -> int | None:
    try:
        return scale(value, precision)
    except NumberError:
        return None


@settings(max_examples=500, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=20), st.integers(0, 12))
def test_a_column_of_numbers_is_read_like_each_number(values: list[object], precision: int) -> None:
    scaled, present, bad = scale_column(values, precision)
    expected = [None if value is None else scaled_or_none(value, precision) for value in values]
    assert scaled.tolist() == [found or 0 for found in expected]
    assert (present is None or present.tolist()) == (None not in expected or [found is not None for found in expected])
    assert bad == [
        place for place, (value, found) in enumerate(zip(values, expected, strict=True)) if value is not found is None
    ]


@pytest.mark.parametrize("precision", [0, 3, 12])
@pytest.mark.parametrize("digits", [19, 26, 27, 38, 39, 64, 128, 257, 300, 1_000])
def test_a_number_of_any_length_is_never_taken_for_another(digits: int, precision: int) -> None:
    """pyarrow's cast wraps around beyond 38 digits: ten to the 300th came out as 0."""
    texts = ["1" + "0" * (digits - 1), "-" + "9" * digits, "0." + "0" * (digits - 1) + "1", "0" * digits + "7"]
    scaled, present, _ = scale_column([*texts, "5"], precision)
    expected = [*(scaled_or_none(text, precision) for text in texts), 5 * 10**precision]
    assert scaled.tolist() == [found or 0 for found in expected]
    assert present is None or present.tolist() == [found is not None for found in expected]


@settings(max_examples=500, deadline=None)
@given(DECIMALS | st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 12))
@example("0e99999999999999999999", 0)
@example("1000000000000000000", 0)
@example("-1000000000000000000.0", 0)
@example("1000000000000000001", 0)
def test_a_number_is_exact_or_refused(value: str | int | float, precision: int) -> None:
    exact = Fraction(0) if str(value).startswith("0e") else Fraction(value) * 10**precision
    fits = exact.denominator == 1 and abs(exact) <= SCALED_MAX
    assert scaled_or_none(value, precision) == (int(exact) if fits else None)


@pytest.mark.parametrize("text", ["1E+1000000", "1e-1000000", "9" * 100_000, "1e" + "9" * 100_000, "...", "0x1", "NaN"])
def test_absurd_texts_are_refused_at_once(text: str) -> None:
    assert scaled_or_none(text, 12) is None


@settings(max_examples=300, deadline=None)
@given(DECIMALS)
def test_canonical_numbers_are_equal_texts_for_equal_numbers(text: str) -> None:
    try:
        canonical = canonical_number(text)
    except NumberError:
        return
    assert Fraction(canonical) == Fraction(text)
    assert re.fullmatch(r"0|-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", canonical)
    assert canonical_number(canonical) == canonical


MOMENTS = st.datetimes(datetime(1969, 12, 31), datetime(2262, 1, 2))
ZONES = st.sampled_from(["Z", "z", "", "+00:00", "-00:00", "+23:59", "-12:30", "+24:00", "+0100", " Z"])


@st.composite
def times(draw: st.DrawFn) -> str:
    """RFC 3339, or almost."""
    text = draw(MOMENTS).strftime("%Y-%m-%d" + draw(st.sampled_from("TTTt ")) + "%H:%M:%S")
    digits = draw(st.text(alphabet="0123456789", max_size=11))
    text += (f".{digits}" if digits or draw(st.integers(0, 9)) == 0 else "") + draw(ZONES)
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.sampled_from(["", "0", "9", ":", "T", "é", "\n"])) + text[place + 1 :]
    return text


@settings(max_examples=500, deadline=None)
@given(st.lists(times(), min_size=1, max_size=20))
def test_a_column_of_times_is_read_like_each_time_or_left_to_it(texts: list[str]) -> None:
    micros, odd = instant_column(pa.array(texts, pa.string()))
    for text, found, is_odd in zip(texts, micros.tolist(), odd.tolist(), strict=True):
        assert found == (0 if is_odd else instant_us(text))
        if re.fullmatch(r"[0-9T:.-]{19,29}Z", text) and is_odd:  # the usual form is only left when it is refused
            with pytest.raises(InstantError):
                instant_us(text)


@settings(max_examples=300, deadline=None)
@given(MOMENTS, st.integers(-1439, 1439))
def test_an_instant_is_its_distance_from_1970(local: datetime, offset_minutes: int) -> None:
    sign, (hours, minutes) = "-" if offset_minutes < 0 else "+", divmod(abs(offset_minutes), 60)
    text = f"{local.isoformat(timespec='microseconds')}999{sign}{hours:02}:{minutes:02}"
    exact = (local.replace(tzinfo=UTC) - timedelta(minutes=offset_minutes) - EPOCH) // timedelta(microseconds=1)
    try:
        assert instant_us(text) == exact
    except InstantError:
        assert not 0 <= exact < END_US
