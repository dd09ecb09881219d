"""The parts of a checkpoint: where each write goes, how a compacted table is cut, and what a load takes for lost."""

from __future__ import annotations

from unittest import mock

import msgspec
import numpy as np
import pytest

from processors import checkpoint as module
from processors.admission import Settled
from processors.checkpoint import Manifest, Recorder
from processors.digests import DamagedError, framed, payloads
from processors.identity import DigestSet
from processors.meter import PartitionState
from tests.unit.test_core_checkpoint_recorder import CATALOGUE, HOUR, MIDNIGHT_MS, Store, empty
from tests.unit.test_core_owner_archive import NumberedLog

BIG = 10**6


def digests(*numbers: int) -> DigestSet:
    return DigestSet.of(np.array([(number, number) for number in numbers], np.uint64))


@pytest.fixture
def state() -> PartitionState:
    log, state = NumberedLog(), empty()
    for at_h in (1, 2, 3):
        log.add("b", at_h, f"v{at_h}")
    state.fold(log.batch(0))
    return state


def test_admissions_are_written_by_bucket_and_come_back(state: PartitionState) -> None:
    store, recorder = Store(), Recorder(state, BIG)
    state.admissions.buckets = {HOUR + 2: digests(1, 2), HOUR + 3: digests(3)}
    written = store.write(recorder)
    assert {one.name: len(one.data) for one in written.writes if one.name.startswith("adm")} == {
        f"adm:{HOUR + 2}:0": 32,
        f"adm:{HOUR + 3}:0": 16,
    }
    state.admissions.buckets[HOUR + 3].add(digests(4, 5).keys)
    (more,) = store.write(recorder).writes
    assert (more.name, more.at, len(more.data)) == (f"adm:{HOUR + 3}:0", 16, 32)
    head = recorder.checkpoint(0, 1).head
    found = store.loaded(head).admissions.buckets
    assert {hour: held.keys.tolist() for hour, held in found.items()} == {
        hour: held.keys.tolist() for hour, held in state.admissions.buckets.items()
    }
    store.chunks[f"adm:{HOUR + 3}:0"] = digests(3, 4, 6).keys.tobytes()
    with pytest.raises(DamagedError, match="adm of hour"):
        store.loaded(head)


def test_a_bucket_that_is_dropped_is_deleted(state: PartitionState) -> None:
    store, recorder = Store(), Recorder(state, BIG)
    state.admissions.buckets = {HOUR + 2: digests(1, 2)}
    store.write(recorder)
    state.admissions.buckets = {}
    assert store.write(recorder).deletes == [f"adm:{HOUR + 2}:0"]


def test_sums_of_admissions_outlive_a_compaction_of_numbers(state: PartitionState) -> None:
    store, recorder = Store(), Recorder(state, BIG)
    state.admissions.buckets = {HOUR + 2: digests(1, 2)}
    store.write(recorder)
    store.put(recorder.compact_sequences())
    state.admissions.buckets[HOUR + 2].add(digests(3).keys)
    head = store.write(recorder).head
    assert store.loaded(head).admissions.buckets[HOUR + 2].count == 3


@pytest.mark.parametrize("first", [0, 3])
def test_an_admission_that_is_the_first_message_of_a_checkpoint_is_in_it(state: PartitionState, first: int) -> None:
    store, recorder = Store(), Recorder(state, BIG)
    if first:
        store.write(recorder)
    state.offset = 4
    state.admissions.pending = {first: Settled([], [])}
    assert list(store.loaded(store.write(recorder).head).admissions.pending) == [first]


