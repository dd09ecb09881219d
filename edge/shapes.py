"""What a line says in columns, judged by its shape: which members it has, in which order, of which types.

Emitters write events of a few shapes, so what follows from the names and types is found out once a shape and
remembered; of each line only the values are looked at. docs/columnar.md has the rules.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

COLUMNS_MAX: Final = 256  # of a message, and
_NAME_BYTES_MAX = 256  # of a column's name, as the processors have it
_DIGITS_MAX = 38  # of a decimal of 128 bits
_INTEGER_LIMIT = 10**_DIGITS_MAX  # exclusive
_SHAPES_MAX = 500  # remembered at once, and
_SHAPE_LINE_BYTES_MAX = 8_192  # of longer lines none is: both bound the memory, at 60 MB where all is made to fill it
_BAD_LINE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_NO_MEMBERS: dict[str, Any] = {}

# A number with a point or an exponent comes as its text in bytes: nothing else of JSON does, and no code of ours runs.
_READ = msgspec.json.Decoder(dict[str, Any], float_hook=str.encode)


class Cell(NamedTuple):
    """A column: each kind of values under a name has its own, so that no value becomes another. `time` and
    `sequence` are texts that may have a shorter column, which is found out where it is written."""

    name: str
    kind: str


class Plan(msgspec.Struct, frozen=True, eq=False):
    """What all lines of a shape come to. `objects`: places of objects whose members the shape does not tell yet; the
    others are empty then. Its hash is its identity, so it costs nothing to group by."""

    objects: tuple[int, ...] = ()
    fits: bool = False
    specversion: int = 0
    integers: tuple[int, ...] = ()
    decimals: tuple[int, ...] = ()
    cells: tuple[tuple[Cell, int], ...] = ()  # in the order of the line, `data` last, each with the place of its value


class Event(msgspec.Struct, frozen=True, gc=False):
    """A line, and what it comes to in columns: the values of its members, objects too, at the plan's places. Thousands
    wait for their message, so the collector leaves them alone: no `gc`, as no line holds itself, and a tuple, which it
    stops following once it has seen that there are only texts and numbers in it."""

    plan: Plan
    values: tuple[Any, ...]
    line: bytes


class _Place(NamedTuple):
    """`at`: which member of which object, from the outermost; in this order columns stand. `place`: that of its value,
    level by level."""

    at: tuple[int, ...]
    cell: Cell
    place: int


_UNFIT: Final = Plan()
_plans: dict[tuple[object, ...], Plan] = {}


def to_columns(line: bytes) -> Event | None:
    """None for what is not one JSON object, or cannot be said in columns."""
    try:
        event = _READ.decode(line)
    except _BAD_LINE:
        return None
    data = event.pop("data", None)
    members = data if type(data) is dict else _NO_MEMBERS
    # All names, then all types: what `data` is stands between its names and the others, and None before each object
    # that follows, so no two shapes have one key.
    values = (*event.values(), *members.values())
    shape: tuple[object, ...] = (*event, type(data), *members, *map(type, values))
    plan = _plans.get(shape) or _met(shape, values, len(event), line, event, data)
    while plan.objects:
        known = len(values)
        deeper: list[object] = []
        inner: list[Any] = []
        for place in plan.objects:
            members = values[place]
            inner += members.values()
            deeper += (None, *members, *map(type, members.values()))
        values += tuple(inner)
        shape += tuple(deeper)
        plan = _plans.get(shape) or _met(shape, values, known, line, event, data)
    return Event(plan, values, line) if plan.fits and _sayable(plan, values) else None


def _sayable(plan: Plan, values: tuple[Any, ...]) -> bool:
    """What the types do not tell: the version, and numbers of too many digits or with an exponent."""
    if values[plan.specversion] != "1.0":
        return False
    for place in plan.integers:
        if not -_INTEGER_LIMIT < values[place] < _INTEGER_LIMIT:
            return False
    for place in plan.decimals:
        text = values[place]
        if len(text) - text.count(b"-") > _DIGITS_MAX + 1 or b"e" in text or b"E" in text:
            return False
    return True


def _met(
    shape: tuple[object, ...], values: tuple[Any, ...], known: int, line: bytes, event: dict[str, Any], data: Any
) -> Plan:
    """The plan of a shape met for the first time; the values from `known` on are new in it."""
    objects = tuple(place for place in range(known, len(values)) if type(values[place]) is dict)
    plan = Plan(objects=objects) if objects else _plan(event, data)
    if len(objects) > COLUMNS_MAX:  # each needs a column
        plan = _UNFIT
    if len(line) <= _SHAPE_LINE_BYTES_MAX:
        if len(_plans) >= _SHAPES_MAX:
            _plans.clear()
        _plans[shape] = plan
    return plan


def _plan(event: dict[str, Any], data: Any) -> Plan:
    """Of the names in a line, whose `data` stands apart, and the types of its values."""
    if type(event.get("specversion")) is not str or not (data is None or type(data) is dict):
        return _UNFIT
    cells: list[_Place] = []
    for at, (name, value) in enumerate(event.items()):
        if name.startswith("data.") or (name == "sequence" and type(value) is not str):
            return _UNFIT
        if name != "specversion" and value is not None:
            cells.append(_Place((at,), Cell(name, _kind(name, value)), at))
    place = len(event)
    objects: list[tuple[tuple[int, ...], str, dict[str, Any]]] = [((place,), "data", data)] if data else []
    for within, path, members in objects:  # grows meanwhile
        for at, (name, value) in enumerate(members.items()):
            if "." in name:
                return _UNFIT
            if type(value) is dict:
                objects.append(((*within, at), f"{path}.{name}", value))
            elif value is not None:
                cells.append(_Place((*within, at), Cell(f"{path}.{name}", _kind("", value)), place))
            place += 1
    return _fitting([*event].index("specversion"), sorted(cells), [at for at, *_ in objects[1:]])


def _fitting(specversion: int, cells: list[_Place], objects: list[tuple[int, ...]]) -> Plan:
    """The plan, unless there are no columns or too many, or one of no kind, or an object without a value in it, which
    is not the same as nothing."""
    if not 0 < len(cells) <= COLUMNS_MAX:
        return _UNFIT
    if any(not cell.kind or len(cell.name.encode()) > _NAME_BYTES_MAX for _, cell, _ in cells):
        return _UNFIT
    filled = {at[:depth] for at, _, _ in cells for depth in range(len(at))}
    if not filled.issuperset(objects):
        return _UNFIT
    return Plan(
        fits=True,
        specversion=specversion,
        integers=tuple(place for _, cell, place in cells if cell.kind == "integer"),
        decimals=tuple(place for _, cell, place in cells if cell.kind == "decimal"),
        cells=tuple((cell, place) for _, cell, place in cells),
    )


def _kind(name: str, value: Any) -> str:
    """Of the values of a member; empty where columns have none."""
    if type(value) is str:
        return name if name in ("time", "sequence") else "text"
    return {bool: "boolean", int: "integer", bytes: "decimal"}.get(type(value), "")
