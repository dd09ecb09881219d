"""Which window an event falls into, and the events of a batch that one meter takes."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.combinations import Combinations
from processors.identity import Digests

Ints = NDArray[np.int64]


class Selection(msgspec.Struct):
    """The events of a batch that one meter takes, as columns of one length, in log order."""

    named: Combinations
    series: Ints  # int64[n], code in `named`
    window: Ints  # int64[n], start of the window, ms
    offset: Ints  # int64[n], offset of the event's message
    time_us: Ints | None  # latest and gauge alone, as the next
    digest: Digests | None  # identity
    value: Ints | None  # scaled; None for count and unique
    member: NDArray[np.uint64] | None  # unique: digests [n, 2]; gauge: samples [n, 4]

    def at(self, rows: Ints) -> Selection:
        """The events at these places, which ascend."""
        if len(rows) == len(self.series):
            return self
        return Selection(
            named=self.named,
            series=self.series[rows],
            window=self.window[rows],
            offset=self.offset[rows],
            time_us=None if self.time_us is None else self.time_us[rows],
            digest=None if self.digest is None else self.digest[rows],
            value=None if self.value is None else self.value[rows],
            member=None if self.member is None else self.member[rows],
        )


def window_start_ms(time_us: Ints, window_ms: int) -> Ints:
    """Start of the half-open tumbling window on the UTC grid that each instant falls into."""
    size = window_ms * 1000
    return time_us // size * window_ms
