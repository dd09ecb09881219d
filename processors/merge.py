"""What stage 2 holds: the newest version of every partial, merged into states by account, meter and day.

A partial is absolute, so a newer version replaces an older one: sums move by the difference, and the other states only
ever grow towards their newest version, so merging it in again changes nothing.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from config.catalogue import Meter
from processors.identity import DigestSet
from processors.outputs import WindowRow
from rating.numbers import EXACT, Quantity

DIGITS = 12  # every state is scaled to this many decimals, so that versions of a meter with other precisions merge
_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_KEY = msgspec.msgpack.Encoder()


class UnknownMeterError(Exception):
    """A partial of a meter that the catalogue lacks: a worker with a newer one wrote it. A new start reads that one."""


class DayState(msgspec.Struct):
    """The merged state of one account and meter on one day, or up to it. Numbers are integers scaled by 10**12."""

    versions: int = 0  # sum of (version + 1) over its partials: it grows with any change and with nothing else
    events: int = 0
    sum: int = 0
    lowest: int | None = None
    highest: int | None = None
    latest: tuple[int, int, int, int] | None = None  # time, identity, value
    members: set[bytes] | None = None

    def merge(self, other: DayState) -> None:
        """Take in the state of other days."""
        self.versions += other.versions
        self.events += other.events
        self.sum += other.sum
        if other.lowest is not None:
            self.lowest = other.lowest if self.lowest is None else min(self.lowest, other.lowest)
        if other.highest is not None:
            self.highest = other.highest if self.highest is None else max(self.highest, other.highest)
        if other.latest is not None:
            self.latest = other.latest if self.latest is None else max(self.latest, other.latest)
        if other.members is not None:
            self.members = (self.members or set()) | other.members

    def quantity(self, aggregation: str) -> Quantity:
        """What the state comes to, in the meter's unit; zero for a state of no events."""
        if aggregation == "count":
            return Decimal(self.events)
        if aggregation == "unique":
            return Decimal(len(self.members or ()))
        if aggregation == "avg":
            return Fraction(self.sum, max(self.events, 1) * 10**DIGITS)
        held = {
            "sum": self.sum,
            "min": self.lowest,
            "max": self.highest,
            "latest": self.latest[3] if self.latest else None,
        }[aggregation]
        return EXACT.scaleb(Decimal(held or 0), -DIGITS)


class Merged:
    """The newest version of every partial of some partitions of `usage.windows`, by account, meter and day."""

    def __init__(self, meters: dict[tuple[str, int], Meter]) -> None:
        self._meters = {key: (meter.aggregation, 10 ** (DIGITS - meter.precision)) for key, meter in meters.items()}
        self.days: dict[tuple[str, str], dict[date, DayState]] = {}  # (account, meter id) -> day -> state
        self.dirty: dict[tuple[str, date], dict[str, date]] = {}  # (account, month) -> meter id -> first day changed
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
        found = self._meters.get((row.meter, row.meter_version))
        if found is None:
            raise UnknownMeterError(f"meter {row.meter} version {row.meter_version} is of a newer catalogue than ours")
        aggregation, unit = found
        day, month = _day(row.window_start_ms // _DAY_MS)
        days = self.days.setdefault((row.account, row.meter), {})
        state = days.get(day)
        if state is None:
            state = days[day] = DayState()
        changed = self.dirty.setdefault((row.account, month), {})
        if changed.setdefault(row.meter, day) > day:
            changed[row.meter] = day
        state.versions += versions
        state.events += events
        if aggregation in ("sum", "avg"):
            state.sum += ((sum_hi << 32) + sum_lo) * unit
        elif aggregation == "min":
            value = row.value * unit
            state.lowest = value if state.lowest is None else min(state.lowest, value)
        elif aggregation == "max":
            value = row.value * unit
            state.highest = value if state.highest is None else max(state.highest, value)
        elif aggregation == "latest":
            newest = (row.time_us, row.id_hi, row.id_lo, row.value * unit)
            state.latest = newest if state.latest is None else max(state.latest, newest)
        elif row.members:
            state.members = state.members or set()
            state.members.update(row.members[i : i + 16] for i in range(0, len(row.members), 16))


@lru_cache(maxsize=4096)
def _day(number: int) -> tuple[date, date]:
    """A day by its number since 1970, and the first of its month."""
    day = _EPOCH + timedelta(days=number)
    return day, day.replace(day=1)


def _newest(at: NDArray[np.int64], offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each distinct value of `at` the place with the highest offset; the versions between are history."""
    order = np.lexsort((offset, at))
    last = np.append(at[order][1:] != at[order][:-1], True)
    newest: NDArray[np.int64] = order[last]
    return newest
