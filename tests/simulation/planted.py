"""How soon the simulator finds each planted bug.

python -m tests.simulation.planted --seeds 200
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from tests.simulation.plants_rated import PLANTS
from tests.simulation.simulate import simulate


def caught(name: str, seed: int) -> bool:
    """Whether this seed violates one of the invariants that the bug breaks."""
    plant = PLANTS[name]
    with plant.plant():
        return any(fault.startswith(plant.breaks) for fault in simulate(seed)[1])


def found_at(name: str, seeds: Iterable[int]) -> int | None:
    """How many seeds it takes; None if these don't catch it."""
    return next((count for count, seed in enumerate(seeds, 1) if caught(name, seed)), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=200, help="for each bug")
    asked = parser.parse_args()
    print("| planted bug | seeds that catch it | seeds to catch it, mean |\n|---|---|---|")
    for name in PLANTS:
        hits = sum(caught(name, seed) for seed in range(asked.start, asked.start + asked.seeds))
        mean = f"{asked.seeds / hits:.1f}" if hits else "never"
        print(f"| {name} | {hits} of {asked.seeds} | {mean} |", flush=True)


if __name__ == "__main__":
    main()
