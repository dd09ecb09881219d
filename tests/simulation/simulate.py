"""The whole of it under faults, from one seed: the real supervisors, workers, stages and fold, on simulated Kafka,
Redis, ClickHouse, clock and processes. After every run I1 to I6 against a naive recount.

    python -m tests.simulation.simulate --start 1 --seeds 2000 --jobs 2
    python -m tests.simulation.simulate --seed 17
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from unittest import mock

from tests.simulation.processes import end_alone
from tests.simulation.verdict import decoder
from tests.simulation.world import World


@contextlib.contextmanager
def small(seed: int) -> Iterator[None]:
    """Chunks, pieces and frames so small that a short run fills many of them; compactions seldom, often or always."""
    with contextlib.ExitStack() as until:
        for name, value in {
            "partials.CHUNK_MEMBERS": 3,
            "outputs.CHUNK_MEMBERS": 3,
            "checkpoint.HOUR_PIECE_BYTES": 80,
            "checkpoint._FRAME_BYTES": 300,
            "checkpoint._COMPACT_FLOOR_BYTES": (500, 0, -1_000_000)[seed % 3],
            "sequence_log._FLOOR_BYTES": (200, 0, -1_000_000)[seed % 3],
            "owner.Decoder": decoder,
            "worker._end_alone": end_alone,
            "worker._IDLE_S": 0.2,
        }.items():
            until.enter_context(mock.patch(f"processors.{name}", value))
        yield


def simulate(seed: int, variants: frozenset[str] = frozenset()) -> tuple[World, list[str]]:
    """One run: its world and what it violated."""
    with small(seed):
        world = World(seed, variants)
        return world, world.run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--seed", type=int, help="one seed, with all that it violated")
    asked = parser.parse_args()
    seeds = range(asked.start, asked.start + asked.seeds) if asked.seed is None else [asked.seed]
    seen: Counter[str] = Counter()
    for seed in seeds:
        world, faults = simulate(seed)
        seen.update(world.seen)
        seen["stopped"] += bool(world.stopped)
        if faults:
            print("\n".join(fault[:1_000] for fault in faults[:20]))
            print(f"replay: python -m tests.simulation.simulate --seed {seed}")
            return 1
        if (seed - asked.start) % 500 == 499:
            print(f"{seed - asked.start + 1} seeds", flush=True)
    print(f"{len(seeds)} seeds, every invariant held. Seen: {dict(sorted(seen.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
