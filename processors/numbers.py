"""Exact numbers: JSON numbers, decimal strings and MessagePack numbers as integers scaled by 10**precision.

No float takes part: a binary float of MessagePack counts with the exact value that it has.
"""

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from processors.decode_cast import cast_column

SCALED_MAX = 10**18  # of one event's scaled value; leaves room in 64 bits, and sums go to wider integers
DECIMALS_MAX = 12  # the highest precision of a meter; a binary float with more is surely no decimal that was meant
CANONICAL_MAX = 40  # digits of a number used as text: holds every 128-bit integer

_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_CAST_MAX = 38 - DECIMALS_MAX  # characters: beyond 38 digits in all pyarrow's cast wraps around, and says nothing
_STRANGE, _DIGIT, _SIGN, _POINT = 0, 1, 2, 3
_KINDS = np.full(256, _STRANGE, np.uint8)  # of a byte of a text
_KINDS[np.frombuffer(b"0123456789", np.uint8)] = _DIGIT
_KINDS[ord("-")], _KINDS[ord(".")] = _SIGN, _POINT

NO_NUMBER = 'is not a number; send a JSON number or a decimal string such as "12.5"'
BOOLEAN = "is a boolean; send a number"
DIGITS = "has more decimals than the meter keeps; round it at the source or raise the meter's precision"
FLOAT = "is a binary float without a short exact decimal; send decimals as strings"
TOO_LARGE = "is too large; scaled by the meter's precision it must stay within 10^18"
TOO_LONG = "is a number too long for a text; send it as a string"


class NumberError(ValueError):
    """A value that is no exact number in range; the message says what to do and fits behind "data.x "."""


class _Parts(NamedTuple):
    """The number sign * digits * 10**shift; no zeros at either end of `digits`, which is empty for 0."""

    sign: str
    digits: str
    shift: int


def scale(value: object, precision: int) -> int:
    """`value` (a decimal text, int or float) times 10**precision, exactly. Raises NumberError."""
    if value.__class__ is int:
        return _bounded(value, precision)
    sign, digits, shift = _parts(value)
    if not digits:
        return 0
    if shift + precision < 0:
        raise NumberError(FLOAT if isinstance(value, float) else DIGITS)
    if len(digits) + shift + precision > 19:  # 10^18 has 19 digits
        raise NumberError(TOO_LARGE)
    return _bounded(int(sign + digits), shift + precision)


def canonical_number(value: object) -> str:
    """One text for one number, without an exponent: "1.5" for 1.50, "1000" for 1e3. Raises NumberError."""
    if value.__class__ is int:
        if abs(value) >= 10**CANONICAL_MAX:
            raise NumberError(TOO_LONG)
        return str(value)
    sign, digits, shift = _parts(value)
    if len(digits) + abs(shift) >= CANONICAL_MAX:
        raise NumberError(TOO_LONG)
    if shift >= 0:
        return sign + digits + "0" * shift if digits else "0"
    digits = digits.rjust(1 - shift, "0")
    return f"{sign}{digits[:shift]}.{digits[shift:]}"


def _bounded(value: int, shift: int) -> int:
    if abs(value) > SCALED_MAX or abs(value) * 10**shift > SCALED_MAX:
        raise NumberError(TOO_LARGE)
    return value * int(10**shift)


def _parts(value: object) -> _Parts:
    if isinstance(value, float):
        if not isfinite(value):
            raise NumberError(NO_NUMBER)
        numerator, denominator = value.as_integer_ratio()
        scaled, remainder = divmod(numerator * 10**DECIMALS_MAX, denominator)
        if remainder:
            raise NumberError(FLOAT)
        return _stripped("-" if scaled < 0 else "", str(abs(scaled)), -DECIMALS_MAX)
    if not isinstance(value, str):
        raise NumberError(BOOLEAN if isinstance(value, bool) else NO_NUMBER)
    match = _NUMBER.fullmatch(value)
    if match is None:
        raise NumberError(NO_NUMBER)
    sign, whole, fraction, exponent = match.groups(default="")
    if len(exponent.lstrip("+-").lstrip("0")) > 9:  # the exponent first: 1E+1000000 must cost no more than 1
        if not (whole + fraction).strip("0"):
            return _Parts("", "", 0)
        raise NumberError(DIGITS if exponent.startswith("-") else TOO_LARGE)
    return _stripped(sign, whole + fraction, int(exponent or "0") - len(fraction))


