"""Numbers through crashes, losses and new owners: each counts once, whatever a restore begins with."""

from __future__ import annotations

import random
from collections.abc import Callable
from unittest import mock

import pytest
from sequence_samples import CATALOGUE, HOUR_MS, LIMITS, batch, counts, make_log

from config.settings import Processing, Settings
from processors import sequence_log
from processors.homes import Homes
from processors.owner import LogTooShortError, Mark, Owner
from processors.sequences import SequenceDay
from tests.simulation.slots import FakeSlot, SlotStore


class View:
    """The log of a partition as its owner sees it."""

    def __init__(self, log: list[tuple[int, bytes]]) -> None:
        self.log, self.marked = log, None

    marked: Mark | None

    def low(self) -> int:
        return 0

    def first_at(self, timestamp_ms: int) -> int:
        return next((offset for offset, (at_ms, _) in enumerate(self.log) if at_ms >= timestamp_ms), len(self.log))

    def mark(self) -> Mark | None:
        return self.marked


def run(seed: int, recover: Callable[[SlotStore], None] = lambda store: None) -> int:
    """Fold a log in random batches with checkpoints, marks and new owners at random places; `recover` is what happens
    to Redis before a new owner comes. How many restores from a mark there were."""
    rng = random.Random(seed)
    log, verdicts = make_log(rng, 300)
    view, store, restores = View(log), SlotStore(), 0
    settings = Settings(limits=LIMITS, processing=Processing(skew_ms=0))

    def begin() -> tuple[Owner, int]:
        owner = Owner(FakeSlot(store, rng), view, CATALOGUE, settings, "topic", 0, Homes(4))
        return owner, owner.begin()

    owner, at = begin()
    while at < len(log) or owner.unsaved:
        chance = rng.random()
        if chance < 0.6 and at < len(log):
            end = min(at + rng.choice((1, 3, 10, 60)), len(log))
            owner.fold(batch(log, at, end))
            at = end
        elif chance < 0.9:
            released = owner.checkpoint() if at == owner.state.offset else None
            if released is not None:
                owner.acknowledged(released.through)
                view.marked = owner.mark() or view.marked
        else:
            recover(store)
            owner, at = begin()
            restores += owner.restoring
        if at == len(log):
            owner.at_end()
    wanted = {name: verdicts.count(name) for name in ("accepted", "duplicate", "late")} | {"invalid": 0}
    assert counts(owner.state.ledger) == wanted
    assert owner.state.ledger.balanced()
    return restores


def test_i2_every_number_counts_once_through_crashes_and_restores_from_redis() -> None:
    for seed in range(15):
        run(seed)


def test_i2_i5_every_number_counts_once_through_restores_from_a_mark() -> None:
    assert sum(run(seed, SlotStore.lose) for seed in range(15)) > 10


def test_i2_i5_every_number_counts_once_when_its_chunks_are_lost() -> None:
    def evict(store: SlotStore) -> None:
        store.evict(next((name for name in store.now.chunks if name.startswith("seq:")), "head"))

    assert sum(run(seed, evict) for seed in range(15)) > 10


def test_i5_restores_catch_days_that_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken variant: a restore begins in the middle of a day, so what it folds is not what was there."""
    lateness_ms = 24 * HOUR_MS
    monkeypatch.setattr(Owner, "_open_since", lambda self, clock_ms: (clock_ms - lateness_ms) // HOUR_MS * HOUR_MS)
    with pytest.raises((LogTooShortError, AssertionError)):
        for seed in range(15):
            run(seed, SlotStore.lose)


def test_i2_catches_numbers_that_no_checkpoint_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_log, "changes", lambda sequences: [])
    monkeypatch.setattr(sequence_log, "pieces", lambda sequences, bytes_max: [])
    with pytest.raises(AssertionError):
        for seed in range(15):
            run(seed)


def test_i2_restores_catch_a_high_water_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a loss the first number seen would be the mark, and all below it repeats."""
    add = SequenceDay.add

    def seen_below(self: SequenceDay, events: object) -> object:
        answer = add(self, events)  # type: ignore[arg-type]
        self.starts[: self.sources.count, 0] = 0
        return answer

    monkeypatch.setattr(SequenceDay, "add", seen_below)
    with pytest.raises((LogTooShortError, AssertionError)):
        run(0, SlotStore.lose)


@pytest.fixture(autouse=True)
def often() -> object:
    with mock.patch.object(sequence_log, "_FLOOR_BYTES", 400):
        yield
