"""What a checkpoint holds as bytes: nothing short or spoilt is ever taken for a state."""

from __future__ import annotations

import copy
import random
from unittest import mock

import msgspec
import numpy as np
import pytest

from config.settings import Limits
from processors.checkpoint import Checkpoint, Head, Manifest, Recorder, Snapshot, decode_head, encode_head, load
from processors.digests import framed, payloads, sealed, summed
from processors.events import Decoder
from processors.meter import PartitionState
from processors.partials import DamagedError
from tests.simulation.logs import CATALOGUE, SKEW_MS, batch_of, make_log
from tests.simulation.slots import FakeSlot, SlotStore


def empty() -> PartitionState:
    return PartitionState(CATALOGUE, Limits(), Decoder(CATALOGUE, Limits(), SKEW_MS))


def saved(pieces: int = 48) -> Snapshot:
    """A state after five checkpoints, as a load would find it."""
    log = make_log(random.Random(8), 50)
    store, state = SlotStore(), empty()
    slot = FakeSlot(store, random.Random(1))
    slot.claim(1)
    recorder = Recorder(state, 1_000)
    for start in range(0, 50, 10):
        state.fold(batch_of(log[start : start + 10]))
        written = recorder.checkpoint(0, 1)
        slot.write(written)
        recorder.commit(written)
    head = slot.claim(1)
    assert head is not None
    return slot.load(head)


@pytest.fixture
def snapshot() -> Snapshot:
    with mock.patch("processors.checkpoint.HOUR_PIECE_BYTES", 48):
        return saved()


@pytest.fixture(autouse=True)
def small_pieces() -> object:
    with mock.patch("processors.checkpoint.HOUR_PIECE_BYTES", 48):
        yield


def test_what_is_there_is_loaded(snapshot: Snapshot) -> None:
    state = empty()
    load(state, snapshot)
    assert state.offset == snapshot.head.offset
    assert state.ledger == snapshot.head.ledger
    assert len(snapshot.head.manifest.segments) > 1
    assert any(name.endswith(":1") for name in snapshot.chunks), "no hour had a second piece"


def test_i2_a_chunk_one_byte_short_of_its_manifest_counts_as_lost(snapshot: Snapshot) -> None:
    for name, data in snapshot.chunks.items():
        for kept in (data[:-1], b""):
            with pytest.raises(DamagedError):
                load(empty(), Snapshot(snapshot.head, snapshot.chunks | {name: kept}))
        missing = {other: held for other, held in snapshot.chunks.items() if other != name}
        with pytest.raises(DamagedError):
            load(empty(), Snapshot(snapshot.head, missing))


def test_a_longer_chunk_is_read_to_its_committed_length(snapshot: Snapshot) -> None:
    one, other = empty(), empty()
    load(one, snapshot)
    load(other, Snapshot(snapshot.head, {name: data + b"torn" for name, data in snapshot.chunks.items()}))
    assert one.open_digest() == other.open_digest()


def test_a_flipped_byte_of_a_frame_is_seen(snapshot: Snapshot) -> None:
    rng = random.Random(3)
    for name in [name for name in snapshot.chunks if name.startswith("state:")]:
        data = bytearray(snapshot.chunks[name])
        data[rng.randrange(len(data))] ^= 1
        with pytest.raises(DamagedError):
            load(empty(), Snapshot(snapshot.head, snapshot.chunks | {name: bytes(data)}))


def test_a_changed_identity_is_seen(snapshot: Snapshot) -> None:
    """One event less in an hour is one double charge later."""
    rng = random.Random(4)
    for name in [name for name in snapshot.chunks if name.startswith("ids:")]:
        data = bytearray(snapshot.chunks[name])
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with pytest.raises(DamagedError, match="committed"):
            load(empty(), Snapshot(snapshot.head, snapshot.chunks | {name: bytes(data)}))


def test_a_head_comes_back_whole_or_not_at_all(snapshot: Snapshot) -> None:
    data = encode_head(snapshot.head)
    assert decode_head(data) == snapshot.head
    for at in range(len(data)):
        for changed in (data[:at], data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]):
            with pytest.raises(DamagedError):
                decode_head(changed)


def test_a_frame_of_other_code_is_damaged_and_not_a_crash(snapshot: Snapshot) -> None:
    """Its checksum is right. What it holds is not what this version writes."""
    for tables in (7, [["requests", 1, 0, []]], [["requests", 2, 0, [], b"x", []]], [["users", 1, 0, [[]], b"", []]]):
        frame, digest = framed(msgspec.msgpack.encode(tables), 0)
        head = copy.deepcopy(snapshot.head)
        head.manifest = Manifest({0: len(frame)}, sums={"state:0": digest})
        with pytest.raises(DamagedError):
            load(empty(), Snapshot(head, {"state:0": frame}))


