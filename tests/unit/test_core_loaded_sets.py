"""Sets of digests as a load makes them, of bytes that nobody may write to."""

from __future__ import annotations

import numpy as np
import pytest

from config.settings import Limits
from processors import admission
from processors.admission import AdmissionRecord, Returned
from processors.checkpoint import Recorder, Snapshot, load
from processors.identity import DigestSet
from processors.meter import PartitionState
from tests.unit.admission_logs import CATALOGUE, DECODER, LATENESS_MAX_MS, START_MS, Line, batch, event
from tests.unit.test_core_checkpoint_recorder import Store


def loaded(*numbers: int) -> DigestSet:
    keys = np.frombuffer(np.array([(number, 7) for number in numbers], np.uint64).tobytes(), np.uint64)
    return DigestSet.of(keys.reshape(-1, 2))


def column(*numbers: int) -> np.ndarray:
    return np.array([(number, 7) for number in numbers], np.uint64).reshape(-1, 2)


def test_nothing_can_be_added_to_a_loaded_set() -> None:
    for held in (loaded(), loaded(1, 2)):
        places, new = held.place(column())
        assert (places.tolist(), places.dtype, new.tolist(), new.dtype) == ([], np.int64, [], np.bool_)


def test_a_loaded_set_grows_as_any_other() -> None:
    held = loaded(1, 2)
    assert held.add(column(2)).tolist() == [False]
    assert held.place(column(3, 1, 3))[0].tolist() == [2, 0, 2]
    assert held.keys.tolist() == column(1, 2, 3).tolist()
    with pytest.raises(ValueError, match="twice"):
        loaded(1, 2, 1)


def test_an_admission_after_a_load_goes_into_the_bucket_that_was_loaded() -> None:
    """None of its events need be known: then nothing of them is added at first."""
    store, state = Store(), PartitionState(CATALOGUE, Limits(), DECODER)
    lines = [Line(0, START_MS, event("a", "e0", START_MS, 5))]
    for offset in (1, 2, 3):
        raw = event("a", f"late-{min(offset, 2)}", START_MS, offset)
        record = AdmissionRecord(START_MS, LATENESS_MAX_MS, "T", 0, [Returned(90 + offset, 0, raw)])
        lines.append(Line(offset, START_MS, admission.encode(record)))
    state.fold(batch(lines[:2]))
    written = store.write(Recorder(state, 10**6))
    other = PartitionState(CATALOGUE, Limits(), DECODER)
    load(other, Snapshot(written.head, store.chunks))
    for one in (state, other):
        one.fold(batch(lines[2:]))
        (held,) = one.admissions.buckets.values()
        assert held.count == 5, "of each letter its coordinate, and each identity once"
    assert other.open_digest() == state.open_digest()
    assert (other.ledger.admitted, other.ledger.duplicate) == (2, 1)
