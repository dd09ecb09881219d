"""A mergeable state as stage 2 holds it: of one account and meter on one day, or of one series in one window.

A partial is absolute, so a newer version replaces an older one: sums move by the difference, and the other states only
ever grow towards their newest version, so merging it in again changes nothing.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec
from msgspec.structs import replace

from config.catalogue import Meter
from processors.window_rows import WindowRow
from rating.numbers import EXACT, Quantity
from rating.states import Count, High, Latest, Low, Mean, Members, State, Sum

DIGITS = 12  # every state is scaled to this many decimals, so that versions of a meter with other precisions merge


class UsageState(msgspec.Struct, gc=False):
    """The merged state of one account and meter on one day, or up to it. Numbers are integers scaled by 10**12."""

    versions: int = 0  # sum of (version + 1) over its partials: it grows with any change and with nothing else
    events: int = 0
    sum: int = 0
    lowest: int | None = None
    highest: int | None = None
    latest: tuple[int, int, int, int] | None = None  # time, identity, value
    members: set[bytes] | None = None

    def move(self, row: WindowRow, meter: Meter, versions: int, events: int, sum_hi: int, sum_lo: int) -> None:
        """Take in a row that is newer than what was held of it, by what its version, events and sum differ."""
        self.versions += versions
        self.events += events
        self.sum += ((sum_hi << 32) + sum_lo) * 10 ** (DIGITS - meter.precision)
        self.extend(row, meter)

    def extend(self, row: WindowRow, meter: Meter) -> None:
        """The part of `move` that no sum tells."""
        value = row.value * 10 ** (DIGITS - meter.precision)
        match meter.aggregation:
            case "min":
                self.lowest = value if self.lowest is None else min(self.lowest, value)
            case "max":
                self.highest = value if self.highest is None else max(self.highest, value)
            case "latest":
                newest = (row.time_us, row.id_hi, row.id_lo, value)
                self.latest = newest if self.latest is None else max(self.latest, newest)
            case "unique" if row.members:
                self.members = self.members or set()
                self.members.update(row.members[i : i + 16] for i in range(0, len(row.members), 16))

    def merged(self, other: UsageState) -> UsageState:
        """The state of both; neither changes."""
        state = replace(self)
        state.merge(other)
        return state

    def merge(self, other: UsageState) -> None:
        """Take in the state of other days."""
        self.versions += other.versions
        self.events += other.events
        self.sum += other.sum
        if other.lowest is not None:
            self.lowest = other.lowest if self.lowest is None else min(self.lowest, other.lowest)
        if other.highest is not None:
            self.highest = other.highest if self.highest is None else max(self.highest, other.highest)
        if other.latest is not None:
            self.latest = other.latest if self.latest is None else max(self.latest, other.latest)
        if other.members is not None:
            self.members = (self.members or set()) | other.members

    def quantity(self, aggregation: str) -> Quantity:
        """What the state comes to, in the meter's unit; zero for a state of no events."""
        match aggregation:
            case "sum":
                return _unscaled(self.sum)
            case "count":
                return Decimal(self.events)
            case "unique":
                return Decimal(len(self.members or ()))
            case "avg":
                return Fraction(self.sum, max(self.events, 1) * 10**DIGITS)
        held = {"min": self.lowest, "max": self.highest, "latest": self.latest[3] if self.latest else None}[aggregation]
        return _unscaled(held or 0)

    def state(self, aggregation: str) -> State:
        """The same as a price takes it."""
        match aggregation:
            case "sum":
                return Sum(_unscaled(self.sum))
            case "count":
                return Count(self.events)
            case "avg":
                return Mean(_unscaled(self.sum), self.events)
            case "min":
                return Low(_unscaled(self.lowest or 0))
            case "max":
                return High(_unscaled(self.highest or 0))
            case "latest":
                time_us, high, low, value = self.latest or (0, 0, 0, 0)
                return Latest(time_us, high, low, _unscaled(value))
            case "unique":
                return Members(frozenset(self.members or ()))
        raise ValueError(f"{aggregation} has no state of its own")


# A product takes the integer as it is, and has the digits and exponent that `scaleb` of a Decimal made of it has: half
# the time.
_UNIT = Decimal(1).scaleb(-DIGITS)


def _unscaled(value: int) -> Decimal:
    return EXACT.multiply(value, _UNIT)
