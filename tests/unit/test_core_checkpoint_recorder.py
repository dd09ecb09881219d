"""What a recorder writes, what it deletes, and when it begins its log anew."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from config.catalogue import BEGIN_MS
from config.settings import Limits
from processors import checkpoint as module
from processors import sequence_log
from processors.admission import Settled
from processors.checkpoint import Head, Manifest, Recorder, Snapshot, load
from processors.digests import DamagedError
from processors.events import Decoder
from processors.meter import Ledger, PartitionState
from tests.unit.test_core_owner import CATALOGUE, HOUR_MS, MIDNIGHT_MS
from tests.unit.test_core_owner_archive import NumberedLog

FLOOR = 1_000
HOUR = MIDNIGHT_MS // HOUR_MS


def empty() -> PartitionState:
    return PartitionState(CATALOGUE, Limits(), Decoder(CATALOGUE, Limits(), 0))


@pytest.fixture
def log() -> NumberedLog:
    log = NumberedLog()
    for at_h in (1, 2, 3):
        log.add("b", at_h, f"v{at_h}")
    log.add("a", 3)
    return log


@pytest.fixture
def state(log: NumberedLog) -> PartitionState:
    state = empty()
    state.fold(log.batch(0))
    return state


class Store:
    """What Redis would hold."""

    def __init__(self) -> None:
        self.chunks: dict[str, bytes] = {}

    def put(self, writes: list[module.Write]) -> None:
        for one in writes:
            there = self.chunks.get(one.name, b"")
            assert len(there) >= one.at, "a gap"
            self.chunks[one.name] = there[: one.at] + one.data

    def write(self, recorder: Recorder, published: int = 0) -> module.Checkpoint:
        written = recorder.checkpoint(published, 1)
        self.put(written.writes)
        for name in written.deletes:
            del self.chunks[name]
        recorder.commit(written)
        assert {name: len(data) for name, data in self.chunks.items()} == {
            name: length for name, length in written.head.manifest.chunks().items() if length
        }
        return written

    def loaded(self, head: Head) -> PartitionState:
        state = empty()
        load(state, Snapshot(head, self.chunks))
        return state


def test_a_head_says_where_the_state_stands_and_does_not_change_with_it(state: PartitionState) -> None:
    recorder = Recorder(state, 10**6)
    assert recorder.committed is None
    written = recorder.checkpoint(2, 9, 77)
    head = written.head
    assert written.expected is None
    assert (head.offset, head.published, head.clock_ms, head.generation) == (4, 2, MIDNIGHT_MS + 3 * HOUR_MS, 9)
    assert head.archived_since_ms == 77
    assert recorder.checkpoint(2, 9).head.archived_since_ms == BEGIN_MS
    state.ledger.accepted += 1
    assert head.ledger == Ledger(consumed=4, accepted=4)


def test_a_recorder_goes_on_from_the_head_that_was_loaded(state: PartitionState) -> None:
    store = Store()
    head = store.write(Recorder(state, 10**6)).head
    recorder = Recorder(state, 10**6, head)
    again = recorder.checkpoint(0, 1)
    assert (again.expected, again.writes, again.deletes) == (4, [], [])
    assert again.head.manifest == head.manifest


def test_each_checkpoint_adds_what_changed_and_the_whole_is_loaded(log: NumberedLog) -> None:
    state, store = empty(), Store()
    recorder = Recorder(state, 300)
    for at in range(4):
        state.fold(log.batch(at, at + 1))
        head = store.write(recorder).head
    assert len(head.manifest.segments) > 1
    assert sorted(head.manifest.segments) == list(range(len(head.manifest.segments)))
    other = store.loaded(head)
    assert other.open_digest() == state.open_digest()
    assert (other.offset, other.clock_ms, other.ledger) == (4, state.clock_ms, state.ledger)
    assert not any(len(table.changed()) for table in other.tables.values()), "what was loaded is saved already"
    assert other.ledger is not head.ledger


def test_a_frame_goes_behind_the_last_one_while_it_fits(log: NumberedLog) -> None:
    state = empty()
    state.fold(log.batch(0, 1))
    first = Recorder(state, 1).checkpoint(0, 1).writes
    assert {(one.name.split(":")[0], one.name.split(":")[1], one.at) for one in first} == {
        ("state", "0", 0),
        ("seq", "0", 0),
    }
    (frame,) = (one.data for one in first if one.name == "state:0")
    payload = len(frame) - module.framed(b"", 0)[0].__len__()
    for most, expected in ((len(frame) + payload, ("state:0", len(frame))), (len(frame) + payload - 1, ("state:1", 0))):
        recorder = Recorder(state, most)
        recorder.manifest = Manifest({0: len(frame)}, {}, {}, {}, {"state:0": 5})
        (written,) = (one for one in recorder.checkpoint(0, 1).writes if one.name.startswith("state"))
        assert (written.name, written.at) == expected


def test_a_log_is_compacted_when_it_is_twice_what_lives_and_the_floor(
    state: PartitionState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COMPACT_FLOOR_BYTES", FLOOR)
    recorder = Recorder(state, 10**6)
    live = sum(int(table.bytes_of(np.arange(len(table))).sum()) for table in state.tables.values())
    assert live > 0

    def wants(*lengths: int) -> bool:
        recorder.manifest = Manifest(dict(enumerate(lengths)))
        return recorder.wants_compaction()

    assert [wants(FLOOR, 2 * live), wants(FLOOR, 2 * live + 1)] == [False, True]
    assert not wants(FLOOR + 1), "it is all alive"
    state.clock_ms = MIDNIGHT_MS + 100 * HOUR_MS
    assert [wants(), wants(FLOOR), wants(FLOOR + 1)] == [False, False, True]


def test_windows_live_until_they_close(state: PartitionState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMPACT_FLOOR_BYTES", FLOOR)
    recorder = Recorder(state, 10**6)
    recorder.manifest = Manifest({0: FLOOR + 1})
    del state.tables[("days", 1)]
    for clock_ms, closed in ((9 * HOUR_MS - 1, False), (9 * HOUR_MS, True)):  # the last began at 3 h, and waits for 5 h
        state.clock_ms = MIDNIGHT_MS + clock_ms
        assert recorder.wants_compaction() is closed


def test_a_compaction_forgets_what_is_closed_and_acknowledged_and_deletes_the_old_log(state: PartitionState) -> None:
    store, recorder = Store(), Recorder(state, 10**6)
    store.write(recorder)
    state.clock_ms = MIDNIGHT_MS + 8 * HOUR_MS  # the hours of 1 and 2 h are closed
    store.put(recorder.compact(1))
    assert state.tables[("hours", 1)].column("window").tolist() == [MIDNIGHT_MS + hour * HOUR_MS for hour in (2, 3)]
    written = store.write(recorder)
    assert set(written.deletes) >= {"state:0"}
    assert list(written.head.manifest.segments) == [1]
    assert store.loaded(written.head).open_digest() == state.open_digest()
    assert store.write(recorder).deletes == [], "once is enough"


def test_a_log_of_which_nothing_is_left_goes_on_under_a_new_number(log: NumberedLog) -> None:
    """The old one is about to be deleted: what is written next must not go into it."""
    state, store = empty(), Store()
    recorder = Recorder(state, 10**6)
    state.fold(log.batch(0, 3))
    store.write(recorder)
    state.tables.clear()
    state.sequences.days.clear()
    store.put(recorder.compact(3))
    assert (recorder.manifest.segments, recorder.manifest.sequences) == ({1: 0}, {1: 0})
    state.fold(log.batch(3))
    written = store.write(recorder)
    assert sorted(name for name in store.chunks if not name.startswith("ids")) == ["seq:1", "state:1"]
    assert store.loaded(written.head).open_digest() == state.open_digest()


def test_a_compaction_before_the_first_checkpoint_begins_at_zero(state: PartitionState) -> None:
    store, recorder = Store(), Recorder(state, 10**6)
    store.put(recorder.compact(4))
    assert list(recorder.manifest.segments) == list(recorder.manifest.sequences) == [0]
    written = store.write(recorder)
    assert written.deletes == []
    assert store.loaded(written.head).open_digest() == state.open_digest()


def test_numbers_are_compacted_by_themselves_and_the_rest_stays(state: PartitionState, log: NumberedLog) -> None:
    store, recorder = Store(), Recorder(state, 10**6)
    before = store.write(recorder).head.manifest
    store.put(recorder.compact_sequences())
    written = store.write(recorder)
    after = written.head.manifest
    assert written.deletes == ["seq:0"]
    assert (after.segments, after.hours, list(after.sequences)) == (before.segments, before.hours, [1])
    assert {name for name in after.sums if name[:3] != "seq"} == {name for name in before.sums if name[:3] != "seq"}
    assert store.loaded(written.head).open_digest() == state.open_digest()


def test_a_log_of_numbers_is_long_when_most_of_it_is_superseded(state: PartitionState) -> None:
    recorder = Recorder(state, 10**6)
    recorder.manifest = Manifest({0: 10**9}, {}, {0: 8_000, 1: 8_000})
    assert not recorder.wants_sequence_compaction()
    recorder.manifest.sequences[2] = 10**6
    assert recorder.wants_sequence_compaction()
    assert sequence_log.is_long(state.sequences, 10**6)


def test_admissions_that_are_not_acknowledged_are_in_every_log(state: PartitionState) -> None:
    store, recorder = Store(), Recorder(state, 10**6)
    for offset in (1, 3):
        state.admissions.pending[offset] = Settled([], [])
    head = store.write(recorder, 2).head
    assert list(store.loaded(head).admissions.pending) == [3], "1 is acknowledged"
    assert store.write(recorder, 2).writes == [], "they are there already"
    store.put(recorder.compact(2))
    assert list(store.loaded(store.write(recorder, 1).head).admissions.pending) == [3]


def test_an_admission_of_the_next_message_is_not_of_this_state(state: PartitionState) -> None:
    store, recorder = Store(), Recorder(state, 10**6)
    state.admissions.pending = {3: Settled([], []), 4: Settled([], [])}
    assert list(store.loaded(store.write(recorder, 3).head).admissions.pending) == [3]


@pytest.mark.parametrize("length", [15, 17])
def test_identities_that_end_within_a_digest_are_damage(state: PartitionState, length: int) -> None:
    store = Store()
    head = store.write(Recorder(state, 10**6)).head
    head.manifest.hours = {HOUR: length}
    store.chunks[f"ids:{HOUR}:0"] = bytes(length)
    with pytest.raises(DamagedError, match="end within a digest"):
        store.loaded(head)


def test_a_partial_at_the_head_itself_is_newer_than_it(state: PartitionState) -> None:
    store = Store()
    head = store.write(Recorder(state, 10**6)).head
    store.loaded(head)
    with pytest.raises(DamagedError, match="a partial is newer than the head"):
        store.loaded(msgspec.structs.replace(head, offset=3))


def test_a_chunk_that_is_short_says_by_how_much(state: PartitionState) -> None:
    store = Store()
    head = store.write(Recorder(state, 10**6)).head
    length = head.manifest.segments[0]
    store.chunks["state:0"] = store.chunks["state:0"][:-1]
    with pytest.raises(DamagedError, match=f"state:0 has {length - 1} of {length} bytes"):
        store.loaded(head)
    del store.chunks["state:0"]
    with pytest.raises(DamagedError, match=f"state:0 has 0 of {length} bytes"):
        store.loaded(head)
