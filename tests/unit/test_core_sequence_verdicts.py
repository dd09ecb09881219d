"""Which events are known by a number, and what becomes of a broken promise."""

import msgspec
import numpy as np
from sequence_samples import START_MS, counts, event, state

from processors.meter import Batch


def test_a_number_with_another_time_is_kept_as_a_letter_and_not_counted() -> None:
    folded = state()
    values = [event("a", 1, START_MS), event("a", 1, START_MS + 5_000), event("a", 1, START_MS)]
    letters = folded.fold(Batch(values, np.arange(3), np.full(3, START_MS + 10_000)))
    assert [(one.verdict, one.offset, one.reason.split(":")[0]) for one in letters] == [("invalid", 1, "sequence")]
    assert letters[0].raw == values[1]
    assert counts(folded.ledger) == {"accepted": 1, "duplicate": 1, "late": 0, "invalid": 1}


def test_a_source_that_sends_both_kinds_keeps_them_apart() -> None:
    folded = state()
    values = [event("a", 1, START_MS, "1"), event("a", None, START_MS, "1"), event("a", 2, START_MS, "1")]
    folded.fold(Batch(values * 2, np.arange(6), np.full(6, START_MS)))
    assert counts(folded.ledger) == {"accepted": 3, "duplicate": 3, "late": 0, "invalid": 0}


def test_a_sequence_without_our_type_is_known_by_its_id() -> None:
    folded = state()
    body = msgspec.json.decode(event("a", None, START_MS))
    values = [
        msgspec.json.encode(body | {"id": id, "sequence": "7", "sequencetype": kind})
        for id in ("1", "2")
        for kind in ("Integer", None)
    ]
    folded.fold(Batch(values, np.arange(4), np.full(4, START_MS)))
    assert counts(folded.ledger) == {"accepted": 2, "duplicate": 2, "late": 0, "invalid": 0}
    assert not folded.sequences.days
