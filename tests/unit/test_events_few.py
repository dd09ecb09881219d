"""A few events read one by one are what the hot path reads of them; what it cannot read so it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from decoded_equal import differences
from events_samples import CATALOGUE, RECORD_MS, SKEW_MS, event, to_json, to_msgpack, traffic
from hypothesis import given, settings
from hypothesis import strategies as st
from test_events_paths_agree import JSON, mangled

from config.settings import Limits
from processors.decode_few import FEW, FewDecoder
from processors.decoded import Decoded
from processors.events import Decoder
from processors.vocabulary import Vocabulary

LIMITS = Limits(message_bytes_max=2_000)
DECODER = Decoder(CATALOGUE, LIMITS, SKEW_MS)
SHAPES = DECODER._shapes


def few(*messages: bytes | None) -> Decoded | None:
    reader = FewDecoder(SHAPES, DECODER._careful, LIMITS)
    return reader.decode(messages, np.full(len(messages), RECORD_MS, np.int64), Vocabulary())


@settings(max_examples=300, deadline=None)
@given(st.lists(JSON | mangled(), min_size=1, max_size=FEW))
def test_they_are_what_the_hot_path_reads(messages: list[bytes]) -> None:
    found = few(*messages)
    if found is not None:
        assert differences(DECODER.decode(messages, np.full(len(messages), RECORD_MS, np.int64)), found) == []


def test_good_unmetered_and_refused_events_are_all_read() -> None:
    events = [traffic(), event(), event("nobody"), event(id=""), traffic(bytes=None), traffic(meta={"ms": "1.5"})]
    messages = [*map(to_json, events), b"{", b"yes", to_json(event(padding="é")).replace("é".encode(), b"\xe9")]
    found = few(*messages)
    assert found is not None
    assert differences(DECODER.decode(messages, np.full(len(messages), RECORD_MS, np.int64)), found) == []
    assert [refusal.row for refusal in found.refusals] == [3, 4, 6, 7, 8]


@pytest.mark.parametrize(
    "message",
    [
        None,
        b"",
        b" ",
        to_json([event()]),
        to_msgpack(event()),
        to_json(event(padding="x" * 2_000)),
        b'{"x":' + b"[" * 600 + b"]" * 600 + b"}",
        to_json(event(sequencetype="tollstream", sequence="7")),
    ],
    ids=["none", "empty", "blank", "batch", "packed", "large", "deep", "numbered"],
)
def test_what_is_no_single_plain_message_leaves_all_to_the_hot_path(message: bytes | None) -> None:
    assert few(to_json(event()), message) is None
    assert few(to_json(event())) is not None


def test_many_are_left_to_the_hot_path() -> None:
    assert few(*[to_json(event())] * FEW) is not None
    assert few(*[to_json(event())] * (FEW + 1)) is None
