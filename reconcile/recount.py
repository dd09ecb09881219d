"""The recount of one partition: verdict by verdict, one event at a time, after section 4 of the design.

Memory is bounded by what is open: identities go when their hour closes by the log's clock, and the caller takes closed
windows out with `close` once it has compared them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from xxhash import xxh3_128_intdigest

from config.catalogue import BEGIN_MS, Catalogue
from config.settings import Limits
from reconcile import values
from reconcile.reader import Event, Reader, Refused
from reconcile.returned import HEAD, Coordinate, Outcome, Record, Remembered, record_of
from reconcile.states import Series, State
from reconcile.takes import MeterKey, Take, Takes
from reconcile.values import Unfit

COUNTS: Final = ("consumed", "accepted", "duplicate", "late", "invalid", "unmetered", "admitted")
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_HOUR_MS: Final = 3_600_000

# meter id, version, series, start of the window in ms, admission: offset of the record + 1; 0: what came in time
WindowKey = tuple[str, int, Series, int, int]


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
    returned: bool = False  # it came back in an admission record


class Numbers:
    """The numbers accepted of one source, of events of one day."""

    __slots__ = ("held", "newest_ms")

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.newest_ms = -1  # of the day: the time of the newest event


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
        # What came back, final at once: (meter, series, start in ms, admission) -> its partial, in order of the log.
        self.admitted: dict[WindowKey, State] = {}
        self.outcomes: list[Outcome] = []
        self.letters: list[Letter] = []
        self.tell: Callable[[Seen], None] | None = None  # a caller that wants every event
        self._limits, self.reader = limits, Reader(catalogue, limits, skew_ms)
        self._takes = Takes(catalogue, limits)
        self._lateness_us = {one.type: one.lateness_ms * 1_000 for one in catalogue.events}
        self._lateness_max_ms = max((one.lateness_ms for one in catalogue.events), default=0)
        self._meters = {(one.id, one.version): one for one in catalogue.meters}
        self._remembered = Remembered()
        self._combinations: dict[tuple[MeterKey, int], dict[str, int]] = {}  # window -> subject -> its series

    def fold(self, offset: int, timestamp_ms: int, value: bytes | None) -> None:
        """Count one message."""
        if value and value.startswith(HEAD):
            record = record_of(value, self._limits.message_bytes_max, self._limits.message_events_max)
            if record is not None:
                self._admit(record, offset, timestamp_ms)
                return
        found = self.reader.events(value, timestamp_ms)
        if timestamp_ms > self.clock_ms:
            self.clock_ms = timestamp_ms
            self._close_hours()
        for index, event in enumerate(found):
            verdict, takes = self._judge(event, offset, index)
            self._count(offset, index, verdict, event, takes)
        self.offset = offset + 1

    def _count(
        self, offset: int, index: int, verdict: str, event: Event | Refused, takes: list[Take], admission: int = 0
    ) -> None:
        self.ledger["consumed"] += 1
        self.ledger[verdict] += 1
        if self.tell is not None:
            keys = tuple((*take.key, take.series, take.window, admission) for take in takes)
            self.tell(Seen(offset, index, verdict, event if isinstance(event, Event) else None, keys, admission > 0))

    def _judge(self, event: Event | Refused, offset: int, index: int) -> tuple[str, list[Take]]:
        if event.__class__ is Refused:
            self._letter(offset, index, event)
            return "invalid", []
        assert isinstance(event, Event)
        try:
            takes = self._takes.of(event)
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
        known = self._known(event)
        if known == "invalid":
            self._letter(offset, index, event)
        if known != "accepted":
            return known, takes
        for take in takes:
            self._fold(take, event, offset)
        return "accepted", takes

    def _letter(
        self, offset: int, index: int, event: Event | Refused, late: bool = False, certain: bool = True
    ) -> None:
        self.letters.append(Letter(offset, index, late, xxh3_128_intdigest(event.raw), certain))

    def _known(self, event: Event) -> str:
        """By its number or by its id, as it asks."""
        if event.number is not None:
            return self._numbered(event)
        hour = self.hours.setdefault(event.time_us // _HOUR_US, set())
        known = "duplicate" if event.identity in hour else "accepted"
        hour.add(event.identity)
        return known

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

    def _full(self, take: Take, identity: int) -> bool:
        """Whether the event would cross a limit of its window."""
        state = self.windows[take.key].get(take.window, {}).get(take.series)
        if state is None:
            held = self._combinations.get((take.key, take.window), {}).get(take.series[0], 0)
            return held >= self._limits.dimension_sets_max
        if state.members is None or len(state.members) < self._limits.unique_max:
            return False
        return (identity if take.aggregation == "gauge" else take.value) not in state.members

    def _fold(self, take: Take, event: Event, offset: int) -> None:
        window = self.windows[take.key].setdefault(take.window, {})
        state = window.get(take.series)
        if state is None:
            state = window[take.series] = State()
            subjects = self._combinations.setdefault((take.key, take.window), {})
            subjects[take.series[0]] = subjects.get(take.series[0], 0) + 1
        state.fold(take.aggregation, offset, take.value, event.time_us, event.identity)

    # -- what comes back

    def _admit(self, record: Record, offset: int, timestamp_ms: int) -> None:
        """Judge the events of an admission record; what it accepts is a partial of its own."""
        self.clock_ms = max(self.clock_ms, timestamp_ms)
        here = self.clock_ms // _HOUR_MS
        letters = [(record.topic, record.partition, one.offset, one.index) for one in record.events]
        self._remembered.add(here, *(at for at, one in zip(letters, record.events, strict=True) if one.known))
        for place, (one, at) in enumerate(zip(record.events, letters, strict=True)):
            event: Event | Refused = Refused(one.raw, "known")
            takes: list[Take] = []
            verdict, identity = "duplicate", 0
            if not one.known:
                event = self.reader.single(one.raw, timestamp_ms)
                verdict, takes = self._judge_returned(event, record)
                if isinstance(event, Event) and verdict != "invalid":
                    identity = lasting(event)
                if verdict == "accepted":
                    verdict = self._known_returned(event, identity, at, here)
            certain = not isinstance(event, Event) or event.time_us >= self.since_ms * 1_000
            self._count(offset, place, verdict, event, takes, offset + 1)
            self.outcomes.append(Outcome(offset, place, at, verdict if certain else "", identity, self.clock_ms))
            if verdict == "accepted":
                self.ledger["admitted"] += 1
                if certain and isinstance(event, Event):
                    self._fold_returned(takes, event, offset)
        self._close_hours()
        self.offset = offset + 1

    def _judge_returned(self, event: Event | Refused, record: Record) -> tuple[str, list[Take]]:
        """All but whether it is known: invalid, unmetered, late where nobody can vouch for it, or accepted so far."""
        if event.__class__ is Refused:
            return "invalid", []
        assert isinstance(event, Event)
        try:
            takes = self._takes.of(event)
        except Unfit:
            return "invalid", []
        if not takes:
            return "unmetered", takes
        if record.lateness_ms != self._lateness_max_ms or record.clock_ms > self.clock_ms:
            return "late", takes
        archived = _end_us(event) <= (record.clock_ms - record.lateness_ms) * 1_000
        remembered = record.clock_ms // _HOUR_MS >= (self.clock_ms - self._lateness_max_ms) // _HOUR_MS
        return "accepted" if self._is_open(event) or (archived and remembered) else "late", takes

    def _is_open(self, event: Event) -> bool:
        return _end_us(event) > (self.clock_ms - self._lateness_max_ms) * 1_000

    def _known_returned(self, event: Event | Refused, identity: int, at: Coordinate, here: int) -> str:
        """Whether it, or its letter, came back before, or it is among what its open hour or day has accepted."""
        assert isinstance(event, Event)
        before = identity in self._remembered or at in self._remembered
        self._remembered.add(here, identity, at)
        known = self._known(event) if self._is_open(event) else "accepted"
        return "duplicate" if before and known != "invalid" else known

    def _fold_returned(self, takes: list[Take], event: Event, offset: int) -> None:
        for take in takes:
            state = self.admitted.setdefault((*take.key, take.series, take.window, offset + 1), State())
            state.fold(take.aggregation, offset, take.value, event.time_us, event.identity)

    # -- closing

    def open_since_ms(self, key: MeterKey) -> int:
        """A window of this meter that ends at or before this instant takes no event any more."""
        return self.clock_ms - self.catalogue.lateness_ms(self._meters[key].event_type)

    def _close_hours(self) -> None:
        since_us = (self.clock_ms - self._lateness_max_ms) * 1_000
        closed = since_us // _HOUR_US
        self._remembered.close(closed)
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
        self.outcomes.clear()
        self.admitted.clear()
        for key in self.windows:
            for _ in self.close(key):
                pass

    def states(self) -> Iterator[tuple[WindowKey, State]]:
        """Every partial that is still here."""
        for key, windows in self.windows.items():
            for start, window in windows.items():
                for series, state in window.items():
                    yield (*key, series, start, 0), state
        yield from self.admitted.items()

    def state_of(self, key: WindowKey) -> State | None:
        """One partial, if it is here."""
        if key[4]:
            return self.admitted.get(key)
        return self.windows[key[:2]].get(key[3], {}).get(key[2])


def _end_us(event: Event) -> int:
    """The end of the hour that its id is kept in, or of the day of its number."""
    size_us = _HOUR_US if event.number is None else _DAY_US
    return (event.time_us // size_us + 1) * size_us


def lasting(event: Event) -> int:
    """Its identity where days are together: a number lives in its day, so the day is part of it."""
    return event.identity if event.number is None else values.of_day(event.identity, event.time_us // _DAY_US)
