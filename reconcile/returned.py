"""Admission records, read by the check's own rules: events that came late or were refused, and come back.

Format: b"\\0\\1", then MessagePack [clock, lateness, topic, partition, [[offset, index, raw, known], ...]]. What is no
such record, or over a limit, is one invalid event.

**What is sound here.** A record says of each event whether the archive knew it when the command read it. The fold must
believe that, and so verdicts are told here as decision 0005 tells them: by the claim, by the hours that are open, by
what was admitted since. Whether the claim was true is another question, and it is asked of the log, not of the archive,
which may be the one at fault: `reconcile.claims` reads the log again and looks for every event that was accepted under
the identity of one that came back. So nothing is remembered of closed hours in between: memory grows with the events
that came back, about 500 bytes each, and not with the log.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

HEAD: Final = b"\0\1"
_Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Milliseconds = Annotated[int, Meta(ge=0, le=10**15)]
_Place = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Returned(msgspec.Struct, array_like=True, frozen=True):
    """An event, and where its letter is from. `known`: the archive had its identity; then it may have no bytes."""

    offset: _Whole
    index: _Place
    raw: bytes
    known: bool = False


class Record(msgspec.Struct, array_like=True, frozen=True):
    """`clock_ms`, `lateness_ms`: of the ledger row that the command read before it read the archive."""

    clock_ms: _Milliseconds
    lateness_ms: _Milliseconds
    topic: Annotated[str, Meta(max_length=64)]
    partition: _Place
    events: Annotated[list[Returned], Meta(min_length=1)]


Coordinate = tuple[str, int, int, int]  # of a letter: topic, partition, offset, index

_DECODE: Final = msgspec.msgpack.Decoder(Record).decode


class Outcome(NamedTuple):
    """What became of one event of a record, as `admission_rows` must have it. `identity` 0: it could not be read."""

    admission: int  # offset of the record
    place: int  # in it
    letter: Coordinate
    verdict: str  # empty: the log begins too late to tell
    identity: int
    clock_ms: int


def record_of(value: bytes, bytes_max: int, events_max: int) -> Record | None:
    """None for what cannot be read as one."""
    if not value.startswith(HEAD) or len(value) > bytes_max:
        return None
    try:
        record = _DECODE(value[len(HEAD) :])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return record if len(record.events) <= events_max else None


class Remembered:
    """Identities and coordinates of what came back, by the hour of the log's clock. An hour is kept as long as event
    hours are: until the clock, less the longest lateness, has passed it."""

    def __init__(self) -> None:
        self._hours: dict[int, set[int | Coordinate]] = {}

    def __contains__(self, one: int | Coordinate) -> bool:
        return any(one in held for held in self._hours.values())

    def add(self, hour: int, *them: int | Coordinate) -> None:
        self._hours.setdefault(hour, set()).update(them)

    def close(self, before: int) -> None:
        """Forget hours before this one."""
        for hour in [hour for hour in self._hours if hour < before]:
            del self._hours[hour]
