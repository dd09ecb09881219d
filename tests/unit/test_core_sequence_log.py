"""Numbers in a checkpoint: what is loaded is what was there, and nothing short or spoilt is taken for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from unittest import mock

import msgspec
import numpy as np
import pytest

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Limits, Processing, Settings
from processors import sequence_log
from processors.checkpoint import Recorder, Snapshot, encode_frame, frames, load
from processors.events import Decoder
from processors.meter import Batch, Ledger, PartitionState
from processors.owner import LogTooShortError, Mark, Owner
from processors.partials import DamagedError
from processors.sequences import SequenceDay, Sequences
from tests.simulation.slots import FakeSlot, SlotStore

HOUR_MS = 3_600_000
START_MS = 1_793_577_600_000  # 2026-11-02
CATALOGUE = Catalogue(generation=1, events=(EventType("t", 24 * HOUR_MS),), meters=(Meter("m", 1, "t", "count"),))
LIMITS = Limits(sequence_intervals_max=2)


def state() -> PartitionState:
    return PartitionState(CATALOGUE, LIMITS, Decoder(CATALOGUE, LIMITS, 0))


def event(source: str, number: int | None, time_ms: int, id: str = "x") -> bytes:
    body = {"specversion": "1.0", "id": id, "source": source, "type": "t", "subject": "s", "data": {}}
    if number is not None:
        body |= {"sequence": str(number), "sequencetype": "tollstream"}
    return msgspec.json.encode(body | {"time": np.datetime64(time_ms, "ms").item().isoformat() + "Z"})


def make_log(rng: random.Random, messages: int) -> tuple[list[tuple[int, bytes]], list[str]]:
    """(record timestamp, value) of each message, and the verdict that it must get. Sources that keep their promise,
    ids beside them, some of the same source; late ones, gaps, repeats near and far; three days."""
    log: list[tuple[int, bytes]] = []
    verdicts: list[str] = []
    sent: list[tuple[str, int | None, int, str]] = []
    seen: set[object] = set()
    heads: dict[str, int] = {}
    waiting: list[tuple[str, int | None, int, str]] = []
    clock_ms = START_MS
    for serial in range(messages):
        clock_ms += rng.randrange(HOUR_MS // 3) if rng.random() < 0.9 else 3 * HOUR_MS
        chance = rng.random()
        if sent and chance < 0.25:
            one = rng.choice(sent[-40:] if rng.random() < 0.7 else sent)
        elif waiting and chance < 0.4:
            one = waiting.pop(rng.randrange(len(waiting)))
        else:
            source = rng.choice(("a", "b", "c#1"))
            time_ms = clock_ms - rng.randrange(rng.choice((1_000, HOUR_MS, 30 * HOUR_MS)))
            if rng.random() < 0.2:
                one = (source, None, time_ms, f"i{serial}")
            else:
                for _ in range(rng.choice((0, 0, 0, 1, 2))):
                    heads[source] = heads.get(source, -1) + 1
                    waiting.append((source, heads[source], time_ms, "w"))
                heads[source] = heads.get(source, -1) + 1
                one = (source, heads[source], time_ms, f"i{rng.randrange(5)}")
        sent.append(one)
        source, number, time_ms, name = one
        key = (source, name, time_ms) if number is None else (source, number)
        late = time_ms < clock_ms - 24 * HOUR_MS
        verdicts.append("late" if late else "duplicate" if key in seen else "accepted")
        if not late:
            seen.add(key)
        log.append((clock_ms, event(*one)))
    return log, verdicts


def batch(log: list[tuple[int, bytes]], start: int, end: int) -> Batch:
    times, values = zip(*log[start:end], strict=True)
    return Batch(list(values), np.arange(start, end), np.array(times, np.int64))


def counts(ledger: Ledger) -> dict[str, int]:
    return {name: getattr(ledger, name) for name in ("accepted", "duplicate", "late", "invalid")}


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
        owner = Owner(FakeSlot(store, rng), view, CATALOGUE, settings, "topic", 0)
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
    for seed in range(25):
        run(seed)


def test_i2_i5_every_number_counts_once_through_restores_from_a_mark() -> None:
    assert sum(run(seed, SlotStore.lose) for seed in range(25)) > 20


def test_i2_i5_every_number_counts_once_when_its_chunks_are_lost() -> None:
    def evict(store: SlotStore) -> None:
        store.evict(next((name for name in store.now.chunks if name.startswith("seq:")), "head"))

    assert sum(run(seed, evict) for seed in range(25)) > 20


def test_i5_restores_catch_days_that_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken variant: a restore begins in the middle of a day, so what it folds is not what was there."""
    lateness_ms = 24 * HOUR_MS
    monkeypatch.setattr(Owner, "_open_since", lambda self, clock_ms: (clock_ms - lateness_ms) // HOUR_MS * HOUR_MS)
    with pytest.raises((LogTooShortError, AssertionError)):
        for seed in range(25):
            run(seed, SlotStore.lose)


def test_i2_catches_numbers_that_no_checkpoint_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_log, "changes", lambda sequences: [])
    monkeypatch.setattr(sequence_log, "pieces", lambda sequences, bytes_max: [])
    with pytest.raises(AssertionError):
        for seed in range(25):
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


