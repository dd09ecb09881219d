"""What a meter counted in some windows, as states that merge: never quantities, which for most meters do not add up.

Merging is commutative and associative; states of different kinds raise TypeError. Numbers are in the meter's unit.
"""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import TypeVar

import msgspec

from rating.numbers import EXACT, ZERO, Quantity, settled

_HOUR_US = 3_600_000_000
S = TypeVar("S", bound="_State")


class _State(msgspec.Struct, frozen=True):
    def merge(self: S, other: S) -> S:
        """The state of both."""
        if type(other) is not type(self):
            raise TypeError(
                f"{type(self).__name__} and {type(other).__name__} do not merge: a meter has one aggregation"
            )
        return self._with(other)

    def _with(self: S, other: S) -> S:
        raise NotImplementedError

    def quantity(self) -> Quantity:
        """What the state comes to."""
        raise NotImplementedError


class Sum(_State, frozen=True):
    """Of a `sum` meter."""

    value: Decimal

    def _with(self, other: "Sum") -> "Sum":
        return Sum(EXACT.add(self.value, other.value))

    def quantity(self) -> Decimal:
        """The sum."""
        return self.value


class Count(_State, frozen=True):
    """Of a `count` meter."""

    events: int

    def _with(self, other: "Count") -> "Count":
        return Count(self.events + other.events)

    def quantity(self) -> Decimal:
        """The number of events."""
        return Decimal(self.events)


class Low(_State, frozen=True):
    """Of a `min` meter."""

    value: Decimal

    def _with(self, other: "Low") -> "Low":
        return self if self.value <= other.value else other

    def quantity(self) -> Decimal:
        """The lowest value."""
        return self.value


class High(_State, frozen=True):
    """Of a `max` meter."""

    value: Decimal

    def _with(self, other: "High") -> "High":
        return self if self.value >= other.value else other

    def quantity(self) -> Decimal:
        """The highest value."""
        return self.value


class Mean(_State, frozen=True):
    """Of an `avg` meter."""

    total: Decimal
    events: int

    def _with(self, other: "Mean") -> "Mean":
        return Mean(EXACT.add(self.total, other.total), self.events + other.events)

    def quantity(self) -> Quantity:
        """The mean of all events, exact; zero without any."""
        return settled(Fraction(self.total) / self.events) if self.events else ZERO


class Latest(_State, frozen=True):
    """Of a `latest` meter: the value of the newest event; of several at one time, that of the highest identity."""

    time_us: int
    id_hi: int
    id_lo: int
    value: Decimal

    def _with(self, other: "Latest") -> "Latest":
        return max(self, other, key=lambda state: (state.time_us, state.id_hi, state.id_lo))

    def quantity(self) -> Decimal:
        """The newest value."""
        return self.value


class Members(_State, frozen=True):
    """Of a `unique` meter: the digests of what was seen."""

    digests: frozenset[bytes]

    def _with(self, other: "Members") -> "Members":
        return Members(self.digests | other.digests)

    def quantity(self) -> Decimal:
        """How many there are."""
        return Decimal(len(self.digests))


class Level(_State, frozen=True):
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
        return settled(Fraction(self.unit_us) / _HOUR_US)

    def each(self, how: str) -> Quantity:
        """The windows as one number: `max`, `min`, `last`, the time-weighted `mean`, or the `sum` in unit-hours."""
        if how == "sum":
            return self.quantity()
        if how == "mean":
            return settled(Fraction(self.unit_us) / self.span_us)
        return {"max": self.highest, "min": self.lowest, "last": self.last}[how]


State = Sum | Count | Low | High | Mean | Latest | Members | Level


def merged(states: Iterable[State]) -> State | None:
    """All of them in one; None for none. Members are joined in one go, as one by one would copy them each time."""
    found = list(states)
    if not found:
        return None
    if all(isinstance(state, Members) for state in found):
        return Members(frozenset().union(*(state.digests for state in found if isinstance(state, Members))))
    return reduce(lambda one, other: one.merge(other), found)  # type: ignore[arg-type]
