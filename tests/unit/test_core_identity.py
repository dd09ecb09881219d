"""Is this event new? Against Python's own sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.decode_columns import with_instant
from processors.identity import HOUR_US, DigestSet, Identities

# Few distinct halves: twins, digests that share a half, and slots that collide.
HALF = st.sampled_from([0, 1, 2, 16, 17, 2**63, 2**64 - 1])
DIGEST = st.tuples(HALF, HALF)
few = settings(max_examples=60, deadline=None)
BATCHES = st.lists(st.lists(DIGEST, max_size=40), max_size=6)


def column(digests: list[tuple[int, int]]) -> np.ndarray:
    return np.array(digests, np.uint64).reshape(-1, 2)


@given(BATCHES)
@few
def test_a_digest_set_is_a_set_in_order_of_arrival(batches: list[list[tuple[int, int]]]) -> None:
    ours, theirs = DigestSet(), {}
    for batch in batches:
        expected = []
        for digest in batch:
            expected.append(digest not in theirs)
            theirs.setdefault(digest, len(theirs))
        places, new = ours.place(column(batch))
        assert new.tolist() == expected
        assert places.tolist() == [theirs[digest] for digest in batch]
        assert ours.count == len(theirs)
        assert list(map(tuple, ours.keys.tolist())) == list(theirs)


@given(BATCHES, st.lists(DIGEST, max_size=20))
@few
def test_members_are_found_and_others_are_not(
    batches: list[list[tuple[int, int]]], asked: list[tuple[int, int]]
) -> None:
    ours = DigestSet()
    for batch in batches:
        ours.add(column(batch))
    held = {digest for batch in batches for digest in batch}
    assert ours.contains(column(asked)).tolist() == [digest in held for digest in asked]


def test_many_digests_survive_growing() -> None:
    rng = np.random.default_rng(1)
    digests = rng.integers(0, 2**64, (30_000, 2), np.uint64, endpoint=False)
    ours = DigestSet.of(digests[:7])
    for start in range(0, 30_000, 1_111):
        ours.add(digests[start : start + 1_111])
    assert ours.count == 30_000
    assert (ours.keys == digests).all()
    assert not ours.add(digests[::-1]).any()
    assert not ours.contains(digests ^ np.uint64(1)).any()


@pytest.mark.parametrize("apart", [1, 600, 29_999])
def test_i2_a_set_is_not_restored_from_digests_of_which_one_comes_twice(apart: int) -> None:
    digests = np.random.default_rng(2).integers(0, 2**64, (30_000, 2), np.uint64)
    assert DigestSet.of(digests.copy()).contains(digests).all()
    digests[apart] = digests[0]
    with pytest.raises(ValueError, match="twice"):
        DigestSet.of(digests)


def test_a_restored_set_takes_more_or_nothing() -> None:
    kept = np.array([[1, 2], [3, 4]], np.uint64)
    kept.flags.writeable = False  # as what was read is
    ours = DigestSet.of(kept)
    assert not ours.add(kept[:0]).any()
    assert ours.add(np.array([[3, 4], [5, 6]], np.uint64)).tolist() == [False, True]


def test_digests_that_share_a_slot_and_a_half_are_no_twins() -> None:
    digests = np.array([[7, low] for low in range(200)], np.uint64)
    assert DigestSet.of(digests).contains(digests).all()


def test_one_id_at_many_instants_is_no_slower_than_many_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """All instants of an id share the low half of their digest: slots must not come from it."""
    rounds = []
    same = DigestSet._same
    monkeypatch.setattr(DigestSet, "_same", staticmethod(lambda a, b: rounds.append(1) or same(a, b)))
    digests = with_instant(np.full((20_000, 2), 7, np.uint64), np.arange(20_000) * 1_000)
    assert DigestSet().add(digests).all()
    assert len(rounds) < 100


TIMES = st.integers(0, 5 * HOUR_US - 1)


@given(st.lists(st.lists(st.tuples(TIMES, st.sampled_from([1, 2, 3])), max_size=30), max_size=5))
@few
def test_identities_are_new_once_whatever_the_hours_of_a_batch(batches: list[list[tuple[int, int]]]) -> None:
    ours, seen = Identities(), set()
    for batch in batches:
        times = np.array([time for time, _ in batch], np.int64)
        new = ours.add(times, column([(time, digest) for time, digest in batch]))
        for one, is_new in zip(batch, new.tolist(), strict=True):
            assert is_new == (one not in seen)
            seen.add(one)
    assert len(ours) == len(seen)


def test_an_hour_closes_when_it_ends_and_not_before() -> None:
    ours = Identities()
    ours.add(np.array([0, HOUR_US - 1, HOUR_US]), column([(1, 1), (2, 2), (3, 3)]))
    assert ours.close(HOUR_US - 1) == []
    assert ours.close(HOUR_US) == [0]
    assert list(ours.hours) == [1]


def test_no_events_are_no_trouble() -> None:
    assert Identities().add(np.empty(0, np.int64), column([])).tolist() == []
    assert DigestSet().add(column([])).tolist() == []
    assert (DigestSet().keys.dtype, DigestSet().keys.shape) == (np.uint64, (0, 2))


def test_of_twins_in_a_large_batch_of_many_hours_the_first_is_the_new_one() -> None:
    """Which of them a sort that is not stable would put first is up to it."""
    rng = np.random.default_rng(2)
    times, halves = rng.integers(0, 3, 20_000) * HOUR_US, rng.integers(0, 2_000, 20_000)
    digests = np.column_stack((halves, halves)).astype(np.uint64)
    first = dict[tuple[int, int], int]()
    for at, key in enumerate(zip(times.tolist(), halves.tolist(), strict=True)):
        first.setdefault(key, at)
    assert np.flatnonzero(Identities().add(times, digests)).tolist() == sorted(first.values())


@pytest.mark.parametrize("span", [65_535, 65_536, 2_000_000])
def test_hours_far_apart_are_told_apart(span: int) -> None:
    hours = np.array([span, 0, span, 1, span - 65_536 if span > 65_536 else 1, 0])
    ours = Identities()
    assert ours.add(hours * HOUR_US, column([(5, 5)] * 6)).tolist() == [
        hour not in hours[:at].tolist() for at, hour in enumerate(hours.tolist())
    ]
    assert sorted(ours.hours) == sorted(set(hours.tolist()))
