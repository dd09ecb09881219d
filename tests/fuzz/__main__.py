"""`python -m tests.fuzz --inputs 10000000 --seed 1 --jobs 2`: fuzzes the decoder and the checkpoint loader.

Exit code 1 where a property does not hold. The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.hunt import SILENCE_S, Hunt, Target
from tests.fuzz.targets import SHARES, TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="messages and checkpoints in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--target", choices=TARGETS, help="only this one; else the loader gets 3 %%, a kernel 20 %%")
    parser.add_argument("--round", type=int, help="only this round, which a fault named")
    parser.add_argument("--silence", type=float, default=SILENCE_S, help="CPU seconds after which a round hangs")
    asked = parser.parse_args()
    if asked.round is not None:
        target = TARGETS[asked.target or "fold"]
        print(dict(target.run(asked.seed, asked.round)))  # raises the fault, for a debugger to catch
        return 0
    shares = {TARGETS[asked.target]: 1.0} if asked.target else SHARES
    hunts = [
        hunt(target, asked.seed, asked.jobs, int(asked.inputs * share), asked.silence)
        for target, share in shares.items()
        if share
    ]
    print(f"{sum(one.inputs for one in hunts):,} inputs, {sum(len(one.found) for one in hunts)} faults", flush=True)
    return 1 if any(one.found for one in hunts) else 0


def hunt(target: Target, seed: int, jobs: int, inputs: int, silence_s: float) -> Hunt:
    """At least `inputs` inputs for one target, and what came of it on stdout."""
    one = Hunt(target, seed, jobs, lambda text: print(text, flush=True), silence_s)
    started = time.monotonic()
    one.run(0, -(-inputs // target.inputs))
    seconds = time.monotonic() - started
    slow_s, number = one.slowest
    print(
        f"{target.name}: {one.inputs:,} inputs in {seconds:.0f} s, {one.inputs / seconds:,.0f} a second with {jobs} "
        f"processes; slowest round {number} with {slow_s:.2f} s of CPU for {target.inputs:,} inputs\n"
        + "".join(f"  {name:20} {count:>12,}\n" for name, count in one.counts.most_common()),
        end="",
        flush=True,
    )
    return one


if __name__ == "__main__":
    sys.exit(main())
