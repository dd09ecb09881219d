"""Checksums of a checkpoint: whatever damage they must notice, they do."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.digests import FRAME_HEAD_BYTES, DamagedError, framed, payloads, summed

PAYLOADS = st.lists(st.binary(max_size=12), max_size=5)
HALF = st.integers(0, 2**64 - 1)
KEYS = st.lists(st.tuples(HALF, HALF), max_size=6)


def segment(parts: list[bytes]) -> tuple[bytes, int]:
    frames, digest = b"", 0
    for part in parts:
        frame, digest = framed(part, digest)
        frames += frame
    return frames, digest


def total(keys: list[tuple[int, int]], before: int = 0) -> int:
    return summed(np.array(keys, np.uint64).reshape(-1, 2), before)


@given(PAYLOADS)
def test_a_segment_gives_its_payloads_back_and_the_digest_that_the_next_frame_goes_on_from(parts: list[bytes]) -> None:
    frames, digest = segment(parts)
    assert payloads(frames) == (parts, digest)
    assert len(frames) == sum(FRAME_HEAD_BYTES + len(part) for part in parts)


@given(PAYLOADS.filter(bool), st.data())
def test_a_segment_that_is_cut_anywhere_but_between_frames_is_damaged(parts: list[bytes], data: st.DataObject) -> None:
    frames, _ = segment(parts)
    whole = {len(segment(parts[:count])[0]) for count in range(len(parts) + 1)}
    cut = data.draw(st.integers(0, len(frames)).filter(lambda at: at not in whole))
    with pytest.raises(DamagedError):
        payloads(frames[:cut])


@pytest.mark.parametrize("flipped", range(2 * (FRAME_HEAD_BYTES + 3)))
def test_a_frame_with_one_bit_changed_is_damaged(flipped: int) -> None:
    frames = bytearray(segment([b"one", b"two"])[0])
    frames[flipped] ^= 1
    with pytest.raises(DamagedError):
        payloads(bytes(frames))


@given(KEYS, KEYS, st.randoms(use_true_random=False))
def test_a_sum_goes_on_from_the_last_one_in_any_order(
    one: list[tuple[int, int]], two: list[tuple[int, int]], random: Random
) -> None:
    mixed = random.sample(one + two, len(one + two))
    assert total(two, total(one)) == total(mixed)
    assert 0 <= total(mixed) < 2**64


@given(st.tuples(HALF, HALF), st.integers(0, 127))
def test_a_sum_shows_any_bit_of_an_identity(key: tuple[int, int], bit: int) -> None:
    high, low = divmod(((key[0] << 64) | key[1]) ^ (1 << bit), 2**64)
    assert total([(high, low)]) != total([key])


def test_identities_with_exchanged_halves_do_not_cancel_out() -> None:
    assert total([(1, 2), (3, 4)]) != total([(1, 4), (3, 2)])
    assert total([(1, 2)]) != total([(2, 1)])
