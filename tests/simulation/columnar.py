"""Events of a simulated log as a columnar message, made by pyarrow from plain rows."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

_MICROSECOND = pa.timestamp("us", "UTC")


def columnar(rng: random.Random, bodies: list[dict[str, Any]]) -> bytes:
    """One column for each kind of values under a name; now and then texts as they are, or times as texts."""
    plain, time_as_text = rng.random() < 0.3, rng.random() < 0.3
    columns: dict[tuple[str, str], list[Any]] = {}
    for row, body in enumerate(bodies):
        for name, value in _flat("", body):
            if value is None or name == "specversion":
                continue
            kind = type(value).__name__
            if name == "time" and kind == "str" and not time_as_text and value.endswith("Z"):
                kind, value = "time", datetime.fromisoformat(value)
            columns.setdefault((name, kind), [None] * len(bodies))[row] = value
    fields = [(name, _array(kind, values, plain)) for (name, kind), values in columns.items()]
    rng.shuffle(fields)
    schema = pa.schema([pa.field(name, array.type) for name, array in fields])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([array for _, array in fields], schema))
    return bytes(sink.getvalue().to_pybytes())


def _flat(path: str, value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = []
    for name, one in value.items():
        found += _flat(f"{path}{name}.", one) if isinstance(one, dict) else [(path + name, one)]
    return found


def _array(kind: str, values: list[Any], plain: bool) -> Any:
    if kind == "time":
        return pa.array(values, _MICROSECOND)
    if kind == "Decimal":
        scale = max(-int(value.as_tuple().exponent) for value in values if value is not None)
        return pa.array(values, pa.decimal128(38, scale))
    if kind == "int":
        return pa.array(values, pa.int16())
    texts = pa.array(values, pa.string())
    return texts if plain else texts.dictionary_encode()
