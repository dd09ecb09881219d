"""Compares what ClickHouse says with what is known to be true, total by total."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from demo.flights import Count
from edge.truth import LEDGER, rows

_SUBJECT = "subject"
Key = tuple[tuple[str, str], ...]


class Total(NamedTuple):
    """An exact quantity and the number of events behind it."""

    quantity: Decimal
    events: int


class Difference(NamedTuple):
    """One total that is not as it must be; None where there is none at all."""

    meter: str
    key: Key
    expected: Total | None
    found: Total | None

    def __str__(self) -> str:
        where = ", ".join(f"{name} {text}" for name, text in self.key)
        said = ["nothing" if t is None else f"{t.quantity} ({t.events} events)" for t in (self.expected, self.found)]
        return f"{self.meter}, {where}: expected {said[0]}, found {said[1]}"


def compare_usage(
    truth: Mapping[str, Any], meter: str, records: Iterable[Mapping[str, Any]], by: Sequence[str] | None = None
) -> list[Difference]:
    """Differences between a truth document (`edge.truth.load`) and the hourly records of `tollstream usage`.

    `by` names what the records are grouped by, as `--group-by` does; default: subject and every dimension of the meter.
    """
    names = (_SUBJECT, *truth["meters"][meter]["dimensions"]) if by is None else tuple(by)
    expected: dict[Key, Total] = {}
    for row in rows(truth, meter):
        known = {_SUBJECT: row.subject, **dict(row.dimensions)}
        key = (("from", row.hour), *((name, known[name]) for name in names))
        before = expected.get(key, Total(Decimal(0), 0))
        expected[key] = Total(before.quantity + row.quantity, before.events + row.events)
    return compare(meter, expected, totals(records, names))


def compare_flights(
    meter: str, counts: Mapping[tuple[str, ...], Count], records: Iterable[Mapping[str, Any]], by: Sequence[str]
) -> list[Difference]:
    """Differences between one field of `demo.flights.Expected` and records of `tollstream usage`, by month or day as
    the field is, grouped by `by`: the subject (carrier), and the origin where the field has it."""
    expected: dict[Key, Total] = {}
    for (*known, period), count in counts.items():
        start = f"{period}-01T00:00:00Z" if len(period) == len("2013-01") else f"{period}T00:00:00Z"
        key = (("from", start), *zip(by, known, strict=True))
        expected[key] = Total(Decimal(count.quantity), count.events)
    return compare(meter, expected, totals(records, by))


def totals(records: Iterable[Mapping[str, Any]], names: Sequence[str]) -> dict[Key, Total]:
    """Usage records by window start and the given group columns; ValueError if two records have one key."""
    found: dict[Key, Total] = {}
    for record in records:
        known = {_SUBJECT: record.get(_SUBJECT), "account": record.get("account"), **record["dimensions"]}
        key = (("from", utc(record["window_start"])), *((name, str(known[name])) for name in names))
        if key in found:
            raise ValueError(f"two records for {key}; read the usage with the same --group-by")
        found[key] = Total(Decimal(record["quantity"]), int(record["events"]))
    return found


def compare(meter: str, expected: Mapping[Key, Total], found: Mapping[Key, Total]) -> list[Difference]:
    """Every key on which the two differ, in order."""
    keys = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    return [Difference(meter, key, expected.get(key), found.get(key)) for key in keys]


def compare_ledger(truth: Mapping[str, Any], ledger: Mapping[str, Any]) -> list[str]:
    """Differences between the truth's ledger and what `tollstream ledger` prints as JSON, in words."""
    return [
        f"{column}: expected {truth['ledger'][column]}, found {ledger[column]}"
        for column in LEDGER
        if truth["ledger"][column] != ledger[column]
    ]


def utc(text: str) -> str:
    """An RFC 3339 instant in the one form that keys use: UTC, whole seconds, Z. ValueError without a zone."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
