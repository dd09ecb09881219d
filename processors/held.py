"""A partition's state in Redis as plain values, for those who only look: the check, and whoever rebuilds rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from config.catalogue import Catalogue
from config.settings import Settings
from processors.checkpoint import Head, load
from processors.events import Decoder
from processors.meter import MeterKey, PartitionState
from processors.outputs import admitted_rows, unpublished_rows
from processors.partials import DamagedError
from processors.samples import unpacked
from processors.state import RedisSlot

_LOOKS_MAX = 20  # a compaction may take chunks away while we read them; so many in a row do not happen


class HeldRow(NamedTuple):
    """One row that the state stands for, as it leaves for ClickHouse. Numbers are scaled."""

    key: MeterKey
    series: tuple[str, ...]
    start_ms: int
    chunk: int
    offset: int
    events: int
    sum: int
    value: int
    time_us: int
    identity: int
    members: frozenset[Any] | None  # digests, or (time_us, identity, scaled value) of a gauge
    admission: int = 0  # offset of the admission record + 1, whose events are a row of their own


class HeldNumbers(NamedTuple):
    """The numbered events of one day: the sums of both halves of all identities, modulo 2**64; and of each source, by
    its digest, the time of its newest event in milliseconds of the day."""

    high: int
    low: int
    newest_ms: dict[int, int]


class Held:
    """The state at one checkpoint."""

    def __init__(self, head: Head, state: PartitionState) -> None:
        self.head, self._state = head, state
        self.ledger: dict[str, int] = msgspec.structs.asdict(head.ledger)

    def hours(self) -> dict[int, set[int]]:
        """Hour since 1970 -> the 128-bit identities of its accepted events."""
        return {
            hour: {(high << 64) | low for high, low in held.keys.tolist()}
            for hour, held in self._state.identities.hours.items()
        }

    def numbers(self) -> dict[int, HeldNumbers]:
        """Day since 1970 -> what it holds of numbered events."""
        found = {}
        for number, day in self._state.sequences.days.items():
            sources = [(high << 64) | low for high, low in day.sources.keys.tolist()]
            newest = day.newest[: len(sources)].tolist()
            high, low = day.total.tolist()
            found[number] = HeldNumbers(high, low, dict(zip(sources, newest, strict=True)))
        return found

    def rows(self) -> Iterator[HeldRow]:
        """Every partial, and for a unique one each chunk of its members; and what came back and is not acknowledged."""
        admitted, _ = admitted_rows(self._state, 0, "", 0)
        for row in [*unpublished_rows(self._state, -1, "", 0), *admitted]:
            key = (row.meter, row.meter_version)
            members: frozenset[Any] | None = None
            if row.chunk and self._state.meters[key].aggregation == "gauge":
                members = frozenset((at, (high << 64) | low, value) for at, high, low, value in unpacked(row.members))
            elif row.chunk:
                halves = memoryview(row.members).cast("Q").tolist()
                members = frozenset((halves[at] << 64) | halves[at + 1] for at in range(0, len(halves), 2))
            yield HeldRow(
                key,
                (row.subject, *row.dimensions),
                row.window_start_ms,
                row.chunk,
                row.offset,
                row.events,
                (row.sum_hi << 32) + row.sum_lo,
                row.value,
                row.time_us,
                (row.id_hi << 64) | row.id_lo,
                members,
                row.admission,
            )


def look(slot: RedisSlot, catalogue: Catalogue, settings: Settings) -> Held | None:
    """The state as of the last checkpoint, None where there is none. Raises DamagedError, Retryable.

    Nothing is claimed: an owner that is at work goes on, and if it replaces chunks meanwhile we look again.
    """
    head = slot.peek()
    for _ in range(_LOOKS_MAX):
        if head is None:
            return None
        state = PartitionState(
            catalogue, settings.limits, Decoder(catalogue, settings.limits, settings.processing.skew_ms)
        )
        try:
            load(state, slot.load(head))
        except DamagedError:
            now = slot.peek()
            if now is not None and now.offset == head.offset:
                raise
            head = now
        else:
            return Held(head, state)
    raise DamagedError("the state changed faster than it could be read")
