"""Decodes of some of the messages, joined: what one decode of all of them says."""

from typing import Any

import numpy as np
from events_samples import CATALOGUE, RECORD_MS, SKEW_MS, event, row_of, to_json, to_msgpack, traffic
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import Limits
from processors.decode_join import joined
from processors.events import Decoder

NUMBERED = {"sequencetype": "tollstream"}
MESSAGES = [
    to_json(traffic()),
    to_json([traffic(), event(subject="b"), {"id": 1}]),
    to_json(event(source="one", sequence="7", **NUMBERED)),
    to_json(event(source="two", sequence="7", **NUMBERED)),
    to_msgpack(event(subject="c", data={"user": {"id": 5}})),
    to_json(event(type="nobody.knows")),
    b"[]",
    b"broken",
]


@given(st.lists(st.tuples(st.sampled_from(MESSAGES), st.integers(0, 2)), min_size=1, max_size=12))
@settings(deadline=None)
def test_joined_parts_say_what_one_decode_says(sent: list[tuple[Any, int]]) -> None:
    decoder = Decoder(CATALOGUE, Limits(), SKEW_MS)
    stamps = np.full(len(sent), RECORD_MS, np.int64)
    whole = decoder.decode([value for value, _ in sent], stamps)
    parts = []
    for reader in range(3):
        places = np.array([place for place, (_, by) in enumerate(sent) if by == reader], np.int32)
        if len(places):
            parts.append((places, decoder.decode([sent[place][0] for place in places.tolist()], stamps[places])))
    found = joined(parts)
    assert found.message.tolist() == whole.message.tolist()
    assert found.index.tolist() == whole.index.tolist()
    assert found.refusals == whole.refusals
    assert [row_of(found, row) for row in range(len(found.kind))] == [
        row_of(whole, row) for row in range(len(whole.kind))
    ]
    assert len(np.unique(found.sources, axis=0)) == len(found.sources), "one row for one source"
    numbered = whole.source >= 0
    assert (found.source >= 0).tolist() == numbered.tolist()
    assert found.sources[found.source[numbered]].tolist() == whole.sources[whole.source[numbered]].tolist()
