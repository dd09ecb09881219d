"""A catalogue with every kind of field, and events for it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Limits
from processors.events import Decoded, Decoder

DAY_MS = 86_400_000
RECORD_MS = 1_793_577_600_000  # 2026-11-02T00:00:00Z
SKEW_MS = 300_000
CHANGE = datetime(2026, 6, 1, tzinfo=UTC)  # the second version of `units` begins


def meter(name: str, event_type: str, aggregation: str, value: str | None = None, **more: Any) -> Meter:
    return Meter(
        id=name, version=more.pop("version", 1), event_type=event_type, aggregation=aggregation, value=value, **more
    )


CATALOGUE = Catalogue(
    events=tuple(EventType(name, DAY_MS) for name in ("traffic", "nobody", "odd", "pulse", "seat")),
    meters=(
        meter("bytes", "traffic", "sum", "bytes", dimensions=("zone", "meta.region"), filter={"tier": ("a", "b")}),
        meter("millis", "traffic", "avg", "meta.ms", precision=3, allow_negative=True),
        meter("status", "traffic", "max", "status", dimensions=("status",)),
        meter("units", "traffic", "sum", "units_old"),
        meter("units", "traffic", "sum", "units", version=2, precision=2, from_=CHANGE, dimensions=("unit kind",)),
        meter("odd", "odd", "latest", "a", precision=12, dimensions=("c",)),
        meter("odd", "odd", "latest", "a.b", version=2, precision=1, from_=CHANGE),
        meter("pulses", "pulse", "count"),
        meter("seats", "seat", "unique", "user.id", dimensions=("plan",)),
    ),
)
KIND = {event.type: place for place, event in enumerate(CATALOGUE.events)}

DATA = {
    "traffic": {
        "bytes": 5,
        "zone": "z1",
        "tier": "a",
        "meta": {"region": "eu", "ms": "12.345"},
        "status": 200,
        "units": 2,
        "unit kind": "GB",
        "unread": [1, {"x": None}],
    },
    "odd": {"c": "x", "a": {"b": 1}},
    "pulse": {},
    "seat": {"user": {"id": "u1"}, "plan": "pro"},
    "nobody": {"x": 1},
    "strange": {},
}


def event(event_type: str = "seat", **changes: Any) -> dict[str, Any]:
    """A valid event; `changes` replace attributes, `data` too."""
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "edge/fra-1",
        "type": event_type,
        "subject": "zone-1",
        "time": "2026-11-01T12:00:00.25Z",
        "data": DATA[event_type],
    } | changes


def traffic(**data: Any) -> dict[str, Any]:
    """An event with most kinds of values; `data` replaces some of them."""
    return event("traffic", data=DATA["traffic"] | data)


def to_json(value: Any) -> bytes:
    """`msgspec.Raw` inside goes out as it is."""
    return msgspec.json.encode(value)


def to_msgpack(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


DECODER = Decoder(CATALOGUE, Limits(), SKEW_MS)


def decode(*values: bytes | None, decoder: Decoder = DECODER) -> Decoded:
    return decoder.decode(values, np.full(len(values), RECORD_MS, np.int64))


def row_of(decoded: Decoded, row: int) -> dict[str, Any]:
    """What a row holds, as plain values."""
    kind = int(decoded.kind[row])
    found: dict[str, Any] = {
        "kind": kind,
        "time_us": int(decoded.time_us[row]),
        "digest": decoded.digest[row].tolist(),
        "sequence": int(decoded.sequence[row]),
        "reason": [refusal.reason for refusal in decoded.refusals if refusal.row == row],
    }
    if kind >= 0:
        rows = decoded.types[kind]
        place = rows.row.tolist().index(row)
        text_of = decoded.vocabulary.seen
        found["subject"] = text_of[rows.subject[place]]
        found["text"] = {path: text_of[codes[place]] for path, codes in rows.text.items()}
        found["number"] = {
            key: int(scaled[place]) if present[place] else None for key, (scaled, present) in rows.number.items()
        }
        found["member"] = {
            path: digest[place].tolist() if present[place] else None for path, (digest, present) in rows.member.items()
        }
    return found
