"""Ten million open ids and a million open partials: what they take, and how long a restart over them takes."""

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.fresh import fresh
from benchmarks.memory import BASE_MS, HOUR_MS, HOURS, batches, checkpoint, fold_through, owner_of, redis_bytes
from benchmarks.processes import peak_resident_bytes, resident_bytes
from processors.checkpoint import Head, Snapshot
from processors.owner import Owner
from processors.worker import few_collections
from stack.running import Stack

NAME = "filled"
_STEP = 1_000_000  # identities of one checkpoint: 16 MB for one script


class Filled(msgspec.Struct):
    """One worker with one partition, and the state that it left in Redis. Bytes."""

    identities: int
    partials: int
    began_bytes: int  # resident, before the first event
    resident_bytes: int
    peak_bytes: int
    redis_identity_bytes: int
    redis_partial_bytes: int


class Restart(msgspec.Struct):
    """A new process that takes it over, part by part, in seconds. Joining the group comes on top."""

    process_s: float  # from its start to the first line of ours: interpreter and imports
    claim_s: float
    read_s: float  # from Redis
    rebuild_s: float  # indexes, and rows of partials
    fold_s: float  # the first batch
    cpu_s: float  # of the process and all of it: what is left of the total on a machine that others use, too
    peak_bytes: int

    @property
    def total_s(self) -> float:
        return self.process_s + self.claim_s + self.read_s + self.rebuild_s + self.fold_s


class OpenState(msgspec.Struct):
    filled: Filled
    restart: Restart


class _Timed(Mapping[str, bytes]):
    """Chunks, and how long it took to read them."""

    def __init__(self, chunks: Mapping[str, bytes]) -> None:
        self.chunks, self.taken_s = chunks, 0.0

    def __getitem__(self, name: str) -> bytes:
        began_s = time.monotonic()
        found = self.chunks[name]
        self.taken_s += time.monotonic() - began_s
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.chunks)

    def __len__(self) -> int:
        return len(self.chunks)


def measure(directory: Path, identities: int, partials: int, say: Callable[[str], None]) -> OpenState:
    """One process fills it, with a Valkey of this run; another takes it over."""
    with Stack(directory / "stack", only=("redis",), say=lambda _: None) as stack:
        url = stack.services.environ["TOLLSTREAM_REDIS__URL"]
        say(f"filling a state with {identities:,} ids and {partials:,} partials")
        filled = fresh(fill, url, identities, partials)
        say("a restart over it")
        return OpenState(filled, fresh(_restart, url, time.monotonic()))


def fill(url: str, identities: int, partials: int) -> Filled:
    """A state in Redis: so many partials folded, and digests at random for the rest of the ids."""
    began_bytes = resident_bytes(os.getpid())
    owner = owner_of(url, NAME)
    fold_through(owner, partials, partials)
    random = np.random.default_rng(1)
    left = identities - len(owner.state.identities)
    while left > 0:
        some = min(left, _STEP)
        digests = random.integers(0, 2**64, (some, 2), np.uint64)
        hours = random.integers(0, HOURS, some)
        owner.state.identities.add((BASE_MS - hours * HOUR_MS) * 1000, digests)
        owner.state.offset += some
        checkpoint(owner)
        left -= some
    gc.collect()
    return Filled(
        identities=len(owner.state.identities),
        partials=sum(len(table) for table in owner.state.tables.values()),
        began_bytes=began_bytes,
        resident_bytes=resident_bytes(os.getpid()),
        peak_bytes=peak_resident_bytes(os.getpid()),
        redis_identity_bytes=redis_bytes(url, NAME, "ids"),
        redis_partial_bytes=redis_bytes(url, NAME, "state"),
    )


def _restart(url: str, started_s: float) -> Restart:
    began_s = time.monotonic()
    few_collections()
    owner = owner_of(url, NAME)
    load, claimed_s, read = owner.slot.load, [0.0], _Timed({})

    def timed(head: Head) -> Snapshot:
        claimed_s[0] = time.monotonic()
        read.chunks = load(head).chunks
        return Snapshot(head, read)

    owner.slot.load = timed  # type: ignore[method-assign]
    owner.begin()
    loaded_s = time.monotonic()
    _fold_one(owner)
    return Restart(
        process_s=began_s - started_s,
        claim_s=claimed_s[0] - began_s,
        read_s=read.taken_s,
        rebuild_s=loaded_s - claimed_s[0] - read.taken_s,
        fold_s=time.monotonic() - loaded_s,
        cpu_s=time.process_time(),
        peak_bytes=peak_resident_bytes(os.getpid()),
    )


def _fold_one(owner: Owner) -> None:
    """The first batch after what is there, of events that are all new."""
    most = owner.settings.processing.consume_messages_max
    (batch,) = batches(most, most, owner.settings, first=owner.state.offset)
    owner.fold(batch)
