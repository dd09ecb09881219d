"""The shape of a message, byte by byte: its form, where its events lie, and how deep they nest."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from processors.decode_split import (
    NESTING_MAX,
    SplitError,
    _json_parts,
    _packed_end,
    _packed_parts,
    form_of,
    may_nest,
    nests,
    split,
)

packed = msgspec.msgpack.encode


def test_the_first_byte_tells_the_form_and_whether_there_are_many() -> None:
    one, many = ("MessagePack", False), ("MessagePack", True)
    assert [form_of(bytes([head])) for head in (0x80, 0x8F, 0xDE, 0xDF)] == [one] * 4
    assert [form_of(bytes([head])) for head in (0x90, 0x9F, 0xDC, 0xDD)] == [many] * 4
    for value in (b"\xc1", b"\xff", b"\x7f", b"{", b"\n{[", b" \x0b[", b"x[", b" "):
        assert form_of(value) == ("JSON", False)
    for value in (b"[", b" \t\r\n[", b"[ "):
        assert form_of(value) == ("JSON", True)


def test_only_what_opens_enough_may_nest() -> None:
    opened = b"[{" * 256 + b"["
    assert may_nest(opened, "JSON") and not may_nest(opened, "JSON", 2)
    assert not may_nest(opened[1:] + b'"', "JSON")
    assert not may_nest(b"[" * 10, "JSON") and not may_nest(b"zZ;" * 600, "JSON")
    assert may_nest(b"\x91" * 513, "MessagePack") and not may_nest(b"\x91" * 512 + b"\x01" * 600, "MessagePack")
    assert not may_nest(b"\x90" * 10, "MessagePack")


def test_an_event_nests_too_deep_beyond_the_limit_and_not_at_it() -> None:
    for depth, deep in ((NESTING_MAX, False), (NESTING_MAX + 1, True)):
        assert nests(b"[[]," + b"[" * (depth - 1) + b"]" * depth, "JSON") is deep
        assert nests(b"\x92\x90" + b"\x91" * (depth - 1) + b"\xc0", "MessagePack") is deep
    assert not nests(b'"' + b"[" * 600 + b'"', "JSON")


VALUES: list[tuple[Any, int]] = [
    *((value, 0) for value in (None, True, False, 0, 127, 128, 2**16, 2**32, -1, -32, -33, -200, -(2**16), -(2**40))),
    *((value, 0) for value in (1.5, "", "a", "a" * 31, "a" * 32, "a" * 256, "a" * 2**16)),
    *((b"a" * size, 0) for size in (0, 1, 256, 2**16)),
    *((msgspec.msgpack.Ext(1, b"a" * size), 0) for size in (0, 1, 2, 3, 4, 8, 16, 300, 2**16)),
    *(([7] * size, 1) for size in (0, 1, 15, 16, 300, 2**16 + 300)),
    *((dict.fromkeys(range(size), 7), 1) for size in (0, 1, 15, 16, 300, 2**16 + 300)),
    ([[], [[7]], {1: {}}], 3),
]


@pytest.mark.parametrize(("value", "depth"), VALUES, ids=range(len(VALUES)))
def test_the_end_and_the_depth_of_any_packed_value_are_found(value: Any, depth: int) -> None:
    wire = packed(value)
    assert _packed_end(wire, 0) == (len(wire), depth)
    assert _packed_end(b"\x07" + wire + b"\x07", 1) == (1 + len(wire), depth)
    assert _packed_parts(packed([value, 1])) == [wire, b"\x01"]


def test_a_value_that_is_cut_short_or_nests_deeper_than_asked_ends_behind_its_bytes() -> None:
    assert _packed_end(b"\xc1", 0) == (1, 0), "nothing in MessagePack, and no container"
    assert _packed_end(b"\x93\x01\x02", 0) == (4, 1)
    assert _packed_end(b"\x91" * 6, 0, 3) == (7, 4)
    assert _packed_end(b"\x91" * 3 + b"\x01", 0, 3) == (4, 3)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 300, 2**16 + 300])
def test_the_elements_of_a_packed_array_are_its_bytes(count: int) -> None:
    wire = packed([3] * count)
    assert _packed_parts(wire) == [b"\x03"] * count
    assert _packed_parts(wire + b"\x03") == []
    assert count == 0 or _packed_parts(wire[:-1]) == []


def test_the_elements_of_a_json_array_are_between_its_own_commas() -> None:
    assert _json_parts(b' [1 , [2,3], {"a,]": "\\",["} ]\n') == [b"1", b"[2,3]", b'{"a,]": "\\",["}']
    assert _json_parts(b"[1\x0b,2]") == [b"1\x0b", b"2"]
    for broken in (b"[1,[2]", b"[1}", b"[1][2]", b"\x0b[1]", b"[1],", b"]1["):
        assert _json_parts(broken) == []


DEEP = b"[" * 3000 + b"]" * 3000


def test_an_event_that_nests_too_deep_harms_no_other_that_can_be_read() -> None:
    assert split(b'[{"id":1},' + DEEP + b"]", "JSON") == [b'{"id":1}', DEEP]
    assert split(b'[{"id":1e999},' + DEEP + b"]", "JSON") == [b'{"id":1e999}', DEEP]
    packed_deep = b"\x91" * 3000 + b"\xc0"
    assert split(b"\x92\x07" + packed_deep, "MessagePack") == [b"\x07", packed_deep]
    for broken in (b"[" + DEEP + b",tru]", b"\x0b[" + DEEP + b"]"):
        with pytest.raises(SplitError):
            split(broken, "JSON")


def test_why_a_message_cannot_be_split_is_what_its_first_fault_is() -> None:
    with pytest.raises(SplitError, match=r"^nesting: "):
        split(b"[" + DEEP + b",tru]", "JSON")
    with pytest.raises(SplitError, match=r"^json: "):
        split(b"[1,", "JSON")
    with pytest.raises(SplitError, match=r"^messagepack: "):
        split(b"\x92\x01", "MessagePack")
