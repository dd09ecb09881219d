"""Columnar messages, read the plain way after docs/columnar.md: every row as the JSON that it means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pyarrow as pa

from config.settings import Limits

MARK: Final = b"\xff" * 4  # begins every frame
_COLUMNS_MAX: Final = 256
_NAME_BYTES_MAX: Final = 256
_JSON_BYTES_MAX: Final = 32 * 1024 * 1024
_SCALAR_BYTES: Final = 48  # counted for a value that is no text of a dictionary, whatever it is
_VERSION: Final = 4  # of the metadata
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICKS: Final = {"s": (1, 0), "ms": (1_000, 3), "us": (1_000_000, 6), "ns": (1_000_000_000, 9)}


class _Unfit(Exception):  # noqa: N818 - said as it is
    """No columnar message as documented."""


def events_of(value: bytes, limits: Limits) -> list[bytes] | None:
    """The JSON of each row; None for a message that is refused as a whole."""
    try:
        rows = _frames(value)
        if not 0 < rows <= limits.message_events_max:
            return None
        batch = pa.ipc.open_stream(value).read_next_batch()
        batch.validate(full=True)
        columns = [(field.name, batch.column(at)) for at, field in enumerate(batch.schema)]
        _check(columns, rows)
        return _written(columns, rows)
    except (_Unfit, pa.ArrowException, OSError, IndexError, UnicodeDecodeError):
        return None


class _Table:
    """A table of a flatbuffer. IndexError where it does not lie within the memory."""

    def __init__(self, memory: bytes, at: int) -> None:
        self._memory, self._at = memory, at
        self._slots = at - self._number(at, 4, signed=True)
        self._size = self._number(self._slots, 2)

    def _number(self, at: int, size: int, signed: bool = False) -> int:
        if at < 0 or at + size > len(self._memory):
            raise IndexError
        return int.from_bytes(self._memory[at : at + size], "little", signed=signed)

    def _place(self, slot: int) -> int:
        at = 4 + 2 * slot
        distance = self._number(self._slots + at, 2) if at + 2 <= self._size else 0
        return self._at + distance if distance else 0

    def number(self, slot: int, size: int) -> int:
        place = self._place(slot)
        return self._number(place, size, signed=size == 8) if place else 0

    def has(self, slot: int) -> bool:
        return self._place(slot) > 0

    def table(self, slot: int) -> _Table:
        place = self._place(slot)
        if not place:
            raise IndexError
        return _Table(self._memory, place + self._number(place, 4))


def _frames(value: bytes) -> int:
    """Rows of the record batch. A schema, each dictionary once, one record batch, and at most the end of the stream."""
    at, rows = 0, 0
    seen: list[int] = []
    known: set[int] = set()
    while at < len(value) and value[at:] != MARK + bytes(4):
        length = int.from_bytes(value[at + 4 : at + 8], "little", signed=True)
        if value[at : at + 4] != MARK or length <= 0 or (seen and seen[-1] == 3):
            raise _Unfit
        message = _Table(value, at + 8 + int.from_bytes(value[at + 8 : at + 12], "little"))
        kind, body = message.number(1, 1), message.number(3, 8)
        at += 8 + length + body
        if message.number(0, 2) != _VERSION or body < 0 or at > len(value) or (kind == 1) != (not seen):
            raise _Unfit
        header = message.table(2)
        if kind == 2:
            number = header.number(0, 8)
            if number in known or header.number(2, 1) or header.table(1).has(3):  # known, a delta, compressed
                raise _Unfit
            known.add(number)
        elif kind == 3 and not header.has(3):
            rows = header.number(0, 8)
        elif kind != 1:
            raise _Unfit
        seen.append(kind)
        if len(seen) > _COLUMNS_MAX + 2:
            raise _Unfit
    if not seen or seen[-1] != 3:
        raise _Unfit
    return rows


def _kind(name: str, column: Any) -> str:
    found, types = column.type, pa.types
    if types.is_dictionary(found) and types.is_string(found.value_type):
        return "text"
    if types.is_timestamp(found) and found.tz is not None and name == "time":
        return "time"
    if types.is_decimal128(found) and 0 <= found.scale <= found.precision:
        return "decimal" if found.scale else "integer"
    tests = {
        "text": types.is_string,
        "integer": types.is_integer,
        "boolean": types.is_boolean,
        "nothing": types.is_null,
    }
    for kind, test in tests.items():
        if test(found):
            return kind
    raise _Unfit


def _check(columns: list[tuple[str, Any]], rows: int) -> None:
    if len(columns) > _COLUMNS_MAX:
        raise _Unfit
    if any(name == "data" or len(name.encode()) > _NAME_BYTES_MAX for name, _ in columns):
        raise _Unfit
    kinds = [(name, _kind(name, column)) for name, column in columns]
    if len(set(kinds)) < len(kinds):
        raise _Unfit
    size = 0
    for name, column in columns:
        size += (rows - column.null_count) * (len(name) + _SCALAR_BYTES)
        if pa.types.is_dictionary(column.type):
            lengths = [len((text or "").encode()) for text in column.dictionary.to_pylist()]
            size += sum(lengths[place] for place in column.indices.to_pylist() if place is not None)
    if size > _JSON_BYTES_MAX:
        raise _Unfit


def _written(columns: list[tuple[str, Any]], rows: int) -> list[bytes]:
    names = [name for name, _ in columns]
    held = [_values(name, column) for name, column in columns]
    start = {} if "specversion" in names else {"specversion": "1.0"}
    found = []
    for values in zip(*held, strict=True):
        event: dict[str, Any] = dict(start)
        for name, value in zip(names, values, strict=True):
            if value is not None:
                _put(event, name.split(".") if name.startswith("data.") else [name], value)
        found.append(msgspec.json.encode(event))
    return found


def _put(place: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):  # a value lies where another one has its object
            raise _Unfit
    if path[-1] in place:
        raise _Unfit
    place[path[-1]] = value


def _values(name: str, column: Any) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return [_instant(value, column.type.unit) for value in column.cast(pa.int64()).to_pylist()]
    values: list[Any] = column.to_pylist()
    if not (pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)):
        return values
    written = [value if value is None else str(value) if value.__class__ is int else f"{value:f}" for value in values]
    return written if name == "sequence" else [None if one is None else msgspec.Raw(one.encode()) for one in written]


def _instant(ticks: int | None, unit: str) -> str | None:
    if ticks is None:
        return None
    a_second, digits = _TICKS[unit]
    try:
        text = (_EPOCH + timedelta(seconds=ticks // a_second)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    except OverflowError:
        return f"{ticks} {unit} since 1970"
    return f"{text}.{ticks % a_second:0{digits}}Z" if digits else f"{text}Z"
