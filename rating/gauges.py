"""Gauges: things that are rather than happen (bytes stored, instances up). A reading holds until the next one.

So a bucket that sends nothing in December still owes for December: its last reading of November is carried forward
through windows and periods without events. Before its first reading a gauge is not there; a reading of zero ends it.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

from rating.numbers import EXACT, ZERO
from rating.states import Level


class Reading(NamedTuple):
    """What a gauge said; of several at one instant that of the highest identity holds."""

    time_us: int  # since 1970
    id_hi: int
    id_lo: int
    value: Decimal


def levels(readings: Iterable[Reading], every_ms: int, start_ms: int, end_ms: int) -> Iterator[tuple[int, Level]]:
    """(start_ms, level) of each slot of `every_ms` in [start_ms, end_ms) in which the gauge was there for a moment.

    `readings` are all of one series, in any order, those before `start_ms` included. `start_ms` is on the grid of the
    slots, `end_ms` as well.
    """
    held = _timeline(readings)
    at, value = 0, None  # the next reading, and what holds before it
    for slot_ms in range(start_ms, end_ms, every_ms):
        begin, end = slot_ms * 1000, (slot_ms + every_ms) * 1000
        while at < len(held) and held[at][0] <= begin:
            value = held[at][1]
            at += 1
        area, seen = ZERO, [] if value is None else [value]
        since = begin
        while at < len(held) and held[at][0] < end:
            moment, reading = held[at]
            area = EXACT.fma(value or ZERO, Decimal(moment - since), area)
            since, value = moment, reading
            seen.append(reading)
            at += 1
        if value is not None:
            area = EXACT.fma(value, Decimal(end - since), area)
            yield slot_ms, Level(area, every_ms * 1000, max(seen), min(seen), value, end)


def _timeline(readings: Iterable[Reading]) -> list[tuple[int, Decimal]]:
    """(time_us, value) ascending, one an instant."""
    return list({reading.time_us: reading.value for reading in sorted(readings)}.items())
