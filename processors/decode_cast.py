"""Casts a column of texts with pyarrow, sparing the good ones from the bad ones."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_FEW = 8  # so few are not worth another halving


def cast_column(texts: "pa.Array", wanted: "pa.DataType", words: int) -> tuple[npt.NDArray[np.int64], list[int]]:
    """int64[n, words] of the cast's memory, and the places that cannot be cast (their words are 0).

    `words`: how many 64-bit words one value of `wanted` takes. A bad text costs about one more cast of the column.
    """
    column = np.zeros((len(texts), words), np.int64)
    bad: list[int] = []
    spans = [(0, len(texts))]
    while spans:
        start, stop = spans.pop()
        try:
            memory = texts.slice(start, stop - start).cast(wanted).buffers()[1]
        except pa.ArrowInvalid:
            if stop - start == 1:
                bad.append(start)
            elif stop - start <= _FEW:
                spans.extend((place, place + 1) for place in range(start, stop))
            else:
                middle = (start + stop) // 2
                spans += [(start, middle), (middle, stop)]
        else:
            if memory is not None:  # None for an empty column
                column[start:stop] = np.frombuffer(memory, np.int64, (stop - start) * words).reshape(-1, words)
    return column, sorted(bad)