# -- bytes


def saved(segment_bytes_max: int = 600) -> tuple[PartitionState, Snapshot]:
    """A state after many checkpoints, and what a load would find."""
    log, _ = make_log(random.Random(4), 300)
    store, folded = SlotStore(), state()
    slot = FakeSlot(store, random.Random(1))
    slot.claim(1)
    recorder = Recorder(folded, segment_bytes_max)
    for start in range(0, 300, 20):
        folded.fold(batch(log, start, start + 20))
        written = recorder.checkpoint(0, 1)
        slot.write(written)
        recorder.commit(written)
    head = slot.claim(1)
    assert head is not None
    return folded, slot.load(head)


def same(one: Sequences, other: Sequences) -> bool:
    """Digest for digest, interval for interval."""
    if one.days.keys() != other.days.keys():
        return False
    for number, day in one.days.items():
        twin, slots = other.days[number], day.sources.count
        width = min(day.starts.shape[1], twin.starts.shape[1])
        if day.total.tolist() != twin.total.tolist() or twin.sources.count != slots:
            return False
        for name in ("newest", "count", "strayed"):
            if getattr(day, name)[:slots].tolist() != getattr(twin, name)[:slots].tolist():
                return False
        for name in ("starts", "ends"):
            if getattr(day, name)[:slots, :width].tolist() != getattr(twin, name)[:slots, :width].tolist():
                return False
        for name in ("sources", "strays"):
            if getattr(day, name).keys.tolist() != getattr(twin, name).keys.tolist():
                return False
    return True


def test_what_is_loaded_is_what_was_there() -> None:
    folded, snapshot = saved()
    assert len(snapshot.head.manifest.sequences) > 2
    assert any(day.strays.count for day in folded.sequences.days.values())
    copy = state()
    load(copy, snapshot)
    assert same(copy.sequences, folded.sequences)
    assert copy.open_digest() == folded.open_digest()
    assert not Recorder(copy, 600, snapshot.head).checkpoint(0, 1).writes


