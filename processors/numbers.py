"""Exact numbers: JSON numbers, decimal strings and MessagePack numbers as integers scaled by 10**precision.

No float takes part: a binary float of MessagePack counts with the exact value that it has.
"""

import re
from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from processors.decode_cast import cast_column

SCALED_MAX = 10**18  # of one event's scaled value; leaves room in 64 bits, and sums go to wider integers
DECIMALS_MAX = 12  # the highest precision of a meter; a binary float with more is surely no decimal that was meant
CANONICAL_MAX = 40  # digits of a number used as text: holds every 128-bit integer

_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_CAST_MAX = 38 - DECIMALS_MAX  # characters: beyond 38 digits in all pyarrow's cast wraps around, and says nothing
_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_PLAIN_CHARACTERS = b"0123456789.-\n"
_MISPLACED = ("\n.", ".\n", "-.")  # a point needs a digit on both sides: pyarrow does not insist

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
    kinds = set(map(type, values))
    if kinds == {int}:
        try:
            whole = np.array(values, np.int64)
        except OverflowError:
            pass
        else:
            room = SCALED_MAX // 10**precision
            if whole.max() <= room and whole.min() >= -room:
                return Scaled(whole * 10**precision if precision else whole, None, [])
    texts, odd = _texts(values, kinds)
    scaled, unread = _scale_texts(texts, precision)
    present = None
    if type(None) in kinds:
        present = np.fromiter((value is not None for value in values), np.bool_, len(values))
    bad = []
    for place in sorted({*odd, *unread}):
        try:
            scaled[place] = scale(values[place], precision)
        except NumberError:
            scaled[place] = 0
            bad.append(place)
    if bad:
        present = np.ones(len(values), np.bool_) if present is None else present
        present[bad] = False
    return Scaled(scaled, present, bad)


def _texts(values: Sequence[object], kinds: set[type]) -> tuple[list[str], list[int]]:
    """Each value as text, "0" where it has none; and the places of other values than texts, integers and None."""
    if kinds == {str}:
        return list(values), []  # type: ignore[arg-type]
    if kinds <= {str, int}:
        return list(map(str, values)), []
    odd = [place for place, value in enumerate(values) if value.__class__ not in (str, int, type(None))]
    return [str(value) if value.__class__ in (str, int) else "0" for value in values], odd


def _scale_texts(texts: list[str], precision: int) -> tuple[npt.NDArray[np.int64], list[int]]:
    """All plain decimals at once; the places of the others, whose values are 0, for the slow road."""
    joined = "\n".join(["", *texts, ""])
    others: list[int] = []
    if joined.count("\n") != len(texts) + 1 or not _is_plain(joined):
        others = [place for place, text in enumerate(texts) if not _PLAIN.fullmatch(text)]
        texts = texts.copy()
        for place in others:
            texts[place] = "0"
    column = pa.array(texts, pa.string())
    lengths = np.diff(np.frombuffer(column.buffers()[1], np.int32, len(texts) + 1))
    if lengths.max() > _CAST_MAX:
        long = np.flatnonzero(lengths > _CAST_MAX).tolist()
        others += long
        texts = texts.copy()
        for place in long:
            texts[place] = "0"
        column = pa.array(texts, pa.string())
    limbs, unread = cast_column(column, pa.decimal128(38, precision), 2)
    low, high = limbs[:, 0].copy(), limbs[:, 1]  # little endian
    large = (high != low >> 63) | (low > SCALED_MAX) | (low < -SCALED_MAX)
    if large.any():
        unread += np.flatnonzero(large).tolist()
        low[large] = 0
    return low, others + unread


def _is_plain(joined: str) -> bool:
    """Whether lines hold digits, signs and points alone, with digits around each point; pyarrow refuses the rest."""
    if not joined.isascii() or joined.encode().translate(None, _PLAIN_CHARACTERS):
        return False
    return not any(mark in joined for mark in _MISPLACED)
