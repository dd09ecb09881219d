"""What a check found: differences, what it could not check, and how much it compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import chain, zip_longest
from typing import Any

import msgspec

from reconcile.recount import WindowKey

KEPT_MAX = 10_000  # differences with their details; the rest is counted only, as one fault may touch every row


class Cause(msgspec.Struct):
    """An event of the log that a difference may come from."""

    offset: int
    index: int
    verdict: str
    id: str = ""
    source: str = ""
    time: str = ""


class Difference(msgspec.Struct, kw_only=True):
    """One thing that is not as the log says. `expected` and `found` hold what differs; None where there is nothing."""

    place: str  # redis, usage, ledger, late, dead-letter, admission or rated
    what: str
    partition: int | None = None
    meter: str = ""
    meter_version: int | None = None
    account: str = ""
    subject: str = ""
    dimensions: dict[str, str] = {}
    window_start: str = ""
    admission: int | None = None  # of a row of events that came back: offset of their record + 1
    chunk: int | None = None
    row: dict[str, str] = {}  # the rest of the key of a rated row
    expected: dict[str, Any] | None = None
    found: dict[str, Any] | None = None
    offsets: list[int] = []  # of messages that it points at
    events: int | None = None  # how many events of the log are behind it; `causes` holds the first of them
    causes: list[Cause] = []


class Trail(msgspec.Struct):
    """Where in the log the events behind a difference are: of a partial, of an identity, or at an offset."""

    partition: int
    key: WindowKey | None = None
    identity: int | None = None
    offset: int | None = None


class Outcome:
    """The sum of a check."""

    def __init__(self) -> None:
        self.differences: list[tuple[Difference, Trail | None]] = []
        self.count = 0  # of differences, also those whose details are not kept
        self.unchecked: dict[str, None] = {}  # statements, in order, each once
        self.waiting = 0  # rows that the processors have not acknowledged yet
        self.compared: Counter[str] = Counter()

    def differ(self, difference: Difference, trail: Trail | None = None) -> None:
        self.count += 1
        if len(self.differences) < KEPT_MAX:
            self.differences.append((difference, trail))

    def sample(self, most: int) -> list[tuple[Difference, Trail | None]]:
        """The first of each kind in turn, so that many of one kind do not hide another."""
        kinds: dict[tuple[str, str], list[tuple[Difference, Trail | None]]] = {}
        for one in self.differences:
            kinds.setdefault((one[0].place, one[0].what), []).append(one)
        turns = chain.from_iterable(zip_longest(*kinds.values()))
        return [one for one in turns if one is not None][:most]

    def leave_out(self, statement: str) -> None:
        """Something was not checked, and the person must know."""
        self.unchecked[statement] = None


def differing(expected: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields in which the two differ, of each."""
    names = [name for name in expected if expected[name] != found.get(name)]
    return {name: expected[name] for name in names}, {name: found.get(name) for name in names}


def at_ms(milliseconds: int) -> str:
    """RFC 3339, UTC."""
    return at_us(milliseconds * 1_000)


def at_us(microseconds: int) -> str:
    """RFC 3339, UTC, without a fraction that is zero."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:06d}Z" if fraction else f"{text}Z"
