"""Columns over all columnar messages of one `decode` call, whatever each of them holds: no Python object an event.

Work on texts is done once for each distinct one, and gathered. Whatever is odd is told by row, for the careful path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from processors.arrow_batch import DATA, Column, ColumnarBatch, is_valid, text_lengths
from processors.decode_careful import canonical_text
from processors.instants import END_US, FIRST_US, InstantError, instant_column, instant_us
from processors.numbers import SCALED_MAX, NumberError, canonical_number, scale, scale_column

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_FORBIDDEN: Final = r"[\x00-\x1f\x7f-\x{9f}]"  # FORBIDDEN of the careful path, as RE2 writes it
_PER_UNIT: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}  # microseconds
_TEXT = pa.string()
_FEW: Final = 16  # distinct texts that are read one by one sooner than as a column


class Texts(NamedTuple):
    """A column of texts. `distinct` pa.StringArray[k], without null, of which one may be there again, as in another
    message; `at` int64[n]: 1 + place of the row's text in it, 0 where it has none."""

    distinct: Any
    at: IntArray

    def gather(self, of_distinct: npt.NDArray[Any], of_none: Any) -> npt.NDArray[Any]:
        """What belongs to the text of each row; `of_none` where there is none."""
        table = np.empty((len(of_distinct) + 1, *of_distinct.shape[1:]), of_distinct.dtype)
        table[0], table[1:] = of_none, of_distinct
        return table[self.at]

    @property
    def present(self) -> BoolArray:
        return self.at > 0


class Reading(NamedTuple):
    """What columns of one kind hold under a name: `texts` where it is text, else `array`, of the type of `column`."""

    column: Column
    texts: Texts | None
    array: Any


class Gathered:
    """The messages of a call, one after the other. A message that could not be read (None) is one row of nulls."""

    def __init__(self, batches: Sequence[ColumnarBatch | None]) -> None:
        self.counts = np.array([1 if batch is None else batch.events for batch in batches], np.int32)
        self.rows = int(self.counts.sum())
        self._starts = np.cumsum(self.counts) - self.counts
        self._of: dict[str, dict[tuple[str, Any], dict[int, Any]]] = {}  # name -> (kind, type) -> message -> array
        self._columns: dict[tuple[str, Any], Column] = {}
        for place, batch in enumerate(batches):
            if batch is None:
                continue
            for column, array in zip(batch.plan.columns, batch.arrays, strict=True):
                if column.kind != "nothing":
                    key = (column.kind, None if column.kind == "text" else column.type)
                    self._of.setdefault(column.name, {}).setdefault(key, {})[place] = (column, array)
        self._read: dict[str, list[Reading]] = {}

    def readings(self, name: str) -> list[Reading]:
        """All that is there under a name; no row has a value in two of them."""
        if name not in self._read:
            found = []
            for (kind, type_), pieces in self._of.get(name, {}).items():
                column = next(iter(pieces.values()))[0]
                arrays = {place: array for place, (_, array) in pieces.items()}
                texts = self._texts(arrays) if kind == "text" else None
                found.append(Reading(column, texts, None if texts else self._joined(arrays, type_)))
            self._read[name] = found
        return self._read[name]

    def at(self, name: str, row: IntArray) -> list[Reading]:
        """The readings of these rows."""
        found = self.readings(name)
        if len(row) == self.rows:
            return found
        return [
            Reading(one.column, Texts(one.texts.distinct, one.texts.at[row]), None)
            if one.texts is not None
            else Reading(one.column, None, one.array.take(pa.array(row)))
            for one in found
        ]

    def messages_with(self, name: str) -> BoolArray:
        """bool[n]: the row's message has a column of this name."""
        places = [place for pieces in self._of.get(name, {}).values() for place in pieces]
        found = np.zeros(len(self.counts), np.bool_)
        found[places] = True
        return np.repeat(found, self.counts)

    def related(self, path: str) -> BoolArray:
        """bool[n]: the value at this path of the data is an object, or lies in something that is none."""
        found = np.zeros(self.rows, np.bool_)
        name = DATA + path
        for other in self._of:
            if other.startswith(f"{name}.") or (other.startswith(DATA) and name.startswith(f"{other}.")):
                for reading in self.readings(other):
                    found |= present(reading)
        return found

    def strings(self, name: str) -> tuple[Any, BoolArray]:
        """pa.StringArray[n], "" where there is no text, and bool[n] where there is. For texts that hardly repeat."""
        pieces = next((found for (kind, _), found in self._of.get(name, {}).items() if kind == "text"), {})
        arrays = {place: array if array.type == _TEXT else array.cast(_TEXT) for place, (_, array) in pieces.items()}
        joined = self._joined(arrays, _TEXT)
        if not joined.null_count:
            return joined, np.ones(self.rows, np.bool_)
        return joined.fill_null(""), is_valid(joined)

    def _joined(self, arrays: dict[int, Any], type_: Any) -> Any:
        """The arrays of the messages that have one, nulls of those that have none."""
        counts = self.counts.tolist()
        pieces = [arrays[place] if place in arrays else pa.nulls(count, type_) for place, count in enumerate(counts)]
        return pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)

    def _texts(self, arrays: dict[int, Any]) -> Texts:
        """The dictionaries of all messages, one behind the other: to make one of them would cost more than it saves."""
        at, first = np.zeros(self.rows, np.int64), 0
        dictionaries = []
        for place, array in arrays.items():
            encoded = _dictionary(array)
            start = int(self._starts[place])
            at[start : start + len(encoded)] = places_of(encoded, first)
            dictionaries.append(encoded.dictionary)
            first += len(encoded.dictionary)
        return Texts(dictionaries[0] if len(dictionaries) == 1 else pa.concat_arrays(dictionaries), at)


