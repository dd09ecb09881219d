"""Events as columns: many of one partition in one Arrow IPC stream, in 0.4 of the bytes of their JSON.

The form is that of docs/columnar.md. A line goes into columns only where they say exactly what it says; what they can't
say (arrays, empty objects, numbers of more than 38 digits..) goes as it stands. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edge.shapes import COLUMNS_MAX, Cell, Event, to_columns

__all__ = ["Event", "messages", "to_columns"]

_DIGITS = 38  # of a decimal of 128 bits
_DECIMAL_TEXT_MAX = 20  # bytes: no number this short leaves too few digits for another
_TIME = (
    r"^(?:19[7-9]|20[0-9]|21[0-9])[0-9]-[0-9]{2}-[0-9]{2}T"
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?Z$"
)
_SEQUENCE = r"^(?:0|[1-9][0-9]{0,17})$"
_TEXT: Final = pa.string()
_INSTANT: Final = pa.timestamp("us", "UTC")
_INDICES = ((1 << 7, pa.int8()), (1 << 15, pa.int16()), (1 << 31, pa.int32()))  # entries, the least index for them


def messages(events: Sequence[Event], bytes_max: int) -> Iterator[bytes]:
    """Columnar messages of at most `bytes_max` bytes; an event that does not fit into one goes as its line."""
    if len(events) == 1:
        yield events[0].line
        return
    message = _message(events)
    if message is not None and len(message) <= bytes_max:
        yield message
        return
    middle = len(events) // 2
    yield from messages(events[:middle], bytes_max)
    yield from messages(events[middle:], bytes_max)


def _message(events: Sequence[Event]) -> bytes | None:
    """None where the rows have too many columns together, or numbers that no column of 38 digits holds."""
    columns, order = _gathered(events)
    try:
        arrays = [(cell.name, array) for cell, values in columns.items() for array in _arrays(cell.kind, values, order)]
    except pa.ArrowInvalid:
        return None
    if len(arrays) > COLUMNS_MAX:
        return None
    if len(arrays) > len(columns):
        arrays.sort(key=lambda named: _first(events, *named))
    schema = pa.schema([pa.field(name, array.type) for name, array in arrays])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([array for _, array in arrays], schema))
    return bytes(sink.getvalue().to_pybytes())


def _gathered(events: Sequence[Event]) -> tuple[dict[Cell, list[Any]], Any]:
    """(the values of each column, plan by plan, None where a row has none; for each event its place in them).

    Rows of one plan become columns by one `zip`, and Arrow puts them back in order: no work in Python for each value.
    """
    rows_of: dict[Any, list[int]] = {}
    for row, event in enumerate(events):
        rows_of.setdefault(event.plan, []).append(row)
    columns: dict[Cell, list[Any]] = {}
    order = np.empty(len(events), np.int64)
    done = 0
    for plan, rows in rows_of.items():
        members = [*zip(*[events[row].values for row in rows], strict=True)]
        for cell, place in plan.cells:
            values = columns.setdefault(cell, [])
            values += [None] * (done - len(values))
            values += members[place]
        order[rows] = np.arange(done, done + len(rows))
        done += len(rows)
    for values in columns.values():
        values += [None] * (done - len(values))
    return columns, order


def _first(events: Sequence[Event], name: str, array: Any) -> tuple[int, int]:
    """Where a column's first value stands: columns come in the order in which lines bring them up."""
    row = pc.index(array.is_valid(), True).as_py()
    return row, [cell.name for cell, _ in events[row].plan.cells].index(name)


def _arrays(kind: str, values: list[Any], order: Any) -> Iterator[Any]:
    """The column, or two of them where some of its texts have a shorter column and some have not. Raises ArrowInvalid
    for a number that does not fit beside the others."""
    if kind == "time":
        texts = pa.array(values, _TEXT).take(order)
        yield from _parted(texts, _of_calendar(texts), _INSTANT)
    elif kind == "sequence":
        texts = pa.array(values, _TEXT).take(order)
        yield from _parted(texts, pc.match_substring_regex(texts, _SEQUENCE), pa.int64())
    elif kind == "text":
        yield _texts(pa.array(values, _TEXT).take(order))
    elif kind == "boolean":
        yield pa.array(values, pa.bool_()).take(order)
    else:
        yield (_integers(values) if kind == "integer" else _decimals(values)).take(order)


def _of_calendar(texts: Any) -> Any:
    """Which of the texts are written as `_TIME` has it, and on a day that there is."""
    known = pc.match_substring_regex(texts, _TIME)
    days = pc.utf8_slice_codeunits(texts, 0, 10)
    seen = days.unique().drop_null()  # a few, of thousands of events
    real = seen.filter(pa.array([_is_day(day) for day in seen.to_pylist()]))
    return known if len(real) == len(seen) else pc.and_(known, pc.is_in(days, real))


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _parted(texts: Any, known: Any, type_: Any) -> Iterator[Any]:
    """The `known` texts as values of `type_`, which say the same, and the others as they are."""
    if pc.all(known).as_py():
        yield texts.cast(type_)
        return
    rows, none = pa.array(np.arange(len(texts))), pa.scalar(None, pa.int64())
    if pc.any(known).as_py():
        yield texts.take(pc.if_else(known, rows, none)).cast(type_)
    yield _texts(texts.take(pc.if_else(known, none, rows)))


def _integers(values: list[int | None]) -> Any:
    try:
        return pa.array(values, pa.int64())
    except OverflowError:
        return pa.array([None if value is None else Decimal(value) for value in values], pa.decimal128(_DIGITS, 0))


def _decimals(values: list[bytes | None]) -> Any:
    """Raises ArrowInvalid where one needs more digits before the point than another's after it leave."""
    texts = pa.array(values, _TEXT)
    scale = pc.max(pc.subtract(pc.binary_length(texts), pc.find_substring(texts, "."))).as_py() - 1
    type_ = pa.decimal128(_DIGITS, scale)
    if pc.max(pc.binary_length(texts)).as_py() <= _DECIMAL_TEXT_MAX:
        return texts.cast(type_)
    return pa.array([None if value is None else Decimal(value.decode()) for value in values], type_)


def _texts(texts: Any) -> Any:
    """A dictionary where it is the shorter, with the least index."""
    encoded = texts.dictionary_encode()
    entries = len(encoded.dictionary)
    if 2 * entries > len(texts):
        return texts
    index = next(type_ for size, type_ in _INDICES if entries <= size)
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(index), encoded.dictionary)
