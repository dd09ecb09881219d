"""`python -m tests.fuzz.guided -max_total_time=60`: the same properties under atheris, which is guided by coverage.

Needs `pip install atheris`, which nothing else does; slower by far than `python -m tests.fuzz`, and able to find what
its mutations cannot imagine. Arguments are libFuzzer's. A fault is an exception, with the input in a file `crash-*`.
"""

from __future__ import annotations

import random
import sys

import atheris  # type: ignore[import-not-found]
import numpy as np

with atheris.instrument_imports(include=["processors"]):
    from processors.meter import Batch
    from tests.fuzz import fold
    from tests.fuzz.mutate import NOW_MS


def one_input(data: bytes) -> None:
    """Messages, cut at a byte that none begins with, through all properties of one batch."""
    messages = data.split(b"\xfe")
    stamps = np.full(len(messages), NOW_MS, np.int64)
    fold.check(Batch(messages, np.arange(len(messages)), stamps), *fold.WORLDS[0], random.Random(0))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