def _dictionary(texts: Any) -> Any:
    """As a dictionary without null entries."""
    if not pa.types.is_dictionary(texts.type):
        return texts.dictionary_encode()
    return texts.cast(_TEXT).dictionary_encode() if texts.dictionary.null_count else texts


def places_of(encoded: Any, first: int = 0) -> IntArray:
    """int64[n]: 1 + `first` + the index of each row of a dictionary array, 0 for null."""
    indices = encoded.indices
    type_ = np.dtype(indices.type.to_pandas_dtype())
    held = np.frombuffer(indices.buffers()[1], type_, len(indices), type_.itemsize * indices.offset)
    found = held.astype(np.int64)
    found += 1 + first
    if indices.null_count:  # where the memory may hold anything
        found *= is_valid(indices)
    return found


def present(reading: Reading) -> BoolArray:
    """bool[n]: has a value."""
    return reading.texts.present if reading.texts else is_valid(reading.array)


def unfit(texts: Any, bytes_max: int | None) -> BoolArray:
    """bool[n]: of a pa.StringArray without null, what is too long or holds a forbidden character."""
    if not len(texts):
        return np.zeros(0, np.bool_)
    lengths = text_lengths(texts)
    found = np.zeros(len(texts), np.bool_) if bytes_max is None else lengths > bytes_max
    if not lengths.any():
        return found
    first = int(np.frombuffer(texts.buffers()[1], np.int32, 1, 4 * texts.offset)[0])
    held = np.frombuffer(texts.buffers()[2], np.uint8, int(lengths.sum()), first)
    if held.min() < 0x20 or held.max() >= 0x7F:  # the search costs 20 times as much
        found |= compute.match_substring_regex(texts, _FORBIDDEN).to_numpy(zero_copy_only=False)
    return found


def canonical(reading: Reading, number_text: Callable[[str], str | None]) -> tuple[Texts, BoolArray]:
    """A reading as texts, and bool[distinct]: those that only the careful path can tell. `number_text`: of a number
    with decimals; None where it has no text."""
    if reading.texts is not None:
        return reading.texts, np.zeros(len(reading.texts.distinct), np.bool_)
    encoded = reading.array.dictionary_encode()
    found: list[str | None] = []
    for value in encoded.dictionary.to_pylist():
        if reading.column.kind == "decimal":
            found.append(number_text(format(value, "f")))
        else:
            found.append(canonical_text(value))
    bad = np.array([text is None for text in found], np.bool_)
    return Texts(pa.array([text or "" for text in found], _TEXT), places_of(encoded)), bad


def no_text(_: str) -> None:
    """A number with decimals is no dimension."""


def number_text(written: str) -> str | None:
    """The canonical text of a number, as a unique meter counts it."""
    try:
        return canonical_number(written)
    except NumberError:
        return None


