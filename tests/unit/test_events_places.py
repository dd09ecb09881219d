"""Where each event of a call stands, whatever forms its messages have: places, instants, numbers and bytes by row."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest

from config.settings import Limits
from processors.arrow_frames import HEAD
from processors.events import INVALID, UNMETERED, Decoder, columnar_of
from tests.simulation.columnar import columnar
from tests.unit.events_samples import CATALOGUE, KIND, RECORD_MS, SKEW_MS, event, to_json, to_msgpack

INSTANT_US = 1_793_534_400_250_000
NUMBERED = {"source": "n#1", "sequencetype": "tollstream", "sequence": "7"}
SEAT = KIND["seat"]


@pytest.fixture
def decoder() -> Decoder:
    return Decoder(CATALOGUE, Limits(), SKEW_MS)


def stamps(count: int) -> np.ndarray:
    return np.full(count, RECORD_MS, np.int64)


def arrow(*bodies: dict[str, object]) -> bytes:
    return columnar(random.Random(1), list(bodies))


def test_messages_of_all_forms_come_out_in_the_order_of_the_log(decoder: Decoder) -> None:
    early = event(id="e-0", time="2026-11-02T00:05:00.001Z")
    values = [
        to_json([event(id="1"), event("nobody", id="2"), event(id="3", **NUMBERED)]),
        arrow(event(id="4"), early, event(id="5", subject="other")),
        b"{",
        to_msgpack(event(id="6")),
        arrow(event(id="7")),
        None,
        to_json(event(id="1") | NUMBERED | {"time": "late"}),
    ]
    decoded = decoder.decode(values, stamps(len(values)))
    assert decoded.message.tolist() == [0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6]
    assert decoded.index.tolist() == [0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0]
    assert decoded.kind.tolist() == [
        *(SEAT, UNMETERED, SEAT, SEAT, INVALID, SEAT, INVALID, SEAT, SEAT, INVALID, INVALID),
    ]
    assert decoded.time_us.tolist() == [0 if kind == INVALID else INSTANT_US for kind in decoded.kind.tolist()]
    assert decoded.sequence.tolist() == [-1, -1, 7, *[-1] * 8]
    assert decoded.source.tolist()[:10] == [-1, -1, 0, *[-1] * 7]
    assert (decoded.sources.shape, decoded.sources.dtype) == ((1, 2), np.uint64)
    assert [refusal.row for refusal in decoded.refusals] == [4, 6, 9, 10]
    assert [msgspec.json.decode(decoded.refusals[0].raw)["id"], decoded.refusals[1].raw] == ["e-0", b"{"]
    rows = decoded.types[SEAT]
    assert rows.row.tolist() == [0, 2, 3, 5, 7, 8]
    assert [decoded.vocabulary.seen[code] for code in rows.subject.tolist()] == [
        *["zone-1"] * 3,
        "other",
        *["zone-1"] * 2,
    ]
    assert len({tuple(digest) for digest in decoded.digest.tolist()}) == 7 + 1, "those of the four refused are zero"


@pytest.mark.parametrize("form", ["json", "arrow", "both"])
def test_columns_have_their_types(decoder: Decoder, form: str) -> None:
    json, frames = to_json([event(id="1"), event(id="2")]), arrow(event(id="3"), event(id="4"))
    values = {"json": [json], "arrow": [frames], "both": [json, frames, json]}[form]
    decoded = decoder.decode(values, stamps(len(values)))
    found = (decoded.message, decoded.index, decoded.kind, decoded.time_us, decoded.digest)
    assert [column.dtype for column in found] == [np.int32, np.int32, np.int16, np.int64, np.uint64]
    assert [decoded.sequence.dtype, decoded.source.dtype] == [np.int64] * 2
    assert decoded.message.tolist() == [0, 0, 1, 1, 2, 2][: 2 * len(values)]


@pytest.mark.parametrize("form", [to_json, arrow])
def test_an_event_may_be_ahead_of_its_record_by_the_skew_and_no_more(decoder: Decoder, form: object) -> None:
    times = ("2026-11-02T00:05:00Z", "2026-11-02T00:05:00.000001Z")
    values = [form(event(time=time)) for time in times]  # type: ignore[operator]
    decoded = decoder.decode(values, stamps(2))
    assert decoded.kind.tolist() == [SEAT, INVALID]


def test_the_bytes_of_an_event_are_cut_out_of_its_message(decoder: Decoder) -> None:
    one, two = to_json(event(id="1")), to_json(event(id="2"))
    assert decoder.raw(one, 0) == one
    assert decoder.raw(b"[" + one + b"]", 0) == one
    many = b"[" + one + b", " + two + b"]"
    assert [decoder.raw(many, index) for index in (1, 0, 1)] == [two, one, two]
    packed = [to_msgpack(event(id=name)) for name in "12"]
    assert [decoder.raw(b"\x92" + b"".join(packed), index) for index in (0, 1)] == packed
    for whole in (b"", b"[", b"[]", b"[" + one):
        assert decoder.raw(whole, 0) == whole
    frames = arrow(event(id="1"), event(id="2"))
    assert [msgspec.json.decode(decoder.raw(frames, index))["id"] for index in (0, 1)] == ["1", "2"]


def test_the_bytes_of_a_batch_with_too_many_events_are_the_whole() -> None:
    decoder = Decoder(CATALOGUE, Limits(message_events_max=2), SKEW_MS)
    one = to_json(event())
    assert decoder.raw(b"[" + b",".join([one] * 2) + b"]", 1) == one
    many = b"[" + b",".join([one] * 3) + b"]"
    assert decoder.raw(many, 1) == many


def test_columnar_messages_are_told_by_how_they_begin() -> None:
    frames = arrow(event())
    assert columnar_of([]) == columnar_of([b"", b"{}"]) == columnar_of([None, b"{}"]) == {}
    assert columnar_of([b"{}", frames, None, HEAD]) == {1: frames, 3: HEAD}
    assert columnar_of([HEAD]) == {0: HEAD}
    assert columnar_of([b"\xff\xff\xff", b"\xff\xfe" * 4]) == {}


def test_a_decoder_of_columns_keeps_the_limits(decoder: Decoder) -> None:
    frames = arrow(event(id="1"), event(id="2"))
    small = Decoder(CATALOGUE, Limits(message_events_max=1), SKEW_MS)
    assert decoder.decode([frames], stamps(1)).refusals == []
    (refusal,) = small.decode([frames], stamps(1)).refusals
    assert (refusal.row, refusal.raw) == (0, frames)
