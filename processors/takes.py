"""What each meter takes of a batch. A column that several meters ask for is made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.catalogue import BEGIN_MS, Meter, MeterSpan
from processors.combinations import Combinations
from processors.events import Decoded, TypeRows
from processors.partials import PartialTable
from processors.samples import sample_rows
from processors.windows import Ints, Selection, window_start_ms


class Take(NamedTuple):
    """What one meter version takes of a batch."""

    table: PartialTable
    row: Ints  # place of each event in the batch
    at: Ints  # place of each in `columns`
    columns: Selection  # also of events that it does not take

    @property
    def events(self) -> Selection:
        """The events taken, in log order."""
        return self.columns.at(self.at)

    def only(self, wanted: NDArray[np.bool_]) -> Take:
        """Those of the batch's events where the mask is true."""
        mask = wanted[self.row]
        if mask.all():
            return self
        return Take(self.table, self.row[mask], self.at[mask], self.columns)


class Arrivals:
    """The valid events of one type in a batch."""

    def __init__(self, rows: TypeRows, decoded: Decoded, offset: Ints, named: Callable[[int], Combinations]) -> None:
        """`offset` int64[messages]: of each message that was decoded. `named`: by number of dimensions."""
        self.row = rows.row
        self.message = decoded.message[rows.row]
        self.time_us = decoded.time_us[rows.row]
        self._rows, self._decoded, self._named = rows, decoded, named
        self._offset = offset[self.message]
        self._every = np.arange(len(self.row))
        self._windows: dict[int, Ints] = {}
        self._series: dict[tuple[str, ...], tuple[Combinations, Ints]] = {}

    def take(self, span: MeterSpan, table: PartialTable) -> Take:
        """The events that a meter version takes: in its span of time, through its filter, with a value."""
        meter = span.meter
        taken = self._taken(span)
        at = self._every if taken is None or taken.all() else np.flatnonzero(taken)
        row = self.row if at is self._every else self.row[at]
        return Take(table, row, at, self._columns(meter))

    def _taken(self, span: MeterSpan) -> NDArray[np.bool_] | None:
        """bool[k]; None where a meter takes all."""
        masks = []
        if span.from_ms > BEGIN_MS or span.to_ms < -BEGIN_MS:
            masks.append((self.time_us >= span.from_ms * 1000) & (self.time_us < span.to_ms * 1000))
        for path, allowed in span.meter.filter.items():
            passes = [self._decoded.vocabulary[text] for text in allowed]
            masks.append(np.isin(self._rows.text[path], passes))
        if span.meter.aggregation == "unique":
            masks.append(self._rows.member[span.meter.value_paths[0]][1])
        return np.logical_and.reduce(masks) if masks else None

    def _columns(self, meter: Meter) -> Selection:
        value = member = digest = None
        if meter.aggregation in ("latest", "gauge"):
            digest = self._decoded.digest[self.row]
        if meter.aggregation == "unique":
            member, _ = self._rows.member[meter.value_paths[0]]
        elif meter.value is not None:
            value, _ = self._rows.number[(meter.value, meter.precision)]
            if meter.aggregation == "gauge":
                assert digest is not None
                member = sample_rows(self.time_us, digest, value)
        named, series = self._series_of(meter.dimensions)
        return Selection(
            named=named,
            series=series,
            window=self._window_of(meter.window_ms),
            offset=self._offset,
            time_us=None if digest is None else self.time_us,
            digest=digest,
            value=value,
            member=member,
        )

    def _series_of(self, dimensions: tuple[str, ...]) -> tuple[Combinations, Ints]:
        if dimensions not in self._series:
            named = self._named(len(dimensions))
            texts = [self._rows.text[path] for path in dimensions]
            self._series[dimensions] = named, named.codes(self._rows.subject, texts)
        return self._series[dimensions]

    def _window_of(self, window_ms: int) -> Ints:
        if window_ms not in self._windows:
            self._windows[window_ms] = window_start_ms(self.time_us, window_ms)
        return self._windows[window_ms]
