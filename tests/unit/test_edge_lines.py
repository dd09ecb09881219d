import io
from typing import Any

import msgspec
import pytest

from edge.batches import Batches
from edge.lines import joinable, json_array, msgpack_array, read_lines, subject_of, to_msgpack


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"id":"1","subject":"zone-1","data":{"x":[1,{"subject":"no"}]}}', ("zone-1", True)),
        (b'{"subject":"\\u007aone"}', ("zone", True)),
        (b'{"subject":7}', (None, True)),
        (b'{"subject":""}', (None, True)),
        (b'{"subject":"' + b"x" * 2000 + b'"}', (None, True)),
        (b'{"id":"1"}', (None, True)),
        (b'{"subject":"zone-1","data":{"x":NaN}}', (None, False)),
        (b'{"subject":"zone-1"', (None, False)),
        (b'{"subject":"\xff"}', (None, False)),
        (b'[{"subject":"zone-1"}]', (None, False)),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", (None, False)),
        (b"\x91", (None, False)),
    ],
)
def test_the_subject_of_a_line_is_found_or_it_is_known_that_there_is_none(
    line: bytes, expected: tuple[str | None, bool]
) -> None:
    assert subject_of(line) == expected


def test_lines_that_could_spoil_a_whole_message_do_not_share_one() -> None:
    assert joinable('{"subject":"zürich"}'.encode())
    assert not joinable(b'{"subject":"a","skipped":"\xff"}')
    assert not joinable(b'{"a":' + b"[" * 100 + b"]" * 100 + b"}")


@pytest.mark.parametrize(
    ("number", "packed"),
    [
        (b"12", 12),
        (b"-3", -3),
        (b"12.50", "12.50"),
        (b"0.100000000000000000001", "0.100000000000000000001"),
        (b"1e3", "1000"),
        (b"25E-8", "0.00000025"),
        (b"1e77", "1e77"),
        (b"18446744073709551616", "18446744073709551616"),
        (b'"1.5"', "1.5"),
        (b"[0.1,{}]", ["0.1", {}]),
        (b"null", None),
        (b"true", True),
    ],
)
def test_messagepack_keeps_every_number_in_data_exact(number: bytes, packed: Any) -> None:
    value = to_msgpack(b'{"id":"1","data":{"value":' + number + b"}}")
    assert value is not None
    assert msgspec.msgpack.decode(value) == {"id": "1", "data": {"value": packed}}


def test_a_number_in_place_of_an_id_stays_a_number() -> None:
    value = to_msgpack(b'{"id":1.5,"data":{}}')
    assert value is not None
    assert msgspec.msgpack.decode(value) == {"id": 1.5, "data": {}}


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"id":18446744073709551616}',
        b'{"data":1e400}',
        b'{"data":1e' + b"9" * 5000 + b"}",
        b'{"a":"\xff"}',
    ],
)
def test_what_messagepack_cannot_say_is_left_as_it_stands(line: bytes) -> None:
    assert to_msgpack(line) is None


@pytest.mark.parametrize("count", [1, 15, 16, 65535, 65536])
def test_a_batch_holds_its_events_in_order(count: int) -> None:
    lines = [b'{"id":"%d"}' % i for i in range(count)]
    events = [{"id": str(i)} for i in range(count)]
    assert msgspec.json.decode(json_array(lines)) == events
    assert msgspec.msgpack.decode(msgpack_array([msgspec.msgpack.encode(event) for event in events])) == events


def test_batches_are_cut_by_count_and_by_bytes_and_keep_partitions_apart() -> None:
    batches = Batches[bytes](lambda values: [json_array(values)], count_max=3, bytes_max=10)
    out: list[tuple[int, bytes]] = []
    for partition, value in [(0, b"1"), (1, b"11"), (0, b"2"), (0, b"3"), (1, b"222222222"), (0, b"4")]:
        out += batches.add(partition, value, len(value))
    out += batches.rest()
    assert out == [(0, b"[1,2,3]"), (1, b"[11]"), (1, b"[222222222]"), (0, b"[4]")]
    assert list(batches.rest()) == []


def test_a_batch_goes_when_its_first_event_has_waited_too_long() -> None:
    now_s = 0.0
    batches = Batches[bytes](lambda values: [json_array(values)], 100, 1000, age_s=1.0, clock=lambda: now_s)
    assert list(batches.add(0, b"1", 1)) == []
    now_s = 0.75
    assert list(batches.add(0, b"2", 1)) + list(batches.add(1, b"3", 1)) + list(batches.aged()) == []
    now_s = 1.0
    assert list(batches.aged()) == [(0, b"[1,2]")]
    assert list(batches.aged()) == []
    now_s = 2.0
    assert list(batches.add(0, b"4", 1)) == []
    assert list(batches.aged()) == [(1, b"[3]")]
    assert list(batches.rest()) == [(0, b"[4]")]


def test_lines_are_read_without_their_ends_and_never_whole_when_too_long() -> None:
    stream = io.BytesIO(b"abc\nabcd\n\nabcde\n" + b"x" * 3_000_000 + b"\nabcd\n" + b"y" * 600_000)
    assert list(read_lines(stream, 4)) == [b"abc", b"abcd", b"", b"abcde", b"xxxxx", b"abcd", b"yyyyy"]


@pytest.mark.parametrize("text", [b"", b"\n", b"a", b"a\n", b"a\nbc", b"\n\nab\n"])
def test_lines_are_the_same_however_the_stream_is_cut(text: bytes) -> None:
    class Drop(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return self.read(1)

    assert list(read_lines(Drop(text), 100)) == list(read_lines(io.BytesIO(text), 100)) == text.splitlines()
    assert list(read_lines(Drop(b"abcdef\nabc\nabcdef"), 4)) == [b"abcde", b"abc", b"abcde"]
