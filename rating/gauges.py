"""Gauges: things that are rather than happen (bytes stored, instances up). A reading holds until the next one.

So a bucket that sends nothing in December still owes for December: its last reading of November is carried forward
through windows and periods without events. Before its first reading a gauge is not there; a reading of zero ends it.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from rating.numbers import EXACT, ZERO, Quantity, settled
from rating.states import StateBase

HOUR_US = Decimal(3_600_000_000)


class Reading(NamedTuple):
    """What a gauge said; of several at one instant that of the highest identity holds."""

    time_us: int  # since 1970
    id_hi: int
    id_lo: int
    value: Decimal


class Level(StateBase, frozen=True):
    """Of a `gauge` meter: what one series was during some windows, carried readings included."""

    unit_us: Decimal  # sum of value times how long it held, in units times microseconds
    span_us: int  # length of the windows, those parts included in which the gauge was not there yet
    highest: Decimal
    lowest: Decimal
    last: Decimal
    until_us: int  # end of the windows

    def _with(self, other: "Level") -> "Level":
        later = max(self, other, key=lambda level: level.until_us)
        return Level(
            EXACT.add(self.unit_us, other.unit_us),
            self.span_us + other.span_us,
            max(self.highest, other.highest),
            min(self.lowest, other.lowest),
            later.last,
            later.until_us,
        )

    def quantity(self) -> Quantity:
        """Units times hours, such as GB-hours: exact, and additive over time and series."""
        return settled(Fraction(self.unit_us) / Fraction(HOUR_US))

    def each(self, how: str) -> Quantity:
        """One window as one number: its `max`, `min`, `last`, or its time-weighted `mean`."""
        if how == "mean":
            return settled(Fraction(self.unit_us) / self.span_us)
        return {"max": self.highest, "min": self.lowest, "last": self.last}[how]


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
