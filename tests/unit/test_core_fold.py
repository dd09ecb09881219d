"""The fold of a partition's log: verdicts, ledger and partials against a naive recount, however the log is cut."""

from __future__ import annotations

import random
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import Limits
from processors.checkpoint import Recorder, load
from processors.events import Decoder
from processors.instants import END_US
from processors.limits import refused_by
from processors.meter import Batch, Letter, PartitionState
from processors.outputs import unpublished_rows
from processors.window_rows import WindowRow
from tests.simulation.logs import CATALOGUE, SKEW_MS, batch_of, make_log
from tests.simulation.oracle import Message, Oracle
from tests.simulation.slots import FakeSlot, SlotStore
from tests.simulation.verdict import row_faults

SEED = st.integers(0, 10**6)
LIMITS = st.builds(
    Limits,
    unique_max=st.sampled_from([1, 3, 1_000]),
    dimension_sets_max=st.sampled_from([1, 2, 1_000]),
    vocabulary_texts_max=st.sampled_from([1, 4, 1_000]),  # I7: a new vocabulary changes no verdict and no total
)
runs = settings(max_examples=40, deadline=None)


class Forgetful(Decoder):
    """Begins a new vocabulary whatever is open: these logs have more series than texts."""

    series_open = property(lambda self: 0, lambda self, series: None)  # type: ignore[assignment]


def state(limits: Limits) -> PartitionState:
    return PartitionState(CATALOGUE, limits, Forgetful(CATALOGUE, limits, SKEW_MS))


def cut(log: list[Message], rng: random.Random, most: int) -> list[Batch]:
    batches, at = [], 0
    while at < len(log):
        size = rng.randint(1, most)
        batches.append(batch_of(log[at : at + size]))
        at += size
    return batches


def folded(log: list[Message], limits: Limits, batches: list[Batch]) -> tuple[PartitionState, list[Letter]]:
    one = state(limits)
    return one, [letter for batch in batches for letter in one.fold(batch)]


def rows(one: PartitionState) -> dict[bytes, WindowRow]:
    return {repr(row.key()).encode(): row for row in unpublished_rows(one, 0, "T", 0)}


@given(SEED, LIMITS, st.integers(1, 30))
@runs
def test_i1_i2_verdicts_and_totals_equal_a_naive_recount(seed: int, limits: Limits, most: int) -> None:
    rng = random.Random(seed)
    log = make_log(rng, 40)
    oracle = Oracle(CATALOGUE, limits, SKEW_MS, "T").fold(log)
    one, letters = folded(log, limits, cut(log, rng, most))
    assert {name: getattr(one.ledger, name) for name in oracle.ledger} == dict(oracle.ledger)
    assert one.ledger.balanced()
    assert {(letter.offset, letter.index): letter.verdict for letter in letters} == oracle.letters
    assert (one.offset, one.clock_ms) == (log[-1].offset + 1, oracle.clock_ms)
    found = rows(one).values()
    assert [fault for row in found for fault in row_faults(oracle, row)] == []
    assert sum(row.events for row in found) == sum(held.events for held in oracle.states.values())


def check_cuts(seed: int, limits: Limits) -> None:
    rng = random.Random(seed)
    log = make_log(rng, 40)
    plain, letters = folded(log, limits, cut(log, rng, 1))
    for most in (4, 40, 1_000):
        other, said = folded(log, limits, cut(log, rng, most))
        assert rows(other) == rows(plain)
        assert other.ledger == plain.ledger
        assert other.open_digest() == plain.open_digest()
        assert sorted(said, key=lambda one: (one.offset, one.index)) == sorted(
            letters, key=lambda one: (one.offset, one.index)
        )


@given(SEED, LIMITS)
@runs
def test_i5_one_event_at_a_time_says_the_same_as_any_batches(seed: int, limits: Limits) -> None:
    check_cuts(seed, limits)


@given(SEED, LIMITS, st.integers(300, 10_000))
@runs
def test_i5_a_state_that_was_saved_and_loaded_goes_on_the_same(seed: int, limits: Limits, segment: int) -> None:
    """Checkpoints, loads and compactions at random, with chunks so small that many are filled."""
    rng = random.Random(seed)
    log = make_log(rng, 40)
    plain, _ = folded(log, limits, cut(log, rng, 1_000))
    store = SlotStore()
    slot = FakeSlot(store, rng)
    with (
        mock.patch("processors.checkpoint.HOUR_PIECE_BYTES", 48),
        mock.patch("processors.checkpoint._COMPACT_FLOOR_BYTES", 400),
        mock.patch("processors.checkpoint._FRAME_BYTES", 300),
    ):
        slot.claim(1)
        one = state(limits)
        recorder = Recorder(one, segment)
        for batch in cut(log, rng, 6):
            one.fold(batch)
            written = recorder.checkpoint(0, 1)
            slot.write(written)
            recorder.commit(written)
            if recorder.wants_compaction():
                for chunk in recorder.compact(0):
                    slot.put(chunk)
            if rng.random() < 0.3:
                head = slot.claim(1)
                assert head is not None
                one = state(limits)
                load(one, slot.load(head))
                recorder = Recorder(one, segment, head)
    assert rows(one) == rows(plain)
    assert one.ledger == plain.ledger
    assert one.open_digest() == plain.open_digest()


def test_i5_catches_a_limit_that_is_looked_at_once_a_batch() -> None:
    with (
        mock.patch("processors.meter.refused_by", lambda *args: (refused_by(*args)[0], False)),
        pytest.raises(AssertionError),
    ):
        for seed in range(20):
            check_cuts(seed, Limits(unique_max=3, dimension_sets_max=2))


def test_a_batch_in_which_nothing_is_accepted_is_counted() -> None:
    one = state(Limits())
    letters = one.fold(Batch([b"{", None, b"[]"], np.array([3, 5, 9]), np.array([10, 30, 20])))
    assert (one.ledger.consumed, one.ledger.invalid) == (3, 3)
    assert [(letter.offset, letter.index) for letter in letters] == [(3, 0), (5, 0), (9, 0)]
    assert (one.offset, one.clock_ms) == (10, 30)


@pytest.mark.parametrize("stamp", [-1, -(2**63), 2**53, 2**62, 2**63 - 1])
def test_a_timestamp_that_no_clock_gives_says_the_same_in_any_batch(stamp: int) -> None:
    """One beyond the calendar closes every window, and none before 1970 opens one."""
    log = make_log(random.Random(4), 30)
    log[10] = log[10]._replace(timestamp_ms=stamp)
    whole, letters = folded(log, Limits(), [batch_of(log)])
    single, said = folded(log, Limits(), [batch_of([message]) for message in log])
    assert (whole.ledger, whole.clock_ms, whole.open_digest()) == (single.ledger, single.clock_ms, single.open_digest())
    assert {(one.offset, one.index, one.verdict) for one in letters} == {
        (one.offset, one.index, one.verdict) for one in said
    }
    assert 0 <= whole.clock_ms <= END_US // 1000
    if stamp > 2**52:
        assert whole.identities.hours == {}


def test_the_digest_of_what_is_open_tells_any_difference() -> None:
    rng = random.Random(5)
    log = make_log(rng, 30)
    digests = set()
    for upto in range(1, 31):
        one, _ = folded(log[:upto], Limits(), cut(log[:upto], rng, 7))
        accepted = one.ledger.accepted
        digests.add((one.open_digest(), accepted, one.clock_ms))
    assert len({digest for digest, _, _ in digests}) >= len({accepted for _, accepted, _ in digests}) - 1
