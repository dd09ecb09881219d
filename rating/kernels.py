"""The arithmetic of the kernels, compiled once per price.

Every kernel is piecewise straight, so it answers one question fast: on which line, `unit * quantity + offset`,
does this quantity lie? All constants are exact decimals; offsets already hold the amounts of the tiers below.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple, Protocol

import msgspec

from rating.numbers import EXACT, ZERO, Quantity, text

Round = Literal["up", "down", "half_up"]  # up and down along the number line, so that more is never less


class Line(NamedTuple):
    """price(q) = unit * q + offset, for the quantities that lie on this piece."""

    unit: Decimal
    offset: Decimal


class Step(msgspec.Struct, frozen=True):
    """One line of an explanation; `amount` is exact, and is quantity * unit_amount."""

    step: str
    quantity: Decimal
    unit_amount: Decimal
    amount: Decimal


class TierTerms(NamedTuple):
    """One tier; `up_to` is inclusive, None for the last, open one."""

    up_to: Decimal | None
    unit: Decimal
    flat: Decimal


class Kernel(Protocol):
    """One kernel with its amounts filled in."""

    def line(self, quantity: Quantity) -> Line:
        """The piece of the price on which `quantity` lies."""

    def steps(self, quantity: Decimal) -> list[Step]:
        """How the amount comes about; the amounts of the steps add up to it exactly."""


def _step(name: str, quantity: Decimal, unit: Decimal) -> Step:
    return Step(name, quantity, unit, EXACT.multiply(quantity, unit))


def flat_step(name: str, amount: Decimal) -> Step:
    """A step of one piece at `amount`."""
    return Step(name, Decimal(1), amount, amount)


def note(name: str, quantity: Decimal) -> Step:
    """A step that changes the quantity, and owes nothing itself."""
    return Step(name, quantity, ZERO, ZERO)


def rounded_quotient(quantity: Quantity, divisor: Decimal, how: Round) -> Decimal:
    """quantity / divisor as a whole number; `divisor` above 0. half_up is half away from zero."""
    if isinstance(quantity, Fraction):
        quotient = quantity / Fraction(divisor)
        if how == "half_up":
            half = math.floor(abs(quotient) + Fraction(1, 2))
            return Decimal(half if quotient >= 0 else -half)
        return Decimal(math.ceil(quotient) if how == "up" else math.floor(quotient))
    whole, rest = EXACT.divmod(quantity, divisor)  # truncates towards zero, the rest has the quantity's sign
    if how == "up":
        return EXACT.add(whole, 1 if rest > 0 else 0)
    if how == "down":
        return EXACT.subtract(whole, 1 if rest < 0 else 0)
    if EXACT.multiply(EXACT.abs(rest), Decimal(2)) >= divisor:
        return EXACT.add(whole, 1 if rest > 0 else -1)
    return EXACT.plus(whole)


class FlatKernel:
    """The same amount whatever the quantity, zero included."""

    def __init__(self, amount: Decimal) -> None:
        self._line = Line(ZERO, amount)

    def line(self, quantity: Quantity) -> Line:
        """Always the same piece."""
        return self._line

    def steps(self, quantity: Decimal) -> list[Step]:
        """One step of one piece."""
        return [flat_step("flat", self._line.offset)]


class PerUnitKernel:
    """Every unit at one amount; a negative quantity is credited at it."""

    def __init__(self, unit: Decimal) -> None:
        self._line = Line(unit, ZERO)

    def line(self, quantity: Quantity) -> Line:
        """Always the same piece."""
        return self._line

    def steps(self, quantity: Decimal) -> list[Step]:
        """One step of all units."""
        return [_step("units", quantity, self._line.unit)]


class BlockKernel:
    """Prices blocks of `size`, of which a begun one is owed whole and only whole ones are credited."""

    def __init__(self, size: Decimal, inner: Kernel) -> None:
        self._size = size
        self._inner = inner

    def line(self, quantity: Quantity) -> Line:
        """A level piece at the amount of the blocks."""
        blocks = rounded_quotient(quantity, self._size, "up")
        unit, offset = self._inner.line(blocks)
        return Line(ZERO, EXACT.fma(unit, blocks, offset))

    def steps(self, quantity: Decimal) -> list[Step]:
        """The number of blocks, then how they are priced."""
        blocks = rounded_quotient(quantity, self._size, "up")
        return [note(f"blocks of {text(self._size)}, a begun one is whole", blocks), *self._inner.steps(blocks)]


class OneNumberIsNotEnoughError(ValueError):
    """The price depends on more than a quantity, such as on a dimension."""


class MatrixKernel:
    """Nothing for nothing; for anything else the dimensions must be known."""

    def __init__(self, name: str) -> None:
        self._name = name

    def line(self, quantity: Quantity) -> Line:
        """Raises OneNumberIsNotEnoughError but for zero."""
        if quantity != 0:
            raise OneNumberIsNotEnoughError(
                f"price {self._name!r} is a matrix: its dimensions choose the cell, so use price_usage, or quote with"
                " them in its context"
            )
        return Line(ZERO, ZERO)

    def steps(self, quantity: Decimal) -> list[Step]:
        """None, for no usage."""
        self.line(quantity)
        return []


class _Tiered:
    """What graduated and volume share: finding the piece. At or below zero only the first tier's unit amount counts."""

    def __init__(self, tiers: Sequence[TierTerms], pieces: Sequence[Line], zero_owes_flat: bool) -> None:
        self._tiers = tiers
        self._bounds = [tier.up_to for tier in tiers if tier.up_to is not None]
        self._pieces = pieces
        self._zero_or_credit = Line(tiers[0].unit, tiers[0].flat if zero_owes_flat else ZERO)

    def line(self, quantity: Quantity) -> Line:
        """The piece of the tier that holds `quantity`; a bound belongs to the tier below it."""
        if quantity <= 0:
            return self._zero_or_credit
        return self._pieces[bisect_left(self._bounds, quantity)]

    def _zero_or_credit_steps(self, quantity: Decimal) -> list[Step]:
        steps = [_step("tier 1: units", quantity, self._zero_or_credit.unit)]
        if self._zero_or_credit.offset:
            steps.append(flat_step("tier 1: flat", self._zero_or_credit.offset))
        return steps


