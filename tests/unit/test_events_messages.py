"""How messages become columns: what the hot path takes, what is odd, and what is known of a chunk before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest
from xxhash import xxh3_128_intdigest

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Limits
from processors.decode_careful import CarefulDecoder
from processors.decode_columns import MemberColumn, unfit_texts
from processors.decode_messages import HotDecoders, Messages
from processors.decode_shapes import compile_shapes
from processors.numbers import CANONICAL_MAX
from processors.vocabulary import Vocabulary

NOW_MS = 1_793_577_600_000  # 2026-11-02
CATALOGUE = Catalogue(
    1,
    events=(EventType("a", 0), EventType("c", 0)),
    meters=(Meter("sums", 1, "a", "sum", "v", ("d",), precision=2), Meter("both", 1, "c", "count", None, ("x", "x.y"))),
)
EVENT = {"specversion": "1.0", "id": "e", "source": "s", "type": "a", "subject": "z", "time": "2026-11-02T00:00:00Z"}
PROMISED = {"sequencetype": "tollstream", "sequence": "12"}


@pytest.fixture(autouse=True)
def small_chunks() -> Iterator[None]:
    with mock.patch("processors.decode_messages.CHUNK_EVENTS", 2):
        yield


def event(**changed: Any) -> dict[str, Any]:
    return EVENT | {"data": {"v": 7, "d": "x"}} | changed


def walked(*values: bytes | None, **limits: int) -> Messages:
    shapes, bounds = compile_shapes(CATALOGUE), Limits(**limits)
    stamps = np.full(len(values), NOW_MS)
    careful = CarefulDecoder(shapes, bounds, 0)
    found = Messages(values, stamps, HotDecoders(shapes), careful, shapes, Vocabulary(), bounds)
    found.walk()
    return found


def as_json(*events: dict[str, Any]) -> list[bytes]:
    return [msgspec.json.encode(one) for one in events]


@pytest.mark.parametrize("form", ["JSON", "MessagePack"])
def test_the_hot_path_takes_a_plain_event_alone_and_among_others(form: str) -> None:
    hot, pack = HotDecoders(compile_shapes(CATALOGUE)), msgspec.json if form == "JSON" else msgspec.msgpack
    one, many = hot.one[form](pack.encode(event())), hot.many[form](pack.encode([event(), event(id="f")]))
    assert (one.id, one.data.f0, one.data.f1, [two.id for two in many]) == ("e", "x", 7, ["e", "f"])
    assert hot.any[form](pack.encode(event(type="who"))).type == "who"


def test_the_hot_path_keeps_the_digits_of_a_number() -> None:
    hot, wire = HotDecoders(compile_shapes(CATALOGUE)), msgspec.json.encode(event()).replace(b'"v":7', b'"v":0.10')
    assert hot.one["JSON"](wire).data.f1 == hot.many["JSON"](b"[" + wire + b"]")[0].data.f1 == "0.10"


def test_without_types_the_hot_path_takes_nothing() -> None:
    with pytest.raises(msgspec.ValidationError):
        HotDecoders([]).one["JSON"](msgspec.json.encode(event()))


@pytest.mark.parametrize("name", ["id", "source", "subject", "dimension"])
def test_short_is_what_fits_every_limit(name: str) -> None:
    assert walked(**{f"{name}_bytes_max": 5})._short_max == 5


def test_numbered_events_keep_their_rows_in_later_chunks() -> None:
    """Of a chunk with some, and of one with nothing else."""
    first, plain = event(id="1"), event(id="2")
    second, third = event(id="3", **PROMISED), event(id="4", **PROMISED | {"sequence": "13"})
    for later, rows, numbers in (((plain, second), [3], [12]), ((second, third), [2, 3], [12, 13])):
        found = walked(*as_json(first, plain, *later))
        at, _, number, sources = found.columns.numbered.arrays()
        assert (at.tolist(), number.tolist(), len(sources)) == (rows, numbers, 1)
        digests = [high << 64 | low for high, low in found.columns.digests().tolist()]
        assert [one == 0 for one in digests] == [row in rows for row in range(4)]


def test_a_numbered_event_keeps_its_number_whichever_path_it_takes() -> None:
    """Of a type that the hot path never takes, of none that the catalogue has, and of one with odd attributes."""
    for one in (event(type="c", data={}, **PROMISED), event(type="who", **PROMISED)):
        found = walked(*as_json(one))
        assert [column.tolist() for column in found.columns.numbered.arrays()[:3]] == [[0], [0], [12]]
    found = walked(*as_json(event(type="who", sequencetype=7)))
    assert (found.refused, found.judged[0].sequence, found.judged[0].kind) == ({}, None, -1)


def test_a_message_and_a_batch_at_their_limits_are_read() -> None:
    (wire,) = as_json(event(subject=7))
    for most, code in ((len(wire), "subject"), (len(wire) - 1, "size")):
        assert walked(wire, message_bytes_max=most).refused[0].reason.partition(":")[0] == code
    batch = msgspec.json.encode([event(subject=7), event()])
    assert [walked(batch, message_events_max=most).refused[0].reason.partition(":")[0] for most in (2, 1)] == [
        "subject",
        "batch",
    ]


def test_texts_are_unfit_where_they_are_too_long_or_hold_what_is_forbidden() -> None:
    assert unfit_texts([], 3, False) == unfit_texts([], 3, True) == []
    assert unfit_texts(["abc", "abcd", "a\x1f", "\x7f", " ", "üü", "ü", ""], 3, False) == [1, 2, 3, 5]
    assert unfit_texts(["abc", "a b"], 3, False) == unfit_texts(["ü"], 2, False) == []
    assert unfit_texts(["a\x1f", "b"], 3, False) == unfit_texts(["\x85ü", "b"], 4, False) == [0]
    assert unfit_texts(["abc", "abcd"], 3, True) == [1]
    assert unfit_texts(["a\x01b"], 3, True) == [], "what is said to be plain is not looked at"


def test_members_are_digests_of_their_texts_and_only_an_integer_can_be_too_long() -> None:
    column, longest = MemberColumn(), 10 ** (CANONICAL_MAX - 1)
    assert column.extend(["a", None, 7, True], False, False) == []
    assert column.extend(["x" * (CANONICAL_MAX + 1)], False, False) == []
    assert column.extend([longest, longest * 10], False, False) == [1]
    digests, present = column.arrays()
    texts = ["a", None, "7", "true", "x" * (CANONICAL_MAX + 1), str(longest), str(longest * 10)]
    assert present.tolist() == [text is not None for text in texts]
    assert [high << 64 | low for high, low in digests.tolist()] == [
        0 if text is None else xxh3_128_intdigest(text.encode()) for text in texts
    ]
