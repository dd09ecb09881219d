from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pytest
from events_samples import (
    DECODER,
    KIND,
    RECORD_MS,
    SKEW_MS,
    decode,
    event,
    meter,
    row_of,
    to_json,
    to_msgpack,
    traffic,
)
from xxhash import xxh3_128_digest

from config.catalogue import Catalogue, EventType
from config.settings import Limits
from processors import decode_messages
from processors.decode_careful import CarefulDecoder
from processors.events import INVALID, Decoder

TRAFFIC, SEAT = KIND["traffic"], KIND["seat"]


def literal(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def values_of(message: dict[str, Any]) -> dict[str, Any]:
    found = row_of(decode(to_json(message)), 0)
    assert found["reason"] == []
    return found


def test_an_event_becomes_one_row_with_its_values() -> None:
    found = values_of(traffic())
    assert found["kind"] == TRAFFIC
    assert found["subject"] == "zone-1"
    assert found["time_us"] == 1_793_534_400_250_000
    assert found["text"] == {"zone": "z1", "meta.region": "eu", "tier": "a", "status": "200", "unit kind": "GB"}
    assert found["number"] == {
        ("bytes", 0): 5,
        ("meta.ms", 3): 12_345,
        ("status", 0): 200,
        ("units_old", 0): None,
        ("units", 2): 200,
    }


def test_the_four_forms_of_a_message_give_the_same_columns() -> None:
    sent = [traffic(bytes=place) | {"id": f"e-{place}"} if place % 3 else event(id=f"e-{place}") for place in range(50)]
    packed, text = list(map(to_msgpack, sent)), list(map(to_json, sent))
    forms = [text, packed, [to_json(sent)], [to_msgpack(sent)], [*text[:7], *packed[7:20], to_json(sent[20:])]]
    decoded = [decode(*messages) for messages in forms]
    for other in decoded[1:]:
        assert [row_of(other, row) for row in range(50)] == [row_of(decoded[0], row) for row in range(50)]
    assert decoded[2].message.tolist() == [0] * 50
    assert decoded[2].index.tolist() == list(range(50))


def test_verdicts_do_not_depend_on_where_a_chunk_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [to_json(traffic(bytes=place)) if place % 7 else b"x" for place in range(50)]
    sent += [b"[" + b",".join(sent[1:7]) + b"]", to_msgpack(event()), to_json(event(id="é"))]
    whole = decode(*sent)
    for size in (1, 2, 7, 52):
        monkeypatch.setattr(decode_messages, "CHUNK_EVENTS", size)
        again = decode(*sent)
        assert [row_of(again, row) for row in range(len(again.kind))] == [
            row_of(whole, row) for row in range(len(whole.kind))
        ]


def test_good_events_never_take_the_careful_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("careful path taken")

    monkeypatch.setattr(CarefulDecoder, "judge", refuse)
    good = [
        event(),
        traffic(),
        traffic(bytes="7", zone=None),
        event("pulse", data="x"),
        event("nobody"),
        event("strange"),
    ]
    good += [traffic(meta={"ms": text}) for text in ("1.5", "-0.25", "1e3")] + [event(data={"user": {"id": 7}})]
    messages = [*map(to_json, good), *map(to_msgpack, good), to_json(good), to_msgpack(good)]
    messages += [to_json(traffic(meta={"ms": literal(text)})) for text in ("1.500", "1E2", "-7")]
    assert INVALID not in decode(*messages).kind


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("eu", "eu"),
        ("", ""),
        (None, ""),
        (7, "7"),
        (-0, "0"),
        (10**30, "1" + "0" * 30),
        (True, "true"),
        (False, "false"),
    ],
)
def test_dimensions_are_canonical_text(value: object, text: str) -> None:
    assert values_of(traffic(zone=value))["text"]["zone"] == text


def test_a_missing_dimension_is_empty() -> None:
    found = values_of(event(data={}))
    assert found["text"] == {"plan": ""}
    assert values_of(event(data=None))["text"] == {"plan": ""}


