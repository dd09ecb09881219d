"""Kernel and Python path together say what the Python path says alone: every event, every column, every refusal."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from decoded_equal import differences
from events_samples import CATALOGUE, RECORD_MS, SKEW_MS, event, meter, to_json, to_msgpack, traffic
from hypothesis import given, settings
from hypothesis import strategies as st
from test_events_paths_agree import JSON, PACKED, mangled

from config.catalogue import Catalogue, EventType
from config.formulas import Formula
from config.settings import Limits
from processors.compiled import built
from processors.decode_kernel import KernelDecoder
from processors.decoded import Decoded
from processors.events import Decoder

pytestmark = pytest.mark.skipif(built() is None, reason="the kernel is not built (`make kernel`)")


class Pair:
    """One decoder with the kernel and one without."""

    def __init__(self, catalogue: Catalogue = CATALOGUE, limits: Limits | None = None) -> None:
        self.pure, self.both = (Decoder(catalogue, limits or Limits(), SKEW_MS, kernel=kernel) for kernel in (0, 1))

    def decode(self, *messages: bytes | None, stamps: list[int] | None = None) -> Decoded:
        """What both say."""
        times = np.array(stamps or [RECORD_MS] * len(messages), np.int64)
        one, other = self.pure.decode(messages, times), self.both.decode(messages, times)
        assert differences(one, other) == []
        return other

    def handed_back(self, *messages: bytes | None) -> list[bytes | None]:
        """The messages and events that the kernel does not take."""
        kernel = self.both._kernel
        assert isinstance(kernel, KernelDecoder)
        found: list[bytes | None] = []

        def rest(values: Sequence[bytes | None], timestamps_ms: Any) -> Decoded:
            found.extend(values)
            return self.both._read(values, timestamps_ms)

        kernel.decode(messages, np.full(len(messages), RECORD_MS, np.int64), self.both.vocabulary, rest)
        return found


PAIR = Pair()
TIGHT = Pair(
    limits=Limits(
        message_bytes_max=400,
        message_events_max=3,
        id_bytes_max=4,
        source_bytes_max=11,
        subject_bytes_max=6,
        dimension_bytes_max=3,
    )
)


@settings(max_examples=400, deadline=None)
@given(st.lists(JSON | PACKED | mangled() | st.none(), min_size=1, max_size=12))
def test_any_messages_give_the_same_columns(messages: list[bytes | None]) -> None:
    PAIR.decode(*messages)
    TIGHT.decode(*messages)


@settings(max_examples=200, deadline=None)
@given(st.lists(JSON, min_size=1, max_size=6), st.sampled_from([b",", b" , ", b",\n"]))
def test_any_batch_gives_the_same_columns(messages: list[bytes], comma: bytes) -> None:
    batch = b"[" + comma.join(messages) + b"]"
    PAIR.decode(batch, to_json(event()), batch[:-1])
    TIGHT.decode(batch)


GOOD = [
    event(),
    traffic(),
    traffic(bytes="70", zone=None, status=-0),
    traffic(zone=True, meta={"ms": -3}),
    traffic(meta={"ms": "12.3450", "region": "é"}),
    event("pulse", data=[1, {"a": None}]),
    event("nobody"),
    event("strange"),
    event(data={"user": {}, "plan": 17}),
    event(subject="zürich", time="2026-11-01T13:00:00.123456789+01:00"),
    event(data={"user": {"id": "u"}, "unread": ['"\\\t\u0001', {"\n": msgspec.Raw(b"-1.5e+400")}]}),
]


def test_plain_events_are_never_handed_back() -> None:
    messages = [*map(to_json, GOOD), to_json(GOOD), msgspec.json.format(to_json(GOOD))]
    assert PAIR.handed_back(*messages) == []
    decoded = PAIR.decode(*messages)
    assert (decoded.kind > -2).all()


def written(**fields: bytes) -> bytes:
    """An event whose fields are written as given."""
    known = {name: to_json(value) for name, value in event().items()} | fields
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in known.items()) + b"}"


ODD = {
    "escaped": written(id=b'"e\\u002d1"'),
    "escaped name": written().replace(b'"id"', b'"\\u0069d"'),
    "named twice": written().replace(b'"id":', b'"id":"a","id":'),
    "read twice": written(data=b'{"plan":"a","plan":"b"}'),
    "object twice": written(data=b'{"user":{"id":1},"user":{"id":2}}'),
    "delete": written(subject=b'"a\x7f"'),
    "control": written(subject='"\x85"'.encode()),
    "no utf-8": written(data=b'{"x":"\xff"}'),
    "surrogate": written(data=b'{"x":"\xed\xa0\x80"}'),
    "exponent": written(data=b'{"plan":1e3}'),
    "lone surrogate": written(data=b'{"x":"\\ud800"}'),
    "point in a text": written(data=b'{"plan":1.5}'),
    "long integer": written(data=b'{"plan":1234567890123456789012}'),
    "minus nothing": written(data=b'{"plan":-0}'),
    "null as data": written(data=b"null"),
    "text as data": written(data=b'"x"'),
    "null as object": written(data=b'{"user":null}'),
    "cut short": written()[:-1],
    "and more": written() + b"x",
    "no object": b'["x"]',
    "no event": b"[]",
    "space before it": b" " + written(),
    "numbered": written(sequencetype=b'"tollstream"', sequence=b'"7"'),
    "sequence alone": written(sequence=b"7"),
    "another version": written(specversion=b'"1.1"'),
    "no time": written(time=b"1"),
    "small letters": written(time=b'"2026-11-01t12:00:00z"'),
    "no such day": written(time=b'"2026-02-29T12:00:00Z"'),
    "far ahead": written(time=b'"2026-11-02T00:05:00.000001Z"'),
    "empty": b"",
    "nothing": None,
    "packed": to_msgpack(event()),
    "deep": written(data=b'{"x":' + b"[" * 600 + b"]" * 600 + b"}"),
    "empty id": written(id=b'""'),
    "long id": written(id=b'"' + b"x" * 257 + b'"'),
    "long text": written(data=b'{"plan":"' + "é".encode() * 129 + b'"}'),
    "tabulator": written(data=b'{"plan":"a\tb"}'),
}


@pytest.mark.parametrize("name", ODD)
def test_what_the_kernel_cannot_take_exactly_it_hands_back(name: str) -> None:
    good, odd = to_json(event()), ODD[name]
    assert PAIR.handed_back(good, odd, good) == [odd]
    PAIR.decode(good, odd, good)
    if odd and name != "space before it":
        batch = b"[" + good + b" , " + odd + b" , " + good + b"]"
        assert PAIR.handed_back(good, batch) in ([odd], [batch]), "that event alone, or the whole batch with it"
        PAIR.decode(good, batch, good, batch)


@pytest.mark.parametrize("name", ["exponent", "escaped", "numbered", "null as data", "no time", "tabulator"])
def test_an_odd_event_of_a_batch_is_handed_back_alone(name: str) -> None:
    good, odd = to_json(event()), written() if name == "tabulator" else ODD[name]
    assert odd is not None
    odd = odd.replace(b'"pro"', b'"a\\tb"')
    batch = b"[" + b", ".join([good, odd, good, good, odd]) + b"]"
    assert PAIR.handed_back(batch, good, odd, batch) == [odd] * 5
    PAIR.decode(batch, good, odd, batch)


def test_a_batch_of_many_odd_events_is_handed_back_whole() -> None:
    good, odd = to_json(event()), written(time=b"1")
    for count, found in ((8, 8), (9, 1)):
        batch = b"[" + b",".join([good, *[odd] * count]) + b"]"
        assert len(PAIR.handed_back(batch)) == found
        PAIR.decode(batch)


def test_the_order_of_fields_does_not_matter() -> None:
    fields = list(event().items())
    for turn in range(len(fields)):
        message = to_json(dict(fields[turn:] + fields[:turn]))
        assert PAIR.handed_back(message) == []
        PAIR.decode(message)


def test_texts_are_taken_up_to_their_limit_in_bytes() -> None:
    for name, text in (("id", "x" * 256), ("source", "é" * 128), ("subject", "y" * 256)):
        message = to_json(event(**{name: text}))
        assert PAIR.handed_back(message) == []
        PAIR.decode(message)


def test_verdicts_follow_the_timestamp_of_each_record() -> None:
    message = to_json(event())
    at_ms = 1_793_534_400_250
    PAIR.decode(*[message] * 5, stamps=[at_ms, at_ms - SKEW_MS, at_ms - SKEW_MS - 1, 0, -1])
    PAIR.decode(message, message, stamps=[2**63 - 1, -(2**63)])


def test_a_vocabulary_begun_anew_begins_the_kernel_s_codes_anew() -> None:
    pair = Pair(limits=Limits(vocabulary_texts_max=3))
    for place in range(10):
        pair.decode(*(to_json(event(subject=f"{place}/{each % 3}")) for each in range(5)), to_json(event("odd")))


FORMULAS = Catalogue(
    events=(EventType("t", 0),),
    meters=(
        meter("m", "t", "sum", Formula(("a", "b")), precision=2),
        meter("n", "t", "sum", "a", precision=3, allow_negative=True),
    ),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([1, "2.5", -1, 10**9, None, "x", 0])] * 2), min_size=1, max_size=9))
def test_formulas_are_made_of_the_kernel_s_columns(factors: list[tuple[Any, Any]]) -> None:
    events = [event(type="t", id=str(place), data={"a": a, "b": b}) for place, (a, b) in enumerate(factors)]
    Pair(FORMULAS).decode(*map(to_json, events), to_json(events), to_json(events[:2]))
