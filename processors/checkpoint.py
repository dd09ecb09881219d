"""What a checkpoint holds, as bytes: pure, so that it can be tested, fuzzed and simulated without a server.

The state of a partition is a log of frames in a few segments (absolute rows; the last wins on load) and the digests
of accepted events by hour. Both only grow at their end, at a committed length that the manifest records; anything
behind that length was never committed and is written over. Anything short of it, or that its checksums do not
cover, counts as lost.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from processors.digests import FRAME_HEAD_BYTES, framed, payloads, sealed, summed, unsealed
from processors.identity import DigestSet
from processors.meter import Ledger, MeterKey, PartitionState
from processors.partials import DamagedError, PartialTable

_BYTES_MAX = 2**40  # of all segments together, or of one hour: far beyond what one partition can hold
_FRAME_BYTES = 8 * 1024 * 1024  # of a compacted table, about: no single write may block Redis for long
HOUR_PIECE_BYTES = 16 * 1024 * 1024  # a million identities: an hour of a busy partition outgrows one Redis string
_COMPACT_FLOOR_BYTES = 8 * 1024 * 1024  # below this a longer log costs less than rewriting it

Count = Annotated[int, Meta(ge=0, le=2**53)]  # of what a partition could ever hold
Length = Annotated[int, Meta(ge=0, le=_BYTES_MAX)]


class Manifest(msgspec.Struct):
    """What must be there: the committed length of every segment and every hour in bytes, and what they add up to."""

    segments: dict[int, Length] = {}
    hours: dict[int, Length] = {}
    sums: dict[str, int] = {}  # `state:N`: the last digest of its frames; `ids:HOUR`: the sum of its identities

    def hour_chunks(self) -> dict[str, int]:
        """Name and committed length of each piece of every hour."""
        return {
            f"ids:{hour}:{at // HOUR_PIECE_BYTES}": min(HOUR_PIECE_BYTES, length - at)
            for hour, length in self.hours.items()
            for at in range(0, length, HOUR_PIECE_BYTES)
        }

    def chunks(self) -> dict[str, int]:
        """Name and committed length of every chunk."""
        return {f"state:{number}": length for number, length in self.segments.items()} | self.hour_chunks()


class Head(msgspec.Struct):
    """The last thing a checkpoint writes; everything else is reached from it."""

    offset: int  # the next message
    published: int  # every output of the messages below this offset is acknowledged
    clock_ms: int
    generation: int  # of the catalogue; a worker with an older one is refused
    ledger: Ledger
    manifest: Manifest


_HEAD_ENCODER, _HEAD_DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Head)
# Of each table: meter, version, first series, series, rows, and of unique meters the members; see `PartialTable.pack`.
_Members = tuple[Count, Count, Count, bytes, Count, list[Count]]
_TABLES = msgspec.msgpack.Decoder(list[tuple[str, int, Count, list[tuple[str, ...]], bytes, list[_Members]]])


class Write(msgspec.Struct):
    """Bytes for the end of a chunk: `at` is its committed length, `name` is `state:N` or `ids:HOUR:PIECE`."""

    name: str
    at: int
    data: bytes


class Checkpoint(msgspec.Struct):
    expected: int | None  # the offset that must be there; None: no checkpoint yet
    head: Head
    writes: list[Write]
    deletes: list[str]


class Snapshot(msgspec.Struct):
    """What a load found: the head and the chunks it names, each at least as long as the manifest says."""

    head: Head
    chunks: dict[str, bytes]


class Recorder:
    """Turns the changes of a partition's state into checkpoints, and remembers what is committed."""

    def __init__(self, state: PartitionState, segment_bytes_max: int, head: Head | None = None) -> None:
        self.state, self.segment_bytes_max = state, segment_bytes_max
        self.committed: int | None = head.offset if head else None
        self.manifest = head.manifest if head else Manifest()
        self._deletes: list[str] = []

    def checkpoint(self, published: int, generation: int) -> Checkpoint:
        """All changes since the last `commit`. Nothing here is remembered until `commit` says it was written."""
        state = self.state
        writes, manifest = [], self._segments_of(self.manifest)
        changes = _changes(state)
        if changes:
            writes.append(self._append(manifest, changes))
        digests = self._identities(manifest)
        gone = [name for name in self.manifest.hour_chunks() if int(name.split(":")[1]) not in manifest.hours]
        head = Head(
            state.offset, published, state.clock_ms, generation, msgspec.structs.replace(state.ledger), manifest
        )
        return Checkpoint(self.committed, head, writes + digests, self._deletes + gone)

    def commit(self, written: Checkpoint) -> None:
        """The checkpoint is in Redis: from here on its state is the truth."""
        self.committed, self.manifest, self._deletes = written.head.offset, written.head.manifest, []
        for table in self.state.tables.values():
            table.settle()

    @staticmethod
    def _segments_of(manifest: Manifest) -> Manifest:
        names = {f"state:{number}" for number in manifest.segments}
        return Manifest(dict(manifest.segments), {}, {n: digest for n, digest in manifest.sums.items() if n in names})

    def _identities(self, manifest: Manifest) -> list[Write]:
        """The digests behind what is committed, cut at the ends of pieces; notes length and sum of every open hour."""
        lengths, sums = manifest.hours, manifest.sums
        writes: list[Write] = []
        for hour, held in self.state.identities.hours.items():
            at, lengths[hour] = self.manifest.hours.get(hour, 0), held.count * 16
            name = f"ids:{hour}"
            sums[name] = summed(held.keys[at // 16 :], self.manifest.sums.get(name, 0))
            while at < lengths[hour]:
                piece, place = divmod(at, HOUR_PIECE_BYTES)
                end = min((piece + 1) * HOUR_PIECE_BYTES, lengths[hour])
                writes.append(Write(f"ids:{hour}:{piece}", place, held.keys[at // 16 : end // 16].tobytes()))
                at = end
        return writes

    # -- compaction

    def wants_compaction(self) -> bool:
        """Whether the log of frames is mostly superseded values and closed windows."""
        length = sum(self.manifest.segments.values())
        if length <= _COMPACT_FLOOR_BYTES:
            return False
        state = self.state
        live = 0
        for key, table in state.tables.items():
            opened = np.flatnonzero(table.column("window") + table.window_ms > state.open_since_ms(key))
            live += int(table.bytes_of(opened).sum())
        return length > 2 * live + _COMPACT_FLOOR_BYTES

    def compact(self, published: int) -> list[Write]:
        """Forget what is closed and acknowledged, and write the rest into new segments.

        Call it right after `commit`, or for a state that has no checkpoint yet. The returned writes go in, a piece at a
        time, before the next checkpoint names them; until then nothing reads them, so a crash in between leaves the old
        head in force.
        """
        state = self.state
        for key, table in list(state.tables.items()):
            state.tables[key] = table.without(table.closed(state.open_since_ms(key), published))
        self._deletes = [f"state:{number}" for number in self.manifest.segments]
        next_number = max(self.manifest.segments, default=-1) + 1
        manifest = Manifest()
        writes: list[Write] = []
        for key, table in state.tables.items():
            table.touch_all()
            rows = table.changed()
            at = np.cumsum(table.bytes_of(rows)) // _FRAME_BYTES
            for some in np.split(rows, np.flatnonzero(np.diff(at)) + 1) if len(rows) else ():
                packed = _pack(key, table, some)
                table.settle_series()
                writes.append(self._append(manifest, [packed], next_number))
            table.settle()
        manifest.segments = manifest.segments or {next_number: 0}
        digests = self._identities(manifest)
        self.manifest = manifest
        return writes + digests

    def _append(self, manifest: Manifest, tables: list[list[Any]], first: int = 0) -> Write:
        """Place a frame of packed tables at the end of the newest segment, or begin the next one."""
        payload = msgspec.msgpack.encode(tables)
        number = max(manifest.segments, default=first)
        at = manifest.segments.get(number, 0)
        if at and at + FRAME_HEAD_BYTES + len(payload) > self.segment_bytes_max:
            number, at = number + 1, 0
        name = f"state:{number}"
        frame, manifest.sums[name] = framed(payload, manifest.sums.get(name, 0))
        manifest.segments[number] = at + len(frame)
        return Write(name, at, frame)


def _changes(state: PartitionState) -> list[list[Any]]:
    return [_pack(key, table, rows) for key, table in state.tables.items() if len(rows := table.changed())]


def _pack(key: MeterKey, table: PartialTable, rows: Any) -> list[Any]:
    return [*key, *table.pack(rows)]


def encode_head(head: Head) -> bytes:
    """As Redis holds it."""
    return sealed(_HEAD_ENCODER.encode(head))


def decode_head(data: bytes) -> Head:
    """DamagedError where the bytes are no head."""
    try:
        return _HEAD_DECODER.decode(unsealed(data))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedError(f"the head cannot be read: {error}") from error


def load(state: PartitionState, snapshot: Snapshot) -> None:
    """Fill an empty state from a snapshot. DamagedError where anything is short of the manifest or makes no sense."""
    head = snapshot.head
    for number, length in sorted(head.manifest.segments.items()):
        name = f"state:{number}"
        found, digest = payloads(_chunk(snapshot, name, length))
        if digest != head.manifest.sums.get(name, 0):
            raise DamagedError(f"{name} is not the one that was committed")
        for payload in found:
            _unpack(state, payload)
    pieces: dict[int, list[bytes]] = {hour: [] for hour in head.manifest.hours}
    for name, length in head.manifest.hour_chunks().items():  # the pieces of an hour are in order
        pieces[int(name.split(":")[1])].append(_chunk(snapshot, name, length))
    for hour, length in head.manifest.hours.items():
        if length % 16:
            raise DamagedError(f"hour {hour} ends within an identity")
        digests = np.frombuffer(b"".join(pieces[hour]), np.uint64).reshape(-1, 2)
        if summed(digests) != head.manifest.sums.get(f"ids:{hour}", 0):
            raise DamagedError(f"hour {hour} is not the one that was committed")
        state.identities.hours[hour] = DigestSet(digests)
        if state.identities.hours[hour].count * 16 != length:
            raise DamagedError(f"hour {hour} holds an identity twice")
    for table in state.tables.values():
        if len(table) and int(table.column("offset").max()) >= head.offset:
            raise DamagedError("a partial is newer than the head")
        table.settle()
    state.offset, state.clock_ms = head.offset, head.clock_ms
    state.ledger = msgspec.structs.replace(head.ledger)


def _unpack(state: PartitionState, payload: bytes) -> None:
    """Read one frame into the tables. DamagedError where it was written by other code, or by nobody."""
    try:
        tables = _TABLES.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedError(f"a frame cannot be read: {error}") from error
    for meter_id, version, *packed in tables:
        meter = state.meters.get((meter_id, version))
        if meter is None:
            raise DamagedError(f"a partial of meter {meter_id} version {version}, which the catalogue lacks")
        state.table(meter).unpack(packed)


def _chunk(snapshot: Snapshot, name: str, length: int) -> bytes:
    data = snapshot.chunks.get(name, b"")
    if len(data) < length:
        raise DamagedError(f"{name} has {len(data)} of {length} bytes")
    return data[:length]
