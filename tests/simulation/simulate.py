"""The whole of it under faults, from one seed: the real supervisors, workers, stages and fold, on simulated Kafka,
Redis, ClickHouse, clock and processes. After every run I1 to I6 against a naive recount.

    python -m tests.simulation.simulate --start 1 --seeds 2000 --jobs 2
    python -m tests.simulation.simulate --seed 17
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from unittest import mock

from processors.worker import few_collections
from tests.simulation.commands import simulated
from tests.simulation.processes import end_alone
from tests.simulation.verdict import decoder
from tests.simulation.world import World

_PART = 20  # seeds that a process takes at a time
_SHOWN = 1_000  # characters of a fault


@contextlib.contextmanager
def small(seed: int) -> Iterator[None]:
    """Chunks, pieces and frames so small that a short run fills many of them; compactions seldom, often or always."""
    with simulated(), contextlib.ExitStack() as until:
        for name, value in {
            "partials.CHUNK_MEMBERS": 3,
            "outputs.CHUNK_MEMBERS": 3,
            "checkpoint.HOUR_PIECE_BYTES": 80,
            "checkpoint._FRAME_BYTES": 300,
            "checkpoint._COMPACT_FLOOR_BYTES": (500, 0, -1_000_000)[seed % 3],
            "sequence_log._FLOOR_BYTES": (200, 0, -1_000_000)[seed % 3],
            "sent._THIN": (4, 1, 1)[seed % 3],
            "sent._WORTH_A_LOOK": 100,
            "row_records.ROWS_MAX": (1000, 3, 1)[seed // 3 % 3],
            "consume._EARLY_MAX": (2, 20, 0)[seed // 3 % 3],
            "owner.Decoder": decoder,
            "worker._end_alone": end_alone,
            "worker._IDLE_S": 0.2,
        }.items():
            until.enter_context(mock.patch(f"processors.{name}", value))
        yield


def simulate(seed: int) -> tuple[World, list[str]]:
    """One run: its world and what it violated."""
    with small(seed):
        world = World(seed)
        return world, world.run()


class Found(NamedTuple):
    """What some seeds came to. Of the first that failed: its number and what it violated."""

    seen: Counter[str]
    failed: int | None = None
    faults: tuple[str, ...] = ()


def run(seeds: range) -> Found:
    """Until one fails."""
    seen: Counter[str] = Counter()
    for seed in seeds:
        world, faults = simulate(seed)
        seen.update(world.seen)
        seen["stopped, as it should"] += bool(world.stopped)
        if faults:
            return Found(seen, seed, tuple(faults))
    return Found(seen)


def run_all(seeds: range, jobs: int) -> Iterator[Found]:
    parts = [seeds[at : at + _PART] for at in range(0, len(seeds), _PART)]
    if jobs == 1:
        few_collections()
        yield from map(run, parts)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, few_collections) as pool:  # ended with the block
        yield from pool.imap(run, parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, help="one seed, with all that it violated")
    asked = parser.parse_args()
    first, count = (asked.start, asked.seeds) if asked.seed is None else (asked.seed, 1)
    print(f"seeds {first} to {first + count - 1}", flush=True)
    seen: Counter[str] = Counter()
    done, begun_s = 0, time.monotonic()
    for found in run_all(range(first, first + count), asked.jobs):
        seen += found.seen
        if found.failed is not None:
            print("\n".join(fault[:_SHOWN] for fault in found.faults[:20]))
            print(f"replay: python -m tests.simulation.simulate --seed {found.failed}")
            return 1
        done += _PART
        if done % 1_000 == 0:
            print(f"{done} seeds, {done / (time.monotonic() - begun_s):.0f} a second", flush=True)
    took_s = time.monotonic() - begun_s
    print(f"{count} seeds in {took_s:.0f} s, every invariant held. Seen: {dict(sorted(seen.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
