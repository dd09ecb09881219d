"""A row of a columnar message is the event that its JSON form would be: the same columns, the same refusals."""

import random
from collections import Counter

import pytest
from events_samples import CATALOGUE, DECODER, KIND, decode, row_of

from config.settings import Limits
from processors.events import INVALID, UNMETERED, Decoder
from tests.fuzz.columnar import Batches
from tests.fuzz.columns import json_forms, message

SHORT = Decoder(
    CATALOGUE,
    Limits(id_bytes_max=24, source_bytes_max=10, subject_bytes_max=5, dimension_bytes_max=2, message_events_max=25),
    0,
)


def said(seed: int, odd: float, decoder: Decoder = DECODER) -> Counter[str]:
    """Compares some messages row by row; the verdicts met."""
    rng = random.Random(seed)
    found = [Batches(rng, odd).columns(rng.choice((1, 3, 20))) for _ in range(rng.choice((1, 4)))]
    forms = [json_forms(columns) for columns in found]
    decoded = decode(*map(message, found), decoder=decoder)
    expected = decode(*(form for of in forms for form in of), decoder=decoder)
    assert decoded.index.tolist() == [index for of in forms for index in range(len(of))]
    for row, form in enumerate(form for of in forms for form in of):
        assert row_of(decoded, row) == row_of(expected, row), form
    return Counter(decoded.kind.tolist()) + Counter(one.reason.partition(":")[0] for one in decoded.refusals)


@pytest.mark.parametrize("start", range(0, 240, 60))
def test_every_row_says_what_its_json_form_says(start: int) -> None:
    met = sum((said(seed, (0.02, 0.1, 0.3)[seed % 3]) for seed in range(start, start + 60)), Counter[str]())
    assert {INVALID, UNMETERED, *(KIND[name] for name in ("traffic", "seat", "odd", "pulse"))} <= set(met)
    assert {"id", "source", "subject", "type", "time", "specversion", "sequence", "value"} <= set(met)
    assert met[KIND["traffic"]] > 30


def test_every_row_says_so_under_tight_limits_too() -> None:
    met = sum((said(seed, 0.05, SHORT) for seed in range(1_000, 1_060)), Counter[str]())
    assert {"subject", "dimension"} <= set(met)
