"""What is fuzzed: the decoder and fold, the checkpoint loader, and the compiled kernel where it is built."""

from __future__ import annotations

from processors.compiled import built
from tests.fuzz import fold, kernel, load
from tests.fuzz.hunt import Target

FOLD = Target("fold", fold.BATCH, fold.run_round, fold.run_one)
LOAD = Target("load", load.BATCH, load.run_round, load.run_one)
KERNEL = Target("kernel", kernel.BATCH, kernel.run_round, kernel.run_one)
TARGETS = {target.name: target for target in (FOLD, LOAD, KERNEL)}
LOAD_SHARE = 0.03  # of the inputs of a run: one costs as much as thirty of the fold's
KERNEL_SHARE = 0.2 if built() is not None else 0.0
SHARES = {FOLD: 1 - LOAD_SHARE - KERNEL_SHARE, LOAD: LOAD_SHARE, KERNEL: KERNEL_SHARE}
