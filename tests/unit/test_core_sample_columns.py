"""Samples as columns: what is kept of each, and how they grow."""

from __future__ import annotations

import numpy as np

from processors.samples import SampleSet, sample_rows


def rows(count: int, start: int = 0) -> np.ndarray:
    numbers = np.arange(start, start + count)
    digest = np.column_stack((numbers, numbers)).astype(np.uint64)
    return sample_rows(-numbers, digest, -(numbers + 2**60))


def test_an_empty_set_has_no_rows_and_keeps_bits_as_they_are() -> None:
    held = SampleSet()
    assert (held.rows.shape, held.rows.dtype.name, held._readings.shape) == ((0, 4), "uint64", (0, 2))
    assert SampleSet(rows(0)).count == 0
    held.add(rows(3))
    assert held.rows.dtype == np.uint64
    assert held.rows.tolist() == [[-n % 2**64, n, n, -(n + 2**60) % 2**64] for n in range(3)]


def test_room_for_readings_grows_by_half_or_to_what_is_needed() -> None:
    held = SampleSet()
    rooms = []
    for count, start in ((10, 0), (1, 10), (4, 11), (1, 15), (40, 16)):
        assert held.add(rows(count, start)).all()
        rooms.append(len(held._readings))
    assert rooms == [10, 15, 15, 22, 56]
    assert held.rows.tolist() == rows(56).tolist()


def test_samples_are_told_apart_by_both_halves_of_their_identity_alone() -> None:
    held = SampleSet(rows(3))
    changed = rows(3)
    changed[:, 0] += np.uint64(1)
    changed[:, 3] += np.uint64(1)
    assert held.contains(changed).all()
    for half in (1, 2):
        other = rows(3)
        other[:, half] += np.uint64(7)
        assert not held.contains(other).any()
