"""Chaos on the real thing: Apache Kafka, Valkey, ClickHouse and workers, and everything that can happen to them.

    python -m tests.chaos --faults 200 --seed 1 --report chaos.json
    python -m tests.chaos --only "valkey FLUSHALL" --faults 5

Exit codes: 0 all equal, 1 a difference was found, 2 it could not go on.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
from pathlib import Path
from typing import NoReturn

from tests.chaos.drill import AskedToStop, drill
from tests.chaos.faults import FAULTS, schedule


def told_to_stop(*_: object) -> NoReturn:
    raise AskedToStop("told to stop by SIGTERM")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="JSON; a table goes beside it, with the ending .txt")
    parser.add_argument("--only", action="append", choices=sorted(FAULTS), help="these faults, in turn")
    parser.add_argument("--keep", action="store_true", help="keep data and logs")
    given = parser.parse_args()
    plan = schedule(given.faults, random.Random(given.seed))
    if given.only:
        plan = [(FAULTS[given.only[n % len(given.only)]],) for n in range(given.faults)]
    signal.signal(signal.SIGTERM, told_to_stop)
    report = drill(plan, given.seed, given.report, lambda text: print(text, flush=True), given.keep)
    print("\n".join(["", *report.summary()]), flush=True)
    if report.differences:
        return 1
    return 0 if report.ended == "done" else 2


if __name__ == "__main__":
    sys.exit(main())
