"""`python -m benchmarks.recovery`: how long a new owner takes to go on, from Redis, and from the mark and the log."""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cyclopts import App

from benchmarks.fresh import fresh
from benchmarks.load import configuration
from benchmarks.memory import batches, checkpoint, owner_of, take_over
from benchmarks.open_state import NAME, fill
from benchmarks.processes import peak_resident_bytes
from processors.homes import Homes
from processors.meter import Batch
from processors.owner import Mark, Owner
from processors.state import RedisSlot, connect
from stack.running import Stack

app = App(name="benchmarks.recovery", help="How long a new owner takes to go on. Figures and no pass mark.")


class Taken(msgspec.Struct):
    """One way back. `events`: what was loaded or folded again."""

    way: str
    identities: int
    partials: int
    seconds: float
    peak_bytes: int

    def told(self) -> str:
        rate = self.identities / self.seconds if self.seconds else 0
        return (
            f"{self.way}: {self.identities:,} open ids and {self.partials:,} open partials in {self.seconds:.1f} s "
            f"({rate:,.0f} ids/s), at most {self.peak_bytes / 2**20:,.0f} MiB"
        )


@app.default
def run(*, identities: int = 10_000_000, partials: int = 1_000_000, events: int = 1_000_000) -> int:
    """Measure both ways and print them.

    Parameters
    ----------
    identities
        Open ids of the state in Redis.
    partials
        Open partials of the state in Redis.
    events
        Events that the other way folds again, each with an id and a partial of its own. Their fetch from Kafka is not
        in it: `python -m benchmarks steps` has that.
    """
    with (
        tempfile.TemporaryDirectory() as directory,
        Stack(Path(directory) / "stack", only=("redis",), say=lambda _: None) as stack,
    ):
        url = stack.services.environ["TOLLSTREAM_REDIS__URL"]
        held = fresh(fill, url, identities, partials)
        seconds, peak_bytes = fresh(take_over, url, NAME)
        found = [Taken("from Redis", held.identities, held.partials, seconds, peak_bytes)]
        connect(url).flushall()
        found.append(fresh(_fold_again, url, events))
    for one in found:
        print(one.told())
    return 0


class _MarkedLog:
    """A log that begins at 0, with a mark."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark

    def low(self) -> int:
        return 0

    def first_at(self, timestamp_ms: int) -> int:
        return 0

    def mark(self) -> Mark | None:
        return self._mark


def _fold_again(url: str, events: int) -> Taken:
    first = owner_of(url, "marked")
    messages = list(batches(events, events, first.settings))
    _fold_and_save(first, messages)
    mark = first.mark()
    assert mark is not None
    config = configuration({"TOLLSTREAM_REDIS__URL": url})
    slot = RedisSlot(connect(url), "again", 0)
    owner = Owner(slot, _MarkedLog(mark), config.catalogue, config.settings, "again", 0, Homes(1))
    del first
    began_s = time.monotonic()
    owner.begin()
    for batch in messages:
        owner.fold(batch)
    owner.at_end()
    assert not owner.restoring
    seconds = time.monotonic() - began_s
    partials = sum(len(table) for table in owner.state.tables.values())
    return Taken(
        "from the mark and the log", len(owner.state.identities), partials, seconds, peak_resident_bytes(os.getpid())
    )


def _fold_and_save(owner: Owner, messages: Sequence[Batch]) -> None:
    owner.begin()
    for batch in messages:
        owner.fold(batch)
    checkpoint(owner)
    owner.acknowledged(owner.state.offset)


if __name__ == "__main__":
    sys.exit(app())
