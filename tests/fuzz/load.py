"""What must hold of any stored checkpoint: it is loaded as it was committed, or counted as damaged. Nothing else."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple
from unittest import mock

import msgspec

from config.settings import Limits
from processors.checkpoint import Head, Recorder, Snapshot, decode_head, encode_head, load
from processors.digests import DamagedError, framed, payloads
from processors.events import Decoder
from processors.meter import PartitionState
from tests.fuzz.fold import FaultError
from tests.simulation.logs import CATALOGUE, SKEW_MS, batch_of, make_log

BATCH = 250
PIECE_BYTES = 48  # of an hour, so that a few events fill several
LIMITS = Limits()
DECODER = Decoder(CATALOGUE, LIMITS, SKEW_MS)
# None between 2**20 and 2**40: the pieces of such an hour, which are small here, would be too many to name.
NUMBERS = (-1, 0, 1, 7, 16, 47, 2**40 + 1, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))


class Stored(NamedTuple):
    """What is in Redis: the head's bytes, and the chunks."""

    head: bytes
    chunks: dict[str, bytes]


class Original(NamedTuple):
    stored: Stored
    state: Any  # as `fingerprint` tells it


def empty() -> PartitionState:
    return PartitionState(CATALOGUE, LIMITS, DECODER)


@lru_cache(maxsize=64)
def original(number: int) -> Original:
    """A state after some checkpoints and perhaps a compaction, as it is stored."""
    rng = random.Random(f"stored {number}")
    state, chunks, at = empty(), dict[str, bytes](), 0
    recorder = Recorder(state, rng.choice((300, 2_000, 10**6)))
    log = make_log(rng, rng.choice((3, 10, 25)))
    head = Head(0, 0, 0, 1, state.ledger, recorder.manifest)
    while at < len(log):
        step = rng.randint(1, 10)
        state.fold(batch_of(log[at : at + step]))
        at += step
        written = recorder.checkpoint(0, 1)
        for one in written.writes:
            chunks[one.name] = chunks.get(one.name, b"")[: one.at] + one.data
        for name in written.deletes:
            chunks.pop(name, None)
        recorder.commit(written)
        head = written.head
        if rng.random() < 0.2:
            for one in recorder.compact(0):
                chunks[one.name] = chunks.get(one.name, b"")[: one.at] + one.data
    if not any(name.startswith("state:") for name in chunks):
        return original(number + 64)  # all of it was late or refused
    return Original(Stored(encode_head(head), chunks), fingerprint(state))


def fingerprint(state: PartitionState) -> Any:
    """All that a state is, closed rows and all; in which order its identities came is no part of it."""
    tables = {
        key: sorted(
            (
                table.series_at(row),
                *(int(table.column(name)[row]) for name in table.dtype.names or () if name != "series"),
                (table.sets[row].keys.tobytes(), *table.chunk_offsets[row]) if table.sets else (),
            )
            for row in range(len(table))
        )
        for key, table in state.tables.items()
        if len(table)
    }
    identities = state.identities.closed | state.identities.hours | state.admissions.buckets
    hours = {hour: sorted(held.keys.tolist()) for hour, held in identities.items() if held.count}
    # Of numbers the sums: how they are kept may differ, and `open_digest` tells all that is open.
    numbers = {day: held.total.tolist() for day, held in state.sequences.all_days().items()}
    ledger = msgspec.structs.astuple(state.ledger)
    return state.offset, state.clock_ms, ledger, tables, hours, numbers, state.open_digest()


# -- mutations: each returns what is stored then, and whether its checksums are as good as before


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    at, kind = rng.randrange(len(data) + 1), rng.randrange(6)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + rng.randbytes(rng.randint(1, 20)) + data[at:]
    if kind == 2:
        return data[:at] + rng.randbytes(rng.randint(1, 20)) + data[at + 16 :]
    if kind == 3:
        return data[:at] + data[at + rng.randint(1, 30) :]
    if kind == 4:
        return data[:at] + data[max(0, at - rng.choice((8, 16, 32, 60))) :]
    at = min(at, len(data) - 1)
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :] if data else b"\x00"


def head_changed(stored: Stored, rng: random.Random) -> Stored:
    return Stored(bytes_changed(stored.head, rng), stored.chunks)


def chunk_changed(stored: Stored, rng: random.Random) -> Stored:
    name = rng.choice(list(stored.chunks))
    return Stored(stored.head, stored.chunks | {name: bytes_changed(stored.chunks[name], rng)})


def chunk_lost(stored: Stored, rng: random.Random) -> Stored:
    chunks = dict(stored.chunks)
    del chunks[rng.choice(list(chunks))]
    return Stored(stored.head, chunks)


def chunks_swapped(stored: Stored, rng: random.Random) -> Stored:
    a, b = rng.choice(list(stored.chunks)), rng.choice(list(stored.chunks))
    return Stored(stored.head, stored.chunks | {a: stored.chunks[b], b: stored.chunks[a]})


def chunk_of_another(stored: Stored, rng: random.Random) -> Stored:
    other = original(rng.randrange(64)).stored.chunks
    name = rng.choice(list(stored.chunks))
    return Stored(stored.head, stored.chunks | {name: other.get(name, rng.choice(list(other.values())))})


