"""One event at a time, in both forms: all that is read of it, and the words that say which field is at fault."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Limits
from processors.decode_careful import NO_SCALAR, CarefulDecoder, Digits, Judged, Reader, RefusedError
from processors.decode_shapes import UNMETERED, compile_shapes

NOW_MS = 1_793_577_600_000  # 2026-11-02
LATER = datetime(2026, 12, 1, tzinfo=UTC)
CATALOGUE = Catalogue(
    1,
    events=(EventType("a", 0), EventType("b", 0)),
    meters=(
        Meter("sums", 1, "a", "sum", "v", ("d",)),
        Meter("users", 1, "a", "unique", "u"),
        Meter("later", 1, "a", "unique", "w", from_=LATER),
    ),
)
CAREFUL = CarefulDecoder(compile_shapes(CATALOGUE), Limits(subject_bytes_max=8, dimension_bytes_max=8), 0)
EVENT = {"specversion": "1.0", "id": "e", "source": "s", "type": "a", "subject": "z", "time": "2026-11-02T00:00:00Z"}
DATA = {"v": 7, "d": "x", "u": "me"}


def judged(form: str = "JSON", **changed: Any) -> Judged:
    """Of EVENT with DATA and what is changed, in this form; None leaves an attribute out."""
    event = {name: value for name, value in (EVENT | {"data": DATA} | changed).items() if value is not None}
    wire = msgspec.json.encode(event) if form == "JSON" else msgspec.msgpack.encode(event)
    return CAREFUL.judge(wire, form, NOW_MS)  # type: ignore[arg-type]


def refused(form: str = "JSON", **changed: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        judged(form, **changed)
    return str(caught.value)


@pytest.mark.parametrize("form", ["JSON", "MessagePack"])
def test_an_event_is_judged_alike_in_both_forms(form: str) -> None:
    at_us = NOW_MS * 1000
    whole = Judged(0, "e", "s", "z", at_us, {("v", 0): 7}, {"d": "x"}, {"u": "me", "w": None})
    assert judged(form) == whole
    assert judged(form, sequencetype="tollstream", sequence="12") == whole._replace(sequence=12)
    assert judged(form, sequencetype="other", sequence="x") == whole
    assert judged(form, type="b", data=[7]) == Judged(UNMETERED, "e", "s", "z", at_us, {}, {}, {})
    assert judged(form, data={**DATA, "v": 45, "d": 91, "u": True}) == whole._replace(
        numbers={("v", 0): 45}, texts={"d": "91"}, members={"u": "true", "w": None}
    )


@pytest.mark.parametrize("form", ["JSON", "MessagePack"])
def test_a_reason_names_the_field_and_says_what_is_wrong_with_it(form: str) -> None:
    assert refused(form, data={**DATA, "u": [7]}).startswith("unique: data.u is an array")
    assert refused(form, data={**DATA, "d": [7]}).startswith("dimension: data.d is an array")
    assert refused(form, data={**DATA, "d": "a\x01"}).startswith("dimension: data.d holds a control character")
    assert refused(form, data={**DATA, "d": "123456789"}).startswith("dimension: data.d is longer than 8 bytes")
    assert refused(form, sequencetype="tollstream", sequence="x").startswith("sequence: ")
    assert refused(form, subject="123456789").startswith("subject: is longer than 8 bytes")
    assert refused(form, subject=None).startswith("subject: is missing")
    assert refused(form, time=None).startswith("time: is missing")
    assert judged(form, subject="12345678", data={**DATA, "d": "87654321"}).texts == {"d": "87654321"}


def test_a_member_that_is_no_number_says_so() -> None:
    assert refused("MessagePack", data={**DATA, "u": float("inf")}).startswith("unique: data.u ")
    assert "None" not in refused("MessagePack", data={**DATA, "u": float("inf")})


def test_a_fault_in_what_no_meter_reads_yet_does_no_harm() -> None:
    assert judged(data={**DATA, "w": [7]}).members == {"u": "me", "w": None}


def test_bytes_that_cannot_be_read_say_why() -> None:
    for wire, code in ((b'{"x":' * 3000 + b"1" + b"}" * 3000, "nesting"), (b"{", "json"), (b"[]", "event")):
        with pytest.raises(RefusedError) as caught:
            CAREFUL.judge(wire, "JSON", NOW_MS)
        assert str(caught.value).partition(":")[0] == code


def test_a_json_number_keeps_its_digits_where_it_is_no_plain_integer() -> None:
    reader = Reader("JSON")
    for text in ("1.5", "-1.50", "1e3", "-0.0", "1" * 1000):
        found = reader.scalar(Raw(text.encode()))
        assert (type(found), found) == (Digits, text)
    for text in ("0", "-1", "45", "1" * 999):
        assert (type(reader.scalar(Raw(text.encode()))), reader.scalar(Raw(text.encode()))) == (int, int(text))
    assert [reader.scalar(Raw(text)) for text in (b'"x"', b"true", b'"1.5"')] == ["x", True, "1.5"]
    assert [reader.scalar(Raw(text)) for text in (b"[]", b"[1]", b"{}", b'{"a":1}')] == [NO_SCALAR] * 4


def test_a_packed_value_is_what_it_is_whatever_its_bytes_are_in_json() -> None:
    reader = Reader("MessagePack")
    for value in (*range(256), -1, 1.5, "x", True):
        assert reader.scalar(Raw(msgspec.msgpack.encode(value))) == value
    for value in ([1], {"a": 1}, b"x", None):
        assert reader.scalar(Raw(msgspec.msgpack.encode(value))) is NO_SCALAR