@pytest.mark.parametrize(
    ("written", "scaled"),
    [
        ("12.345", 12_345),
        ('"12.345"', 12_345),
        ("12.3450000", 12_345),
        ("1e3", 1_000_000),
        ('"1E3"', 1_000_000),
        ("12345e-3", 12_345),
        ("-0.001", -1),
        ("-0", 0),
        ("0e999999999999", 0),
        ('"007"', 7_000),
        ("1000000000000000", 10**18),
        ("-1000000000000000.000", -(10**18)),
    ],
)
def test_numbers_are_exact_as_number_or_text(written: str, scaled: int) -> None:
    assert values_of(traffic(meta={"ms": literal(written)}))["number"]["meta.ms", 3] == scaled


@pytest.mark.parametrize(("value", "scaled"), [(0.5, 500), (2.0, 2_000), (-1.125, -1_125), (2**40, 2**40 * 1_000)])
def test_binary_floats_count_with_their_exact_value(value: float, scaled: int) -> None:
    found = row_of(decode(to_msgpack(traffic(meta={"ms": value}))), 0)
    assert found["number"]["meta.ms", 3] == scaled


def test_a_value_is_needed_only_while_its_meter_is_in_effect() -> None:
    may, june = {"time": "2026-05-31T23:59:59.999999999Z"}, {"time": "2026-06-01T00:00:00Z"}
    old, new = {"units_old": 3, "units": None}, {"units_old": None, "units": 4}
    assert values_of(traffic(**old) | may)["number"]["units_old", 0] == 3
    assert values_of(traffic(**new) | june)["number"]["units", 2] == 400
    assert decode(to_json(traffic(**new) | may)).refusals[0].reason.startswith("value: data.units_old is missing")
    assert decode(to_json(traffic(**old) | june)).refusals[0].reason.startswith("value: data.units is missing")


def test_a_fault_in_a_value_that_no_meter_in_effect_reads_does_no_harm() -> None:
    may = {"time": "2026-05-31T23:59:59Z"}
    found = values_of(traffic(units_old=1, units="many", **{"unit kind": [1]}) | may)
    assert found["number"]["units", 2] is None
    assert found["text"]["unit kind"] == ""
    assert values_of(traffic(units_old=1, units=-1) | may)["number"]["units", 2] == -100
    assert decode(to_json(traffic(units_old=-1) | may)).kind.tolist() == [INVALID]


@pytest.mark.parametrize("missing", [{}, {"user": None}, {"user": {}}, {"user": {"id": None}}])
def test_a_missing_unique_value_is_not_present(missing: dict[str, Any]) -> None:
    assert values_of(event(data=missing))["member"]["user.id"] is None


def member(value: Any, encode: Any = to_json) -> list[int]:
    found: list[int] = row_of(decode(encode(event(data={"user": {"id": value}}))), 0)["member"]["user.id"]
    return found


def test_one_member_is_one_canonical_text() -> None:
    digest = xxh3_128_digest(b"1")
    assert member(1) == [int.from_bytes(digest[:8]), int.from_bytes(digest[8:])]
    assert member("1") == member(1) == member(literal("1.0")) == member(literal("1e0")) == member(1.0, to_msgpack)
    assert member(literal("1.50")) == member("1.5") == member(1.5, to_msgpack)
    assert member("1.50") != member("1.5")
    assert member(True) == member("true")
    assert member("") != member("0")
    assert member("x" * 100_000) != member("x" * 100_001)


def test_identity_is_source_id_and_instant() -> None:
    sent = [
        event(),
        event(time="2026-11-01T13:00:00.250000999+01:00", subject="other"),
        event(time="2026-11-01T12:00:00.250001Z"),
        event(id="1", source="edge/fra-1\u00e9-"),
        event(id="\u00e9-1", source="edge/fra-1"),
    ]
    digest = decode(*map(to_json, sent)).digest
    assert digest[0].tolist() == digest[1].tolist()
    assert len({tuple(row) for row in digest.tolist()}) == 4
    assert digest[0, 1] == digest[2, 1]  # the low half tells that only the time differs
    assert digest.dtype == np.uint64


def test_the_identity_of_an_event_never_changes() -> None:
    """Ids outlive a release: another digest would count retries twice."""
    assert decode(to_json(event())).digest.tolist() == [[12027842542592300916, 15031880444700890370]]


