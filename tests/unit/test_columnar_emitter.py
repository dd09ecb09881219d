"""What the emitter puts into columns says what the lines said; what columns cannot say goes as it stands."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from events_samples import decode, event, row_of, to_json, traffic
from hypothesis import given, settings
from hypothesis import strategies as st
from test_events_paths_agree import JSON

from edge.columnar import messages, to_columns
from edge.generate import Shape, Traffic
from processors.arrow_frames import HEAD


def columnar(lines: Sequence[bytes], bytes_max: int = 1_000_000) -> tuple[list[bytes], list[bytes]]:
    """(messages, the lines that are in columns, in order)."""
    found = [event for event in map(to_columns, lines) if event is not None]
    return list(messages(found, bytes_max)) if found else [], [event.line for event in found]


def check_same(lines: Sequence[bytes]) -> int:
    """How many lines went into columns."""
    sent, said = columnar(lines)
    decoded, expected = decode(*sent), decode(*said)
    assert len(decoded.kind) == len(said)
    for row, line in enumerate(said):
        assert row_of(decoded, row) == row_of(expected, row), line
    return len(said)


@settings(max_examples=150, deadline=None)
@given(st.lists(JSON, min_size=2, max_size=12))
def test_columns_say_what_the_lines_said(lines: list[bytes]) -> None:
    check_same(lines)


def test_generated_traffic_fits_into_columns_but_for_what_is_broken() -> None:
    now = datetime(2026, 11, 2, tzinfo=UTC)
    made = Traffic(Shape(seed=5, events=3_000, base_time=now, subjects=50, malformed=0.05, sequenced=0.5))
    lines = [line for block in made.blocks() for line in block]
    assert check_same(lines) > 0.95 * len(lines)
    sent, said = columnar(lines)
    assert len(sent) == 1
    assert len(sent[0]) < sum(map(len, said)) / 2


LITERALS = ["1", "-5", "0", "1.50", "-0", "-0.0", "0.001", "12.3456", "9" * 38, "1" * 20, "0." + "1" * 37, "5.0"]


@pytest.mark.parametrize("path", ["meta.ms", "bytes", "status", "unit kind", "zone"])
def test_numbers_stay_what_they_are_beside_one_another(path: str) -> None:
    lines = []
    for value in [
        *LITERALS,
        *(f'"{text}"' for text in [*LITERALS, "", "é", "1e3", "\\u0000"]),
        "true",
        "false",
        "null",
    ]:
        data: dict[str, Any] = msgspec.convert(traffic()["data"], dict[str, Any]) | {"meta": {"region": "eu", "ms": 1}}
        place, name = (data["meta"], "ms") if path == "meta.ms" else (data, path)
        place[name] = msgspec.Raw(value.encode())
        del data["unread"]
        lines.append(to_json(event("traffic", data=data)))
    assert check_same(lines) == len(lines)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b"7",
        b"\xff",
        to_json({name: value for name, value in event().items() if name != "specversion"}),
        to_json(event(specversion="1.1")),
        to_json(event(data=5)),
        to_json(event(data=[])),
        to_json(event(data={"user": {}})),
        to_json(event(data={"user": {"id": None}})),
        to_json(event(data={"user": {"id": ["u"]}})),
        to_json(event(data={"user.id": "u"})),
        to_json(event(data={"x" * 300: "u"})),
        to_json(event(data={"x": msgspec.Raw(b"1e3")})),
        to_json(event(data={"x": msgspec.Raw(b"1" * 39)})),
        to_json(event(data={"x": msgspec.Raw(b"0." + b"1" * 38)})),
        to_json(event(data={f"x{place}": 1 for place in range(257)})),
        to_json(event(sequence=5)),
        to_json(event(id=["x"])),
        to_json(event() | {"data.user.id": "u"}),
    ],
    ids=range(20),
)
def test_what_columns_cannot_say_is_left_as_it_stands(line: bytes) -> None:
    assert to_columns(line) is None


@pytest.mark.parametrize("time", ["2026-02-30T00:00:00Z", "2026-11-01T24:00:00Z", "2026-11-01T12:00:60Z"])
def test_times_of_no_calendar_stay_texts(time: str) -> None:
    lines = [to_json(event(time=time)), to_json(event())]
    sent, _ = columnar(lines)
    batch = pa.ipc.open_stream(sent[0]).read_next_batch()
    times = [found for name, found in zip(batch.schema.names, batch.columns, strict=True) if name == "time"]
    assert [found.type for found in times] == [pa.dictionary(pa.int8(), pa.string()), pa.timestamp("us", "UTC")]
    assert [found.is_valid().to_pylist() for found in times] == [[True, False], [False, True]]
    assert check_same(lines) == 2


def test_messages_are_cut_until_they_fit() -> None:
    lines = [to_json(event(id=f"{place:040}")) for place in range(500)]
    sent, said = columnar(lines, 8_000)
    assert said == lines
    assert len(sent) > 2
    assert all(len(message) <= 8_000 and message.startswith(HEAD) for message in sent)
    assert len(decode(*sent).kind) == 500
    assert columnar(lines[:1], 50) == (lines[:1], lines[:1])


def test_numbers_and_columns_that_do_not_fit_beside_one_another_are_kept_apart() -> None:
    wide = [to_json(event(data={"x": msgspec.Raw(b"1" * 37 + b".1")})), to_json(event(data={"x": 0.25}))]
    many = [to_json(event(data={f"{letter}{place}": 1 for place in range(200)})) for letter in "ab"]
    for lines in (wide, many):
        sent, said = columnar(lines)
        assert sent == said == lines
        assert len(columnar(lines * 2)[0]) > 1


def test_texts_that_repeat_are_sent_once_with_the_least_index() -> None:
    sent, _ = columnar([to_json(event(id=f"e{place}", subject=f"s{place % 200}")) for place in range(1_000)])
    types = dict(zip(*(lambda schema: (schema.names, schema.types))(pa.ipc.open_stream(sent[0]).schema), strict=True))
    assert types["id"] == pa.string()
    assert types["subject"] == pa.dictionary(pa.int16(), pa.string())
    assert types["type"] == pa.dictionary(pa.int8(), pa.string())
    assert types["time"] == pa.timestamp("us", "UTC")
