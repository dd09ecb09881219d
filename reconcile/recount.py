"""The recount of one partition: verdict by verdict, one event at a time, after section 4 of the design.

Memory is bounded by what is open: identities go when their hour closes by the log's clock, and the caller takes closed
windows out with `close` once it has compared them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import ceil, floor
from typing import Any, Final, NamedTuple

import msgspec
from xxhash import xxh3_128_intdigest

from config.catalogue import BEGIN_MS, Catalogue, Meter
from config.formulas import Formula
from config.settings import Limits
from reconcile import values
from reconcile.reader import Event, Fault, Reader, Refused
from reconcile.states import Series, State
from reconcile.values import Unfit

COUNTS: Final = ("consumed", "accepted", "duplicate", "late", "invalid", "unmetered")
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US

MeterKey = tuple[str, int]  # meter id, version
WindowKey = tuple[str, int, Series, int]  # meter id, version, series, start of the window in ms


class Letter(msgspec.Struct, frozen=True, gc=False):
    """An event that must be among the late events or the dead letters."""

    offset: int
    index: int
    late: bool
    raw: int  # xxh3_128 of its original bytes
    certain: bool = True  # False: it is one only if a window had reached a limit before where the recount began


class Seen(msgspec.Struct, frozen=True, gc=False):
    """One event and what became of it, for the evidence behind a difference."""

    offset: int
    index: int
    verdict: str
    event: Event | None
    keys: tuple[WindowKey, ...]


class Numbers:
    """The numbers accepted of one source, of events of one day."""

    __slots__ = ("held", "newest_ms")

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.newest_ms = -1  # of the day: the time of the newest event


class _Take(NamedTuple):
    """A meter version that takes an event, the partial it goes to, and its scaled value or member."""

    key: MeterKey
    aggregation: str
    series: Series
    window: int
    value: int


def _plan(catalogue: Catalogue, event_type: str) -> list[tuple[Meter, int, int, int, MeterKey]]:
    """Of each meter version: the event times that it takes, and the length of its window, in microseconds."""
    return [
        (meter, from_ms * 1_000, to_ms * 1_000, meter.window_ms * 1_000, (meter.id, meter.version))
        for meter, from_ms, to_ms in catalogue.meters_of(event_type)
    ]


class Recount:
    """All that the log of one partition comes to. `since_ms`: count only events of this time and later."""

    def __init__(self, catalogue: Catalogue, limits: Limits, skew_ms: int, since_ms: int = BEGIN_MS) -> None:
        self.catalogue, self.since_ms = catalogue, since_ms
        self.clock_ms = BEGIN_MS
        self.offset = 0  # the next message
        self.ledger = dict.fromkeys(COUNTS, 0)
        self.hours: dict[int, set[int]] = {}  # hour since 1970 -> identities of its accepted events
        self.days: dict[int, dict[int, Numbers]] = {}  # day since 1970 -> digest of a source -> its accepted numbers
        self.windows: dict[MeterKey, dict[int, dict[Series, State]]] = {
            (one.id, one.version): {} for one in catalogue.meters
        }
        self.letters: list[Letter] = []
        self.tell: Callable[[Seen], None] | None = None  # a caller that wants every event
        self._limits, self._reader = limits, Reader(catalogue, limits, skew_ms)
        self._plans = {one.type: _plan(catalogue, one.type) for one in catalogue.events}
        self._lateness_us = {one.type: one.lateness_ms * 1_000 for one in catalogue.events}
        self._lateness_max_ms = max((one.lateness_ms for one in catalogue.events), default=0)
        self._meters = {(one.id, one.version): one for one in catalogue.meters}
        self._combinations: dict[tuple[MeterKey, int], dict[str, int]] = {}  # window -> subject -> its series

    def fold(self, offset: int, timestamp_ms: int, value: bytes | None) -> None:
        """Count one message. Raises NotUnderstood, with nothing counted."""
        found = self._reader.events(value, timestamp_ms)
        if timestamp_ms > self.clock_ms:
            self.clock_ms = timestamp_ms
            self._close_hours()
        for index, event in enumerate(found):
            verdict, takes = self._judge(event, offset, index)
            self.ledger["consumed"] += 1
            self.ledger[verdict] += 1
            if self.tell is not None:
                keys = tuple((*take.key, take.series, take.window) for take in takes)
                self.tell(Seen(offset, index, verdict, event if isinstance(event, Event) else None, keys))
        self.offset = offset + 1

    def _judge(self, event: Event | Refused, offset: int, index: int) -> tuple[str, list[_Take]]:
        if event.__class__ is Refused:
            self._letter(offset, index, event)
            return "invalid", []
        assert isinstance(event, Event)
        try:
            takes = self._takes(event)
        except Unfit:
            self._letter(offset, index, event)
            return "invalid", []
        if not takes:
            return "unmetered", takes
        if event.time_us < self.clock_ms * 1_000 - self._lateness_us[event.type]:
            self._letter(offset, index, event, late=True)
            return "late", takes
        if event.time_us < self.since_ms * 1_000:
            self._letter(offset, index, event, certain=False)
            return "accepted", takes
        for take in takes:
            if self._full(take, event.identity):
                self._letter(offset, index, event)
                return "invalid", takes
        if event.number is not None:
            known = self._numbered(event)
            if known == "invalid":
                self._letter(offset, index, event)
        else:
            hour = self.hours.setdefault(event.time_us // _HOUR_US, set())
            known = "duplicate" if event.identity in hour else "accepted"
            hour.add(event.identity)
        if known != "accepted":
            return known, takes
        for take in takes:
            self._fold(take, event, offset)
        return "accepted", takes

    def _letter(
        self, offset: int, index: int, event: Event | Refused, late: bool = False, certain: bool = True
    ) -> None:
        self.letters.append(Letter(offset, index, late, xxh3_128_intdigest(event.raw), certain))

    def _numbered(self, event: Event) -> str:
        """A number that was there is a repeat, unless its event is newer than all before it: then it was used twice."""
        day, time_us = divmod(event.time_us, _DAY_US)
        source = self.days.setdefault(day, {}).setdefault(event.source_digest, Numbers())
        if event.number in source.held:
            return "invalid" if time_us // 1_000 > source.newest_ms else "duplicate"
        assert event.number is not None
        source.held.add(event.number)
        source.newest_ms = max(source.newest_ms, time_us // 1_000)
        return "accepted"

    def _takes(self, event: Event) -> list[_Take]:
        """The meter versions that take it. Raises Unfit where a value that one of them needs is not there."""
        takes: list[_Take] = []
        time_us, found = event.time_us, event.values
        texts: dict[str, str] = {}
        for meter, from_us, to_us, size_us, key in self._plans.get(event.type, ()):
            if not from_us <= time_us < to_us:
                continue
            value = self._value(meter, found)
            for path in meter.dimensions:
                if path not in texts:
                    texts[path] = self._text(found[path])
            passes = value is not None
            for path, allowed in meter.filter.items():
                if path not in texts:
                    texts[path] = self._text(found[path])
                passes = passes and texts[path] in allowed
            if passes and value is not None:
                series = (event.subject, *[texts[path] for path in meter.dimensions])
                takes.append(_Take(key, meter.aggregation, series, time_us // size_us * meter.window_ms, value))
        return takes

    @staticmethod
    def _value(meter: Meter, found: dict[str, Any]) -> int | None:
        """Scaled, or the member of a unique meter: None where there is none, so that the meter passes it by."""
        if meter.aggregation == "count":
            return 0
        if isinstance(meter.value, Formula):
            return _product(meter.value, meter, found)
        value = found[meter.value or ""]
        if value.__class__ is Fault:
            raise Unfit(value.why)
        if meter.aggregation == "unique":
            return values.member(value)
        if value is None:
            raise Unfit(f"data.{meter.value} is missing")
        scaled = values.scaled(value, meter.precision)
        if scaled < 0 and not meter.allow_negative:
            raise Unfit(f"data.{meter.value} is negative")
        return scaled

    def _text(self, value: Any) -> str:
        if value.__class__ is Fault:
            raise Unfit(value.why)
        return values.dimension(value, self._limits.dimension_bytes_max)

    def _full(self, take: _Take, identity: int) -> bool:
        """Whether the event would cross a limit of its window."""
        state = self.windows[take.key].get(take.window, {}).get(take.series)
        if state is None:
            held = self._combinations.get((take.key, take.window), {}).get(take.series[0], 0)
            return held >= self._limits.dimension_sets_max
        if state.members is None or len(state.members) < self._limits.unique_max:
            return False
        return (identity if take.aggregation == "gauge" else take.value) not in state.members

    def _fold(self, take: _Take, event: Event, offset: int) -> None:
        window = self.windows[take.key].setdefault(take.window, {})
        state = window.get(take.series)
        if state is None:
            state = window[take.series] = State()
            subjects = self._combinations.setdefault((take.key, take.window), {})
            subjects[take.series[0]] = subjects.get(take.series[0], 0) + 1
        state.fold(take.aggregation, offset, take.value, event.time_us, event.identity)

    # -- closing

    def open_since_ms(self, key: MeterKey) -> int:
        """A window of this meter that ends at or before this instant takes no event any more."""
        return self.clock_ms - self.catalogue.lateness_ms(self._meters[key].event_type)

    def _close_hours(self) -> None:
        since_us = (self.clock_ms - self._lateness_max_ms) * 1_000
        closed = since_us // _HOUR_US
        if self.days and min(self.days) < since_us // _DAY_US:
            for day in [day for day in self.days if day < since_us // _DAY_US]:
                del self.days[day]
        if self.hours and min(self.hours) < closed:
            for hour in [hour for hour in self.hours if hour < closed]:
                del self.hours[hour]

    def close(self, key: MeterKey) -> Iterator[tuple[int, dict[Series, State]]]:
        """Hand over, and forget, the windows of a meter that are closed by the clock: (start in ms, its partials)."""
        windows, size = self.windows[key], self._meters[key].window_ms
        limit = self.open_since_ms(key)
        for start in sorted(start for start in windows if start + size <= limit):
            self._combinations.pop((key, start), None)
            yield start, windows.pop(start)

    def forget(self) -> None:
        """Drop what nobody will ask for again: letters so far and closed windows."""
        self.letters.clear()
        for key in self.windows:
            for _ in self.close(key):
                pass

    def states(self) -> Iterator[tuple[WindowKey, State]]:
        """Every partial that is still here."""
        for key, windows in self.windows.items():
            for start, window in windows.items():
                for series, state in window.items():
                    yield (*key, series, start), state


def _product(formula: Formula, meter: Meter, found: dict[str, Any]) -> int:
    """What a formula makes of an event, in fractions."""
    product = Fraction(1)
    for path, digits in formula.factors(meter.precision):
        value = found[path]
        if value.__class__ is Fault:
            raise Unfit(value.why)
        if value is None:
            raise Unfit(f"data.{path} is missing")
        product *= Fraction(values.scaled(value, digits), 10**digits)
    step = Fraction(formula.round_to) if formula.round_to is not None else Fraction(1, 10**meter.precision)
    steps = product / step
    if formula.round == "half_up":
        whole = int(abs(steps) + Fraction(1, 2)) * (1 if steps >= 0 else -1)
    else:
        whole = ceil(steps) if formula.round == "up" else floor(steps)
    amount = whole * step
    if formula.minimum is not None:
        amount = max(amount, Fraction(formula.minimum))
    if formula.maximum is not None:
        amount = min(amount, Fraction(formula.maximum))
    scaled = (amount + Fraction(formula.fee)) * 10**meter.precision
    if abs(scaled) > values.VALUE_MAX:
        raise Unfit("too large")
    if scaled < 0 and not meter.allow_negative:
        raise Unfit(f"{formula} is negative")
    return int(scaled)
