"""The hot path takes nothing that the careful path refuses, and reads the same values."""

import copy
import json
from typing import Any

import msgspec
import numpy as np
from events_samples import CATALOGUE, DATA, KIND, RECORD_MS, SKEW_MS, decode, event, row_of, to_json, to_msgpack
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config.catalogue import Catalogue
from config.settings import Limits
from processors.decode_careful import CarefulDecoder, RefusedError
from processors.decode_columns import digest_array, digests, with_instant
from processors.decode_shapes import compile_shapes
from processors.decode_split import form_of
from processors.events import INVALID, UNMETERED, Decoded, Decoder
from processors.sequences import identities

CAREFUL = CarefulDecoder(compile_shapes(CATALOGUE), Limits(), SKEW_MS)

LITERALS = [
    "1e3",
    "1.50",
    "0.001",
    "-0",
    "-0.0",
    "12.3456",
    "1E+400",
    "1e-400",
    "9" * 19,
    "9" * 50,
    "-5",
    "3",
    "1" * 1500,
]
TEXTS = ["", "eu", "é", "x" * 257, "é" * 129, "a\x7f", "\x85", "7", "1.5", "007", "1_0", "\x00", "a\nb", "1\n2"]
SCALARS = st.one_of(
    st.integers(0, 1000),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from(TEXTS),
    st.sampled_from([None, True, False, [], {}, {"b": 1}, [1.5], {"id": None}]),
    st.text(max_size=3),
)
FLOATS = st.floats(allow_nan=True) | st.sampled_from([0.5, 1.0, 0.1, 2.25, 1e18])
TIMES = st.sampled_from(
    [
        "2026-11-01T12:00:00Z",
        "2026-05-31T23:59:59.999999999Z",
        "2026-06-01T00:00:00+00:00",
        "2026-06-01t00:00:00z",
        "2026-11-01T12:00:00.1234567899Z",
        "2026-11-02T00:05:00.000000999Z",
        "2026-11-02T00:05:01Z",
        "2026-11-01T12:00Z",
        "2026-11-01T12:00:00",
        "2016-12-31T23:59:60Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-23:59",
        "",
    ]
)
SEQUENCE_TYPES = st.sampled_from(["tollstream"] * 4 + ["Integer", "", None, 7, ["tollstream"], "tollstream "])
SEQUENCES = (
    st.integers(0, 2**63 - 1).map(str)
    | st.sampled_from(["0", "00", "07", "-1", "+1", " 1", "1 ", "1.0", "1e3", "", "\u0661", "x", "1_0", "0x1", "\x00"])
    | st.sampled_from([str(2**63 - 1), str(2**63), "9" * 19, "9" * 20, "1" * 5000, 7, 1.5, None, [], {"a": "1"}])
)
PATHS = {
    "traffic": ["bytes", "zone", "tier", "meta", "meta.region", "meta.ms", "status", "units", "units_old", "unit kind"],
    "odd": ["a", "a.b", "c"],
    "seat": ["user", "user.id", "plan"],
    "pulse": ["x"],
    "nobody": ["x"],
    "strange": ["x"],
}


def own(value: Any) -> Any:
    """A copy: what is sampled is one object, and put into itself it would be endless."""
    return copy.deepcopy(value) if isinstance(value, dict | list) else value


@st.composite
def events(draw: st.DrawFn, form: str) -> dict[str, Any]:
    """Mostly good events; now and then an odd value, an odd attribute, an odd time."""
    event_type = draw(st.sampled_from(["traffic", "traffic", *PATHS]))
    raw = st.sampled_from(LITERALS).map(lambda text: msgspec.Raw(text.encode()))
    values = SCALARS | (raw if form == "JSON" else FLOATS)
    data = json.loads(json.dumps(DATA[event_type]))
    for path in draw(st.lists(st.sampled_from(PATHS[event_type]), max_size=2)):
        *above, last = path.split(".")
        inner = data
        for name in above:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner[last] = own(draw(values))
            if draw(st.booleans()) and draw(st.booleans()):
                del inner[last]
    found = event(event_type, data=data)
    if draw(st.integers(0, 4)) == 0:
        found["time"] = draw(TIMES)
    if draw(st.integers(0, 2)) == 0:
        found |= {"sequencetype": draw(SEQUENCE_TYPES), "sequence": draw(SEQUENCES)}
        if draw(st.integers(0, 5)) == 0:
            del found[draw(st.sampled_from(["sequencetype", "sequence"]))]
    if draw(st.integers(0, 6)) == 0:
        name = draw(st.sampled_from(["id", "source", "subject", "type", "specversion", "data", "time"]))
        found[name] = own(draw(SCALARS))
        if draw(st.booleans()):
            del found[name]
    return found


PACKED = events("MessagePack").map(to_msgpack)
JSON = events("JSON").map(to_json)


