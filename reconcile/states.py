"""The state of one partial as the recount keeps it, and the rows that it must have left in ClickHouse and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

CHUNK_MEMBERS: Final = 4096  # members of a unique partial in one row of usage, in order of arrival

Series = tuple[str, ...]  # subject, then the values of the meter's dimensions in its order


class Sample(NamedTuple):
    """A reading of a gauge."""

    time_us: int
    identity: int
    value: int  # scaled


class Row(NamedTuple):
    """One row of usage, absolute. Numbers are scaled by the meter's precision; 0 where the aggregation has none."""

    offset: int  # of the last event folded in
    events: int = 0
    sum: int = 0
    value: int = 0  # min, max or latest
    time_us: int = 0  # of the latest event
    identity: int = 0  # of the latest event
    members: frozenset[Any] | None = None  # of chunk 1 and up: digests of a unique partial, Samples of a gauge


class State:
    """A partial, folded one event at a time."""

    __slots__ = ("events", "identity", "members", "offset", "samples", "sum", "time_us", "value")

    def __init__(self) -> None:
        self.offset, self.events, self.sum, self.value = -1, 0, 0, 0
        self.time_us = self.identity = 0
        # unique: digest, gauge: identity -> offset of its first event, in order of arrival
        self.members: dict[int, int] | None = None
        self.samples: dict[int, Sample] | None = None  # gauge: by identity

    def fold(self, aggregation: str, offset: int, value: int, time_us: int, identity: int) -> None:
        """Take one accepted event in; `value` is scaled, or the member of a unique meter."""
        if aggregation in ("sum", "avg"):
            self.sum += value
        elif aggregation == "min":
            self.value = min(self.value, value) if self.events else value
        elif aggregation == "max":
            self.value = max(self.value, value) if self.events else value
        elif aggregation in ("latest", "gauge"):
            newest = (self.time_us, self.identity) if self.events else (-1, -1)  # below any event
            self.time_us, self.identity = max(newest, (time_us, identity))
            self.value = value if newest < (time_us, identity) else self.value
        if aggregation == "unique":
            self.members = self.members or {}
            self.members.setdefault(value, offset)
        elif aggregation == "gauge":
            self.members, self.samples = self.members or {}, self.samples or {}
            self.members[identity], self.samples[identity] = offset, Sample(time_us, identity, value)
        self.events += 1
        self.offset = offset

    def rows(self) -> Iterator[tuple[int, Row]]:
        """(chunk, row): chunk 0 holds the state, the chunks after it the members of a unique partial or gauge."""
        yield 0, Row(self.offset, self.events, self.sum, self.value, self.time_us, self.identity)
        if self.members is not None:
            arrived = list(self.members.items())
            for number, start in enumerate(range(0, len(arrived), CHUNK_MEMBERS), 1):
                chunk = arrived[start : start + CHUNK_MEMBERS]
                held = (one if self.samples is None else self.samples[one] for one, _ in chunk)
                yield number, Row(chunk[-1][1], members=frozenset(held))
