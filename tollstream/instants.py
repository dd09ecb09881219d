"""Instants, days and lengths of time as people write them on the command line."""

import re
from datetime import UTC, datetime, timedelta

from tollstream.failures import UsageError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LENGTH = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def instant(written: str, name: str) -> datetime:
    """RFC 3339 with a zone, or a day for its midnight, in UTC. UsageError, with the option's name, for another text."""
    try:
        found = datetime.fromisoformat(f"{written}T00:00:00Z" if _DAY.fullmatch(written) else written)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"{name} {written!r} is no instant: write it as 2026-11-01 or 2026-11-01T12:30:00Z")


def length(written: str, name: str) -> timedelta:
    """Such as 90m or 24h. UsageError for another text."""
    match = _LENGTH.fullmatch(written)
    if match is None:
        raise UsageError(f"{name} {written!r} is no length of time: write it as 90s, 15m, 24h or 2d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
