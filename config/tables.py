"""Reads TOML tables into rows shaped by a msgspec struct, noting every fault instead of stopping at the first.

msgspec itself stops at the first fault, takes floats and lax decimals for a Decimal, and tolerates naive instants.
"""

import types
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from config.faults import Fault, Place, quote, suggestion
from rating.checks import UNKNOWN
from rating.numbers import canonical

TEXT_BYTES_MAX = 4096  # of any text: a long list of brokers fits; ids and subjects are held shorter elsewhere

BAD = UNKNOWN  # stands for a value whose fault has been noted; rules of `rating` look past it


class Row:
    """One table as read: good values by field name; nested tables are rows. Built into its struct when all is good."""

    def __init__(self, struct: type[msgspec.Struct], place: Place) -> None:
        self.struct = struct
        self.place = place
        self.given: dict[str, Any] = {}  # BAD where the value had a fault
        self._fields = {field.name: field for field in msgspec.structs.fields(struct)}

    def __getitem__(self, name: str) -> Any:
        """The value, its default, or BAD (also for a required one that is missing)."""
        if name in self.given:
            return self.given[name]
        field = self._fields[name]
        if field.default_factory is not msgspec.NODEFAULT:
            return field.default_factory()
        return BAD if field.default is msgspec.NODEFAULT else field.default

    def rows(self, name: str) -> list["Row"]:
        """The good tables of an array of tables."""
        return [] if self[name] is BAD else [item for item in self[name] if item is not BAD]

    def has(self, name: str) -> bool:
        """Whether the struct has this field at all."""
        return name in self._fields

    def good(self, *names: str) -> bool:
        return all(self[name] is not BAD for name in names)

    def place_of(self, name: str) -> Place:
        """Where a field is written, under its name in the file."""
        return self.place.at(self._fields[name].encode_name)

    def build(self, faults: list[Fault]) -> Any:
        """The struct; BAD with a fault when it refuses its values. Only for a row without faults."""
        values = {name: _built(value, faults) for name, value in self.given.items()}
        if any(value is BAD or (isinstance(value, tuple) and BAD in value) for value in values.values()):
            return BAD
        try:
            return self.struct(**values)
        except (ValueError, TypeError) as error:
            faults.append(self.place.fault(str(error)))
            return BAD


def whole(row: Row) -> Any:
    """The struct of a row without any fault of its own; None for another, whose faults are noted elsewhere."""
    built = BAD if _broken(row) else row.build([])
    return None if built is BAD else built


def _broken(row: Row) -> bool:
    missing = any(field.required and field.name not in row.given for field in msgspec.structs.fields(row.struct))
    values = [inner for value in row.given.values() for inner in (value if isinstance(value, tuple) else (value,))]
    return missing or any(value is BAD or (isinstance(value, Row) and _broken(value)) for value in values)


def _built(value: Any, faults: list[Fault]) -> Any:
    if isinstance(value, Row):
        return value.build(faults)
    return tuple(_built(item, faults) for item in value) if isinstance(value, tuple) else value


def read_table(struct: type[msgspec.Struct], raw: dict[str, Any], place: Place, faults: list[Fault]) -> Row:
    """The row of a TOML table; unknown, missing and mistyped fields go to `faults`."""
    row = Row(struct, place)
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    tag_field = struct.__struct_config__.tag_field
    for key in raw.keys() - fields.keys() - {tag_field}:
        faults.append(place.at(key).fault(f"unknown field{suggestion(key, fields.keys() - raw.keys())}"))
    for key, field in fields.items():
        if key not in raw:
            if field.required:
                faults.append(place.at(key).fault("is required"))
            continue
        value = read_value(field.type, raw[key], place.at(key), faults)
        if value == "" and field.default != "":
            faults.append(place.at(key).fault("must not be empty"))
            value = BAD
        row.given[field.name] = value
    return row


