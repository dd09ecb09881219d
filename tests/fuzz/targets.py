"""What is fuzzed: the decoder and fold, and the checkpoint loader."""

from __future__ import annotations

from tests.fuzz import fold, load
from tests.fuzz.hunt import Target

FOLD = Target("fold", fold.BATCH, fold.run_round, fold.run_one)
LOAD = Target("load", load.BATCH, load.run_round, load.run_one)
TARGETS = {target.name: target for target in (FOLD, LOAD)}
LOAD_SHARE = 0.03  # of the inputs of a run: one costs as much as thirty of the fold's