def _stripped(sign: str, digits: str, shift: int) -> _Parts:
    significant = digits.rstrip("0")
    shift += len(digits) - len(significant)
    significant = significant.lstrip("0")
    return _Parts(sign, significant, shift) if significant else _Parts("", "", 0)


class Scaled(NamedTuple):
    """A column of numbers: `scaled` int64[n], 0 where not present; `present` bool[n], or None where all are; `bad`: the
    places that hold something else than None or an exact number in range, which are not present."""

    scaled: npt.NDArray[np.int64]
    present: npt.NDArray[np.bool_] | None
    bad: list[int]


def scale_column(values: Sequence[object], precision: int) -> Scaled:
    """`scale` of each value, None meaning a missing one; at least one."""
    kinds = list(map(type, values))
    common = int if kinds.count(int) * 2 > len(kinds) else str  # what is not of the common kind goes one by one
    odd = [] if kinds.count(common) == len(kinds) else [at for at, kind in enumerate(kinds) if kind is not common]
    plain: Sequence[Any] = _replaced(values, odd, "0" if common is str else 0) if odd else values
    unread: list[int] = []
    scaled = _scale_integers(plain, precision) if common is int else None
    if scaled is None:
        scaled, unread = _scale_texts(plain if common is str else list(map(str, plain)), precision)
    absent = [place for place in odd if values[place] is None]
    bad = []
    for place in sorted({*odd, *unread}.difference(absent)):
        try:
            scaled[place] = scale(values[place], precision)
        except NumberError:
            scaled[place] = 0
            bad.append(place)
    if not absent and not bad:
        return Scaled(scaled, None, [])
    present = np.ones(len(values), np.bool_)
    present[absent + bad] = False
    return Scaled(scaled, present, bad)


def _replaced(values: Sequence[Any], places: list[int], by: Any) -> list[Any]:
    found = list(values)
    for place in places:
        found[place] = by
    return found


def _scale_integers(values: Sequence[int], precision: int) -> npt.NDArray[np.int64] | None:
    """None where one is too large, which the slow road tells apart."""
    try:
        whole = np.array(values, np.int64)
    except OverflowError:
        return None
    room = SCALED_MAX // 10**precision
    if whole.max() > room or whole.min() < -room:
        return None
    return whole * 10**precision if precision else whole


def _scale_texts(texts: Sequence[str], precision: int) -> tuple[npt.NDArray[np.int64], list[int]]:
    """All plain decimals at once; the places of the others, whose values are 0, for the slow road."""
    column = pa.array(texts, pa.string())
    others = _not_plain(column)
    if others:
        column = pa.array(_replaced(texts, others, "0"), pa.string())
    limbs, unread = cast_column(column, pa.decimal128(38, precision), 2)
    low, high = limbs[:, 0].copy(), limbs[:, 1]  # little endian
    large = (high != low >> 63) | (low > SCALED_MAX) | (low < -SCALED_MAX)
    if large.any():
        unread += np.flatnonzero(large).tolist()
        low[large] = 0
    return low, others + unread


def _not_plain(column: "pa.StringArray") -> list[int]:
    """Places of texts that hold anything but digits, signs, and a point between digits, or too many of them; whatever
    else is wrong with a text pyarrow finds itself."""
    _, bounds, memory = column.buffers()
    ends = np.frombuffer(bounds, np.int32, len(column) + 1)
    if not ends[-1]:
        return list(range(len(column)))
    text = np.frombuffer(memory, np.uint8, ends[-1])
    wrong = np.diff(ends) > _CAST_MAX
    kind = _KINDS[text]
    # A point needs a digit on both sides, and within its text. What is behind the last character is no digit.
    points = np.flatnonzero(kind == _POINT)
    if len(points):
        digit = np.append(kind == _DIGIT, False)
        misplaced = ~(digit[points - 1] & digit[points + 1])
        begins = np.zeros(len(text) + 1, np.bool_)
        begins[ends] = True
        misplaced |= begins[points] | begins[points + 1]
        wrong[np.searchsorted(ends, points[misplaced], "right") - 1] = True
    strange = np.flatnonzero(kind == _STRANGE)
    wrong[np.searchsorted(ends, strange, "right") - 1] = True
    found: list[int] = np.flatnonzero(wrong).tolist()
    return found
