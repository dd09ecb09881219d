"""Numbers in a checkpoint: what is loaded is what was there, and nothing short or spoilt is taken for it."""

from __future__ import annotations

import random
from unittest import mock

import msgspec
import numpy as np
import pytest
from sequence_samples import CATALOGUE, HOUR_MS, START_MS, batch, event, make_log, state

from config.settings import Limits
from processors import sequence_log
from processors.checkpoint import Recorder, Snapshot, load
from processors.digests import payloads
from processors.events import Decoder
from processors.meter import Batch, PartitionState
from processors.partials import DamagedError
from processors.sequences import Sequences
from tests.simulation.slots import FakeSlot, SlotStore


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
    packs = [pack for one in payloads(snapshot.chunks["seq:0"])[0] for pack in msgspec.msgpack.decode(one)]
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
        sequence_log.finish(into)


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
    assert max(len(msgspec.msgpack.encode([pack])) for pack in packs) < 300
    into = Sequences(2)
    for pack in packs:
        sequence_log.unpack(into, pack)
    into.close(folded.identities_since_us())
    assert same(into, folded.sequences)


def test_a_frame_that_holds_a_source_twice_is_damaged() -> None:
    """Found by the fuzzer, which can write a frame whose checksum is right."""
    folded, _ = saved()
    pack = next(one for one in sequence_log.pieces(folded.sequences, 10**6) if len(one[4]) >= 8)
    pack[4] = pack[4][:4] * 2 + pack[4][8:]
    with pytest.raises(DamagedError, match="hold a source twice"):
        sequence_log.unpack(Sequences(2), pack)


@pytest.fixture(autouse=True)
def often() -> object:
    with mock.patch.object(sequence_log, "_FLOOR_BYTES", 400):
        yield
