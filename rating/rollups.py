"""How the states of a period's windows become its quantity.

Without a rollup: the meter's own merge of all states. With one: each slot of each series, then all series of a slot,
then the slots (see `rating.terms.Rollup`). The result depends on the totals alone and not on when it is asked, but for
`missing = "carry"`, which fills the days that have passed.
"""

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Protocol, TypeVar

from rating.numbers import EXACT, ZERO, Quantity, settled
from rating.states import Level, State, merged
from rating.terms import Combine, Rollup
from rating.totals import Series, Total

T = TypeVar("T")
_Slots = dict[int, list[Total]]


class Counted(Protocol):
    """What a quantity is asked of: a price, or the condition of a discount."""

    @property
    def meter(self) -> str | None:
        """The meter, None for what has no usage."""

    @property
    def combine(self) -> Combine | None:
        """Other meters that are part of the quantity."""


def period_quantity(
    counted: Counted,
    totals: Iterable[Total],
    period_start_ms: int,
    through_ms: int,
    *,
    rollup: Rollup | None = None,
    period_end_ms: int | None = None,
    divisor_ms: int | None = None,
) -> Quantity:
    """The quantity of the period up to `through_ms`, from the totals that begin in [period_start_ms, through_ms).

    `rollup` is by default that of a price. `period_end_ms` ends the slots that are ranked or counted (by default at
    `through_ms`); a mean without a divisor divides by the slots in `divisor_ms` (by default by those of the period),
    so that the segments of a month add up to the month. Totals that end by `period_start_ms` serve "carry" alone.
    Raises ValueError for a window that is not inside one slot.
    """
    if counted.meter is None:
        return ZERO
    rollup = rollup or getattr(counted, "rollup", None)
    meters = (counted.meter, *(counted.combine.meters if counted.combine else ()))
    how = counted.combine.how if counted.combine else "sum"
    inside: dict[str, list[Total]] = {meter: [] for meter in meters}
    for total in totals:
        if total.meter in inside and total.start_ms < through_ms:
            inside[total.meter].append(total)
    if rollup is None:
        return combined(how, [_merge(inside[meter], period_start_ms) for meter in meters])
    end_ms = through_ms if period_end_ms is None else period_end_ms
    slots = _Clock(rollup.every_ms, period_start_ms, end_ms, through_ms)
    by_meter = [_slot_values(rollup, inside[meter], slots) for meter in meters]
    present = sorted(set().union(*by_meter))
    values = [combined(how, [of.get(slot, ZERO) for of in by_meter]) for slot in present]
    if rollup.rate:
        values = [_over(value, Decimal(rollup.every_ms).scaleb(-3)) for value in values]
    period_ms = end_ms - period_start_ms if divisor_ms is None else divisor_ms
    return _across(rollup, values, slots.count, Fraction(period_ms, rollup.every_ms))


def combined(how: str, quantities: Sequence[Quantity]) -> Quantity:
    """The sum of the quantities; the first less all others; or the first divided by the second, zero by zero."""
    first, rest = quantities[0], quantities[1:]
    if how == "ratio":
        return settled(Fraction(first) / Fraction(rest[0])) if rest[0] else ZERO
    total = first
    for quantity in rest:
        total = _add(total, quantity if how == "sum" else _negated(quantity))
    return total


