"""Events that are known by a number of their source instead of their id: which they are, and their columns.

An event asks for it with two CloudEvents extensions: `sequencetype` is "tollstream", and `sequence` is a whole number
as text. Without that type a `sequence` means nothing here: others number their events without our promise never to use
a number twice.
"""

import re
from collections.abc import Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_128_digest

from processors.decode_cast import cast_column
from processors.sequences import NUMBER_MAX
from processors.vocabulary import Codes

SEQUENCE_TYPE = "tollstream"
NO_NUMBER = (
    f"sequence: is no text of a whole number from 0 to {NUMBER_MAX} without leading zeros, as sequencetype "
    f'"{SEQUENCE_TYPE}" promises; send one, or leave both out and be known by id'
)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_POWERS = 10 ** np.arange(19, dtype=np.int64)

IntArray = npt.NDArray[np.int64]
DigestArray = npt.NDArray[np.uint64]


def number_of(text: str | None) -> int | None:
    """A canonical number from 0 to NUMBER_MAX; None for any other text."""
    if text is None or not _NUMBER.fullmatch(text) or int(text) > NUMBER_MAX:
        return None
    return int(text)


def number_column(values: Sequence[object]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """int64[n], and bool[n]: where `number_of` finds a number; elsewhere it is undefined."""
    good = np.ones(len(values), np.bool_)
    if set(map(type, values)) != {str}:
        good = np.fromiter((type(value) is str for value in values), np.bool_, len(values))
        values = [value if type(value) is str else "" for value in values]
    texts = pa.array(values, pa.string())
    column, bad = cast_column(texts, pa.int64(), 1)
    numbers = column[:, 0]
    bytes_ = np.diff(np.frombuffer(texts.buffers()[1], np.int32, len(values) + 1))
    digits = np.maximum(np.searchsorted(_POWERS, numbers, "right"), 1)
    good &= (numbers >= 0) & (bytes_ == digits)  # no sign, no zeros before it, nothing around it
    good[bad] = False
    return numbers, good


class NumberedColumns:
    """The numbered events of one `decode` call, and their sources."""

    def __init__(self) -> None:
        self._codes = Codes()
        self._rows: list[IntArray] = []
        self._sources: list[IntArray] = []
        self._numbers: list[IntArray] = []

    def extend(self, rows: IntArray, sources: Sequence[str], numbers: Sequence[object]) -> list[int]:
        """Takes events that ask to be known by number; returns the rows that only the careful path can tell."""
        found, good = number_column(numbers)
        odd: list[int] = rows[~good].tolist()
        if odd:
            rows, found, sources = rows[good], found[good], list(compress(sources, good.tobytes()))
        self._rows.append(rows)
        self._sources.append(self._codes.codes(sources, len(sources)))
        self._numbers.append(found)
        return odd

    def arrays(self) -> tuple[IntArray, IntArray, IntArray, DigestArray]:
        """(int64[m] rows, ascending; int64[m] row of `sources`; int64[m] number; uint64[k, 2] `sources`)."""
        none = np.empty(0, np.int64)
        digests = np.frombuffer(b"".join(xxh3_128_digest(source.encode()) for source in self._codes.seen), ">u8")
        return (
            np.concatenate([none, *self._rows]),
            np.concatenate([none, *self._sources]),
            np.concatenate([none, *self._numbers]),
            digests.reshape(-1, 2).astype(np.uint64),
        )