def test_an_identity_twice_in_an_hour_is_seen(snapshot: Snapshot) -> None:
    name = next(name for name, data in snapshot.chunks.items() if name.startswith("ids:") and len(data) >= 32)
    hour = int(name.split(":")[1])
    data = b"".join(held for piece, held in snapshot.chunks.items() if piece.startswith(f"ids:{hour}:"))
    twice = data[:16] + data[:-16]
    head = copy.deepcopy(snapshot.head)
    head.manifest.sums[f"ids:{hour}"] = summed(np.frombuffer(twice, np.uint64).reshape(-1, 2))
    pieces = {f"ids:{hour}:{at // 48}": twice[at : at + 48] for at in range(0, len(twice), 48)}
    with pytest.raises(DamagedError, match="twice"):
        load(empty(), Snapshot(head, snapshot.chunks | pieces))


def test_a_partial_newer_than_the_head_is_seen(snapshot: Snapshot) -> None:
    head = msgspec.structs.replace(snapshot.head, offset=3)
    with pytest.raises(DamagedError, match="newer"):
        load(empty(), Snapshot(head, snapshot.chunks))


def test_a_meter_that_the_catalogue_lacks_is_seen(snapshot: Snapshot) -> None:
    known = msgspec.structs.replace(CATALOGUE, meters=CATALOGUE.meters[2:])
    with pytest.raises(DamagedError, match="catalogue"):
        load(PartitionState(known, Limits(), Decoder(known, Limits(), 0)), snapshot)


def test_frames_come_back_in_order() -> None:
    first, digest = framed(b"one", 0)
    second, last = framed(b"two", digest)
    assert payloads(first + second) == ([b"one", b"two"], last)
    assert payloads(b"") == ([], 0)
    for moved in (second, second + first, first + first, framed(b"two", 0)[0] + second):
        with pytest.raises(DamagedError):
            payloads(moved)


def test_checksums_are_what_they_always_were() -> None:
    """They are stored: another value for the same bytes would count every state as lost."""
    assert summed(np.arange(8, dtype=np.uint64).reshape(-1, 2)) == 11837313140508231695
    assert summed(np.full((3, 2), 2**64 - 1, np.uint64), 7) == 521623062218187978
    assert framed(b"one", 0) == (b"\x03\x00\x00\x00\xa0\xe1\x1f2\xa7\xab\x1f\x91one", 10457265594366419360)
    assert framed(b"two", 5)[1] == 15973611965794636446
    assert sealed(b"body") == b"\xfa\xe1\x7f\x18\xee\xc8\xf2\x84body"


def test_a_segment_that_is_no_frames_says_where() -> None:
    frame, digest = framed(b"", 0)
    assert payloads(frame) == ([b""], digest)
    with pytest.raises(DamagedError, match="header is cut off at byte 12"):
        payloads(frame + b"abc")
    with pytest.raises(DamagedError, match="frame at byte 12 is damaged"):
        payloads(frame + frame)


def test_the_manifest_names_each_piece_of_an_hour() -> None:
    assert Manifest({0: 5}, {7: 100, 8: 48, 9: 0}).chunks() == {
        "state:0": 5,
        "ids:7:0": 48,
        "ids:7:1": 48,
        "ids:7:2": 4,
        "ids:8:0": 48,
    }


def test_an_uncommitted_checkpoint_is_made_again_the_same() -> None:
    state = empty()
    recorder = Recorder(state, 1_000)
    state.fold(batch_of(make_log(random.Random(8), 20)))
    first, again = recorder.checkpoint(0, 1), recorder.checkpoint(0, 1)
    assert first == again
    recorder.commit(first)
    after: Checkpoint = recorder.checkpoint(0, 1)
    assert (after.writes, after.deletes, after.expected) == ([], [], first.head.offset)


def test_an_archived_hour_is_deleted_with_all_its_pieces() -> None:
    state = empty()
    recorder = Recorder(state, 1_000)
    digests = np.arange(14, dtype=np.uint64).reshape(-1, 2)
    state.identities.add(np.zeros(7, np.int64), digests)
    recorder.commit(recorder.checkpoint(0, 1))
    state.identities.close(2**62)
    recorder.commit(recorder.checkpoint(0, 1))
    assert recorder.manifest.hours == {0: 112}, "it waits for the archive"
    state.identities.closed = {}
    assert recorder.checkpoint(0, 1).deletes == ["ids:0:0", "ids:0:1", "ids:0:2"]


def test_no_write_of_a_compaction_is_larger_than_a_frame_and_a_row() -> None:
    """I7: one large write would block every client of the server."""
    with mock.patch("processors.checkpoint._FRAME_BYTES", 400):
        state = empty()
        state.fold(batch_of(make_log(random.Random(8), 50)))
        recorder = Recorder(state, 10**6)
        recorder.commit(recorder.checkpoint(0, 1))
        written = recorder.compact(0)
    assert len(written) > 5
    assert max(len(one.data) for one in written) < 2_500
    other = empty()
    chunks: dict[str, bytes] = {}
    for one in written:
        assert len(chunks.get(one.name, b"")) == one.at
        chunks[one.name] = chunks.get(one.name, b"") + one.data
    manifest = Manifest(recorder.manifest.segments, sums=recorder.manifest.sums)
    head = Head(state.offset, 0, state.clock_ms, 1, state.ledger, manifest)
    load(other, Snapshot(head, chunks))
    assert {key: len(table) for key, table in other.tables.items()} == {
        key: len(table) for key, table in state.tables.items() if len(table)
    }
