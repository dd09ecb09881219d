"""The samples of a gauge, as a set told apart by identity."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from processors.samples import SampleSet, sample_rows, unpacked

SAMPLE = st.tuples(st.integers(-(2**62), 2**62), st.integers(0, 30), st.integers(0, 1), st.integers(-(10**18), 10**18))
BATCHES = st.lists(st.lists(SAMPLE, min_size=1, max_size=40), max_size=4)


def rows(samples: list[tuple[int, int, int, int]]) -> np.ndarray:
    times, highs, lows, values = (np.array(column) for column in zip(*samples, strict=True))
    digest = np.column_stack((highs, lows)).astype(np.uint64)
    return sample_rows(times.astype(np.int64), digest, values.astype(np.int64))


@given(BATCHES)
def test_of_samples_with_one_identity_the_first_stays(batches: list[list[tuple[int, int, int, int]]]) -> None:
    held, first = SampleSet(), dict[tuple[int, int], tuple[int, int, int, int]]()
    for batch in batches:
        told = []
        for sample in batch:
            told.append(sample[1:3] not in first)
            first.setdefault(sample[1:3], sample)
        assert held.add(rows(batch)).tolist() == told
        assert list(unpacked(held.rows.tobytes())) == list(first.values())
        assert held.contains(rows(batch)).all()
        assert not held.contains(rows([(0, 31, 0, 0)])).any()
    copy = SampleSet(held.rows)
    assert copy.rows.tolist() == held.rows.tolist()
