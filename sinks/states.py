"""Merged aggregate states as ClickHouse hands them over, and the exact quantity that each means."""

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from functools import reduce
from typing import Any

import msgspec

SCALE = 12  # digits: usage_partials brings every meter to it, whatever its precision
_EXACT = Context(prec=100)  # the default context rounds at 28 digits; Decimal256 has 76

# Merges the rows of usage_partials (alias p) into the fields of State, but for unique.
STATE_COLUMNS = """sum(p.sum_12) AS sum, sum(p.events) AS events,
    minIf(p.min_12, p.events > 0) AS min, maxIf(p.max_12, p.events > 0) AS max,
    maxIf(p.latest_order, p.events > 0) AS latest_order,
    argMaxIf(p.latest_12, p.latest_order, p.events > 0) AS latest"""


class State(msgspec.Struct):
    """Of one or many windows of one aggregation. Values are integers of 10^-12 of the meter's unit."""

    sum: int
    events: int
    min: int  # this and the next three mean nothing where events = 0
    max: int
    latest_order: tuple[int, int, int]  # (time in us, identity high, identity low)
    latest: int
    unique: int = 0  # distinct members; merge() adds, so the other's must be members not yet counted

    @classmethod
    def of(cls, row: Mapping[str, Any], unique: int) -> "State":
        """From a row that holds STATE_COLUMNS."""
        names = ("sum", "events", "min", "max", "latest_order", "latest")
        return cls(**{name: row[name] for name in names}, unique=unique)

    def merge(self, other: "State") -> "State":
        if not self.events:
            return msgspec.structs.replace(other, unique=self.unique + other.unique)
        if not other.events:
            return msgspec.structs.replace(self, unique=self.unique + other.unique)
        later = max(self, other, key=lambda state: state.latest_order)
        return State(
            sum=self.sum + other.sum,
            events=self.events + other.events,
            min=min(self.min, other.min),
            max=max(self.max, other.max),
            latest_order=later.latest_order,
            latest=later.latest,
            unique=self.unique + other.unique,
        )

    def quantity(self, aggregation: str) -> Decimal:
        """Exact; an average is rounded to 12 digits, half away from zero, and is 0 without events."""
        match aggregation:
            case "sum":
                return scaled(self.sum)
            case "count":
                return Decimal(self.events)
            case "unique":
                return Decimal(self.unique)
            case "min" | "max" | "latest" | "gauge" if not self.events:
                return Decimal(0)
            case "min":
                return scaled(self.min)
            case "max":
                return scaled(self.max)
            case "latest" | "gauge":
                return scaled(self.latest)
            case "avg":
                half_up = (2 * abs(self.sum) + self.events) // (2 * self.events) if self.events else 0
                return scaled(half_up if self.sum >= 0 else -half_up)
        raise ValueError(f"unknown aggregation {aggregation!r}")

    def exact(self, aggregation: str) -> Decimal | Fraction:
        """The quantity as prices take it: an average, which need not have a finite decimal form, is not rounded."""
        if aggregation == "avg" and self.events:
            return Fraction(self.sum, self.events * 10**SCALE)
        return self.quantity(aggregation)


def scaled(value: int) -> Decimal:
    """value * 10^-12 without rounding or trailing zeros."""
    return plain(Decimal(value).scaleb(-SCALE, _EXACT))


def total(values: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    return plain(reduce(_EXACT.add, values, Decimal(0)))


def plain(value: Decimal) -> Decimal:
    """The same number without trailing zeros after the point, and without an exponent before it."""
    short = value.normalize(_EXACT)
    return short.quantize(Decimal(1), context=_EXACT) if short.as_tuple().exponent > 0 else short  # type: ignore[operator]
