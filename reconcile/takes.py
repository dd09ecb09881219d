"""Which meter versions take an event, for which partial, and with which value."""

from __future__ import annotations

from typing import Any, NamedTuple

from config.catalogue import Catalogue, Meter
from config.formulas import Formula
from config.settings import Limits
from reconcile import values
from reconcile.formulas import product
from reconcile.reader import Event, Fault
from reconcile.states import Series
from reconcile.values import Unfit

MeterKey = tuple[str, int]  # meter id, version


class Take(NamedTuple):
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


class Takes:
    """Of one catalogue."""

    def __init__(self, catalogue: Catalogue, limits: Limits) -> None:
        self._limits = limits
        self._plans = {one.type: _plan(catalogue, one.type) for one in catalogue.events}

    def of(self, event: Event) -> list[Take]:
        """The meter versions that take it. Raises Unfit where a value that one of them needs is not there."""
        takes: list[Take] = []
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
                takes.append(Take(key, meter.aggregation, series, time_us // size_us * meter.window_ms, value))
        return takes

    @staticmethod
    def _value(meter: Meter, found: dict[str, Any]) -> int | None:
        """Scaled, or the member of a unique meter: None where there is none, so that the meter passes it by."""
        if meter.aggregation == "count":
            return 0
        if isinstance(meter.value, Formula):
            return product(meter.value, meter, found)
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
