"""A naive recount of traffic: line by line, plain dicts and Decimals, nothing shared with generator or processors.

It is slow and simple on purpose: where it, the generator's truth and ClickHouse agree, three ways of counting agree.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

# meter: (event type, field that is summed or None to count, dimension, decimal digits)
METERS: dict[str, tuple[str, str | None, str, int]] = {
    "http_requests": ("http.request", "requests", "region", 0),
    "egress_bytes": ("http.request", "bytes", "region", 0),
    "worker_cpu_ms": ("worker.invocation", "cpu_ms", "region", 3),
    "storage_operations": ("storage.operation", None, "class", 0),
}
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_SEQUENCE = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_LIMIT = 10**18


class Recount(NamedTuple):
    """`ledger` by column; `totals` by (meter, subject, dimension's text, start of the hour) as (quantity, events)."""

    ledger: dict[str, int]
    totals: dict[tuple[str, str, str, datetime], tuple[Decimal, int]]


class _InvalidError(ValueError):
    pass


def recount(
    lines: Iterable[bytes], clock: datetime, lateness: timedelta, skew: timedelta = timedelta(minutes=5)
) -> Recount:
    """Count `lines` as if all had reached the log at the instant `clock`."""
    ledger = dict.fromkeys(("consumed", "accepted", "duplicate", "late", "invalid", "unmetered"), 0)
    totals: dict[tuple[str, str, str, datetime], tuple[Decimal, int]] = {}
    seen = set()
    for line in lines:
        ledger["consumed"] += 1
        try:
            event, time, quantities = _read(line, clock + skew)
        except ValueError:  # what json, the UTF-8 decoder and the checks below raise
            ledger["invalid"] += 1
            continue
        identity: tuple[object, ...] = (event["source"], event["id"], time)
        if event.get("sequencetype") == "tollstream":
            identity = (event["source"], time.date(), int(event["sequence"]))
        if not any(meter[0] == event["type"] for meter in METERS.values()):
            ledger["unmetered"] += 1
        elif time < clock - lateness:
            ledger["late"] += 1
        elif identity in seen:
            ledger["duplicate"] += 1
        else:
            seen.add(identity)
            ledger["accepted"] += 1
            hour = time.replace(minute=0, second=0, microsecond=0)
            for meter, quantity in quantities.items():
                key = (meter, event["subject"], event["data"].get(METERS[meter][2], ""), hour)
                total, events = totals.get(key, (Decimal(0), 0))
                totals[key] = (total + quantity, events + 1)
    return Recount(ledger, totals)


def _read(line: bytes, latest: datetime) -> tuple[dict[str, Any], datetime, dict[str, Decimal]]:
    """(event, its instant, the quantity of each meter); ValueError if it is invalid."""
    event = json.loads(line.decode(), parse_float=Decimal, parse_constant=_refuse)
    if not isinstance(event, dict) or event.get("specversion") != "1.0":
        raise _InvalidError("not a CloudEvent")
    for name in ("id", "source", "type", "subject", "time"):
        if not isinstance(event.get(name), str) or not event[name]:
            raise _InvalidError(name)
    if event.get("sequencetype") == "tollstream" and not _SEQUENCE.fullmatch(str(event.get("sequence"))):
        raise _InvalidError("sequence")
    match = _TIME.fullmatch(event["time"])
    if not match:
        raise _InvalidError("time")
    time = datetime.fromisoformat(event["time"].upper()).astimezone(UTC)
    if time > latest:
        raise _InvalidError("future")
    quantities = {}
    for meter, (type_, field, _, digits) in METERS.items():
        if event["type"] == type_:
            if not isinstance(event.get("data"), dict):
                raise _InvalidError("data")
            quantities[meter] = Decimal(1) if field is None else _quantity(event["data"].get(field), digits)
    return event, time, quantities


def _quantity(value: object, digits: int) -> Decimal:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise _InvalidError("not a number")
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _InvalidError("not a number")
    number = Decimal(value)
    if number and number.adjusted() > 20:  # before any arithmetic: 1e400 has no place here
        raise _InvalidError("too large")
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > digits or number < 0 or number.scaleb(digits) > _LIMIT:
        raise _InvalidError("out of range")
    return number


def _refuse(constant: str) -> object:
    raise _InvalidError(constant)
