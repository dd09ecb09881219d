"""What must hold between the event types and the meters of a catalogue, checked on the rows of all files."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec

from config.catalogue import WINDOW_MS, epoch_ms
from config.faults import Fault, quote, suggestion
from config.formulas import Formula
from config.tables import BAD, Row
from rating.instants import instant_text

UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])", re.ASCII)
LATENESS_MS_MAX = 36_500 * UNIT_MS["d"]  # a century: beyond it nothing would ever close
PATH = re.compile(r"[^.]+(\.[^.]+){0,7}")  # nesting of 8 is more than any event has
DIMENSIONS_MAX = 32  # each is part of every row key
FILTER_TEXTS_MAX = 1_000  # of one path


def duration_ms(text: str) -> int:
    """Milliseconds of "24h", "90m", "30s" or "5000d", up to LATENESS_MS_MAX; ValueError for anything else."""
    match = DURATION.fullmatch(text)
    milliseconds = int(match[1]) * UNIT_MS[match[2]] if match else 0
    if not 0 < milliseconds <= LATENESS_MS_MAX:
        raise ValueError('must be above zero with its unit s, m, h or d, such as "24h", and at most "36500d"')
    return milliseconds


def event_faults(events: Sequence[Row]) -> Iterator[Fault]:
    seen: dict[str, Row] = {}
    for row in events:
        if row.good("type"):
            first = seen.setdefault(row["type"], row)
            if first is not row:
                yield row.place_of("type").fault(f"{quote(row['type'])} is already at {first.place}")
        if row.good("lateness"):
            try:
                duration_ms(row["lateness"])
            except ValueError as error:
                yield row.place_of("lateness").fault(str(error))


def meter_faults(meters: Sequence[Row], events: Sequence[Row]) -> Iterator[Fault]:
    types = {row["type"] for row in events if row.good("type")}
    for row in meters:
        if row.good("event_type") and row["event_type"] not in types:
            message = f"no [[event]] has the type {quote(row['event_type'])}{suggestion(row['event_type'], types)}"
            yield row.place_of("event_type").fault(message)
        yield from _value_faults(row)
        yield from _dimension_faults(row)
    yield from _shape_faults(meters)
    yield from _version_faults(meters)


def _value_faults(row: Row) -> Iterator[Fault]:
    if not row.good("aggregation"):
        return
    aggregation = row["aggregation"]
    if aggregation == "count" and row["value"] is not None:
        yield row.place_of("value").fault("is not for count, which counts events; leave it out")
    elif row["value"] is None and aggregation != "count":
        yield row.place_of("value").fault(f'is required for {aggregation}: a dotted path in data, such as "requests"')
    elif row.good("value") and isinstance(row["value"], Row):
        yield from _formula_faults(row, row["value"])
    elif row.good("value") and row["value"] is not None and not PATH.fullmatch(row["value"]):
        yield row.place_of("value").fault('must be a dotted path of at most 8 names, such as "usage.bytes"')
    if aggregation in ("count", "unique") and row.good("precision") and row["precision"] != 0:
        yield row.place_of("precision").fault(f"must be 0 for {aggregation}, which is a whole number")


def _formula_faults(row: Row, value: Row) -> Iterator[Fault]:
    if row["aggregation"] == "unique":
        yield row.place_of("value").fault("must be a path for unique: it is a text that is counted, not a number")
    if not row.good("precision") or not value.good(*(field.name for field in msgspec.structs.fields(Formula))):
        return
    for place, path in enumerate(value["product"]):
        if not PATH.fullmatch(path):
            yield value.place_of("product").item(place).fault("must be a dotted path of at most 8 names")
    formula = value.build([])
    for field, message in formula.faults(row["precision"]):
        yield value.place_of(field).fault(message)


def value_paths(row: Row) -> list[str]:
    """The paths that a meter's value comes from, as far as they are good."""
    value = row["value"]
    if isinstance(value, Row):
        return list(value["product"]) if value.good("product") else []
    return [value] if value else []


def _dimension_faults(row: Row) -> Iterator[Fault]:
    if row.good("dimensions"):
        place, dimensions = row.place_of("dimensions"), row["dimensions"]
        for index, path in enumerate(dimensions):
            if not PATH.fullmatch(path):
                yield place.item(index).fault('must be a dotted path of at most 8 names, such as "edge.region"')
            if path in dimensions[:index]:
                yield place.item(index).fault(f"{quote(path)} is there twice")
        if len(dimensions) > DIMENSIONS_MAX:
            yield place.fault(f"has {len(dimensions)} dimensions; at most {DIMENSIONS_MAX} are possible")
    if row.good("filter"):
        for path, texts in row["filter"].items():
            place = row.place_of("filter").at(path)
            if not PATH.fullmatch(path) or not path.isprintable():
                yield place.fault('must be a dotted path in quotes, such as "edge.region", of at most 8 names')
            if not 1 <= len(texts) <= FILTER_TEXTS_MAX:
                yield place.fault(f"must hold 1 to {FILTER_TEXTS_MAX} texts; one of them lets an event through")


def _shape_faults(meters: Iterable[Row]) -> Iterator[Fault]:
    """No event has both a value at a path and something below it."""
    paths: dict[str, dict[str, Row]] = {}
    for row in meters:
        if row.good("event_type", "value", "dimensions", "filter"):
            used = [*row["dimensions"], *row["filter"], *value_paths(row)]
            for path in used:
                paths.setdefault(row["event_type"], {}).setdefault(path, row)
    for of_type in paths.values():
        for path, row in of_type.items():
            names = path.split(".")
            for above in (".".join(names[:count]) for count in range(1, len(names))):
                if above in of_type:
                    other = of_type[above].place
                    yield row.place.fault(f"{quote(path)} lies below {quote(above)}, which {other} takes as a value")


def _version_faults(meters: Iterable[Row]) -> Iterator[Fault]:
    by_id: dict[str, list[Row]] = {}
    for row in meters:
        if row.good("id", "version"):
            by_id.setdefault(row["id"], []).append(row)
    for versions in by_id.values():
        versions.sort(key=lambda row: int(row["version"]))
        yield from _grid_faults(versions[0], versions[0])
        for earlier, row in pairwise(versions):
            if earlier.good("aggregation") and row.good("aggregation") and earlier["aggregation"] != row["aggregation"]:
                message = f"must stay {earlier['aggregation']}: a price adds up all versions; give the meter a new id"
                yield row.place_of("aggregation").fault(message)
            if earlier["version"] == row["version"]:
                message = (
                    f"{row['version']} of {quote(row['id'])} is already at {earlier.place}; give this one the next"
                )
                yield row.place_of("version").fault(message)
            elif row["from_"] is None:
                message = f"is required from the second version on: the instant at which it replaces {earlier.place}"
                yield row.place_of("from_").fault(message)
            else:
                yield from _grid_faults(earlier, row)


def _grid_faults(earlier: Row, row: Row) -> Iterator[Fault]:
    """A version begins on the window grid, its own and the one that it ends, so that no window is cut."""
    begin, before = row["from_"], earlier["from_"]
    if begin is BAD or begin is None:
        return
    for window in {row["window"], earlier["window"]} - {BAD}:
        if epoch_ms(begin) % WINDOW_MS[window] or begin.microsecond % 1000:
            yield row.place_of("from_").fault(f"{instant_text(begin)} cuts a window of {window}; use its start")
    if row is not earlier and before is not BAD and before is not None and begin <= before:
        message = f"must be after {instant_text(before)}, where version {earlier['version']} begins"
        yield row.place_of("from_").fault(message)
