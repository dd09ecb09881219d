"""The main job on this machine, from nothing to an invoice, and the proof that every total is true."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import stack
from demo import edge_network, real_flights
from demo.steps import DemoFailedError, Steps
from stack.errors import StackError

HERE = Path(__file__).resolve().parent
EVENTS_MIN = 1_000  # fewer have no second half worth a kill


def main() -> int:
    """0 only if every total is equal."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="synthetic events (default: a million)")
    parser.add_argument("--state", type=Path, default=Path(".tollstream/demo"), help="directory, emptied first")
    parser.add_argument("--kafka", choices=("embedded", "apache"), default="embedded", help="which broker")
    given = parser.parse_args()
    if given.events < EVENTS_MIN:
        parser.error(f"--events {given.events}: give at least {EVENTS_MIN:,}")
    differences = 0
    try:
        for name, config in (("network", HERE / "config"), ("flights", HERE / "flights")):
            steps = Steps(config, given.state / name)
            shutil.rmtree(steps.state, ignore_errors=True)
            steps.state.mkdir(parents=True)
            with stack.running(steps.state, given.kafka):
                if name == "network":
                    edge_network.run(steps, given.events)
                else:
                    real_flights.run(steps)
            differences += steps.differences
    except (DemoFailedError, StackError) as error:
        print(f"\nThe demo could not be finished. {error}", file=sys.stderr)
        return 3
    print(f"\n{'Every total is equal.' if not differences else f'{differences:,} totals are NOT equal.'}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
