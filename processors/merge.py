"""What stage 2 holds: the newest version of every partial, merged into states by account, meter and day."""

from __future__ import annotations

from bisect import bisect_left, insort
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from config.catalogue import Meter
from processors.identity import DigestSet
from processors.outputs import WindowRow
from processors.series import SeriesStates
from processors.states import UsageState
from rating.periods import Period, month_of

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_KEY = msgspec.msgpack.Encoder()


class UnknownMeterError(Exception):
    """A partial of a meter that the catalogue lacks: a worker with a newer one wrote it. A new start reads that one."""


class MeterDays(dict[date, UsageState]):
    """What one account used of one meter, by day."""

    def __init__(self) -> None:
        self.order: list[date] = []  # ascending
        self.prefix: Prefix | None = None

    def at(self, day: date) -> UsageState:
        """The state of a day that is about to change."""
        if self.prefix is not None and day < self.prefix.until:
            self.prefix = None
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


class Merged:
    """The newest version of every partial of some partitions of `usage.windows`, by account, meter and day."""

    def __init__(self, meters: dict[tuple[str, int], Meter], series: SeriesStates | None = None) -> None:
        """`series`: takes the rows, too."""
        self._meters = meters
        self.series = series
        self.days: dict[tuple[str, str], MeterDays] = {}  # by account and meter id
        self.dirty: dict[tuple[str, Period], dict[str, date]] = {}  # (account, month) -> meter id -> first day changed
        self._known = DigestSet()
        self._held = np.empty((0, 4), np.int64)  # of each known row: offset, events, sum_hi, sum_lo

    def __len__(self) -> int:
        return self._known.count

    def add(self, rows: list[WindowRow]) -> None:
        """Merge a batch of rows, in any order, any number of times."""
        if not rows:
            return
        digests = b"".join([xxhash.xxh3_128_digest(_KEY.encode(row.key())) for row in rows])
        at, new = self._known.place(np.frombuffer(digests, np.uint64).reshape(-1, 2))
        if self._known.count > len(self._held):
            grown = np.zeros((max(self._known.count, len(self._held) * 3 // 2), 4), np.int64)
            grown[: len(self._held)] = self._held
            self._held = grown
        self._held[at[new], 0] = -1
        found = np.array([(row.offset, row.events, row.sum_hi, row.sum_lo) for row in rows], np.int64)
        chosen = _newest(at, found[:, 0])
        chosen = chosen[found[chosen, 0] > self._held[at[chosen], 0]]
        moved = found[chosen] - self._held[at[chosen]]
        self._held[at[chosen]] = found[chosen]
        for place, difference in zip(chosen.tolist(), moved.tolist(), strict=True):
            self._apply(rows[place], *difference)

    def _apply(self, row: WindowRow, versions: int, events: int, sum_hi: int, sum_lo: int) -> None:
        """One row that is newer than what was held, by what it differs."""
        meter = self._meters.get((row.meter, row.meter_version))
        if meter is None:
            raise UnknownMeterError(f"meter {row.meter} version {row.meter_version} is of a newer catalogue than ours")
        day, month = _day(row.window_start_ms // _DAY_MS)
        days = self.days.get((row.account, row.meter))
        if days is None:
            days = self.days[(row.account, row.meter)] = MeterDays()
        state = days.at(day)
        changed = self.dirty.setdefault((row.account, month), {})
        if changed.setdefault(row.meter, day) > day:
            changed[row.meter] = day
        state.move(row, meter, versions, events, sum_hi, sum_lo)
        if self.series is not None:
            self.series.add(row, meter, versions, events, sum_hi, sum_lo)


@lru_cache(maxsize=4096)
def _day(number: int) -> tuple[date, Period]:
    """A day by its number since 1970, and its month."""
    day = _EPOCH + timedelta(days=number)
    return day, month_of(day)


def _newest(at: NDArray[np.int64], offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each distinct value of `at` the place with the highest offset; the versions between are history."""
    order = np.lexsort((offset, at))
    last = np.append(at[order][1:] != at[order][:-1], True)
    newest: NDArray[np.int64] = order[last]
    return newest
