"""What a formula makes of an event, in fractions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

from config.catalogue import Meter
from config.formulas import Formula
from reconcile import values
from reconcile.reader import Fault
from reconcile.values import Unfit


def product(formula: Formula, meter: Meter, found: dict[str, Any]) -> int:
    """Scaled by the meter's precision. Raises Unfit."""
    found_so_far = Fraction(1)
    for path, digits in formula.factors(meter.precision):
        value = found[path]
        if value.__class__ is Fault:
            raise Unfit(value.why)
        if value is None:
            raise Unfit(f"data.{path} is missing")
        found_so_far *= Fraction(values.scaled(value, digits), 10**digits)
    step = Fraction(formula.round_to) if formula.round_to is not None else Fraction(1, 10**meter.precision)
    steps = found_so_far / step
    if formula.round == "half_up":
        whole = int(abs(steps) + Fraction(1, 2)) * (1 if steps >= 0 else -1)
    else:
        whole = ceil(steps) if formula.round == "up" else floor(steps)
    amount = whole * step
    if formula.minimum is not None:
        amount = max(amount, Fraction(formula.minimum))
    if formula.maximum is not None:
        amount = min(amount, Fraction(formula.maximum))
    scaled = (amount + Fraction(formula.fee)) * 10**meter.precision
    if abs(scaled) > values.VALUE_MAX:
        raise Unfit("too large")
    if scaled < 0 and not meter.allow_negative:
        raise Unfit(f"{formula} is negative")
    return int(scaled)