@pytest.mark.parametrize(
    ("time", "time_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2261-12-31T23:59:59.999999999Z", 9_214_646_399_999_999),
        ("2026-06-01T01:30:00+01:30", 1_780_272_000_000_000),
        ("2026-05-31T22:30:00-01:30", 1_780_272_000_000_000),
        ("2026-06-01t00:00:00z", 1_780_272_000_000_000),
        ("2026-06-01T00:00:00-00:00", 1_780_272_000_000_000),
        ("2026-05-31T23:59:59.999999999Z", 1_780_271_999_999_999),
        ("2026-05-31T23:59:59.99999999999999999999Z", 1_780_271_999_999_999),
    ],
)
def test_times_are_floored_to_microseconds(time: str, time_us: int) -> None:
    decoded = DECODER.decode([to_json(event(time=time))], np.array([time_us // 1_000 + 1]))
    assert decoded.time_us.tolist() == [time_us]
    assert decoded.kind.tolist() == [SEAT]


def test_raw_gives_the_bytes_of_one_event() -> None:
    parts = [to_json(event(id=f"e-{place}")) for place in range(3)]
    assert DECODER.raw(parts[0], 0) == parts[0]
    assert [DECODER.raw(b"[ " + b" , ".join(parts) + b"]", place) for place in range(3)] == parts
    packed = [to_msgpack(event(id=f"e-{place}")) for place in range(3)]
    assert [DECODER.raw(b"\x93" + b"".join(packed), place) for place in range(3)] == packed
    assert [DECODER.raw(value, 0) for value in (b"", b"[]", b"[1,", b"hello")] == [b"", b"[]", b"[1,", b"hello"]


def test_a_value_may_become_an_object_with_a_new_version() -> None:
    may, june = {"time": "2026-05-31T23:59:59Z"}, {"time": "2026-06-01T00:00:00Z"}
    value, inner = {"a": literal("1.5"), "c": 2}, {"a": {"b": "2.5"}}
    found = values_of(event("odd", data=value) | may)
    assert found["number"] == {("a", 12): 1_500_000_000_000, ("a.b", 1): None}
    assert found["text"] == {"c": "2"}
    assert values_of(event("odd", data=inner) | june)["number"] == {("a", 12): None, ("a.b", 1): 25}
    swapped = decode(to_json(event("odd", data=value) | june), to_msgpack(event("odd", data=inner) | may))
    assert swapped.kind.tolist() == [INVALID, INVALID]


def test_unusual_names_of_fields_are_read() -> None:
    names = ["class", "", "a-b", "1", "f0", "x y", "é"]
    catalogue = Catalogue(
        events=(EventType("t", 0),),
        meters=tuple(meter(f"m{place}", "t", "sum", name) for place, name in enumerate(names)),
    )
    decoded = decode(
        to_json(event(type="t", data={name: place for place, name in enumerate(names)})),
        decoder=Decoder(catalogue, Limits(), SKEW_MS),
    )
    assert list(row_of(decoded, 0)["number"].values()) == list(range(7))


def test_a_field_may_be_number_text_and_member_at_once() -> None:
    meters = (meter("m", "t", "sum", "x", dimensions=("x",), precision=1), meter("u", "t", "unique", "x"))
    decoder = Decoder(Catalogue(events=(EventType("t", 0),), meters=meters), Limits(), SKEW_MS)
    sent = [event(type="t", data={"x": value}) for value in (5, "5", "5.50", literal("5.5"), True, None)]
    decoded = decode(*map(to_json, sent), decoder=decoder)
    assert (decoded.kind == INVALID).tolist() == [False, False, False, True, True, True]
    assert [decoded.vocabulary.seen[code] for code in decoded.types[0].text["x"]] == ["5", "5", "5.50"]
    assert decoded.types[0].number["x", 1][0].tolist() == [50, 50, 55]


def test_timestamps_are_those_of_each_message() -> None:
    ahead = to_json(event(time="2026-11-03T00:00:00Z"))
    decoded = DECODER.decode([ahead, ahead, ahead], np.array([RECORD_MS, RECORD_MS + 86_400_000, 0]))
    assert decoded.kind.tolist() == [INVALID, SEAT, INVALID]


def test_an_empty_call_gives_empty_columns() -> None:
    decoded = decode()
    assert [len(decoded.message), len(decoded.index), len(decoded.kind), len(decoded.digest)] == [0, 0, 0, 0]
    assert list(chain(decoded.types, decoded.refusals)) == []
