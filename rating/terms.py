"""What may stand around a kernel: the parts of a price that change its quantity or its amount."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from rating.checks import UNKNOWN, Checked, PathFault, Read
from rating.kernels import Round

Amount = str | int  # as written; a canonical decimal string once the struct exists
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]

EVERY_MS = {"1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000, "1d": 86_400_000}


class Convert(Checked, frozen=True):
    """The period's quantity divided by `divide_by`, to a whole number by `round`, or exactly without it.

    Up and down go along the number line, so that more is never less; half_up is half away from zero.
    """

    divide_by: Amount
    round: Round | None = None
    limits: ClassVar = {"divide_by": "above 0"}


class Combine(Checked, frozen=True):
    """A quantity made of the price's own meter and others: their sum, its difference to theirs, or its ratio to one.

    A ratio to nothing is zero. With a rollup it is made in each slot, else of the period's quantities.
    """

    how: Literal["sum", "difference", "ratio"]
    meters: tuple[Id, ...]

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """At least one other meter, and for a ratio exactly one."""
        how, meters = read(item, "how"), read(item, "meters")
        if meters is UNKNOWN:
            return
        if not meters:
            yield ("meters",), "must name at least one meter"
        elif how == "ratio" and len(meters) > 1:
            yield ("meters",), "must be one meter for a ratio: the one to divide by"


class When(Checked, frozen=True):
    """Holds when a quantity of the period passes a bound: above or below it, or reaching it."""

    meter: Id
    combine: Combine | None = None
    at_least: Amount | None = None
    above: Amount | None = None
    at_most: Amount | None = None
    below: Amount | None = None

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """Exactly one bound."""
        bounds = [read(item, name) for name in ("at_least", "above", "at_most", "below")]
        if UNKNOWN not in bounds and sum(bound is not None for bound in bounds) != 1:
            yield (), "must have one bound: at_least, above, at_most or below"

    def holds(self, quantity: Any) -> bool:
        """Whether `quantity`, a Decimal or Fraction, passes the bound."""
        if self.at_least is not None:
            return bool(quantity >= Decimal(self.at_least))
        if self.above is not None:
            return bool(quantity > Decimal(self.above))
        if self.at_most is not None:
            return bool(quantity <= Decimal(self.at_most))
        assert self.below is not None
        return bool(quantity < Decimal(self.below))


class Discount(Checked, frozen=True):
    """`percent` off the amount, on all of the period, when the condition holds for the period's quantities."""

    percent: Amount
    when: When
    limits: ClassVar = {"percent": "percent"}


class Rollup(Checked, frozen=True):
    """The period's quantity by way of slots of time: first each slot of each series, then all series, then the slots.

    `each`: of one series in one slot, "merge" its states as the meter does, or take the sum, max, min, mean or last of
    its windows. `series`: across series "sum", "max", or "merge" their states (only with each = "merge"). `rate`:
    divided by the seconds of a slot. `over`: across the slots of the period; a percentile is by nearest rank. `divisor`
    of a mean: how many slots count as a period, by default as many as the period has. `missing`: a slot without usage
    is zero, left out ("skip"), or has the value of that series in the slot before ("carry", not past `through`).
    """

    every: Literal["1m", "5m", "15m", "1h", "1d"]
    over: Literal["sum", "mean", "max", "min", "percentile"]
    each: Literal["merge", "sum", "max", "min", "mean", "last"] = "merge"
    series: Literal["sum", "max", "merge"] = "sum"
    missing: Literal["zero", "carry", "skip"] = "zero"
    rate: bool = False
    percentile: Amount | None = None
    divisor: Amount | None = None
    limits: ClassVar = {"percentile": "percent", "divisor": "above 0"}

    @property
    def every_ms(self) -> int:
        """The length of a slot."""
        return EVERY_MS[self.every]

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """Each option only where it means something."""
        yield from super().faults_in(item, read)
        over, percentile, divisor = read(item, "over"), read(item, "percentile"), read(item, "divisor")
        if UNKNOWN not in (over, percentile):
            if over == "percentile" and percentile is None:
                yield ("percentile",), 'is required for a percentile, such as "95"'
            elif over == "percentile" and Decimal(percentile) == 0:
                yield ("percentile",), "must be above 0: there is no rank zero"
            elif over != "percentile" and percentile is not None:
                yield ("percentile",), f"is not for {over}; leave it out"
        if over is not UNKNOWN and over != "mean" and divisor is not None:
            yield ("divisor",), f"is not for {over}; leave it out"
        if read(item, "series") == "merge" and read(item, "each") not in ("merge", UNKNOWN):
            yield ("series",), 'can merge states only where each = "merge" keeps them'
        if divisor is not None and read(item, "missing") == "skip":
            yield ("missing",), "cannot skip slots that the divisor counts"
