"""What stage 2 holds of meters whose prices look closer than a day: states by series and window, gauge readings.

A price with a rollup, a matrix or `per` asks for the series of an account one by one; all other prices are content with
the states by day in `processors.merge`, which cost far less.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from config.catalogue import Catalogue, Meter
from processors.samples import unpacked
from processors.states import UsageState
from processors.window_rows import WindowRow
from rating.gauges import Reading, levels
from rating.numbers import EXACT
from rating.totals import DAY_MS, Total, day_ms

_Series = tuple[str, tuple[tuple[str, str], ...]]  # subject, (dimension, value)


class SeriesStates:
    """The windows of some meters by account, meter and series."""

    def __init__(
        self, catalogue: Catalogue, meters: frozenset[str], accounts: frozenset[str], by_window: frozenset[str]
    ) -> None:
        """`meters` are held of everybody, and all meters of `accounts`. Gauges are had by day, but for those of
        `accounts` and those `by_window`."""
        self._meters, self._accounts, self._by_window = meters, accounts, by_window
        self._catalogue = catalogue
        self._versions = {(meter.id, meter.version): meter for meter in catalogue.meters}
        self._windows: dict[tuple[str, str], dict[tuple[_Series, int, int], UsageState]] = {}
        self._readings: dict[tuple[str, str], dict[_Series, set[Reading]]] = {}

    def takes(self, account: str, meter: str) -> bool:
        """Whether anything of these is held."""
        return meter in self._meters or account in self._accounts

    def add(self, row: WindowRow, meter: Meter, *moved: int) -> None:
        """A row that is newer than what was held; `moved` as for `UsageState.move`."""
        if not self.takes(row.account, row.meter):
            return
        series = (row.subject, tuple(zip(meter.dimensions, row.dimensions, strict=True)))
        place = (row.account, row.meter)
        if meter.aggregation == "gauge":  # the row that comes before its samples, perhaps alone, tells nothing of them
            if row.members:
                readings = self._readings.setdefault(place, {}).setdefault(series, set())
                for at, high, low, value in unpacked(row.members):
                    readings.add(Reading(at, high, low, EXACT.scaleb(Decimal(value), -meter.precision)))
            return
        windows = self._windows.setdefault(place, {})
        key = (series, meter.version, row.window_start_ms)
        state = windows.get(key)
        if state is None:
            state = windows[key] = UsageState()
        state.move(row, meter, *moved)

    def totals(self, account: str, meters: frozenset[str], start: date, end: date) -> list[Total]:
        """The windows of an account, those before `start` too, and its gauges slot by slot on the days [start, end)."""
        found: list[Total] = []
        for meter in sorted(meters):
            if (account, meter) in self._readings:
                found += self._levels(account, meter, day_ms(start), day_ms(end))
                continue
            for (series, version, start_ms), state in self._windows.get((account, meter), {}).items():
                by = self._versions[meter, version]
                value = state.state(by.aggregation)
                end_ms = start_ms + by.window_ms
                found.append(Total(meter, start_ms, end_ms, value, series[0], dict(series[1]), account))
        return found

    def _levels(self, account: str, meter: str, start_ms: int, end_ms: int) -> Iterator[Total]:
        """A reading is carried as long as its subject belongs to the account."""
        coarse = account not in self._accounts and meter not in self._by_window
        slot_ms = DAY_MS if coarse else min(one.window_ms for one in self._versions.values() if one.id == meter)
        for (subject, dimensions), readings in self._readings[(account, meter)].items():
            first_ms = max(start_ms, min(readings).time_us // 1000 // DAY_MS * DAY_MS)
            for at_ms, level in levels(readings, slot_ms, first_ms, end_ms):
                if self._catalogue.account_of(subject, at_ms + slot_ms - 1) == account:
                    yield Total(meter, at_ms, at_ms + slot_ms, level, subject, dict(dimensions), account)
