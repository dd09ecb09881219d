"""Kernel and Python path together against the Python path alone: the same columns and refusals for any messages."""

from __future__ import annotations

from collections import Counter

import numpy as np

from config.catalogue import Catalogue
from config.settings import Limits
from processors.decoded import Decoded
from processors.events import Decoder
from processors.instants import END_US
from processors.meter import Batch
from tests.fuzz.fold import WORLD_OF_ROUND, WORLDS, FaultError, round_batch, round_messages
from tests.unit.decoded_equal import differences

BATCH = 2_000


def run_round(seed: int, number: int) -> Counter[str]:
    """Messages taken and handed back. FaultError where something differs, or whatever a decoder raised."""
    batch = round_batch(seed, number, round_messages(seed, number, BATCH))
    return compare(batch, *WORLDS[WORLD_OF_ROUND[number % len(WORLD_OF_ROUND)]])


def run_one(seed: int, number: int, index: int) -> Counter[str]:
    """One message of a round, alone."""
    whole = round_batch(seed, number, round_messages(seed, number, BATCH))
    one = slice(index, index + 1)
    batch = Batch(whole.values[one], whole.offset[one], whole.timestamp_ms[one])
    return compare(batch, *WORLDS[WORLD_OF_ROUND[number % len(WORLD_OF_ROUND)]])


def compare(batch: Batch, catalogue: Catalogue, limits: Limits, skew_ms: int) -> Counter[str]:
    stamps = np.clip(batch.timestamp_ms, 0, END_US // 1000)  # as the fold takes them
    pure, both = (Decoder(catalogue, limits, skew_ms, kernel=kernel) for kernel in (False, True))
    if both._kernel is None:
        raise RuntimeError("the kernel is not built: `make kernel`")
    found = differences(pure.decode(batch.values, stamps), both.decode(batch.values, stamps))
    if found:
        raise FaultError(f"the kernel says otherwise: {found}", _shown(batch, stamps, pure, both))
    counts = np.frombuffer(both._kernel._kernel.decode(batch.values, (stamps * 1_000).tobytes())[0], np.int32)
    taken = int((counts > 0).sum())
    return Counter({"taken by the kernel": taken, "handed back": len(counts) - taken})


def _shown(batch: Batch, stamps: np.ndarray, pure: Decoder, both: Decoder) -> bytes | None:  # type: ignore[type-arg]
    """The first message that differs also alone."""
    for place, value in enumerate(batch.values):
        alone: list[Decoded] = [one.decode([value], stamps[place : place + 1]) for one in (pure, both)]
        if differences(*alone):
            return value
    return None
