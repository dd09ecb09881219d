"""Instants, numbers and texts of an event, read the plain way after docs/events.md: one value at a time, exactly."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Final

from xxhash import xxh3_128_intdigest

VALUE_MAX: Final = 10**18  # of a value scaled by the meter's precision
NUMBER_MAX: Final = 2**63 - 1  # by which an event may be known
DECIMALS_MAX: Final = 12  # of a binary float
TEXT_DIGITS_MAX: Final = 40  # of a number that is used as text
FIRST_US: Final = 0
LAST_US: Final = int(datetime(2262, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000  # exclusive

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE]([+-]?\d+))?", re.ASCII)
_WHOLE = re.compile(r"0|[1-9][0-9]{0,18}")
_EXACT = Context(prec=10_000, Emax=10**9, Emin=-(10**9), traps=[Inexact, InvalidOperation])
_WORD: Final = 2**64 - 1
_DAYS: dict[str, int] = {}  # a date as written -> microseconds since 1970; cleared when it grows
_DAYS_MAX = 100_000


class Unfit(Exception):  # noqa: N818 - said as it is
    """A value that cannot be taken; the message says why."""


class Digits(str):
    """A JSON number with a point or an exponent, as it was written."""

    __slots__ = ()


def json_number(written: str) -> int | Digits:
    """What the JSON reader makes of a number that is no plain integer to it."""
    return int(written) if written.lstrip("-").isdigit() and len(written) < 1_000 else Digits(written)


def instant_us(written: str) -> int:
    """Microseconds since 1970 of an RFC 3339 text, rounded down. Raises Unfit."""
    match = _TIME.fullmatch(written)
    if match is None:
        raise Unfit("time is not RFC 3339 with a zone")
    day, hour, minute, second, fraction, sign, zone_hour, zone_minute = match.groups()
    start = _DAYS.get(day)
    if start is None:
        start = _day_us(day)
    hours, minutes, seconds = int(hour), int(minute), int(second)
    if hours > 23 or minutes > 59 or seconds > 59:
        raise Unfit("time names no instant")
    at = start + (hours * 3600 + minutes * 60 + seconds) * 1_000_000
    if fraction:
        at += int(fraction[:6].ljust(6, "0"))
    if sign:
        ahead, minutes = int(zone_hour), int(zone_minute)
        if ahead > 23 or minutes > 59:
            raise Unfit("time has no such offset")
        shift = (ahead * 60 + minutes) * 60_000_000
        at += shift if sign == "-" else -shift
    if not FIRST_US <= at < LAST_US:
        raise Unfit("time is out of range")
    return at


def _day_us(day: str) -> int:
    try:
        midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
    except ValueError:
        raise Unfit("time names no day") from None
    if len(_DAYS) >= _DAYS_MAX:
        _DAYS.clear()
    _DAYS[day] = found = (midnight - _EPOCH) // timedelta(microseconds=1)
    return found


def attribute(value: object, bytes_max: int | None) -> str:
    """A text that is not empty, holds no control character and fits. Raises Unfit."""
    if value.__class__ is not str or not value:
        raise Unfit("missing, empty or no text")
    assert isinstance(value, str)
    if not value.isprintable() and _CONTROL.search(value):
        raise Unfit("holds a control character")
    if bytes_max is not None and len(value) * 4 > bytes_max and len(value.encode()) > bytes_max:
        raise Unfit("too long")
    return value


def scaled(value: Any, precision: int) -> int:
    """A number times 10**precision, a whole one of at most VALUE_MAX. Raises Unfit."""
    if value.__class__ is str and len(value) < 19 and value.isascii() and value.isdigit():
        value = int(value)
    if value.__class__ is int:
        found: int = value * 10**precision if -VALUE_MAX <= value <= VALUE_MAX else VALUE_MAX + 1
    else:
        number = _decimal(value)
        if not number:
            return 0
        if number.adjusted() + precision > 18:
            raise Unfit("too large")
        digits = _plain(number)
        if digits.as_tuple().exponent + precision < 0:  # type: ignore[operator]
            raise Unfit("too many decimals")
        found = int(digits.scaleb(precision, _EXACT))
    if not -VALUE_MAX <= found <= VALUE_MAX:
        raise Unfit("too large")
    return found


def dimension(value: Any, bytes_max: int) -> str:
    """The text of a dimension or filter. Raises Unfit for anything but text, integer, boolean or nothing."""
    if value is None:
        return ""
    if value.__class__ is str:
        text: str = value
    elif value.__class__ is bool:
        text = "true" if value else "false"
    elif value.__class__ is int:
        text = str(value)
    else:
        raise Unfit("neither text, integer nor boolean")
    if not text.isprintable() and _CONTROL.search(text):
        raise Unfit("holds a control character")
    if len(text) * 4 > bytes_max and len(text.encode()) > bytes_max:
        raise Unfit("too long")
    return text


def member(value: Any) -> int | None:
    """The 128-bit digest of what a unique meter counts; None for nothing. Raises Unfit for no single value."""
    if value is None:
        return None
    if value.__class__ is str:
        text = value
    elif value.__class__ is bool:
        text = "true" if value else "false"
    elif value.__class__ is int:
        if abs(value) >= 10**TEXT_DIGITS_MAX:
            raise Unfit("too long a number")
        text = str(value)
    else:
        number = _decimal(value)
        if number:
            number = _plain(number)
            _, digits, exponent = number.as_tuple()
            if len(digits) + abs(exponent) >= TEXT_DIGITS_MAX:  # type: ignore[arg-type]
                raise Unfit("too long a number")
        text = format(number, "f") if number else "0"
    return xxh3_128_intdigest(text.encode())


def number(kind: object, written: object) -> int | None:
    """The number by which an event of `sequencetype` asks to be known; None for one known by its id. Raises Unfit."""
    if kind.__class__ is not str or kind != "tollstream":
        return None
    found = int(written) if type(written) is str and _WHOLE.fullmatch(written) else NUMBER_MAX + 1
    if found > NUMBER_MAX:
        raise Unfit("sequence is no whole number")
    return found


def identity(source: str, event_id: str, time_us: int) -> int:
    """The digest of an event known by its id: of source and id, its high half mixed with the instant."""
    return xxh3_128_intdigest(f"{source}\x1f{event_id}".encode()) ^ (_mixed(time_us) << 64)


def source_digest(source: str) -> int:
    """What a source of numbered events is known by."""
    return xxh3_128_intdigest(source.encode())


def numbered_identity(source: int, number: int) -> int:
    """The digest of an event known by its number; `source` as `source_digest` gives it."""
    mixed = _mixed(number)
    return (((source >> 64) ^ mixed) << 64) | ((source + _mixed(mixed)) & _WORD)


def of_day(identity: int, day: int) -> int:
    """The identity of a numbered event together with its day (since 1970), as what came back is known by."""
    return identity ^ (_mixed(day) << 64)


def _mixed(value: int) -> int:
    """splitmix64."""
    mixed = (value + 0x9E3779B97F4A7C15) & _WORD
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WORD
    return mixed ^ (mixed >> 31)


def _decimal(value: Any) -> Decimal:
    if value.__class__ is float:
        number = Decimal(value)
        if not number.is_finite():
            raise Unfit("no number")
        if number and -_plain(number).as_tuple().exponent > DECIMALS_MAX:  # type: ignore[operator]
            raise Unfit("a binary float without a short decimal")
        return number
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Unfit("no number")
    if match[1] and len(match[1].lstrip("+-0")) > 9:  # before any arithmetic; what is not zero is far out of range
        if not value[: match.start(1) - 1].strip("-0."):
            return Decimal(0)
        raise Unfit("out of range")
    return Decimal(value)


def _plain(number: Decimal) -> Decimal:
    """Without zeros at its end; exact."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    kept = len("".join(map(str, digits)).rstrip("0"))
    return Decimal((sign, digits[:kept], exponent + len(digits) - kept))
