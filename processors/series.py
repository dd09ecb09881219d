"""What stage 2 holds of meters whose prices look closer than a day: states by series and window, gauge readings.

A price with a rollup, a matrix or `per` asks for the series of an account one by one; all other prices are content with
the states by day in `processors.merge`, which cost far less.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from config.catalogue import Catalogue, Meter
from processors.outputs import WindowRow
from processors.samples import unpacked
from processors.states import UsageState
from rating.gauges import Reading, levels
from rating.numbers import EXACT
from rating.totals import DAY_MS, Total, day_ms

_Series = tuple[str, tuple[tuple[str, str], ...]]  # subject, (dimension, value)


class SeriesStates:
    """The windows of some meters by account, meter and series."""

    def __init__(self, catalogue: Catalogue, meters: frozenset[str]) -> None:
        self.meters = meters
        self._catalogue = catalogue
        self._windows: dict[tuple[str, str], dict[tuple[_Series, Meter, int], UsageState]] = {}
        self._readings: dict[tuple[str, str], dict[_Series, set[Reading]]] = {}

    def add(self, row: WindowRow, meter: Meter, *moved: int) -> None:
        """A row that is newer than what was held; `moved` as for `UsageState.move`."""
        series = (row.subject, tuple(zip(meter.dimensions, row.dimensions, strict=True)))
        place = (row.account, row.meter)
        windows = self._windows.setdefault(place, {})
        key = (series, meter, row.window_start_ms)
        state = windows.get(key)
        if state is None:
            state = windows[key] = UsageState()
        state.move(row, meter, *moved)
        if meter.aggregation == "gauge" and row.members:
            readings = self._readings.setdefault(place, {}).setdefault(series, set())
            for at, high, low, value in unpacked(row.members):
                readings.add(Reading(at, high, low, EXACT.scaleb(Decimal(value), -meter.precision)))

    def gauges(self) -> list[tuple[str, str]]:
        """(account, meter) of every gauge that was ever read."""
        return list(self._readings)

    def totals(self, account: str, meters: frozenset[str], through: date) -> list[Total]:
        """The windows of an account, and its gauges day by day from their first reading to the day before `through`."""
        found: list[Total] = []
        for meter in sorted(meters):
            if (account, meter) in self._readings:
                found += self._levels(account, meter, through)
                continue
            for (series, version, start_ms), state in self._windows.get((account, meter), {}).items():
                value = state.state(version.aggregation)
                end_ms = start_ms + version.window_ms
                found.append(Total(meter, start_ms, end_ms, value, series[0], dict(series[1]), account))
        return found

    def _levels(self, account: str, meter: str, through: date) -> Iterator[Total]:
        """A reading is carried as long as its subject belongs to the account."""
        for (subject, dimensions), readings in self._readings[(account, meter)].items():
            first = min(readings).time_us // 1000 // DAY_MS * DAY_MS
            for start_ms, level in levels(readings, DAY_MS, first, day_ms(through)):
                if self._catalogue.account_of(subject, start_ms + DAY_MS - 1) == account:
                    yield Total(meter, start_ms, start_ms + DAY_MS, level, subject, dict(dimensions), account)