class GraduatedKernel(_Tiered):
    """Each tier prices the units that lie in it; its flat amount is owed once the quantity enters the tier."""

    def __init__(self, tiers: Sequence[TierTerms], zero_owes_flat: bool) -> None:
        pieces = []
        start, below = ZERO, ZERO  # the tier's exclusive lower bound, and the amount of all tiers up to it
        for tier in tiers:
            entered = EXACT.add(below, tier.flat)
            pieces.append(Line(tier.unit, EXACT.subtract(entered, EXACT.multiply(tier.unit, start))))
            if tier.up_to is not None:
                below = EXACT.fma(tier.unit, EXACT.subtract(tier.up_to, start), entered)
                start = tier.up_to
        super().__init__(tiers, pieces, zero_owes_flat)

    def steps(self, quantity: Decimal) -> list[Step]:
        """Tier by tier, as far as the quantity reaches."""
        if quantity <= 0:
            return self._zero_or_credit_steps(quantity)
        steps = []
        start = ZERO
        for number, tier in enumerate(self._tiers, start=1):
            end = quantity if tier.up_to is None else min(quantity, tier.up_to)
            steps.append(_step(f"tier {number}: {_span(start, tier.up_to)}", EXACT.subtract(end, start), tier.unit))
            if tier.flat:
                steps.append(flat_step(f"tier {number}: flat", tier.flat))
            if tier.up_to is None or quantity <= tier.up_to:
                break
            start = tier.up_to
        return steps


class VolumeKernel(_Tiered):
    """The tier in which the whole quantity falls prices all of it, and its flat amount is owed."""

    def __init__(self, tiers: Sequence[TierTerms], zero_owes_flat: bool) -> None:
        super().__init__(tiers, [Line(tier.unit, tier.flat) for tier in tiers], zero_owes_flat)

    def steps(self, quantity: Decimal) -> list[Step]:
        """All units in the one tier, and its flat amount."""
        if quantity <= 0:
            return self._zero_or_credit_steps(quantity)
        number = bisect_left(self._bounds, quantity)
        tier = self._tiers[number]
        start = self._bounds[number - 1] if number else ZERO
        name = f"tier {number + 1}"
        steps = [_step(f"{name}: all units, total {_span(start, tier.up_to)}", quantity, tier.unit)]
        if tier.flat:
            steps.append(flat_step(f"{name}: flat", tier.flat))
        return steps


def _span(start: Decimal, end: Decimal | None) -> str:
    if end is None:
        return f"above {text(start)}"
    return f"above {text(start)} up to {text(end)}"
