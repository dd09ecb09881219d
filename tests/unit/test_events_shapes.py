"""The structs of the hot path: which events they take, and where the values of each path lie in them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from config.catalogue import Catalogue, EventType, Meter
from processors.decode_shapes import Shape, compile_shapes

CATALOGUE = Catalogue(
    1,
    events=(EventType("deep", 0), EventType("bare", 0), EventType("cold", 0)),
    meters=(
        Meter("sums", 1, "deep", "sum", "a.b.c", ("a.b.d", "e", "a.f")),
        Meter("bare", 1, "bare", "count"),
        Meter("cold", 1, "cold", "count", None, ("x", "x.y")),
    ),
)
DEEP, BARE, COLD = compile_shapes(CATALOGUE)
EVENT = {"specversion": "1.0", "id": "e", "source": "s", "type": "deep", "subject": "z", "time": "t"}


def read(shape: Shape, **changed: Any) -> Any:
    return msgspec.json.Decoder(Shape(shape.kind, shape.type, shape.spans).event).decode(
        msgspec.json.encode(EVENT | changed)
    )


def test_the_values_of_each_path_are_found_however_deep_they_lie() -> None:
    shape = Shape(DEEP.kind, DEEP.type, DEEP.spans)
    first = read(shape, data={"a": {"b": {"c": 7, "d": "x"}, "f": "y"}, "e": "z", "g": [1]})
    second = read(shape)
    assert (first.id, first.source, first.subject, first.time, first.sequencetype, first.sequence) == (
        *("e", "s", "z", "t"),
        *(None, None),
    )
    values = dict(zip(shape.paths, shape.values([first.data, second.data]), strict=True))
    found = {path: list(both) for path, both in values.items()}
    assert found == {"a.b.c": [7, None], "a.b.d": ["x", None], "e": ["z", None], "a.f": ["y", None]}
    assert read(shape, sequencetype="q", sequence=7).sequence == 7


@pytest.mark.parametrize("wrong", [{"type": "bare"}, {"specversion": "0.3"}, {"data": [1]}, {"data": {"e": 1.5}}])
def test_an_event_of_another_type_or_with_odd_values_is_left_to_the_careful_path(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(DEEP, **wrong)


def test_a_type_of_which_nothing_is_read_takes_any_data() -> None:
    assert [read(BARE, type="bare", data=data).id for data in (7, [1], {"x": 1}, None)] == ["e"] * 4


def test_a_path_that_is_a_value_and_an_object_makes_a_type_cold() -> None:
    shapes = [Shape(one.kind, one.type, one.spans) for one in (DEEP, BARE, COLD)]
    assert [one.hot for one in shapes] == [True, True, False]
    assert [list(column) for column in shapes[2].values([None, None])] == [[None, None]] * 2


def test_a_blank_event_is_of_its_version_and_takes_attributes_by_name() -> None:
    shape = Shape(DEEP.kind, DEEP.type, DEEP.spans)
    blank: Any = shape.blank_event(id="e", source="s", subject="z", time="t")
    assert (blank.id, blank.specversion, shape.values([blank.data])) == ("e", "1.0", [(None,)] * 4)
