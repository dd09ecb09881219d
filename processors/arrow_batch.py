"""One columnar message: its columns as docs/columnar.md has them, and the JSON form of a row, which is its meaning."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from config.settings import Limits
from processors.arrow_frames import UNREADABLE, ArrowError, frames_of

Kind = Literal["text", "integer", "decimal", "boolean", "time", "nothing"]

COLUMNS_MAX: Final = 256  # ten times what an event has that is billed
NAME_BYTES_MAX: Final = 256  # of a column
# What the events of one message come to as JSON: an entry of a dictionary may be large, and in every row.
EXPANDED_BYTES_MAX: Final = 32 * 1_048_576
DATA: Final = "data."  # before the path of a value; every other column is an attribute

_FAULTS = (pa.ArrowException, OSError)  # what Arrow raises for bytes that it cannot read
_NUMBER_BYTES = 48  # of a number, a boolean or a time in JSON, at most
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMAS_MAX, _SCHEMA_BYTES_KEPT_MAX = 256, 16_384  # an emitter has a few, of 2 KB each; 4 MB at most


class Column(NamedTuple):
    """`name` as it stands in the schema."""

    name: str
    kind: Kind
    type: Any


class Plan(NamedTuple):
    """What a schema holds. `rivals`: (column, columns of which no row may have a value where it has one)."""

    columns: tuple[Column, ...]
    rivals: tuple[tuple[int, tuple[int, ...]], ...]


class ColumnarBatch(NamedTuple):
    """A message that was read: `arrays[i]` holds `plan.columns[i]` of every event. All of it is validated. `held`: the
    columns that hold any value at all; a message of a few bytes may have many that do not."""

    plan: Plan
    arrays: list[Any]
    events: int
    held: list[int]


def read_batch(value: bytes, limits: Limits) -> ColumnarBatch:
    """A message that begins with `arrow_frames.HEAD`. Raises ArrowError."""
    if len(value) > limits.message_bytes_max:
        raise ArrowError(f"size: the message is larger than {limits.message_bytes_max} bytes; split it")
    frames = frames_of(value)
    if not 0 <= frames.events <= limits.message_events_max:
        raise ArrowError(f"batch: holds more than {limits.message_events_max} events; split it")
    plan = (_plan if len(frames.schema) <= _SCHEMA_BYTES_KEPT_MAX else _plan.__wrapped__)(frames.schema)
    try:
        batch = pa.ipc.open_stream(value).read_next_batch()
        batch.validate(full=True)
    except _FAULTS:
        raise ArrowError(UNREADABLE) from None
    if batch.num_rows == 0:
        raise ArrowError("batch: holds no event; send at least one")
    arrays = batch.columns
    held = [place for place, array in enumerate(arrays) if array.null_count < batch.num_rows]
    found = ColumnarBatch(plan, arrays, batch.num_rows, held)
    _check_expansion(found)
    for place, others in plan.rivals:
        values = np.stack([is_valid(found.arrays[other]) for other in others]).any(axis=0)
        if (is_valid(found.arrays[place]) & values).any():
            raise ArrowError(f'arrow: gives a row two values under "{plan.columns[place].name}"; keep one')
    return found


@lru_cache(_SCHEMAS_MAX)
def _plan(schema_frame: bytes) -> Plan:
    """Raises ArrowError for columns that docs/columnar.md does not have."""
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(schema_frame))
        if len(schema) > COLUMNS_MAX:
            raise ArrowError(f"arrow: has more than {COLUMNS_MAX} columns; leave out what no meter reads")
        columns = tuple(Column(field.name, _kind(field.name, field.type), field.type) for field in schema)
    except (*_FAULTS, UnicodeDecodeError):  # names and zones are decoded when they are looked at
        raise ArrowError(UNREADABLE) from None
    if len({(column.name, column.kind) for column in columns}) < len(columns):
        raise ArrowError("arrow: has two columns of one name and kind; make them one")
    return Plan(columns, tuple(_rivals([column.name for column in columns])))


def _kind(name: str, type_: Any) -> Kind:
    if name == "data" or len(name.encode()) > NAME_BYTES_MAX:
        raise ArrowError(f'arrow: has a column named "data", or a name of more than {NAME_BYTES_MAX} bytes; rename it')
    types = pa.types
    if types.is_string(type_) or (types.is_dictionary(type_) and types.is_string(type_.value_type)):
        return "text"
    if types.is_integer(type_):
        return "integer"
    if types.is_decimal128(type_) and 0 <= type_.scale <= type_.precision:
        return "decimal" if type_.scale else "integer"
    if types.is_boolean(type_):
        return "boolean"
    if types.is_timestamp(type_) and type_.tz is not None and name == "time":
        return "time"
    if types.is_null(type_):
        return "nothing"
    raise ArrowError(
        f'arrow: has a column "{name[:64]}" of type {str(type_)[:64]}; docs/columnar.md has those that are read'
    )


def _rivals(names: list[str]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Columns of one name, and columns of which one lies in what the other is."""
    for place, name in enumerate(names):
        within = f"{name}." if name.startswith(DATA) else None
        found = tuple(
            other
            for other, its in enumerate(names)
            if (its == name and other > place) or (within is not None and its.startswith(within))
        )
        if found:
            yield place, found


