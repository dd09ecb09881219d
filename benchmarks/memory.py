"""What open partials and identities cost: in a worker's memory, and in Redis."""

import gc
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.fresh import fresh
from benchmarks.load import configuration
from benchmarks.processes import peak_resident_bytes, resident_bytes
from config.settings import Settings
from processors.columns import usage_columns
from processors.homes import Homes
from processors.meter import Batch
from processors.owner import Mark, Owner
from processors.state import RedisSlot, connect
from stack.running import Stack

BASE_MS = 1_790_000_000_000  # any instant: the fold's clock is the log's
HOURS = 6  # open windows, and hours of identities
HOUR_MS = 3_600_000
_REGIONS = ("ap", "eu", "sa", "us")
_EVENT = (
    '{"specversion":"1.0","id":"m-%x","source":"edge/1/pop-00","type":"worker.invocation","subject":"zone-%d",'
    '"time":"%sZ","data":{"cpu_ms":12.5,"region":"%s"}}'
)


class Held(msgspec.Struct):
    """One partition, its state in Redis, folded as a worker does it: bytes of the process and of the server."""

    name: str
    identities: int
    partials: int
    series: int
    began_bytes: int  # resident, before the first event
    resident_bytes: int  # with all of it
    peak_bytes: int  # with the checkpoints and the outputs on the way
    redis_identity_bytes: int  # what the server allocated for digests
    redis_partial_bytes: int  # and for partials, superseded frames with them
    takeover_s: float  # until another process had it all
    takeover_peak_bytes: int

    @property
    def grown_bytes(self) -> int:
        """What folding added, once the work on the way is done."""
        return self.resident_bytes - self.began_bytes


class Memory(msgspec.Struct):
    plain: Held  # identities alone, the partials being few
    hourly: Held  # as many partials as identities; each subject and region in every hour
    single: Held  # the same, no partial with the subject and region of another

    @property
    def identity_bytes(self) -> float:
        """Of a worker, for each identity."""
        return self.plain.grown_bytes / self.plain.identities

    def partial_bytes(self, held: Held) -> float:
        """Of a worker, for each partial: what came on top of as many identities."""
        return (held.grown_bytes - self.plain.grown_bytes) / held.partials


class _WholeLog:
    """A log that begins at 0 and has no marks."""

    def low(self) -> int:
        return 0

    def first_at(self, timestamp_ms: int) -> int:
        raise NotImplementedError(f"no mark, so nothing is restored from {timestamp_ms}")

    def mark(self) -> Mark | None:
        return None


def measure(directory: Path, partials: int, say: Callable[[str], None]) -> Memory:
    """Each shape in processes of its own, with a Valkey of this run."""
    with Stack(directory / "stack", only=("redis",), say=lambda _: None) as stack:
        url = stack.services.environ["TOLLSTREAM_REDIS__URL"]
        held = []
        for name, series in (("plain", 1000), ("hourly", partials // HOURS), ("single", partials)):
            say(f"memory: {partials:,} identities, {series:,} series")
            before = fresh(_fold, url, name, partials, series)
            before.takeover_s, before.takeover_peak_bytes = fresh(take_over, url, name)
            held.append(before)
            connect(url).flushall()
        return Memory(*held)


def owner_of(url: str, name: str) -> Owner:
    config = configuration({"TOLLSTREAM_REDIS__URL": url})
    slot = RedisSlot(connect(url), name, 0)
    return Owner(slot, _WholeLog(), config.catalogue, config.settings, name, 0, Homes(1))


def _fold(url: str, name: str, identities: int, series: int) -> Held:
    # One checkpoint's worth first: the memory that batches on their way take and the allocator keeps is no state.
    fold_through(owner_of(url, "warm"), configuration().settings.processing.checkpoint_events, 1000)
    gc.collect()
    began_bytes = resident_bytes(os.getpid())
    owner = owner_of(url, name)
    fold_through(owner, identities, series)
    gc.collect()
    return Held(
        name=name,
        identities=len(owner.state.identities),
        partials=sum(len(table) for table in owner.state.tables.values()),
        series=sum(len(table.series) for table in owner.state.tables.values()),
        began_bytes=began_bytes,
        resident_bytes=resident_bytes(os.getpid()),
        peak_bytes=peak_resident_bytes(os.getpid()),
        redis_identity_bytes=redis_bytes(url, name, "ids"),
        redis_partial_bytes=redis_bytes(url, name, "state"),
        takeover_s=0.0,
        takeover_peak_bytes=0,
    )


def fold_through(owner: Owner, identities: int, series: int) -> None:
    owner.begin()
    since_checkpoint = 0
    for batch in batches(identities, series, owner.settings):
        owner.fold(batch)
        since_checkpoint += len(batch.offset)
        if since_checkpoint >= owner.settings.processing.checkpoint_events:
            checkpoint(owner)
            since_checkpoint = 0
    checkpoint(owner)


def checkpoint(owner: Owner) -> None:
    """As the runtime does it, with the columns for ClickHouse; nothing is sent."""
    released = owner.checkpoint()
    if released is not None:
        usage_columns(released.rows, owner.catalogue)
        owner.acknowledged(released.through)


def take_over(url: str, name: str) -> tuple[float, int]:
    """(seconds, peak bytes) of a new owner, until it could fold on; after imports."""
    owner = owner_of(url, name)
    began_s = time.monotonic()
    owner.begin()
    return time.monotonic() - began_s, peak_resident_bytes(os.getpid())


def batches(identities: int, series: int, settings: Settings, first: int = 0) -> Iterator[Batch]:
    """One message an event: series after series through the hours, so that neighbours share neither.

    `first`: the offset of the first one, and what its id is made of.
    """
    hours = [np.datetime_as_string(np.datetime64(BASE_MS - hour * HOUR_MS, "ms"), unit="ms") for hour in range(HOURS)]
    most = settings.processing.consume_messages_max
    for start in range(first, first + identities, most):
        places = range(start, min(start + most, first + identities))
        values = [
            (_EVENT % (n, one // len(_REGIONS), hours[n // series % HOURS], _REGIONS[one % len(_REGIONS)])).encode()
            for n in places
            for one in (n % series,)
        ]
        yield Batch(values, np.array(places, np.int64), np.full(len(places), BASE_MS, np.int64))


def redis_bytes(url: str, name: str, kind: str) -> int:
    """What the server allocated for the chunks of one kind, unused room with it."""
    client = connect(url)
    keys = client.scan_iter(match=f"tollstream:{{{name}/0}}:{kind}:*", count=1000)
    return sum(int(client.memory_usage(key, samples=0) or 0) for key in keys)
