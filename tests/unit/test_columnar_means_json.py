"""A row of a columnar message is the event that its JSON form would be: the same columns, the same refusals."""

import random
from collections import Counter

import pytest
from columnar_random import Batches
from columnar_samples import json_forms, message
from events_samples import KIND, decode, row_of

from processors.events import INVALID, UNMETERED


def said(seed: int, odd: float) -> Counter[str]:
    """Compares some messages row by row; the verdicts met."""
    rng = random.Random(seed)
    found = [Batches(rng, odd).columns(rng.choice((1, 3, 20))) for _ in range(rng.choice((1, 4)))]
    forms = [json_forms(columns) for columns in found]
    decoded = decode(*map(message, found))
    expected = decode(*(form for of in forms for form in of))
    assert decoded.index.tolist() == [index for of in forms for index in range(len(of))]
    for row, form in enumerate(form for of in forms for form in of):
        assert row_of(decoded, row) == row_of(expected, row), form
    return Counter(decoded.kind.tolist()) + Counter(one.reason.partition(":")[0] for one in decoded.refusals)


@pytest.mark.parametrize("start", range(0, 400, 50))
def test_every_row_says_what_its_json_form_says(start: int) -> None:
    met = sum((said(seed, (0.02, 0.1, 0.3)[seed % 3]) for seed in range(start, start + 50)), Counter[str]())
    assert {INVALID, UNMETERED, *(KIND[name] for name in ("traffic", "seat", "odd", "pulse"))} <= set(met)
    assert {"id", "source", "subject", "type", "time", "specversion", "sequence", "value"} <= set(met)
    assert met[KIND["traffic"]] > 30
