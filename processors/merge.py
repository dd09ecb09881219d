"""What stage 2 holds: the newest version of every partial, merged into states by account, meter and day."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from config.catalogue import Meter
from processors.identity import DigestSet
from processors.row_records import Taken, origin_of
from processors.sequences import splitmix
from processors.series import SeriesStates
from processors.states import DIGITS, UsageState
from processors.vocabulary import Codes
from processors.window_rows import MeterKey
from rating.periods import Period, month_of

_Number = TypeVar("_Number", np.int64, np.uint64)
_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_LOW = 0xFFFFFFFF
_SUMMED = ("sum", "count", "avg")
_TEXTS_MAX = 100_000  # remembered at a time, some 300 bytes each


class UnknownMeterError(Exception):
    """A partial of a meter that the catalogue lacks: a worker with a newer one wrote it. A new start reads that one."""


class MeterDays(dict[date, UsageState]):
    """What one account used of one meter, by day."""

    __slots__ = ("account", "changed", "meter", "order", "prefix")

    def __init__(self, account: str, meter: str) -> None:
        self.account, self.meter = account, meter
        self.order: list[date] = []  # ascending
        self.changed: list[date] = []  # since they were last rated
        self.prefix: Prefix | None = None

    def at(self, day: date) -> UsageState:
        """The state of a day that is about to change."""
        if self.prefix is not None and day < self.prefix.until:
            self.prefix = None
        if day not in self.changed:
            self.changed.append(day)
        state = self.get(day)
        if state is None:
            state = self[day] = UsageState()
            insort(self.order, day)
        return state

    def between(self, start: date, end: date) -> list[date]:
        """The days of [start, end) that have any, ascending."""
        return self.order[bisect_left(self.order, start) : bisect_left(self.order, end)]


class Prefix(NamedTuple):
    """The days [start, until) merged, so that those of a month that are over are not added up anew each time."""

    start: date
    until: date
    version: int
    state: UsageState


class _Accounts(dict[bytes, int]):
    """Where the rows of one meter version go, by account: which of `_places`. Shared by all partitions of events."""

    __slots__ = ("meter", "unit")

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self.meter = meter
        self.unit = 10 ** (DIGITS - meter.precision)  # of the meter's numbers in those of a state


class Merged:
    """The newest version of every partial of some partitions of `usage.windows`, by account, meter and day."""

    def __init__(self, meters: dict[tuple[str, int], Meter], series: SeriesStates | None = None) -> None:
        """`series`: takes the rows, too."""
        self._meters = meters
        self.series = series
        self.days: dict[tuple[str, str], MeterDays] = {}  # by account and meter id
        self._changed: list[MeterDays] = []  # since `take_changed`
        self._known = DigestSet()
        self._kept = np.empty((0, 4), np.int64)  # of each known row: offset, events, sum_hi, sum_lo
        self._forget_texts()

    def __len__(self) -> int:
        return self._known.count

    def take_changed(self) -> dict[tuple[str, Period], dict[str, date]]:
        """(account, month) -> meter id -> the first day changed since this was last asked."""
        found: dict[tuple[str, Period], dict[str, date]] = {}
        for days in self._changed:
            for day in days.changed:
                firsts = found.setdefault((days.account, _month(day)), {})
                if firsts.setdefault(days.meter, day) > day:
                    firsts[days.meter] = day
            days.changed = []
        self._changed = []
        return found

    def _forget_texts(self) -> None:
        """The same texts come with row after row; what they say is remembered, of so many at a time."""
        self._codes = Codes()
        self._digests = np.empty((0, 2), np.uint64)  # by code, and room for more
        self._place = np.empty(0, np.int64)  # by code, and room for more: which of `_places`
        self._places: list[MeterDays] = []
        self._of: list[_Accounts] = []  # by place
        self._each = bytearray()  # by place: rows are looked at one by one, as sums do not tell all that is asked
        self._accounts: dict[bytes, _Accounts] = {}  # by origin
        self._same: dict[MeterKey, _Accounts] = {}

    def _codes_of(self, rows: Taken) -> NDArray[np.int64]:
        """int64[n]: a small integer for the texts of each row. UnknownMeterError."""
        if len(self._codes) + len(rows) > _TEXTS_MAX:
            self._forget_texts()
        known = len(self._codes)
        found = self._codes.codes(rows.texts, len(rows))
        if len(self._codes) > known:
            fresh = np.flatnonzero(found >= known)
            first = np.unique(found[fresh], return_index=True)[1]
            self._read(rows, fresh[first], known)
        return found

    def _read(self, rows: Taken, fresh: NDArray[np.int64], known: int) -> None:
        """What texts that were never seen say, a row of each, for the codes from `known` on. UnknownMeterError."""
        digests, places = [], []
        for origin, series, payer in rows.parts(fresh):
            digests.append(xxhash.xxh3_128_digest(origin + series))
            accounts = self._accounts.get(origin)
            if accounts is None:
                accounts = self._accounts[origin] = self._accounts_of(origin)
            place = accounts.get(payer)
            places.append(self._new_place(accounts, payer) if place is None else place)
        self._digests, self._place = _room(self._digests, len(self._codes)), _room(self._place, len(self._codes))
        added = slice(known, len(self._codes))
        self._digests[added] = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
        self._place[added] = places

    def _accounts_of(self, origin: bytes) -> _Accounts:
        name, version, _, _ = origin_of(origin)
        meter = self._meters.get((name, version))
        if meter is None:
            raise UnknownMeterError(f"meter {name} version {version} is of a newer catalogue than ours")
        return self._same.setdefault((name, version), _Accounts(meter))

    def _new_place(self, accounts: _Accounts, account: bytes) -> int:
        payer, meter = account.decode(), accounts.meter
        place = accounts[account] = len(self._places)
        days = self.days.get((payer, meter.id))
        if days is None:
            days = self.days[(payer, meter.id)] = MeterDays(payer, meter.id)
        closer = self.series is not None and self.series.takes(payer, meter.id)
        self._places.append(days)
        self._of.append(accounts)
        self._each.append(closer or meter.aggregation not in _SUMMED)
        return place

    def add(self, values: Sequence[bytes]) -> int:
        """Merge the rows of some records, in any order, any number of times; how many they are.

        UnknownMeterError, UnknownFormatError.
        """
        rows = Taken(values)
        if not len(rows):
            return 0
        numbers, codes = rows.numbers, self._codes_of(rows)
        at, new = self._known.place(_identity(self._digests[codes], numbers))
        self._kept = _room(self._kept, self._known.count)
        self._kept[at[new], 0] = -1
        found = np.stack([numbers[name] for name in ("offset", "events", "sum_hi", "sum_lo")], axis=1)
        chosen = _newest(at, found[:, 0])
        chosen = chosen[found[chosen, 0] > self._kept[at[chosen], 0]]
        moved = found[chosen] - self._kept[at[chosen]]
        self._kept[at[chosen]] = found[chosen]
        place, day = self._place[codes[chosen]], numbers["window_start_ms"][chosen] // _DAY_MS
        self._move(place, day, moved)
        for one in np.flatnonzero(np.frombuffer(bytes(self._each), np.bool_)[place]).tolist():
            meter, row = self._of[place[one]].meter, rows.row(int(chosen[one]))
            self._places[place[one]][_day(int(day[one]))].extend(row, meter)
            if self.series is not None:
                self.series.add(row, meter, *moved[one].tolist())
        return len(rows)

    def _move(self, place: NDArray[np.int64], day: NDArray[np.int64], moved: NDArray[np.int64]) -> None:
        """Rows that are newer than what was held, by what they differ: once for each account, meter and day."""
        order = np.lexsort((day, place))
        place, day, moved = place[order], day[order], moved[order]
        starts = np.flatnonzero(np.append(True, (place[1:] != place[:-1]) | (day[1:] != day[:-1]))[: len(place)])
        versions, events, high, low = moved.T
        limbs = np.stack([versions, events, high >> 32, high & _LOW, low], axis=1)  # no sum of a batch wraps
        sums = np.add.reduceat(limbs, starts, axis=0).tolist() if len(starts) else []
        at = place[starts].tolist()
        for days, accounts, number, (by, more, top, middle, bottom) in zip(
            map(self._places.__getitem__, at),
            map(self._of.__getitem__, at),
            day[starts].tolist(),
            sums,
            strict=True,
        ):
            if not days.changed:
                self._changed.append(days)
            state = days.at(_day(number))
            state.versions += by
            state.events += more
            state.sum += ((top << 64) + (middle << 32) + bottom) * accounts.unit


def _room(rows: NDArray[_Number], count: int) -> NDArray[_Number]:
    """The rows, with room for so many: half as many more at a time, so that each is copied a few times at most."""
    if count <= len(rows):
        return rows
    grown = np.zeros((max(count, len(rows) * 3 // 2), *rows.shape[1:]), rows.dtype)
    grown[: len(rows)] = rows
    return grown


def _identity(about: NDArray[np.uint64], numbers: NDArray[Any]) -> NDArray[np.uint64]:
    """uint64[n, 2]: of each row a digest of its key. Of one series, rows of two windows never have the same."""
    names = ("chunk", "window_start_ms", "admission")
    chunk, window, admission = (numbers[name].astype(np.uint64) for name in names)
    return np.stack([about[:, 0] ^ splitmix(window), splitmix(about[:, 1] ^ admission) ^ splitmix(chunk)], axis=1)


@lru_cache(maxsize=4096)
def _day(number: int) -> date:
    """A day by its number since 1970."""
    return _EPOCH + timedelta(days=number)


_month = lru_cache(maxsize=4096)(month_of)


def _newest(at: NDArray[np.int64], offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each distinct value of `at` the place with the highest offset; the versions between are history."""
    order = np.lexsort((offset, at))
    last = np.append(at[order][1:] != at[order][:-1], True)
    newest: NDArray[np.int64] = order[last]
    return newest
