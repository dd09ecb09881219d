"""From a period's quantity to its amount: convert, free quantity, usage discount, kernel, discount, maximum, minimum.

That order is fixed. All of it is exact; only what leaves `amount` is brought to twelve decimals.
"""

from decimal import Decimal, Inexact
from fractions import Fraction
from typing import NamedTuple

from rating.kernels import Kernel, Round, Step, flat_step, note, rounded_quotient
from rating.numbers import EXACT, ZERO, Quantity, shown, text, to_amount

_ONE = Decimal(1)
_ROUNDED = {"up": "rounded up", "down": "rounded down", "half_up": "rounded half up", None: "exactly"}


class Divide(NamedTuple):
    """What `convert` says, in numbers."""

    by: Decimal
    round: Round | None


class Pipeline:
    """A compiled price. Percentages are shares here: 10 percent is 0.1."""

    def __init__(
        self,
        kernel: Kernel,
        *,
        divide: Divide | None = None,
        free: Decimal = ZERO,
        usage_discount: Decimal = ZERO,
        discount: Decimal = ZERO,
        conditional: Decimal = ZERO,
        maximum: Decimal | None = None,
        minimum: Decimal | None = None,
    ) -> None:
        self.kernel = kernel
        self._divide = divide
        self._reciprocal = _reciprocal(divide.by) if divide else None
        self._free = free
        self._usage_discount = usage_discount
        self._discount = discount
        self._conditional = conditional
        self._maximum = maximum
        self._minimum = minimum
        self._bare_quantity = divide is None and not free and not usage_discount
        self._bare_amount = not discount and not conditional and maximum is None and minimum is None

    def billable(self, quantity: Quantity) -> Quantity:
        """What the kernel prices. A free quantity covers usage and leaves credits (below zero) alone."""
        if self._bare_quantity:
            return quantity
        return self._discounted_quantity(self._beyond_free(self._converted(quantity)))

    def amount(self, quantity: Quantity, met: bool) -> Decimal:
        """The amount at 12 decimals; `met` says whether the condition of the conditional discount holds."""
        billable = self.billable(quantity)
        unit, offset = self.kernel.line(billable)
        if not isinstance(billable, Decimal):
            exact = Fraction(unit) * billable + Fraction(offset)
            return to_amount(exact if self._bare_amount else self._owed(exact, met))
        owed = EXACT.fma(unit, billable, offset)
        return to_amount(owed if self._bare_amount else self._owed(owed, met))

    def terms(self, amount: Decimal, met: bool) -> Decimal:
        """The discounts, maximum and minimum alone, on an amount that was made elsewhere; at 12 decimals."""
        return to_amount(self._owed(amount, met))

    def _converted(self, quantity: Quantity) -> Quantity:
        if self._divide is None:
            return quantity
        if self._divide.round is not None:
            return rounded_quotient(quantity, self._divide.by, self._divide.round)
        if self._reciprocal is not None and isinstance(quantity, Decimal):
            return EXACT.multiply(quantity, self._reciprocal)
        return Fraction(quantity) / Fraction(self._divide.by)

    def _beyond_free(self, quantity: Quantity) -> Quantity:
        if not self._free or quantity <= 0:
            return quantity
        if quantity <= self._free:
            return ZERO
        return (
            EXACT.subtract(quantity, self._free) if isinstance(quantity, Decimal) else quantity - Fraction(self._free)
        )

    def _discounted_quantity(self, quantity: Quantity) -> Quantity:
        return _times(quantity, EXACT.subtract(_ONE, self._usage_discount)) if self._usage_discount else quantity

    def _owed(self, amount: Quantity, met: bool) -> Quantity:
        if self._discount:
            amount = _times(amount, EXACT.subtract(_ONE, self._discount))
        if met and self._conditional:
            amount = _times(amount, EXACT.subtract(_ONE, self._conditional))
        if self._maximum is not None and amount > self._maximum:
            amount = self._maximum
        if self._minimum is not None and amount < self._minimum:
            amount = self._minimum
        return amount

    def steps(self, quantity: Quantity, met: bool) -> list[Step]:
        """How the amount comes about, in order; the amounts of the steps add up to it exactly.

        A step that changes only the quantity shows the new one, at an amount of zero.
        """
        steps = []
        now = self._converted(quantity)
        if self._divide is not None:
            steps.append(note(f"divided by {text(self._divide.by)}, {_ROUNDED[self._divide.round]}", shown(now)))
        if self._free:
            now = self._beyond_free(now)
            steps.append(note(f"beyond the free {text(self._free)}", shown(now)))
        if self._usage_discount:
            now = self._discounted_quantity(now)
            steps.append(note(f"less {_percent(self._usage_discount)} of the quantity", shown(now)))
        steps += self.kernel.steps(shown(now))
        return [*steps, *self.term_steps(_sum(steps), self.amount(quantity, met), met)]

    def term_steps(self, charged: Decimal, final: Decimal, met: bool) -> list[Step]:
        """The steps from what the kernel charged to the final amount."""
        steps = []
        now = charged
        for share, name in (
            (self._discount, "discount"),
            (self._conditional if met else ZERO, "discount, its condition met"),
        ):
            if share:
                steps.append(
                    Step(f"{name} {_percent(share)}", now, EXACT.minus(share), EXACT.multiply(now, EXACT.minus(share)))
                )
                now = EXACT.add(now, steps[-1].amount)
        if self._maximum is not None and now > self._maximum:
            steps.append(flat_step(f"down to the maximum of {text(self._maximum)}", EXACT.subtract(self._maximum, now)))
            now = self._maximum
        if self._minimum is not None and now < self._minimum:
            steps.append(flat_step(f"up to the minimum of {text(self._minimum)}", EXACT.subtract(self._minimum, now)))
            now = self._minimum
        rest = EXACT.subtract(final, now)
        return [*steps, flat_step("brought to 12 decimals", rest)] if rest else steps


def _percent(share: Decimal) -> str:
    return f"{text(EXACT.multiply(share, Decimal(100)))} percent"


def _sum(steps: list[Step]) -> Decimal:
    total = ZERO
    for step in steps:
        total = EXACT.add(total, step.amount)
    return total


def _times(value: Quantity, factor: Decimal) -> Quantity:
    return EXACT.multiply(value, factor) if isinstance(value, Decimal) else value * Fraction(factor)


def _reciprocal(value: Decimal) -> Decimal | None:
    """1 / value where it has a finite decimal form short enough to stay exact in products."""
    try:
        found = EXACT.divide(_ONE, value)
    except Inexact:
        return None
    return found if len(found.as_tuple().digits) <= 60 else None
