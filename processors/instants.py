"""Instants: RFC 3339 texts as microseconds since 1970, floored."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from processors.decode_cast import cast_column

FIRST_US = 0  # 1970-01-01
END_US = 9_214_646_400_000_000  # 2262-01-01: what 64-bit nanoseconds hold, and so every database

_SHORTEST = len("2026-01-01T00:00:00Z")
_MARKS = tuple((place, ord(mark)) for place, mark in ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")))
_SIGNS = np.frombuffer(b"+-", np.uint8)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_WITHOUT_ZONE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?")

NO_ZONE = "has no zone; write it as RFC 3339 with Z or an offset"
NO_INSTANT = 'is not RFC 3339; write it like "2026-11-01T12:30:00.5Z"'
LEAP_SECOND = "is in a leap second, which has no instant here; send second 59 or the second after"
OUT_OF_RANGE = "is outside 1970 to 2261; check the clock of the source"


class InstantError(ValueError):
    """A text that is no instant in range; the message says what to do and fits behind "time: "."""


def instant_us(text: str) -> int:
    """Microseconds since 1970, floored, FIRST_US <= it < END_US. Raises InstantError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise InstantError(NO_ZONE if _WITHOUT_ZONE.fullmatch(text) else NO_INSTANT)
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = match.groups()[6:]
    if second == 60:
        raise InstantError(LEAP_SECOND)
    if not 1969 <= year <= 2262:  # an offset moves an instant by less than a day
        raise InstantError(OUT_OF_RANGE)
    offset_h, offset_m = int(offset_hours or "0"), int(offset_minutes or "0")
    try:
        local = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise InstantError(NO_INSTANT) from None
    if offset_h > 23 or offset_m > 59:
        raise InstantError(NO_INSTANT)
    offset = timedelta(hours=offset_h, minutes=offset_m)
    since = local - _EPOCH + (offset if sign == "-" else -offset)
    micros = since // timedelta(microseconds=1) + int((fraction or "0")[:6].ljust(6, "0"))
    if not FIRST_US <= micros < END_US:
        raise InstantError(OUT_OF_RANGE)
    return micros


def instant_column(texts: "pa.StringArray") -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """int64[n] microseconds, floored; and bool[n]: True where the text needs `instant_us`, its value here being 0.

    What is read here, `instant_us` reads alike. It also reads what pyarrow does not: small t and z, and more than nine
    digits of a second. Nanoseconds are cast as such, since a cast to microseconds refuses them.
    """
    shaped = _shaped(texts)
    if not shaped.all():
        texts = compute.if_else(pa.array(shaped), texts, "1970-01-01T00:00:00Z")  # not one that would stop the cast
    nanos, unread = cast_column(texts, pa.timestamp("ns", "UTC"), 1)
    micros = nanos[:, 0] // 1000
    odd = ~shaped | (micros < FIRST_US) | (micros >= END_US)
    odd[unread] = True
    micros[odd] = 0
    return micros, odd


def _shaped(texts: "pa.StringArray") -> npt.NDArray[np.bool_]:
    """bool[n]: has the punctuation of RFC 3339, on which pyarrow does not insist (it takes "2026-01-01 00Z")."""
    _, offsets_memory, memory = texts.buffers()
    offsets = np.frombuffer(offsets_memory, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    start, end = offsets[:-1], offsets[1:]
    shaped: npt.NDArray[np.bool_] = end - start >= _SHORTEST
    if memory is None or not shaped.any():
        return shaped & False
    bytes_ = np.frombuffer(memory, np.uint8)
    start, end = np.where(shaped, start, 0), np.where(shaped, end, _SHORTEST)
    for place, mark in _MARKS:
        shaped &= bytes_[start + place] == mark
    utc = bytes_[end - 1] == ord("Z")
    if utc.all():
        return shaped
    shaped &= utc | ((bytes_[end - 3] == ord(":")) & np.isin(bytes_[end - 6], _SIGNS))
    return shaped