def judged(message: bytes, form: str) -> dict[str, Any]:
    """What the careful path says, in the words of `row_of`."""
    try:
        found = CAREFUL.judge(message, form, RECORD_MS)  # type: ignore[arg-type]
    except RefusedError as error:
        return {"kind": INVALID, "time_us": 0, "digest": [0, 0], "sequence": -1, "reason": [str(error)]}
    identity = with_instant(digest_array(digests([f"{found.source}\x1f{found.id}"])), np.array([found.time_us]))
    if found.sequence is not None:
        identity = identities(digest_array(digests([found.source])), np.array([found.sequence]))
    said: dict[str, Any] = {
        "kind": found.kind,
        "time_us": found.time_us,
        "digest": identity[0].tolist(),
        "sequence": -1 if found.sequence is None else found.sequence,
        "reason": [],
    }
    if found.kind == UNMETERED:
        return said
    return said | {
        "subject": found.subject,
        "text": found.texts,
        "number": found.numbers,
        "member": {
            path: None if text is None else digest_array(digests([text]))[0].tolist()
            for path, text in found.members.items()
        },
    }


@settings(max_examples=400, deadline=None)
@given(st.lists(JSON | PACKED, min_size=1, max_size=12))
def test_both_paths_say_the_same_of_every_event(messages: list[bytes]) -> None:
    decoded = decode(*messages)
    assert len(decoded.kind) == len(messages)
    for row, message in enumerate(messages):
        assert row_of(decoded, row) == judged(message, form_of(message)[0])


@settings(max_examples=200, deadline=None)
@given(st.lists(JSON, min_size=1, max_size=12))
def test_a_json_batch_says_the_same_as_its_events_alone(messages: list[bytes]) -> None:
    decoded = decode(b"[" + b",".join(messages) + b"]")
    assert decoded.index.tolist() == list(range(len(messages)))
    for row, message in enumerate(messages):
        assert row_of(decoded, row) == judged(message, "JSON")


def is_one_value(message: bytes) -> bool:
    """Whether the bytes are one MessagePack value: a JSON number among them is read as other values."""
    try:
        msgspec.msgpack.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, TypeError):
        return False
    return True


@settings(max_examples=200, deadline=None)
@given(st.lists(PACKED, min_size=1, max_size=12))
def test_a_messagepack_batch_says_the_same_as_its_events_alone(messages: list[bytes]) -> None:
    assume(all(is_one_value(message) for message in messages))  # else they are not the elements of the array
    decoded = decode(bytes([0x90 + len(messages)]) + b"".join(messages))
    for row, message in enumerate(messages):
        assert row_of(decoded, row) == judged(message, "MessagePack")


def check_shape(decoded: Decoded, messages: int) -> None:
    """Every row is in exactly one class, and every message has its rows in order."""
    kinds = decoded.kind.tolist()
    assert sorted(set(decoded.message.tolist())) == list(range(messages))
    assert [refusal.row for refusal in decoded.refusals] == [row for row, kind in enumerate(kinds) if kind == INVALID]
    for kind in KIND.values():
        rows = decoded.types[kind].row.tolist() if kind in decoded.types else []
        assert rows == [row for row, found in enumerate(kinds) if found == kind]
        if kind in decoded.types:
            held = decoded.types[kind]
            columns = [held.subject, *held.text.values()]
            columns += [array for pair in (*held.number.values(), *held.member.values()) for array in pair]
            assert {len(column) for column in columns} == {len(rows)}


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A message of one or more events with a few bytes changed, lost or added."""
    packed = draw(st.booleans())
    parts = draw(st.lists(PACKED if packed else JSON, min_size=1, max_size=3))
    batch = bytes([0x90 + len(parts)]) + b"".join(parts) if packed else b"[" + b",".join(parts) + b"]"
    message = bytearray(draw(st.sampled_from([parts[0], batch])))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(message)))
        message[place : place + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"[", b"{"])
        )
    return bytes(message)


@settings(max_examples=600, deadline=None)
@given(st.lists(mangled() | st.binary(max_size=40) | st.none(), min_size=1, max_size=6))
def test_nothing_raises_and_nothing_is_lost(messages: list[bytes | None]) -> None:
    decoded = decode(*messages)
    check_shape(decoded, len(messages))
    row = 0
    for message in messages:  # each says the same alone: verdicts do not depend on neighbours
        alone = decode(message)
        for place in range(len(alone.kind)):
            assert row_of(decoded, row) == row_of(alone, place)
            row += 1
    assert row == len(decoded.kind)


def test_a_catalogue_without_meters_decodes_everything_as_unmetered() -> None:
    decoder = Decoder(Catalogue(), Limits(), SKEW_MS)
    bare = {name: value for name, value in event().items() if name != "data"}
    decoded = decode(to_json(event()), to_msgpack(event()), to_json(bare), b"x", b"[]", b"{}", decoder=decoder)
    assert decoded.kind.tolist() == [UNMETERED] * 3 + [INVALID] * 3
    assert [refusal.row for refusal in decoded.refusals] == [3, 4, 5]


def test_bytes_that_are_no_utf_8_are_refused_behind_a_messagepack_event_too() -> None:
    broken = to_json(event(data={"user": {"id": "u"}, "x": 1})).replace(b'"x"', b'"\xff"')
    for neighbour in (to_msgpack(event()), to_json(event(id="\u00e9"))):
        decoded = decode(neighbour, broken, neighbour)
        assert [refusal.reason.partition(":")[0] for refusal in decoded.refusals] == ["utf-8"]