class _Clock:
    """The slots of a period, numbered from 0."""

    def __init__(self, every_ms: int, start_ms: int, end_ms: int, through_ms: int) -> None:
        self.every_ms, self.start_ms = every_ms, start_ms
        self.count = -((start_ms - end_ms) // every_ms)
        self.passed = min(self.count, -((start_ms - through_ms) // every_ms))

    def slot(self, total: Total) -> int:
        """Below 0 for what ended before the period."""
        first = (total.start_ms - self.start_ms) // self.every_ms
        if (total.end_ms - 1 - self.start_ms) // self.every_ms != first:
            length = (total.end_ms - total.start_ms) // 1000
            raise ValueError(
                f"a window of {length} s of meter {total.meter!r} is not inside one slot of {self.every_ms // 1000} s;"
                " roll up by a multiple of the meter's window"
            )
        return first


def _merge(totals: list[Total], start_ms: int) -> Quantity:
    state = merged([total.state for total in totals if total.start_ms >= start_ms])
    return ZERO if state is None else state.quantity()


def _slot_values(rollup: Rollup, totals: list[Total], slots: _Clock) -> dict[int, Quantity]:
    """slot -> the quantity of all series, for the slots that have usage, or a value carried into them."""
    series: dict[Series, _Slots] = {}
    for total in totals:
        slot = slots.slot(total)
        if slot >= 0 or rollup.missing == "carry":
            series.setdefault(total.series, {}).setdefault(slot, []).append(total)
    if rollup.series == "merge":
        states: dict[int, list[State]] = {}
        for found in series.values():
            for slot, windows in (_carried(found, slots.passed) if rollup.missing == "carry" else found).items():
                states.setdefault(slot, []).extend(window.state for window in windows)
        return {slot: _quantity(held) for slot, held in states.items() if slot >= 0}
    values: dict[int, Quantity] = {}
    for found in series.values():
        each = {slot: _each(rollup.each, windows) for slot, windows in found.items()}
        for slot, value in (_carried(each, slots.passed) if rollup.missing == "carry" else each).items():
            if slot < 0:
                continue
            if slot not in values:
                values[slot] = value
            else:
                values[slot] = _add(values[slot], value) if rollup.series == "sum" else max(values[slot], value)
    return values


def _quantity(states: list[State]) -> Quantity:
    state = merged(states)
    assert state is not None
    return state.quantity()


def _each(how: str, windows: list[Total]) -> Quantity:
    """One series in one slot."""
    if how == "merge":
        return _quantity([window.state for window in windows])
    if isinstance(windows[0].state, Level):  # a gauge knows more of a window than one number
        level = merged([window.state for window in windows])
        assert isinstance(level, Level)
        return level.each(how)
    by_start: dict[int, list[State]] = {}  # a window may come in parts, such as one for each partition of a log
    for window in windows:
        by_start.setdefault(window.start_ms, []).append(window.state)
    if how == "last":
        return _quantity(by_start[max(by_start)])
    quantities = [_quantity(states) for states in by_start.values()]
    if how == "max":
        return max(quantities)
    if how == "min":
        return min(quantities)
    total = _sum(quantities)
    return total if how == "sum" else _over(total, Decimal(len(quantities)))


def _carried(found: dict[int, T], passed: int) -> dict[int, T]:
    """The values of one series, each standing until the next one, up to the slots that have passed."""
    if not found:
        return found
    filled: dict[int, T] = {}
    before: T | None = None
    for slot in range(min(found), passed):
        before = found.get(slot, before)
        if before is not None:
            filled[slot] = before
    return filled


def _across(rollup: Rollup, values: list[Quantity], count: int, in_period: Fraction) -> Quantity:
    """The values of the slots that have any, out of `count`, as one quantity."""
    zeros = 0 if rollup.missing == "skip" else count - len(values)
    if rollup.over == "sum":
        return _sum(values)
    if rollup.over == "mean":
        if rollup.missing == "skip":
            return _over(_sum(values), Decimal(len(values))) if values else ZERO
        divisor = Fraction(rollup.divisor) if rollup.divisor is not None else in_period
        return settled(Fraction(_sum(values)) / divisor)
    if not values and not zeros:
        return ZERO
    rank = len(values) + zeros if rollup.over == "max" else 1
    if rollup.over == "percentile":
        rank = math.ceil(Fraction(rollup.percentile or 0) * (len(values) + zeros) / 100)
    ranked = sorted(values)
    below = sum(value < 0 for value in ranked)
    if rank <= below:
        return ranked[rank - 1]
    return ZERO if rank <= below + zeros else ranked[rank - zeros - 1]


def _sum(values: Iterable[Quantity]) -> Quantity:
    total: Quantity = ZERO
    for value in values:
        total = _add(total, value)
    return total


def _add(one: Quantity, other: Quantity) -> Quantity:
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return EXACT.add(one, other)
    return Fraction(one) + Fraction(other)


def _negated(value: Quantity) -> Quantity:
    return EXACT.minus(value) if isinstance(value, Decimal) else -value  # a bare minus rounds a Decimal to 28 digits


def _over(value: Quantity, divisor: Decimal) -> Quantity:
    return settled(Fraction(value) / Fraction(divisor))
