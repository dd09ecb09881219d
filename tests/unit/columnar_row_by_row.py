"""Columns made row by row and value by value: slow, plain, and what `edge.columnar` must equal to the byte."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

COLUMNS_MAX, NAME_BYTES_MAX = 256, 256
_DIGITS_MAX = 38  # of a decimal of 128 bits
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_TIME = re.compile(r"(?:19[7-9]|20[0-9]|21[0-9])[0-9]-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z")
_SEQUENCE = re.compile(r"0|[1-9][0-9]{0,17}")
_NUMBER = re.compile(r"-?(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]+))?")
_BAD_LINE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_TEXT = pa.string()
_INDICES = ((1 << 7, pa.int8()), (1 << 15, pa.int16()), (1 << 31, pa.int32()))  # entries, the least index for them


class Cell(NamedTuple):
    """A column: each kind of values under a name has its own, so that no value becomes another."""

    name: str
    kind: str


class Event(NamedTuple):
    """A line, and what it comes to in columns."""

    row: dict[Cell, Any]
    line: bytes


class _Literal(str):
    """A JSON number with a point or an exponent, as it was written."""

    __slots__ = ()


class _UnfitError(ValueError):
    """Columns cannot say it."""


_READ = msgspec.json.Decoder(dict[str, Any], float_hook=_Literal)


def to_columns(line: bytes) -> Event | None:
    """None for what is not one JSON object, or cannot be said in columns."""
    try:
        event = _READ.decode(line)
        data = event.pop("data", None)
        version = event.pop("specversion", None)
        if type(version) is not str or version != "1.0" or not (data is None or type(data) is dict):
            return None
        row: dict[Cell, Any] = {}
        for name, value in event.items():
            if name.startswith("data.") or (name == "sequence" and type(value) is not str):
                return None
            _put(row, name, value)
        if data:
            _spread(row, "data", data)
    except (*_BAD_LINE, _UnfitError):
        return None
    return Event(row, line) if 0 < len(row) <= COLUMNS_MAX else None


def _spread(row: dict[Cell, Any], path: str, fields: dict[str, Any]) -> None:
    """An object's members as columns of their own."""
    for name, value in fields.items():
        if "." in name:
            raise _UnfitError
        if type(value) is dict:
            before = len(row)
            _spread(row, f"{path}.{name}", value)
            if len(row) == before:  # an object of nothing is not the same as nothing
                raise _UnfitError
        else:
            _put(row, f"{path}.{name}", value)


def _put(row: dict[Cell, Any], name: str, value: Any) -> None:
    if value is None:
        return
    if len(name) * 4 > NAME_BYTES_MAX and len(name.encode()) > NAME_BYTES_MAX:
        raise _UnfitError
    if type(value) is str:
        _put_text(row, name, value)
    elif type(value) is bool:
        row[Cell(name, "boolean")] = value
    elif type(value) in (int, _Literal):
        match = _NUMBER.fullmatch(str(value))
        if match is None or len(match["whole"]) + len(match["fraction"] or "") > _DIGITS_MAX:
            raise _UnfitError
        row[Cell(name, "decimal" if match["fraction"] else "integer")] = value
    else:
        raise _UnfitError


def _put_text(row: dict[Cell, Any], name: str, text: str) -> None:
    """Instants and sequence numbers have shorter columns, which say the same."""
    if name == "time" and _TIME.fullmatch(text):
        try:
            row[Cell(name, "time")] = (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
        except ValueError:  # of no calendar
            row[Cell(name, "text")] = text
    elif name == "sequence" and _SEQUENCE.fullmatch(text):
        row[Cell(name, "integer")] = int(text)
    else:
        row[Cell(name, "text")] = text


def messages(events: Sequence[Event], bytes_max: int) -> Iterator[bytes]:
    """Columnar messages of at most `bytes_max` bytes; an event that does not fit into one goes as its line."""
    if len(events) == 1:
        yield events[0].line
        return
    message = _message([event.row for event in events])
    if message is not None and len(message) <= bytes_max:
        yield message
        return
    middle = len(events) // 2
    yield from messages(events[:middle], bytes_max)
    yield from messages(events[middle:], bytes_max)


def _message(rows: Sequence[dict[Cell, Any]]) -> bytes | None:
    """None where the rows have too many columns together, or numbers that no column of 38 digits holds."""
    cells = list(dict.fromkeys(cell for row in rows for cell in row))
    try:
        arrays = [_array(cell.kind, [row.get(cell) for row in rows]) for cell in cells]
    except pa.ArrowInvalid:
        return None
    if len(cells) > COLUMNS_MAX:
        return None
    schema = pa.schema([pa.field(cell.name, array.type) for cell, array in zip(cells, arrays, strict=True)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema))
    return bytes(sink.getvalue().to_pybytes())


def _array(kind: str, values: list[Any]) -> Any:
    """Raises ArrowInvalid for a number that does not fit beside the others."""
    if kind == "text":
        return _texts(values)
    if kind == "time":
        return pa.array(values, pa.int64()).cast(pa.timestamp("us", "UTC"))
    if kind == "boolean":
        return pa.array(values, pa.bool_())
    if kind == "integer":
        numbers = [None if value is None else int(value) for value in values]
        if all(number is None or -(1 << 63) <= number < 1 << 63 for number in numbers):
            return pa.array(numbers, pa.int64())
        return pa.array([None if number is None else Decimal(number) for number in numbers], pa.decimal128(38, 0))
    decimals = [None if value is None else Decimal(value) for value in values]
    scale = max(len(value.partition(".")[2]) for value in values if value is not None)
    return pa.array(decimals, pa.decimal128(_DIGITS_MAX, scale))


def _texts(values: list[str | None]) -> Any:
    """A dictionary where it is the shorter, with the least index."""
    entries = {text: place for place, text in enumerate(dict.fromkeys(text for text in values if text is not None))}
    if 2 * len(entries) > len(values):
        return pa.array(values, _TEXT)
    index = next(type_ for size, type_ in _INDICES if len(entries) <= size)
    places = pa.array([None if text is None else entries[text] for text in values], index)
    return pa.DictionaryArray.from_arrays(places, pa.array(list(entries), _TEXT))
