"""Columns made shape by shape are to the byte those made row by row and value by value."""

import json
from collections.abc import Iterator, Sequence

import columnar_row_by_row as plain
import pytest
from events_samples import event, to_json
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_events_paths_agree import JSON

from edge import shapes
from edge.columnar import messages, to_columns

BYTES_MAX = 1_000_000


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    shapes._plans.clear()
    yield
    shapes._plans.clear()


def check_equal(lines: Sequence[bytes], bytes_max: int = BYTES_MAX) -> int:
    """How many of the lines are in columns. Twice: with shapes never met, and with the same remembered."""
    expected = [plain.to_columns(line) for line in lines]
    rows = [row for row in expected if row is not None]
    for _ in range(2):
        made = [to_columns(line) for line in lines]
        for line, one, other in zip(lines, made, expected, strict=True):
            assert (one is None) == (other is None), line
        found = [event for event in made if event is not None]
        assert [event.line for event in found] == [row.line for row in rows]
        if rows:
            assert list(messages(found, bytes_max)) == list(plain.messages(rows, bytes_max))
    return len(rows)


NUMBERS = [
    *("0", "-0", "7", "-7", "1.5", "-1.50", "-0.0", "0.001", "1e5", "1E5", "1.5e0", "-2.5E-3", "5.0", "12.345678"),
    *(str(10**18), str(2**63 - 1), str(2**63), str(-(2**63)), str(-(2**63) - 1), str(2**64), "9" * 20, "9" * 38),
    *("-" + "9" * 38, "1" * 39, "-" + "1" * 39, "1" * 5_000, "9" * 18 + ".5", "0." + "1" * 18, "0." + "1" * 17),
    *("0." + "1" * 37, "-0." + "1" * 37, "0." + "1" * 38, "1" * 37 + ".1", "1" * 37 + ".12", "1" * 19 + "." + "1" * 19),
]
TEXTS = [
    *("", "eu", "é", "\u0661", "\U0001f600", "\x00", "a\x00", 'a"b\\', "line\nend", "1e5", "null", "x" * 300, "007"),
    *("0", "1", "00", "01", "-1", "+1", " 1", "1 ", "1\n", "9" * 18, "9" * 19, "1" * 40, "\u0661\u0662", "1.0", "1_0"),
]
TIMES = [
    *("2026-11-01T12:00:00Z", "2026-11-01T12:00:00.1Z", "2026-11-01T12:00:00.123456Z", "2024-02-29T23:59:59.999999Z"),
    *(
        "2026-11-01T12:00:00.1234567Z",
        "2026-11-01T12:00:00.Z",
        "2026-11-01T12:00:00+00:00",
        "2026-11-01T12:00:00+01:00",
    ),
    *("2026-11-01T12:00:00", "2026-11-01T12:00Z", "2026-11-01t12:00:00z", "2026-11-01 12:00:00Z", "2026-11-01"),
    *("2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z"),
    *("2026-00-01T00:00:00Z", "2026-11-00T00:00:00Z", "2026-11-01T24:00:00Z", "2026-11-01T23:60:00Z"),
    *("2016-12-31T23:59:60Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2199-12-31T23:59:59.999999Z"),
    *("2200-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-01T12:00:00Z\n", " 2026-11-01T12:00:00Z", "yesterday"),
    *("٢٠٢٦-11-01T12:00:00Z", "2026-W44-7T12:00:00Z", "20261101T12:00:00Z", "+2026-11-01T12:00:00Z"),
]
NAMES = ["a", "b", "time", "sequence", "data", "specversion", "é", "", "a.b", "data.a", "data.", "x" * 200, "é" * 126]


def members(names: st.SearchStrategy[str], values: st.SearchStrategy[str], most: int) -> st.SearchStrategy[str]:
    """A JSON object in text, of names that may be there twice."""
    texts = st.tuples(names.map(json.dumps) | names.map(lambda name: json.dumps(name, ensure_ascii=False)), values)
    return st.lists(texts.map(":".join), max_size=most).map(lambda found: "{" + ",".join(found) + "}")


SCALARS = (
    st.sampled_from(NUMBERS)
    | st.sampled_from([*TEXTS, *TIMES]).map(json.dumps)
    | st.sampled_from(["null", "true", "false", "[]", "[1]", "{}", '"\\u0041"', '"\\ud800"', '"\\/"', "1.", "NaN"])
)
OBJECTS = st.recursive(
    members(st.sampled_from(NAMES), SCALARS, 3),
    lambda inner: members(st.sampled_from(NAMES), SCALARS | inner, 3),
    max_leaves=8,
)
ATTRIBUTES = st.one_of(
    st.tuples(st.just("time"), st.sampled_from(TIMES).map(json.dumps) | SCALARS),
    st.tuples(st.just("sequence"), st.sampled_from(TEXTS).map(json.dumps) | SCALARS),
    st.tuples(st.just("data"), OBJECTS | SCALARS),
    st.tuples(st.just("specversion"), st.sampled_from(['"1.0"', '"1.0"', '"1.1"', "1.0", "null"])),
    st.tuples(st.sampled_from(NAMES), SCALARS | OBJECTS),
    st.tuples(st.sampled_from(["id", "source", "type", "subject"]), st.sampled_from(TEXTS).map(json.dumps)),
)


@st.composite
def odd_lines(draw: st.DrawFn) -> bytes:
    """Mostly JSON that columns can say, of any shape, names twice now and then."""
    found = [f"{json.dumps(name)}:{value}" for name, value in draw(st.lists(ATTRIBUTES, max_size=6))]
    found.insert(draw(st.integers(0, len(found))), '"specversion":"1.0"')
    return ("{" + ",".join(found) + "}").encode()


