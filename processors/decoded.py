"""What decoding makes of messages: columns of validated events, and what was refused."""

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from config.formulas import Formula
from processors.vocabulary import Vocabulary

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
DigestArray = npt.NDArray[np.uint64]


class TypeRows(msgspec.Struct):
    """The valid events of one type, in log order.

    `row` int64[k]: their rows in `Decoded`. `subject` int64[k]: code. `text`: dotted path of a dimension or filter ->
    int64[k], codes, that of "" where missing or null, integers and booleans as canonical text. `number`: (path or
    formula, precision) -> int64[k] scaled, 0 where not present, and bool[k] present; |scaled| <= 10**18. `member`: path
    of a unique meter -> uint64[k, 2] xxh3_128 of the canonical text (so 1 and "1" are one member), 0 where not present,
    and bool[k] present.

    A value that cannot be read, and that no meter in effect at the event's time reads, counts as not present.
    """

    row: IntArray
    subject: IntArray
    text: dict[str, IntArray]
    number: dict[tuple[str | Formula, int], tuple[IntArray, BoolArray]]
    member: dict[str, tuple[DigestArray, BoolArray]]


class Refusal(NamedTuple):
    """Why an INVALID row is refused: a stable code, ": ", what to do; `raw`: the bytes of the event, or of the whole
    message where it cannot be split."""

    row: int
    reason: str
    raw: bytes


class Decoded(msgspec.Struct):
    """One row for each event, in log order; a message that cannot be split is one row.

    `message` int32[n]: place in `values`; `index` int32[n]: place in its message; `kind` int16[n]: place of the event
    type in `catalogue.events`, UNMETERED where no meter version has the type, or INVALID; `time_us` int64[n]:
    microseconds since 1970, floored, 0 for INVALID; `digest` uint64[n, 2]: identity of (source, id, time), or of
    (source, sequence) where the event asks for that, 0 for INVALID; `types`: kind -> its events; `refusals`: one for
    each INVALID row, ascending; `sequence` int64[n]: -1 where the event is known by its id; `source` int64[n], where it
    is not: row of `sources`, uint64[k, 2] digests; `vocabulary`: the texts of all codes.
    """

    message: npt.NDArray[np.int32]
    index: npt.NDArray[np.int32]
    kind: npt.NDArray[np.int16]
    time_us: IntArray
    digest: DigestArray
    types: dict[int, TypeRows]
    refusals: list[Refusal]
    sequence: IntArray
    source: IntArray
    sources: DigestArray
    vocabulary: Vocabulary
