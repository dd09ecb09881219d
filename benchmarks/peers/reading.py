"""How every side but ours reads an event: one msgspec decode of a tagged union, as its documentation advises.

It knows the generator's four types and the demo's four meters by heart, so it does less than a decoder that is told by
a catalogue: no other forms, limits, precisions or versions. That is in favour of the others.
"""

from datetime import datetime
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

LATENESS_MS: Final = 24 * 3_600_000  # the demo's; an event further behind its record is not counted
SKEW_MS: Final = 300_000  # the default of `processing.skew_ms`; an event further ahead is refused
PRECISION: Final = {"worker_cpu_ms": 3}  # decimals of a meter's quantity, 0 for the others
_SEPARATOR: Final = "\x1f"  # in no source and no id
BAD: Final = (msgspec.MsgspecError, UnicodeDecodeError, OverflowError, RecursionError)

Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0, le=10**18)]
Instant = Annotated[datetime, Meta(tz=True)]
Usage = tuple[tuple[str, str, int], ...]  # (meter, dimension, whole quantity, scaled by the meter's precision)


class _HttpData(msgspec.Struct, gc=False):
    requests: Count
    bytes: Count
    region: str


class _WorkerData(msgspec.Struct, gc=False):
    cpu_ms: Annotated[float, Meta(ge=0)]
    region: str


class _StorageData(msgspec.Struct, gc=False, rename={"class_": "class"}):
    class_: str


class Http(msgspec.Struct, gc=False, tag="http.request"):
    id: Text
    source: Text
    subject: Text
    time: Instant
    data: _HttpData


class Worker(msgspec.Struct, gc=False, tag="worker.invocation"):
    id: Text
    source: Text
    subject: Text
    time: Instant
    data: _WorkerData


class Storage(msgspec.Struct, gc=False, tag="storage.operation"):
    id: Text
    source: Text
    subject: Text
    time: Instant
    data: _StorageData


class Dns(msgspec.Struct, gc=False, tag="dns.query"):
    id: Text


Event = Http | Worker | Storage | Dns
DECODER: Final = msgspec.json.Decoder(Event)


class Reading(NamedTuple):
    """What one event adds, if nobody had it before."""

    identity: str
    subject: str
    hour: int  # since 1970
    usage: Usage


def read(value: bytes | None, timestamp_ms: int) -> Reading | None:
    """None for what must not count: invalid, late by its record's timestamp, or of a type that no meter has."""
    try:
        event = DECODER.decode(value or b"")
    except BAD:
        return None
    usage: Usage
    if type(event) is Http:
        data = event.data
        usage = ("http_requests", data.region, data.requests), ("egress_bytes", data.region, data.bytes)
    elif type(event) is Worker:
        # Exact for what the generator writes: below 60,000 with three decimals, far inside a float's 15 digits.
        usage = (("worker_cpu_ms", event.data.region, round(event.data.cpu_ms * 1000)),)
    elif type(event) is Storage:
        usage = (("storage_operations", event.data.class_, 1),)
    else:
        return None
    time_ms = event.time.timestamp() * 1000
    if not timestamp_ms - LATENESS_MS <= time_ms <= timestamp_ms + SKEW_MS:
        return None
    return Reading(event.source + _SEPARATOR + event.id, event.subject, int(time_ms) // 3_600_000, usage)