def line(*found: str) -> bytes:
    return ('{"specversion":"1.0",' + ",".join(found) + "}").encode()


@settings(max_examples=400, deadline=None)
@given(st.lists(odd_lines() | JSON, min_size=1, max_size=10), st.sampled_from([BYTES_MAX, 1_500, 100]))
@example([line('"a":1', '"data":{"a":1e5,"a":2}'), line('"a":1', '"data":{"a":1.5,"a":2}')], BYTES_MAX)
def test_any_lines_make_the_same_messages(lines: list[bytes], bytes_max: int) -> None:
    check_equal(lines, bytes_max)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(NUMBERS), min_size=2, max_size=6))
def test_numbers_make_the_same_columns_beside_any_others(numbers: list[str]) -> None:
    check_equal([line(f'"data":{{"n":{number}}}') for number in numbers])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TIMES), st.sampled_from(TEXTS), st.booleans()), min_size=2, max_size=6))
def test_times_and_numbers_of_a_source_make_the_same_columns_in_the_same_order(
    found: list[tuple[str, str, bool]],
) -> None:
    """A text that has no shorter column brings up a column of its own, wherever the line with it stands."""
    lines = [
        line('"id":"e"', *([f'"sequence":{json.dumps(text)}'] if has else []), f'"time":{json.dumps(time)}', '"z":1')
        for time, text, has in found
    ]
    assert check_equal(lines) == len(lines)


def test_every_day_and_time_of_day_is_an_instant_or_a_text_as_before() -> None:
    days = [f"{y}-{m:02}-{d:02}T00:00:00Z" for y in (1972, 2025, 2100) for m in range(14) for d in range(33)]
    clocks = [
        f"2026-11-01T{h:02}:{m:02}:{s:02}Z" for h in (0, 23, 24, 99) for m in (0, 59, 60) for s in (0, 59, 60, 61)
    ]
    lines = [to_json(event(time=time)) for time in [*days, *clocks]]
    assert check_equal(lines) == len(lines)


NESTED = [
    '"data":{"a":1},"b":2',
    '"data":{"a":1,"b":2}',
    '"a":1,"b":2',
    '"a":1,"b":2,"data":{}',
    '"a":1,"b":2,"data":null',
    '"a":1,"b":2,"data":{"c":null}',
    '"a":1,"b":2,"data":{"c":{}}',
    '"a":1,"b":2,"data":7',
    '"a":1,"b":2,"data":[]',
    '"data":{"a":{"b":1},"c":{"b":2}}',
    '"data":{"a":{"b":1,"c":{"b":2}}}',
    '"data":{"a":{"b":1},"c":{}}',
    '"data":{"a":{},"c":{"b":1}}',
    '"data":{"a":{"x":{"y":1}},"c":2,"d":{"z":3}}',
    '"data":{"a":{"x":null},"c":{"y":1}}',
    '"data":{"a":{"x":{"y":null}},"c":1}',
    '"data":{"":{"":1}}',
    '"x":{"a":1}',
    '"x":{}',
]


def test_shapes_of_the_same_names_are_not_taken_for_one_another() -> None:
    lines = [line(found) for found in NESTED]
    for one in lines:
        for other in lines:
            shapes._plans.clear()
            check_equal([one, other])
    check_equal(lines)


def test_an_event_of_nothing_goes_as_it_stands() -> None:
    """Rows without a column would be none."""
    assert to_columns(b'{"specversion":"1.0"}') is None
    assert to_columns(b'{"specversion":"1.0","id":null,"data":{"x":null}}') is None


def test_a_version_that_is_a_number_is_none() -> None:
    """JSON has it refused, so columns must not make a text of it."""
    assert to_columns(b'{"specversion":1.0,"id":"e"}') is None
    assert to_columns(b'{"specversion":"1.0","id":"e"}') is not None


def test_as_many_columns_as_a_message_has_are_taken_and_no_more() -> None:
    def wide(count: int, value: str = "1") -> bytes:
        return line('"data":{' + ",".join(f'"{at}":{value}' for at in range(count)) + "}")

    assert check_equal([wide(256), wide(256, '{"x":1}')]) == 2
    assert check_equal([wide(257), wide(257, '{"x":1}'), wide(2_000, '{"x":{}}')]) == 0
    assert check_equal([wide(300, "null"), wide(300, '{"x":null}'), line('"a":1')]) == 1


def test_deep_objects_are_read_to_the_bound_of_a_name() -> None:
    for depth in (100, 125, 126, 127, 300, 5_000):
        check_equal([line('"data":' + '{"x":' * depth + "1" + "}" * depth), line('"a":1')])


def test_what_is_remembered_of_shapes_is_bounded() -> None:
    lines = [line(f'"a{at}":1') for at in range(2 * shapes._SHAPES_MAX)]
    assert all(to_columns(found) is not None for found in lines)
    assert 0 < len(shapes._plans) <= shapes._SHAPES_MAX
    shapes._plans.clear()
    long = line('"a":"' + "x" * shapes._SHAPE_LINE_BYTES_MAX + '"')
    assert check_equal([long, line('"a":"x"'), long]) == 3
    assert len(shapes._plans) == 1


def test_lines_of_one_shape_share_their_plan() -> None:
    """Grouping by plan is what makes columns cheap."""
    one, other = to_columns(to_json(event(id="e1"))), to_columns(to_json(event(id="e2", time="2026-11-01T12:00:00.5Z")))
    assert one is not None
    assert other is not None
    assert one.plan is other.plan
