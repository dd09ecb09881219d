"""The shape of a packed table: a frame whose checksum is right may still be of other code than ours."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from processors.digests import DamagedError

Count = Annotated[int, Meta(ge=0, le=2**53)]
Members = tuple[Count, Count, Count, bytes, Count, list[Count]]  # series, window, first, members, chunk, its offsets
Packed = tuple[Count, list[tuple[str, ...]], bytes, list[Members]]  # first series, series, rows, members
_NUMBER_MAX = 0xFFFFFFFF  # of a window, counted from 1970


def rows_of(packed: bytes, dtype: np.dtype[Any], series: int, window_ms: int) -> NDArray[Any]:
    """The rows, each of one of the first `series` series and of a window on the grid. DamagedError."""
    if len(packed) % dtype.itemsize:
        raise DamagedError("a row is cut off")
    rows = np.frombuffer(packed, dtype)
    code, window = rows["series"], rows["window"]
    if ((code < 0) | (code >= series)).any():
        raise DamagedError("a row of a series that is not there")
    if ((window % window_ms != 0) | (window < 0) | (window // window_ms > _NUMBER_MAX)).any():
        raise DamagedError("a row of a window that is none of its meter's")
    return rows
