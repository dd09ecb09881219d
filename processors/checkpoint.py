"""What a checkpoint holds, as bytes: pure, so that it can be tested, fuzzed and simulated without a server.

The state of a partition is a log of frames in a few segments (absolute rows; the last wins on load), another such log
of the numbers of sources, and the digests of accepted events by hour. All of them only grow at their end, at a
committed length that the manifest records; anything behind that length was never committed and is written over.
Anything short of it, or that its checksums do not cover, counts as lost.

An hour stays until it is closed and its archive acknowledged. A frame's entry is a table's packed rows under its meter,
or, under no meter, what an admission record came to; that counts as long as its offset is not below `published`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from config.catalogue import BEGIN_MS
from processors import sequence_log
from processors.admission import Settled
from processors.digests import framed, payloads, sealed, summed, unsealed
from processors.identity import DigestSet
from processors.meter import Ledger, MeterKey, PartitionState
from processors.partials import DamagedError, PartialTable

_FRAME_BYTES = 8 * 1024 * 1024  # of a compacted table, about: no single write may block Redis for long
HOUR_PIECE_BYTES = 16 * 1024 * 1024  # a million identities: an hour of a busy partition outgrows one Redis string
_COMPACT_FLOOR_BYTES = 8 * 1024 * 1024  # below this a longer log costs less than rewriting it
Length = Annotated[int, Meta(ge=0, le=2**40)]  # bytes: far more than one partition can hold


class Manifest(msgspec.Struct):
    """What must be there: the committed length of every segment, hour and bucket of admissions, in bytes, and what each
    adds up to."""

    segments: dict[int, Length] = {}
    hours: dict[int, Length] = {}
    sequences: dict[int, Length] = {}  # segments, too
    admissions: dict[int, Length] = {}
    # By the name of the chunk without its piece: of a segment the digest that its frames end at, else `digests.summed`.
    sums: dict[str, int] = {}

    def digest_chunks(self) -> dict[str, int]:
        """Name and committed length of each piece of every hour and bucket, in order."""
        return {
            f"{kind}:{hour}:{at // HOUR_PIECE_BYTES}": min(HOUR_PIECE_BYTES, length - at)
            for kind, lengths in (("ids", self.hours), ("adm", self.admissions))
            for hour, length in lengths.items()
            for at in range(0, length, HOUR_PIECE_BYTES)
        }

    def chunks(self) -> dict[str, int]:
        """Name and committed length of every chunk."""
        return _names("state", self.segments) | _names("seq", self.sequences) | self.digest_chunks()


class Head(msgspec.Struct):
    """The last thing a checkpoint writes; everything else is reached from it."""

    offset: int  # the next message
    published: int  # every output of the messages below this offset is acknowledged
    clock_ms: int
    generation: int  # of the catalogue; a worker with an older one is refused
    ledger: Ledger
    manifest: Manifest
    archived_since_ms: int | None = None  # hours from here on are archived; None: written before there was an archive


_HEAD_ENCODER, _HEAD_DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Head)
_PACKED = msgspec.msgpack.Decoder(list[list[Any]])


class Write(msgspec.Struct):
    """Bytes for the end of a chunk: `at` is its committed length. `name`: see checkpoint.lua."""

    name: str
    at: int
    data: bytes


class Checkpoint(msgspec.Struct):
    expected: int | None  # the offset that must be there; None: no checkpoint yet
    head: Head
    writes: list[Write]
    deletes: list[str]


class Snapshot(msgspec.Struct):
    """A head and the chunks it names, each at least as long as the manifest says, or damaged. To read one may raise
    Retryable."""

    head: Head
    chunks: Mapping[str, bytes]


class Recorder:
    """Turns the changes of a partition's state into checkpoints, and remembers what is committed."""

    def __init__(self, state: PartitionState, segment_bytes_max: int, head: Head | None = None) -> None:
        self.state, self.segment_bytes_max = state, segment_bytes_max
        self.committed: int | None = head.offset if head else None
        self.manifest = head.manifest if head else Manifest()
        self._deletes: list[str] = []

    def checkpoint(self, published: int, generation: int, archived_since_ms: int = BEGIN_MS) -> Checkpoint:
        """All changes since the last `commit`. Nothing here is remembered until `commit` says it was written."""
        state = self.state
        old = self.manifest
        writes, manifest = [], Manifest(dict(old.segments), {}, dict(old.sequences), {}, _sums(old, "state", "seq"))
        for kind, lengths, packed in (
            ("state", manifest.segments, _changes(state) + _admissions(state, self.committed or 0)),
            ("seq", manifest.sequences, sequence_log.changes(state.sequences)),
        ):
            if packed:
                writes.append(self._append(kind, lengths, manifest.sums, packed))
        digests = self._digests(manifest)
        named = manifest.digest_chunks()
        gone = [name for name in old.digest_chunks() if name not in named]
        ledger = msgspec.structs.replace(state.ledger)
        head = Head(state.offset, published, state.clock_ms, generation, ledger, manifest, archived_since_ms)
        return Checkpoint(self.committed, head, writes + digests, self._deletes + gone)

    def commit(self, written: Checkpoint) -> None:
        """The checkpoint is in Redis: from here on its state is the truth."""
        self.committed, self.manifest, self._deletes = written.head.offset, written.head.manifest, []
        for table in self.state.tables.values():
            table.settle()
        sequence_log.settle(self.state.sequences)

    def _digests(self, manifest: Manifest) -> list[Write]:
        """The digests behind what is committed, cut at the ends of pieces; lengths and sums go to the new manifest."""
        state, old, writes = self.state, self.manifest, []
        for kind, sets, before, lengths in (
            ("ids", state.identities.closed | state.identities.hours, old.hours, manifest.hours),
            ("adm", state.admissions.buckets, old.admissions, manifest.admissions),
        ):
            for hour, held in sets.items():
                at, lengths[hour] = before.get(hour, 0), held.count * 16
                name = f"{kind}:{hour}"
                manifest.sums[name] = summed(held.keys[at // 16 :], old.sums.get(name, 0))
                while at < lengths[hour]:
                    piece, place = divmod(at, HOUR_PIECE_BYTES)
                    end = min((piece + 1) * HOUR_PIECE_BYTES, lengths[hour])
                    writes.append(Write(f"{name}:{piece}", place, held.keys[at // 16 : end // 16].tobytes()))
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
        old = self.manifest
        next_number = max(old.segments, default=-1) + 1
        writes = self.compact_sequences()
        self._deletes += _names("state", old.segments)
        manifest = Manifest({}, {}, self.manifest.sequences, {}, _sums(self.manifest, "seq"))
        for key, table in state.tables.items():
            table.touch_all()
            rows = table.changed()
            at = np.cumsum(table.bytes_of(rows)) // _FRAME_BYTES
            for some in np.split(rows, np.flatnonzero(np.diff(at)) + 1) if len(rows) else ():
                packed = _pack(key, table, some)
                table.settle_series()
                writes.append(self._append("state", manifest.segments, manifest.sums, [packed], next_number))
            table.settle()
        pending = _admissions(state, published)
        if pending:
            writes.append(self._append("state", manifest.segments, manifest.sums, pending, next_number))
        manifest.segments = manifest.segments or {next_number: 0}
        writes += self._digests(manifest)
        self.manifest = manifest
        return writes

    def wants_sequence_compaction(self) -> bool:
        """The same of the numbers: they are few and change often, so their log has a bound of its own."""
        return sequence_log.is_long(self.state.sequences, sum(self.manifest.sequences.values()))

    def compact_sequences(self) -> list[Write]:
        """As `compact`, of the numbers alone."""
        old = self.manifest
        lengths, sums = dict[int, int](), _sums(old, "state", "ids", "adm")
        first = max(old.sequences, default=-1) + 1
        writes = [
            self._append("seq", lengths, sums, [packed], first)
            for packed in sequence_log.pieces(self.state.sequences, _FRAME_BYTES)
        ]
        sequence_log.settle(self.state.sequences)
        self._deletes = list(_names("seq", old.sequences))
        if old.sequences and not lengths:  # the old number is about to be deleted: what comes next is of a new one
            lengths[first] = 0
        self.manifest = Manifest(old.segments, old.hours, lengths, old.admissions, sums)
        return writes

    def _append(
        self, kind: str, lengths: dict[int, int], sums: dict[str, int], packed: list[list[Any]], first: int = 0
    ) -> Write:
        """Place a frame at the end of the newest segment of its kind, or begin the next one."""
        payload = msgspec.msgpack.encode(packed)
        number = max(lengths, default=first)
        at = lengths.get(number, 0)
        if at and at + len(payload) > self.segment_bytes_max:
            number, at = number + 1, 0
        name = f"{kind}:{number}"
        frame, sums[name] = framed(payload, sums.get(name, 0))
        lengths[number] = at + len(frame)
        return Write(name, at, frame)


def _names(kind: str, lengths: dict[int, int]) -> dict[str, int]:
    return {f"{kind}:{number}": length for number, length in lengths.items()}


def _sums(manifest: Manifest, *kinds: str) -> dict[str, int]:
    return {name: digest for name, digest in manifest.sums.items() if name.partition(":")[0] in kinds}


def _changes(state: PartitionState) -> list[list[Any]]:
    return [_pack(key, table, rows) for key, table in state.tables.items() if len(rows := table.changed())]


def _admissions(state: PartitionState, since: int) -> list[list[Any]]:
    return [["", offset, one] for offset, one in state.admissions.pending.items() if offset >= since]


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


def _frames(snapshot: Snapshot, name: str, length: int) -> list[list[Any]]:
    """What was packed into the frames of a segment, in order. DamagedError."""
    found, digest = payloads(_chunk(snapshot, name, length))
    if digest != snapshot.head.manifest.sums.get(name, 0):
        raise DamagedError(f"{name} is not the one that was committed")
    return [packed for payload in found for packed in _PACKED.decode(payload)]


def load(state: PartitionState, snapshot: Snapshot) -> None:
    """Fill an empty state from a snapshot. DamagedError where anything is short of the manifest or makes no sense,
    Retryable where it can't be read now; the state is of no use then.

    Asks for one chunk after the other: what was read never lies beside the whole of what it becomes.
    """
    head = snapshot.head
    try:
        _load_segments(state, snapshot)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # its checksum is right: it is of other code than ours
        raise DamagedError(f"a frame cannot be read: {error}") from error
    for kind, lengths, sets in (
        ("ids", head.manifest.hours, state.identities.hours),
        ("adm", head.manifest.admissions, state.admissions.buckets),
    ):
        _load_digests(snapshot, kind, lengths, sets)
    for table in state.tables.values():
        if len(table) and int(table.column("offset").max()) >= head.offset:
            raise DamagedError("a partial is newer than the head")
        table.settle()
    state.offset, state.clock_ms = head.offset, head.clock_ms
    state.ledger = msgspec.structs.replace(head.ledger)
    state.close()  # hours and days that wait for the archive still
    sequence_log.finish(state.sequences)


def _load_segments(state: PartitionState, snapshot: Snapshot) -> None:
    head = snapshot.head
    for number, length in sorted(head.manifest.segments.items()):
        for packed in _frames(snapshot, f"state:{number}", length):
            meter_id, version = msgspec.convert(packed[:2], tuple[str, int])
            if not meter_id:  # `version` is the offset of an admission record
                if head.published <= version < head.offset:
                    state.admissions.pending[version] = msgspec.convert(packed[2:], tuple[Settled])[0]
                continue
            meter = state.meters.get((meter_id, version))
            if meter is None:
                raise DamagedError(f"a partial of meter {meter_id} version {version}, which the catalogue lacks")
            state.table(meter).unpack(packed[2:])
    for number, length in sorted(head.manifest.sequences.items()):
        for packed in _frames(snapshot, f"seq:{number}", length):
            sequence_log.unpack(state.sequences, packed)


def _load_digests(snapshot: Snapshot, kind: str, lengths: dict[int, int], sets: dict[int, DigestSet]) -> None:
    pieces: dict[int, list[tuple[str, int]]] = {hour: [] for hour in lengths}
    for name, length in snapshot.head.manifest.digest_chunks().items():  # the pieces of an hour are in order
        if name.startswith(f"{kind}:"):
            pieces[int(name.split(":")[1])].append((name, length))
    for hour, length in lengths.items():
        if length % 16:
            raise DamagedError(f"{kind} of hour {hour} end within a digest")
        joined = b"".join([_chunk(snapshot, *piece) for piece in pieces[hour]])
        digests = np.frombuffer(joined, np.uint64).reshape(-1, 2)
        if summed(digests) != snapshot.head.manifest.sums.get(f"{kind}:{hour}", 0):
            raise DamagedError(f"{kind} of hour {hour} are not those that were committed")
        try:
            sets[hour] = DigestSet.of(digests)
        except ValueError as error:
            raise DamagedError(f"hour {hour} holds an identity twice") from error


def _chunk(snapshot: Snapshot, name: str, length: int) -> bytes:
    data = snapshot.chunks.get(name, b"")
    if len(data) < length:
        raise DamagedError(f"{name} has {len(data)} of {length} bytes")
    return data[:length]