def test_an_hour_is_written_piece_by_piece() -> None:
    state = empty()
    recorder = Recorder(state, BIG)
    keys = np.arange(28, dtype=np.uint64).reshape(-1, 2)

    def written(upto: int, start: int) -> list[tuple[str, int, bytes]]:
        state.identities.hours = {HOUR: DigestSet.of(keys[:upto].copy())}
        made = recorder.checkpoint(0, 1)
        recorder.commit(made)
        assert b"".join(one.data for one in made.writes) == keys[start:upto].tobytes()
        return [(one.name, one.at, len(one.data)) for one in made.writes]

    with mock.patch.object(module, "HOUR_PIECE_BYTES", 48):
        assert written(2, 0) == [(f"ids:{HOUR}:0", 0, 32)]
        assert written(10, 2) == [
            *((f"ids:{HOUR}:0", 32, 16), (f"ids:{HOUR}:1", 0, 48)),
            *((f"ids:{HOUR}:2", 0, 48), (f"ids:{HOUR}:3", 0, 16)),
        ]
        assert written(12, 10) == [(f"ids:{HOUR}:3", 16, 32)]
        assert written(14, 12) == [(f"ids:{HOUR}:4", 0, 32)]


def test_a_compacted_table_is_cut_where_a_frame_is_full() -> None:
    """A row of a count takes 28 bytes and 40: the end of each of six is at 68, 136, 204..."""
    log, state = NumberedLog(), empty()
    for day in range(6):
        log.add("a", 24 * day)
    (meter,) = (one for one in CATALOGUE.meters if one.id == "days")
    for at in range(6):
        state.fold(log.batch(at, at + 1))
    table = state.table(meter)
    assert table.bytes_of(np.arange(1)).tolist() == [68]
    state.clock_ms = MIDNIGHT_MS
    state.table(next(one for one in CATALOGUE.meters if one.id == "hours"))  # without a row there is nothing to write
    for frame_bytes, sizes in ((150, [2, 2, 2]), (140, [2, 2, 2]), (68, [1] * 6), (69, [1] * 6), (300, [4, 2])):
        recorder = Recorder(state, BIG)
        with mock.patch.object(module, "_FRAME_BYTES", frame_bytes):
            writes = [one for one in recorder.compact(0) if one.name == "state:0"]
        frames = [rows_of(one.data) for one in writes]
        assert [len(rows) // 28 for rows in frames] == sizes
        assert sorted(recorder.manifest.segments) == [0]
        assert [one.at for one in writes] == list(np.cumsum([0, *(len(one.data) for one in writes)]))[:-1]


def rows_of(frame: bytes) -> bytes:
    """Those of a frame of one table."""
    header = len(framed(b"", 0)[0])
    ((name, version, _, _, rows, members),) = msgspec.msgpack.decode(frame[header:])
    assert (name, version, members) == ("days", 1, [])
    return bytes(rows)


def test_pending_admissions_alone_begin_the_next_segment_too(state: PartitionState) -> None:
    store, recorder = Store(), Recorder(state, BIG)
    store.write(recorder)
    state.tables.clear()
    state.admissions.pending = {2: Settled([], [])}
    writes = recorder.compact(0)
    assert [one.name for one in writes if one.name.startswith("state")] == ["state:1"]
    store.put(writes)
    head = store.write(recorder).head
    assert list(head.manifest.segments) == [1]
    assert list(store.loaded(head).admissions.pending) == [2]


def test_a_segment_and_an_hour_of_no_length_need_no_sum(state: PartitionState) -> None:
    store, recorder = Store(), Recorder(state, BIG)
    head = store.write(recorder).head
    head.manifest.segments[7] = 0
    head.manifest.sequences[7] = 0
    head.manifest.hours[HOUR + 9] = 0
    assert store.loaded(head).identities.hours[HOUR + 9].count == 0


def test_a_sum_of_what_is_not_empty_must_be_there(state: PartitionState) -> None:
    store, recorder = Store(), Recorder(state, BIG)
    head = store.write(recorder).head
    for name in list(head.manifest.sums):
        sums = {other: digest for other, digest in head.manifest.sums.items() if other != name}
        manifest = msgspec.structs.replace(head.manifest, sums=sums)
        with pytest.raises(DamagedError, match="committed"):
            store.loaded(msgspec.structs.replace(head, manifest=manifest))
    assert payloads(b"") == ([], 0)
    assert Manifest().chunks() == {}
