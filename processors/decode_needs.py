"""What meters need of the columns of their event type, beyond what each column says for itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from config.catalogue import BEGIN_MS, END_MS
from processors.decode_shapes import Shape, reads_number
from processors.decoded import TypeRows
from processors.formulas import column

IntArray = npt.NDArray[np.int64]


def formula_columns(shape: Shape, found: TypeRows) -> None:
    """Adds the results of the formulas, made of the columns of their factors."""
    for formula, precision in shape.formulas:
        factors = [found.number[key] for key in formula.factors(precision)]
        found.number[formula, precision] = column(formula, precision, factors)


def lacking(shape: Shape, found: TypeRows, time_us: IntArray) -> IntArray:
    """The rows without a number that a meter in effect at their time needs, or with one that it refuses as negative.

    `time_us` int64[n]: of all rows that `found.row` counts.
    """
    rows = [np.empty(0, np.int64)]
    for meter, from_ms, to_ms in shape.spans:
        if not reads_number(meter):
            continue
        scaled, present = found.number[meter.value or "", meter.precision]
        wrong = ~present
        if not meter.allow_negative:
            wrong |= scaled < 0
        if (from_ms, to_ms) != (BEGIN_MS, END_MS):
            times = time_us[found.row]
            wrong &= (times >= from_ms * 1_000) & (times < to_ms * 1_000)
        if wrong.any():
            rows.append(found.row[wrong])
    return np.concatenate(rows)