def read_value(kind: Any, value: Any, place: Place, faults: list[Fault]) -> Any:
    """A TOML value as the annotated type `kind`; BAD with a fault where it does not fit."""
    options = _options(kind)
    if isinstance(value, dict) and _is_struct(options[-1]) and not _is_struct(options[0]):
        return read_table(options[-1], value, place, faults)  # a text, or a table in its place
    if _is_struct(options[0]):
        return _read_struct(options, value, place, faults)
    if set(options) == {str, int}:  # how rating's structs write a decimal
        return _read_decimal(value, place, faults)
    kind = options[0]
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(bare) is tuple:
        return _read_array(get_args(bare)[0], value, place, faults)
    if get_origin(bare) is dict:
        if not isinstance(value, dict):
            return _bad(faults, place, 'must be a table, such as { region = ["eu"] }')
        named = {key: read_value(get_args(bare)[1], item, place.at(key), faults) for key, item in value.items()}
        return BAD if any(item is BAD for item in named.values()) else named
    if bare is Decimal:
        amount = _read_decimal(value, place, faults)
        return BAD if amount is BAD else Decimal(amount)
    if bare is datetime:
        return _read_instant(value, place, faults)
    return _read_leaf(kind, value, place, faults)


def _read_array(kind: Any, value: Any, place: Place, faults: list[Fault]) -> Any:
    """A tuple; of rows it keeps BAD in its place, so that the good ones can still be checked."""
    tables = _is_struct(_options(kind)[0])
    if not isinstance(value, list):
        return _bad(faults, place, f"must be an array of {'tables' if tables else 'texts'}, even of one")
    read = tuple(read_value(kind, item, place.item(index), faults) for index, item in enumerate(value))
    return BAD if not tables and any(item is BAD for item in read) else read


def _read_struct(options: tuple[Any, ...], value: Any, place: Place, faults: list[Fault]) -> Any:
    if not isinstance(value, dict):
        return _bad(faults, place, "must be a table")
    if len(options) == 1:
        return read_table(options[0], value, place, faults)
    tag_field = options[0].__struct_config__.tag_field
    by_tag = {str(option.__struct_config__.tag): option for option in options}
    tag = value.get(tag_field)
    if not isinstance(tag, str) or tag not in by_tag:
        hint = suggestion(tag if isinstance(tag, str) else "", by_tag)
        return _bad(faults, place.at(tag_field), ("is required" if tag is None else "is unknown") + hint)
    complete = getattr(by_tag[tag], "completed", None)  # what a table may leave out as the table around it says it
    return read_table(by_tag[tag], complete(value) if complete else value, place, faults)


def _read_decimal(value: Any, place: Place, faults: list[Fault]) -> Any:
    """The canonical text of a decimal in quotes or of a whole number."""
    if isinstance(value, float):
        return _bad(faults, place, f'is a TOML float, which loses digits; put it in quotes, such as "{value}"')
    try:
        return canonical(value)
    except ValueError as error:
        return _bad(faults, place, str(error))


def _read_instant(value: Any, place: Place, faults: list[Fault]) -> Any:
    try:
        instant = msgspec.convert(value, datetime)
        if instant.tzinfo is not None and 1970 <= instant.year < 9999:
            return instant.astimezone(UTC)
    except msgspec.ValidationError:
        pass
    return _bad(faults, place, 'must be an instant with its zone from 1970 on, such as "2026-01-01T00:00:00Z"')


def _read_leaf(kind: Any, value: Any, place: Place, faults: list[Fault]) -> Any:
    if get_origin(kind) is Literal and isinstance(value, str) and value not in get_args(kind):
        return _bad(faults, place, f"{quote(value)} is unknown{suggestion(value, get_args(kind))}")
    if isinstance(value, float):
        return _bad(faults, place, "must not be a float")
    try:
        read = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:  # says what was expected; never shows the value, which may be a secret
        return _bad(faults, place, str(error))
    if isinstance(read, str):
        if not read.isprintable():
            return _bad(faults, place, "holds control or other unprintable characters")
        if len(read.encode()) > TEXT_BYTES_MAX:
            return _bad(faults, place, f"is longer than {TEXT_BYTES_MAX} bytes")
    return read


def _bad(faults: list[Fault], place: Place, message: str) -> Any:
    faults.append(place.fault(message))
    return BAD


def _options(kind: Any) -> tuple[Any, ...]:
    """The types of a union but None; TOML has no null."""
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(option for option in get_args(kind) if option is not type(None))
    return (kind,)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
