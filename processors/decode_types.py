"""The rows of one event type, whoever read them: formulas, what meters need, corrections, and which are kept."""

import numpy as np
import numpy.typing as npt

from config.catalogue import BEGIN_MS, END_MS
from processors.decode_careful import Judged
from processors.decode_columns import digest_array, digests
from processors.decode_shapes import INVALID, Shape, reads_number
from processors.decoded import BoolArray, IntArray, TypeRows
from processors.formulas import column as formula_column
from processors.vocabulary import Vocabulary


def complete(found: TypeRows, shape: Shape, time_us: IntArray) -> BoolArray:
    """Adds the values of formulas. bool[k]: where a meter in effect at the event's time lacks its number, or gets a
    negative one that it refuses. `time_us` int64[k]."""
    for formula, precision in shape.formulas:
        factors = [found.number[key] for key in formula.factors(precision)]
        found.number[formula, precision] = formula_column(formula, precision, factors)
    lacking = np.zeros(len(found.row), np.bool_)
    for meter, from_ms, to_ms in shape.spans:
        if not reads_number(meter):
            continue
        scaled, present = found.number[meter.value or "", meter.precision]
        wrong = ~present
        if not meter.allow_negative:
            wrong |= scaled < 0
        if (from_ms, to_ms) != (BEGIN_MS, END_MS):
            wrong &= (time_us >= from_ms * 1_000) & (time_us < to_ms * 1_000)
        lacking |= wrong
    return lacking


def fill(found: TypeRows, row: int, judged: Judged, vocabulary: Vocabulary) -> None:
    """Writes what the careful path read into the columns."""
    place = int(np.searchsorted(found.row, row))
    for path, text in judged.texts.items():
        found.text[path][place] = vocabulary[text]
    for key, scaled in judged.numbers.items():
        numbers, present = found.number[key]
        numbers[place], present[place] = scaled or 0, scaled is not None
    for path, member in judged.members.items():
        digest, present = found.member[path]
        digest[place] = 0 if member is None else digest_array(digests([member]))[0]
        present[place] = member is not None


def kept(found: TypeRows, kind: npt.NDArray[np.int16]) -> TypeRows:
    """The rows that are not refused; `kind` int16[n] of all rows."""
    keep = kind[found.row] != INVALID
    if keep.all():
        return found
    return TypeRows(
        found.row[keep],
        found.subject[keep],
        {path: codes[keep] for path, codes in found.text.items()},
        {key: (scaled[keep], present[keep]) for key, (scaled, present) in found.number.items()},
        {path: (digest[keep], present[keep]) for path, (digest, present) in found.member.items()},
    )