def frames_moved(stored: Stored, rng: random.Random) -> Stored:
    """Whole frames doubled, lost or in another order, each with the digest that it had."""
    name = rng.choice([one for one in stored.chunks if one.startswith(("state:", "seq:"))])
    data, frames, at = stored.chunks[name], [], 0
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "little")
        frames.append(data[at:end])
        at = end
    frames = rng.choices(frames, k=len(frames)) if rng.random() < 0.5 else rng.sample(frames, len(frames))
    return Stored(stored.head, stored.chunks | {name: b"".join(frames)})


def manifest_forged(stored: Stored, rng: random.Random) -> Stored:
    """By somebody who knows how to seal it."""
    head = decode_head(stored.head)
    manifest = copy.deepcopy(head.manifest)
    held: list[dict[Any, int]] = [
        manifest.segments,
        manifest.hours,
        manifest.sequences,
        manifest.admissions,
        manifest.sums,
    ]
    kept = rng.choice([one for one in held if one])
    name = rng.choice(list(kept))
    if rng.random() < 0.2:
        del kept[name]
    else:
        kept[name] = rng.choice([*NUMBERS, kept[name] + rng.choice((-17, -16, -1, 1, 16))])
    if rng.random() < 0.1:
        manifest.segments[rng.choice(NUMBERS)] = rng.choice(NUMBERS)
    return Stored(_sealed(head, manifest=manifest), stored.chunks)


def head_forged(stored: Stored, rng: random.Random) -> Stored:
    field = rng.choice(("offset", "published", "clock_ms", "generation"))
    return Stored(_sealed(decode_head(stored.head), **{field: rng.choice(NUMBERS)}), stored.chunks)


def frame_forged(stored: Stored, rng: random.Random) -> Stored:
    """A frame of other code: its checksums are right, and it makes no sense."""
    head = decode_head(stored.head)
    manifest = copy.deepcopy(head.manifest)
    name = rng.choice([one for one in stored.chunks if one.startswith(("state:", "seq:"))])
    kind, _, number = name.partition(":")
    lengths = manifest.segments if kind == "state" else manifest.sequences
    found, digest, data = payloads(stored.chunks[name][: lengths.get(int(number), 0)])[0], 0, b""
    forged = rng.randrange(len(found) + 1)
    for place, payload in enumerate(found):
        frame, digest = framed(_payload_forged(payload, rng) if place == forged else payload, digest)
        data += frame
    lengths[int(number)] = len(data)
    manifest.sums[name] = digest
    return Stored(_sealed(head, manifest=manifest), stored.chunks | {name: data})


def _payload_forged(payload: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return bytes_changed(payload, rng)
    tables = msgspec.msgpack.decode(payload)
    _forge(tables, rng)
    return msgspec.msgpack.encode(tables)


def _forge(value: Any, rng: random.Random) -> None:
    """Change something somewhere inside a list of lists."""
    while isinstance(value, list) and value:
        at = rng.randrange(len(value))
        inner = value[at]
        if not isinstance(inner, list) or not inner or rng.random() < 0.1:
            odd: list[Any] = [*NUMBERS, None, "", b"", [], "x", [[]], [1], value[rng.randrange(len(value))]]
            value[at] = (
                bytes_changed(inner, rng) if isinstance(inner, bytes) and rng.random() < 0.8 else rng.choice(odd)
            )
            return
        value = inner


def _sealed(head: Head, **changes: Any) -> bytes:
    return encode_head(msgspec.structs.replace(head, **changes))


Mutation = Callable[[Stored, random.Random], Stored]
HONEST: tuple[Mutation, ...] = (  # what checksums cover: damaged, or the state as it was
    *(head_changed, chunk_changed, chunk_changed, chunk_changed, chunk_lost, chunks_swapped, chunk_of_another),
    frames_moved,
)
FORGED: tuple[Mutation, ...] = (manifest_forged, head_forged, frame_forged, frame_forged)  # damaged, or some state


def run_one(seed: int, number: int, index: int) -> str:
    """One mutated checkpoint; what became of it. FaultError, or whatever the load raised."""
    rng = random.Random(f"{seed}/{number}/{index}/load")
    with mock.patch("processors.checkpoint.HOUR_PIECE_BYTES", PIECE_BYTES):
        there = original(rng.randrange(64))
        forged = rng.random() < 0.4
        stored = rng.choice(FORGED if forged else HONEST)(there.stored, rng)
        if not forged and rng.random() < 0.2:
            stored = chunk_changed(stored, rng) if stored.chunks else head_changed(stored, rng)
        try:
            state = empty()
            load(state, Snapshot(decode_head(stored.head), stored.chunks))
        except DamagedError:
            return "damaged"
        if forged:
            return "forged and loaded"
        if fingerprint(state) != there.state:
            raise FaultError(f"loaded as another state: seed {seed}, round {number}, input {index}")
        return "loaded as it was"


def run_round(seed: int, number: int, count: int = BATCH) -> Counter[str]:
    """What became of the mutated checkpoints of one round."""
    return Counter(run_one(seed, number, index) for index in range(count))
