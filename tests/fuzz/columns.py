"""Columnar messages, and the JSON forms of their rows written independently of the decoder."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

TEXT = pa.string()
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def dictionary(index: Any = None) -> Any:
    return pa.dictionary(index or pa.int16(), TEXT)


def stream(batch: Any, **options: Any) -> bytes:
    """A record batch as an IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def array(values: Sequence[Any], type_: Any) -> Any:
    """An array of this type; of timestamps the values are integers."""
    if pa.types.is_dictionary(type_):
        plain = pa.array(values, TEXT).dictionary_encode()
        return pa.DictionaryArray.from_arrays(plain.indices.cast(type_.index_type), plain.dictionary)
    if pa.types.is_timestamp(type_):
        return pa.array(values, pa.int64()).cast(type_)
    return pa.array(values, type_)


def batch(columns: Sequence[tuple[str, Any, Sequence[Any]]]) -> Any:
    """A record batch of (name, type, values)."""
    schema = pa.schema([pa.field(name, type_) for name, type_, _ in columns])
    return pa.record_batch([array(values, type_) for _, type_, values in columns], schema)


def message(columns: Sequence[tuple[str, Any, Sequence[Any]]]) -> bytes:
    return stream(batch(columns))


def json_forms(columns: Sequence[tuple[str, Any, Sequence[Any]]]) -> list[bytes]:
    """What docs/columnar.md says each row means."""
    count = len(columns[0][2])
    versioned = "specversion" in [name for name, _, _ in columns]
    return [
        msgspec.json.encode(_row([(name, type_, values[row]) for name, type_, values in columns], versioned))
        for row in range(count)
    ]


def _row(values: Sequence[tuple[str, Any, Any]], versioned: bool) -> dict[str, Any]:
    event: dict[str, Any] = {} if versioned else {"specversion": "1.0"}
    data: dict[str, Any] = {}
    for name, type_, value in values:
        if value is None:
            continue
        if not name.startswith("data."):
            event[name] = _attribute(name, type_, value)
            continue
        place, path = data, name[5:].split(".")
        for one in path[:-1]:
            place = place.setdefault(one, {})
        place[path[-1]] = _number(value) if isinstance(value, Decimal) else value
        if isinstance(value, int) and not isinstance(value, bool):
            place[path[-1]] = msgspec.Raw(str(value).encode())
    return event | ({"data": data} if data else {})


def _attribute(name: str, type_: Any, value: Any) -> Any:
    if pa.types.is_timestamp(type_):
        return instant(value, type_.unit)
    if isinstance(value, Decimal):
        return str(_number(value), "ascii") if name == "sequence" else _number(value)
    if name == "sequence" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _number(value: Decimal) -> msgspec.Raw:
    return msgspec.Raw(f"{value:f}".encode())


def instant(value: int, unit: str) -> str:
    """RFC 3339, or what no reader takes for an instant."""
    whole, rest = divmod(value, PER_SECOND[unit])
    try:
        text = (
            (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
        )
    except OverflowError:
        return f"{value} {unit} since 1970"
    return text + ("" if unit == "s" else f".{rest:0{len(str(PER_SECOND[unit])) - 1}}") + "Z"


def exact(unscaled: int, scale: int) -> Decimal:
    """A decimal of any size; contexts have 28 digits."""
    return Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -scale))
