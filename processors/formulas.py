"""A formula's result for one event, and for a column of them. Exact: integers scaled by powers of ten throughout."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from config.formulas import Formula
from processors.numbers import SCALED_MAX, TOO_LARGE, NumberError

Column = tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]  # int64[n] scaled, and bool[n] present


class _Scaled(NamedTuple):
    step: int  # of rounding, scaled as the product is
    unit: int  # of the result, scaled as the product is; a power of ten, or its inverse is `grow`
    grow: int
    minimum: int | None  # this and the next two scaled by the meter's precision
    maximum: int | None
    fee: int


@lru_cache(maxsize=1024)
def _scaled(formula: Formula, precision: int) -> _Scaled:
    digits = sum(kept for _, kept in formula.factors(precision))
    grow = 10 ** max(precision - digits, 0)  # the product may have fewer decimals than the meter keeps
    unit = 10 ** max(digits - precision, 0)
    step = 1 if formula.round_to is None else _whole(formula.round_to, precision)
    bounds = [None if bound is None else _whole(bound, precision) for bound in (formula.minimum, formula.maximum)]
    return _Scaled(step * unit, unit, grow, bounds[0], bounds[1], _whole(formula.fee, precision))


def _whole(written: str | int, precision: int) -> int:
    return int(Decimal(written).scaleb(precision))


def result(formula: Formula, precision: int, factors: Sequence[int]) -> int:
    """Of one event, scaled by the precision; `factors` scaled by their digits. Raises NumberError beyond 10^18."""
    known = _scaled(formula, precision)
    product = prod(factors) * known.grow
    if formula.round == "half_up":
        steps = (2 * abs(product) + known.step) // (2 * known.step)
        steps = steps if product >= 0 else -steps
    else:
        steps = -(-product // known.step) if formula.round == "up" else product // known.step
    value = steps * known.step // known.unit
    if known.minimum is not None:
        value = max(value, known.minimum)
    if known.maximum is not None:
        value = min(value, known.maximum)
    value += known.fee
    if abs(value) > SCALED_MAX:
        raise NumberError(TOO_LARGE)
    return value


def column(formula: Formula, precision: int, factors: Sequence[Column]) -> Column:
    """Of many events; what lacks a factor or is too large is not present."""
    present = np.logical_and.reduce([there for _, there in factors])
    values = np.zeros(len(present), np.int64)
    rows = zip(*(scaled[present].tolist() for scaled, _ in factors), strict=True)
    for place, row in zip(np.flatnonzero(present).tolist(), rows, strict=True):
        try:
            values[place] = result(formula, precision, row)
        except NumberError:
            present[place] = False
    return values, present
