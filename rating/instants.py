"""Instants of contracts: always with a zone, kept in UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec.structs import force_setattr

from rating.checks import UNKNOWN, Checked, PathFault, Read

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Dated(Checked, frozen=True, rename={"from_": "from"}):
    """A part of a contract that may have instants: with a zone, in the years 1 to 9999, else ValueError."""

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if isinstance(value, datetime):
                force_setattr(self, field, utc(value, field.rstrip("_")))
        super().__post_init__()

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """An end that does not come after its beginning, too."""
        yield from super().faults_in(item, read)
        if {"from_", "to"} <= set(cls.__struct_fields__):
            from_, to = read(item, "from_"), read(item, "to")
            if UNKNOWN not in (from_, to) and None not in (from_, to) and to <= from_:
                yield ("to",), f"must be after `from`, {instant_text(from_)}"


def utc(instant: datetime, name: str) -> datetime:
    """The instant in UTC; `name` is for the message of the ValueError."""
    if instant.tzinfo is None:  # msgspec refuses this on conversion; the constructor does not check
        raise ValueError(f"{name}: {instant.isoformat()} has no zone; end it with Z")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name}: {instant.isoformat()} is outside the years 1 to 9999 in UTC") from None


def instant_text(instant: datetime) -> str:
    """A UTC instant as written in a file, such as 2026-01-01T00:00:00Z."""
    return instant.isoformat().replace("+00:00", "Z")


def within(instant: datetime, from_: datetime | None, to: datetime | None) -> bool:
    """Whether [from, to) holds the instant; None is no bound."""
    return (from_ is None or from_ <= instant) and (to is None or instant < to)