def is_valid(array: Any) -> NDArray[np.bool_]:
    """bool[n]: has a value."""
    if pa.types.is_dictionary(array.type) and array.dictionary.null_count:
        array = array.cast(array.type.value_type)
    if array.null_count in (0, len(array)):  # of no bits at all
        return np.full(len(array), not array.null_count, np.bool_)
    # Arrow's own function costs six times as much for a message.
    bits = np.frombuffer(array.buffers()[0], np.uint8)
    return np.unpackbits(bits, count=array.offset + len(array), bitorder="little")[array.offset :].view(np.bool_)


def _check_expansion(batch: ColumnarBatch) -> None:
    """Refuses what would be far larger as JSON than as columns."""
    size, events = 0, batch.events
    texts = []
    for column, array in zip(batch.plan.columns, batch.arrays, strict=True):
        size += (events - array.null_count) * (len(column.name) + _NUMBER_BYTES)
        if column.kind == "text" and pa.types.is_dictionary(column.type) and len(array.dictionary):
            texts.append((text_lengths(array.dictionary), array))
    if size + sum(events * int(lengths.max()) for lengths, _ in texts) <= EXPANDED_BYTES_MAX:
        return  # nearly always
    size += sum(int(lengths[array.indices.drop_null().to_numpy()].sum(dtype=np.int64)) for lengths, array in texts)
    if size > EXPANDED_BYTES_MAX:
        raise ArrowError(f"arrow: comes to more than {EXPANDED_BYTES_MAX} bytes as JSON; send fewer events a message")


def text_lengths(texts: Any) -> NDArray[np.int32]:
    """int32[n]: bytes of each text; 0 where there is none."""
    if not len(texts):
        return np.zeros(0, np.int32)
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset)
    return np.diff(offsets)


def json_form(batch: ColumnarBatch, row: int) -> bytes:
    """The event that a row is, as JSON: what is null is left out, and paths become objects."""
    named = any(column.name == "specversion" for column in batch.plan.columns)
    event: dict[str, Any] = {} if named else {"specversion": "1.0"}
    for at in batch.held:
        column, scalar = batch.plan.columns[at], batch.arrays[at][row]
        value = scalar.value if column.kind == "time" else scalar.as_py()
        if value is None:
            continue
        *above, last = column.name.split(".") if column.name.startswith(DATA) else [column.name]
        place = event
        for name in above:
            place = place.setdefault(name, {})
        place[last] = _written(column, value)
    return msgspec.json.encode(event)


def _written(column: Column, value: Any) -> Any:
    """A value as the JSON encoder takes it."""
    if column.kind == "time":
        return _instant(value, column.type.unit)
    if column.kind not in ("integer", "decimal"):
        return value
    number = str(value) if isinstance(value, int) else format(value, "f")  # with all its decimals
    return number if column.name == "sequence" else msgspec.Raw(number.encode())


def _instant(value: int, unit: str) -> str:
    """RFC 3339 where it can say it; what it cannot is out of range, and only has to be told apart."""
    seconds, rest = divmod(value, _PER_SECOND[unit])
    try:
        text = (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]
    except OverflowError:
        return f"{value} {unit} since 1970"
    digits = len(str(_PER_SECOND[unit])) - 1
    return f"{text}.{rest:0{digits}}Z" if digits else f"{text}Z"