def test_a_chunk_short_or_missing_or_spoilt_counts_as_lost() -> None:
    _, snapshot = saved()
    for name in [name for name in snapshot.chunks if name.startswith("seq:")]:
        data = snapshot.chunks[name]
        spoilt = bytearray(data)
        spoilt[len(data) // 2] ^= 1
        for found in (data[:-1], b"", bytes(spoilt)):
            with pytest.raises(DamagedError):
                load(state(), Snapshot(snapshot.head, snapshot.chunks | {name: found}))


@pytest.mark.parametrize("changed", ["order", "left out", "twice", "no source", "no number"])
def test_frames_that_make_no_sense_together_count_as_lost(changed: str) -> None:
    _, snapshot = saved(10**6)
    packs = frames(snapshot.chunks["seq:0"])
    if changed == "order":
        packs.reverse()
    elif changed == "left out":
        days = [pack[0] for pack in packs]
        del packs[days.index(max(days, key=days.count))]  # the first of the day that has the most
    elif changed == "twice":
        packs.append([*packs[0][:2], len(packs[0][3]) // 16, *packs[0][3:]])
        packs = [packs[0], packs[-1]]
    elif changed == "no source":
        packs = [[*packs[0][:3], b"", *packs[0][4:]]]
    else:
        packs = [[*packs[0][:6], b"\0" * len(packs[0][6]), b"", b"", *packs[0][9:]]]
    with pytest.raises(DamagedError):
        into = Sequences(2)
        for pack in packs:
            sequence_log.unpack(into, pack)
        sequence_log.finish(into, 0)


def test_a_smaller_limit_reads_what_a_larger_one_wrote() -> None:
    folded, snapshot = saved()
    few = Limits(sequence_intervals_max=1)
    copy = PartitionState(CATALOGUE, few, Decoder(CATALOGUE, few, 0))
    load(copy, snapshot)
    assert copy.open_digest() == folded.open_digest()


def test_i7_the_log_of_numbers_is_rewritten_before_it_is_mostly_superseded() -> None:
    store, folded = SlotStore(), state()
    slot = FakeSlot(store, random.Random(1))
    slot.claim(1)
    recorder, longest = Recorder(folded, 10**6), 0
    for turn in range(40):
        values = [event(f"s{one}", turn, START_MS) for one in range(500)]
        folded.fold(Batch(values, np.arange(turn * 500, turn * 500 + 500), np.full(500, START_MS)))
        written = recorder.checkpoint(0, 1)
        slot.write(written)
        recorder.commit(written)
        longest = max(longest, sum(recorder.manifest.sequences.values()))
        for one in recorder.compact_sequences() if recorder.wants_sequence_compaction() else ():
            slot.put(one)
    chunks = [name for name in store.now.chunks if name.startswith("seq:")]
    assert len(chunks) <= 2
    assert longest / 500 < 200
    head = slot.claim(1)
    assert head is not None
    copy = state()
    load(copy, slot.load(head))
    assert same(copy.sequences, folded.sequences)


def test_numbers_that_come_after_all_days_have_closed_are_not_deleted_with_the_old_ones() -> None:
    store, folded = SlotStore(), state()
    slot = FakeSlot(store, random.Random(1))
    slot.claim(1)
    recorder = Recorder(folded, 10**6)
    for offset, source, day in ((0, "a", 0), (1, None, 3), (2, "b", 3), (3, "b", 3)):
        at_ms = START_MS + day * 24 * HOUR_MS
        value = event("x", None, at_ms) if source is None else event(source, offset, at_ms)
        folded.fold(Batch([value], np.array([offset]), np.array([at_ms])))
        written = recorder.checkpoint(0, 1)
        slot.write(written)
        recorder.commit(written)
        for one in recorder.compact_sequences() if offset == 1 else ():
            slot.put(one)
    head = slot.claim(1)
    assert head is not None
    copy = state()
    load(copy, slot.load(head))
    assert same(copy.sequences, folded.sequences)
    assert len(copy.sequences.days) == 1


def test_i7_no_piece_of_a_rewrite_is_larger_than_asked() -> None:
    folded, _ = saved()
    packs = list(sequence_log.pieces(folded.sequences, 100))
    assert len(packs) > 8
    assert max(len(encode_frame([pack])) for pack in packs) < 300
    into = Sequences(2)
    for pack in packs:
        sequence_log.unpack(into, pack)
    assert same(into, folded.sequences)


def test_a_number_with_another_time_is_kept_as_a_letter_and_not_counted() -> None:
    folded = state()
    values = [event("a", 1, START_MS), event("a", 1, START_MS + 5_000), event("a", 1, START_MS)]
    letters = folded.fold(Batch(values, np.arange(3), np.full(3, START_MS + 10_000)))
    assert [(one.verdict, one.offset, one.reason.split(":")[0]) for one in letters] == [("invalid", 1, "sequence")]
    assert letters[0].raw == values[1]
    assert counts(folded.ledger) == {"accepted": 1, "duplicate": 1, "late": 0, "invalid": 1}


def test_a_source_that_sends_both_kinds_keeps_them_apart() -> None:
    folded = state()
    values = [event("a", 1, START_MS, "1"), event("a", None, START_MS, "1"), event("a", 2, START_MS, "1")]
    folded.fold(Batch(values * 2, np.arange(6), np.full(6, START_MS)))
    assert counts(folded.ledger) == {"accepted": 3, "duplicate": 3, "late": 0, "invalid": 0}


def test_a_sequence_without_our_type_is_known_by_its_id() -> None:
    folded = state()
    body = msgspec.json.decode(event("a", None, START_MS))
    values = [
        msgspec.json.encode(body | {"id": id, "sequence": "7", "sequencetype": kind})
        for id in ("1", "2")
        for kind in ("Integer", None)
    ]
    folded.fold(Batch(values, np.arange(4), np.full(4, START_MS)))
    assert counts(folded.ledger) == {"accepted": 2, "duplicate": 2, "late": 0, "invalid": 0}
    assert not folded.sequences.days


@pytest.fixture(autouse=True)
def often() -> object:
    with mock.patch.object(sequence_log, "_FLOOR_BYTES", 400):
        yield
