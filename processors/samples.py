"""The samples of one gauge in one window: when it was read, and what it said.

A gauge is, it does not happen: its usage is what it said times how long it said so. That is exact only with every
sample at hand, since a late one splits an interval in two; so the state of a gauge is the set of its samples.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from processors.identity import Digests, DigestSet

_SAMPLE = struct.Struct("<qQQq")

Samples = NDArray[np.uint64]  # [n, 4]: time in us and scaled value as int64 bits around the two halves of the identity


def sample_rows(time_us: NDArray[np.int64], digest: Digests, value: NDArray[np.int64]) -> Samples:
    """uint64[n, 4] from columns of one length."""
    return np.column_stack((time_us.view(np.uint64), digest, value.view(np.uint64)))


def unpacked(members: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(time_us, id_hi, id_lo, scaled value) of each sample of `WindowRow.members`."""
    return _SAMPLE.iter_unpack(members)


class SampleSet(DigestSet):
    """An insertion-ordered set of samples, told apart by the identity of their events."""

    __slots__ = ("_readings",)

    def __init__(self, samples: Samples | None = None) -> None:
        self._readings: NDArray[np.uint64] = np.empty((0, 2), np.uint64)  # time and value of each member
        super().__init__()
        if samples is not None and len(samples):
            self.add(samples)

    @property
    def rows(self) -> Samples:
        """The samples, uint64[count, 4], in order of arrival."""
        return np.column_stack((self._readings[: self.count, 0], self.keys, self._readings[: self.count, 1]))

    def add(self, digests: Samples) -> NDArray[np.bool_]:
        """Add a batch of samples. True where a sample was not there before."""
        before = self.count
        _, new = self.place(np.ascontiguousarray(digests[:, 1:3]))
        if self.count > len(self._readings):
            grown = np.empty((max(self.count, len(self._readings) * 3 // 2), 2), np.uint64)
            grown[:before] = self._readings[:before]
            self._readings = grown
        self._readings[before : self.count] = digests[new][:, [0, 3]]
        return new

    def contains(self, digests: Samples) -> NDArray[np.bool_]:
        """True where a sample is a member."""
        return super().contains(np.ascontiguousarray(digests[:, 1:3]))
