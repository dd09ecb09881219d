"""What must hold in a price, and between it and the meters that it counts; checked on rows, so that all faults show.

The rules of a price alone are those of `rating.checks`, which its structs keep too.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from config.catalogue import WINDOW_MS
from config.faults import Fault, Place, quote, suggestion
from config.tables import BAD, Row
from rating.checks import UNKNOWN
from rating.prices import Combine, Recurring
from rating.terms import EVERY_MS

LABELS = ("subject", "account")  # what `per` and `allocate_by` know beside the dimensions of the meter


class Measured(NamedTuple):
    """What the meters of a catalogue offer to prices, by meter id; BAD where a version of it has a fault."""

    dimensions: dict[str, Any]
    windows: dict[str, Any]

    @classmethod
    def of(cls, meters: Iterable[Row]) -> "Measured":
        dimensions: dict[str, Any] = {}
        windows: dict[str, Any] = {}
        for row in meters:
            if row.good("id"):
                id = row["id"]
                names = BAD if BAD in (row["dimensions"], dimensions.get(id)) else set(row["dimensions"])
                dimensions[id] = names if names is BAD else names | dimensions.get(id, set())
                windows.setdefault(id, []).append(row["window"])
        return cls(dimensions, windows)


def price_faults(price: Row, measured: Measured, currency: Any) -> Iterator[Fault]:
    """Every fault of one price and all inside it. `currency` is that of its plan, BAD where that is not known."""
    yield from rule_faults(price)
    # what lies in a recurring price is of a fixed quantity, of no meter
    for row in [price] if price.struct is Recurring else _with_inner(price):
        yield from _meter_faults(row, measured)
        yield from _label_faults(row, measured)
        if row.has("rollup") and isinstance(row["rollup"], Row) and row.good("meter"):
            yield from _window_faults(row["rollup"], measured.windows.get(row["meter"], []))
        if row.has("currency") and currency is not BAD and row["currency"] not in (None, currency, BAD):
            yield row.place_of("currency").fault(f"must be {currency}, that of the plan; amounts are not converted")


def rule_faults(price: Row) -> Iterator[Fault]:
    """The faults that a price has by itself."""
    for row in _with_inner(price):
        check = getattr(row.struct, "faults_in", None)
        for path, message in check(row, read) if check else ():
            yield _at(row.place, path).fault(message)


def read(item: Any, name: str) -> Any:
    """A field of a row as the rules of `rating.checks` ask for it."""
    if item is BAD:
        return UNKNOWN
    return item[name] if item.has(name) else getattr(item.struct, name)


def _with_inner(row: Row) -> Iterator[Row]:
    yield row
    for value in row.given.values():
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Row):
                yield from _with_inner(inner)


def _at(place: Place, path: tuple[str | int, ...]) -> Place:
    for part in path:
        place = place.item(part) if isinstance(part, int) else place.at(part)
    return place


def _meter_faults(row: Row, measured: Measured) -> Iterator[Fault]:
    known = measured.windows.keys()
    named: list[tuple[Place, str]] = []
    if row.has("meter") and row.good("meter"):
        named.append((row.place_of("meter"), row["meter"]))
    if row.struct is Combine and row.good("meters"):
        named += [(row.place_of("meters").item(index), meter) for index, meter in enumerate(row["meters"])]
    for place, meter in named:
        if meter not in known:
            yield place.fault(f"no [[meter]] has the id {quote(meter)}{suggestion(meter, known)}")


def _label_faults(row: Row, measured: Measured) -> Iterator[Fault]:
    """A dimension that the meter does not have would be the same empty text for all."""
    if not (row.has("per") and row.good("meter")):
        return
    offered = measured.dimensions.get(row["meter"], BAD)
    if offered is BAD:
        return
    known = {*offered, *LABELS}
    named: list[tuple[Place, str]] = []
    for name in ("per", "dimensions"):
        if row.has(name) and row.good(name):
            named += [(row.place_of(name).item(index), label) for index, label in enumerate(row[name])]
    if row.good("allocate_by") and row["allocate_by"] is not None:
        named.append((row.place_of("allocate_by"), row["allocate_by"]))
    for place, label in named:
        if label not in known:
            yield place.fault(f"meter {quote(row['meter'])} has no dimension {quote(label)}{suggestion(label, known)}")


def _window_faults(rollup: Row, windows: list[Any]) -> Iterator[Fault]:
    if rollup.good("every"):
        for window in windows:
            if window is not BAD and EVERY_MS[rollup["every"]] % WINDOW_MS[window]:
                yield rollup.place_of("every").fault(f"is shorter than the meter's window of {window}")