def scaled(reading: Reading, precision: int) -> tuple[IntArray, BoolArray, BoolArray]:
    """int64[n] times 10**precision, 0 where not present; bool[n] present; bool[n] where only the careful path can
    tell, which are not present."""
    if reading.texts is not None:
        return _scaled_texts(reading.texts, precision)
    known = is_valid(reading.array)
    if reading.column.kind == "boolean":
        return np.zeros(len(known), np.int64), np.zeros(len(known), np.bool_), known
    if pa.types.is_decimal(reading.array.type):
        value, odd = _decimals(reading.array, precision)
    else:
        value, odd = _integers(reading.array, precision)
    odd &= known
    known &= ~odd
    return np.where(known, value, 0), known, odd


def _integers(array: Any, precision: int) -> tuple[IntArray, BoolArray]:
    type_ = np.dtype(array.type.to_pandas_dtype())
    held = np.frombuffer(array.buffers()[1], type_, len(array), array.offset * type_.itemsize)
    room = SCALED_MAX // 10**precision
    odd = held > room if type_.kind == "u" else (held > room) | (held < -room)
    value = held.astype(np.int64)
    return np.where(odd, 0, value) * 10**precision, odd


def _decimals(array: Any, precision: int) -> tuple[IntArray, BoolArray]:
    """128-bit integers are shifted by hand: Arrow's cast would wrap around beyond 38 digits."""
    limbs = np.frombuffer(array.buffers()[1], np.int64, 2 * len(array), 16 * array.offset).reshape(-1, 2)
    low, high = limbs[:, 0], limbs[:, 1]  # little endian
    odd = high != low >> 63
    shift = precision - array.type.scale
    if shift >= 0:
        room = SCALED_MAX // 10**shift
        odd |= (low > room) | (low < -room)
        return np.where(odd, 0, low) * 10**shift, odd
    if shift < -18:  # more than 64 bits hold
        return np.zeros(len(low), np.int64), odd | (low != 0)
    value, rest = np.divmod(low, 10**-shift)
    odd |= (rest != 0) | (value > SCALED_MAX) | (value < -SCALED_MAX)
    return value, odd


def _scaled_texts(texts: Texts, precision: int) -> tuple[IntArray, BoolArray, BoolArray]:
    distinct = texts.distinct.to_pylist()
    if not distinct:
        none = np.zeros(len(texts.at), np.bool_)
        return np.zeros(len(texts.at), np.int64), none, none
    if len(distinct) <= _FEW:
        value, odd = _one_by_one(distinct, lambda text: scale(text, precision), NumberError)
    else:
        value, odd = _scaled_many(distinct, precision)
    return texts.gather(value, 0), texts.gather(~odd, False), texts.gather(odd, False)


def _scaled_many(texts: Sequence[str], precision: int) -> tuple[IntArray, BoolArray]:
    value, _, bad = scale_column(texts, precision)
    odd = np.zeros(len(texts), np.bool_)
    odd[bad] = True
    return value, odd


def _one_by_one(texts: Sequence[str], read: Callable[[str], int], fault: type[Exception]) -> tuple[IntArray, BoolArray]:
    """int64[n] values, and bool[n] where reading one raises `fault`."""
    value, odd = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
    for place, text in enumerate(texts):
        try:
            value[place] = read(text)
        except fault:
            odd[place] = True
    return value, odd


def instants(readings: Sequence[Reading], rows: int) -> tuple[IntArray, BoolArray]:
    """int64[n] microseconds, floored, and bool[n] where only the careful path can tell, its value here being 0."""
    time_us, told = np.zeros(rows, np.int64), np.zeros(rows, np.bool_)
    for reading in readings:
        known = present(reading)
        if reading.texts is not None:
            distinct = reading.texts.distinct
            if len(distinct) <= _FEW:
                value, odd = _one_by_one(distinct.to_pylist(), instant_us, InstantError)
            else:
                value, odd = instant_column(distinct)
            found, good = reading.texts.gather(value, 0), reading.texts.gather(~odd, False)
        elif reading.column.kind == "time":
            found, good = _timestamps(reading.array, known)
        else:
            continue
        time_us += np.where(good, found, 0)
        told |= good
    return time_us, ~told


def _timestamps(array: Any, known: BoolArray) -> tuple[IntArray, BoolArray]:
    held = np.frombuffer(array.buffers()[1], np.int64, len(array), 8 * array.offset)
    unit = array.type.unit
    if unit == "ns":
        value = held // 1000
    else:
        end = END_US // _PER_UNIT[unit]
        value = np.where((held >= 0) & (held < end), held, end) * _PER_UNIT[unit]
    return value, known & (value >= FIRST_US) & (value < END_US)
