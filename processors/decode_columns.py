"""The hot path's columns: chunks of about a thousand events become lists, the lists become arrays.

Python objects live for one chunk only, so that they stay in the processor's cache.
"""

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec.structs import astuple
from xxhash import xxh3_128_digest

from config.settings import Limits
from processors.decode_careful import FORBIDDEN, canonical_text
from processors.decode_sequences import SEQUENCE_TYPE, NumberedColumns
from processors.decode_shapes import INVALID, UNMETERED, Invalid, Shape, Unmetered
from processors.instants import instant_column
from processors.numbers import CANONICAL_MAX, scale_column
from processors.sequences import splitmix
from processors.vocabulary import Vocabulary

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
DigestArray = npt.NDArray[np.uint64]

TIME_BYTES_MAX = 1_024  # longer ones go to the careful path, however many digits their seconds have
SEPARATOR = "\x1f"  # a control character, so no source and no id can hold it


def digests(texts: Iterable[str]) -> bytes:
    """xxh3_128 of each, canonical (big endian), joined."""
    return b"".join(map(xxh3_128_digest, map(str.encode, texts)))


def by_id(sources: Iterable[str], ids: Iterable[str]) -> bytes:
    """The digests of events that are known by their ids, without their instants."""
    return digests(map(SEPARATOR.join, zip(sources, ids, strict=True)))


def digest_array(joined: bytes) -> DigestArray:
    """uint64[n, 2]: the high and the low half of each digest."""
    return np.frombuffer(joined, ">u8").reshape(-1, 2).astype(np.uint64)


def with_instant(digest: DigestArray, time_us: IntArray) -> DigestArray:
    """The identity of an event: its digest of source and id, the high half XORed with splitmix64 of the instant.

    For one digest different instants always differ, as splitmix64 is a bijection; the low half stays that of the id.
    """
    digest[:, 0] ^= splitmix(time_us.astype(np.uint64))
    return digest


def unfit_texts(texts: Sequence[str], bytes_max: int, plain: bool) -> list[int]:
    """The places of texts that are too long or hold a forbidden character; `plain`: all are known to be ASCII without
    any."""
    longest = max(map(len, texts), default=0)
    if plain and longest <= bytes_max:
        return []
    joined = "".join(texts)
    if joined.isascii():
        fit = longest <= bytes_max and _is_printable(joined.encode())
    else:
        fit = 4 * longest <= bytes_max and not FORBIDDEN.search(joined)  # 4: bytes of a character, at most
    return [] if fit else [place for place, text in enumerate(texts) if not is_fit(text, bytes_max)]


def is_fit(text: str, bytes_max: int) -> bool:
    """Whether it is no longer than `bytes_max` in UTF-8 and holds no forbidden character."""
    return not FORBIDDEN.search(text) and len(text.encode()) <= bytes_max


def _is_printable(ascii_text: bytes) -> bool:
    return not ascii_text or bool(np.frombuffer(ascii_text, np.uint8).min() >= 0x20 and b"\x7f" not in ascii_text)


class TextColumn:
    """The canonical texts of a path, as codes; "" where missing or null."""

    def __init__(self, vocabulary: Vocabulary, bytes_max: int) -> None:
        self._codes: list[IntArray] = []
        self._vocabulary = vocabulary
        self._bytes_max = bytes_max

    def extend(self, values: Sequence[Any], plain: bool, short: bool) -> list[int]:
        """Returns the places that only the careful path can tell."""
        if set(map(type, values)) != {str}:
            values = ["" if value is None else canonical_text(value) for value in values]
        self._codes.append(self._vocabulary.codes(values, len(values)))
        return [] if short else unfit_texts(values, self._bytes_max, plain)

    def array(self) -> IntArray:
        """int64[k]: codes."""
        return np.concatenate(self._codes)


class NumberColumn:
    """The scaled numbers of a path."""

    def __init__(self, precision: int) -> None:
        self._precision = precision
        self._scaled: list[IntArray] = []
        self._present: list[BoolArray] = []

    def extend(self, values: Sequence[Any], plain: bool, short: bool) -> list[int]:
        """Returns the places that only the careful path can tell; to `plain` and `short` numbers are indifferent."""
        scaled, present, bad = scale_column(values, self._precision)
        self._scaled.append(scaled)
        self._present.append(np.ones(len(scaled), np.bool_) if present is None else present)
        return bad

    def arrays(self) -> tuple[IntArray, BoolArray]:
        """int64[k], 0 where not present, and bool[k] present."""
        return np.concatenate(self._scaled), np.concatenate(self._present)


class MemberColumn:
    """The digests of the values of a unique meter."""

    def __init__(self) -> None:
        self._digests: list[bytes] = []
        self._present: list[BoolArray] = []

    def extend(self, values: Sequence[Any], plain: bool, short: bool) -> list[int]:
        """Returns the places that only the careful path can tell; a digest takes any text, however long."""
        kinds = set(map(type, values))
        texts = values if kinds == {str} else ["" if value is None else canonical_text(value) for value in values]
        self._digests.append(digests(texts))
        self._present.append(
            np.fromiter((value is not None for value in values), np.bool_, len(values))
            if type(None) in kinds
            else np.ones(len(values), np.bool_)
        )
        return [place for place, text in enumerate(texts) if len(text) > CANONICAL_MAX] if int in kinds else []

    def arrays(self) -> tuple[DigestArray, BoolArray]:
        """uint64[k, 2], 0 where not present, and bool[k] present."""
        digest, present = digest_array(b"".join(self._digests)), np.concatenate(self._present)
        digest[~present] = 0
        return digest, present


class TypeColumns:
    """The events of one type."""

    def __init__(self, shape: Shape, vocabulary: Vocabulary, limits: Limits) -> None:
        self.shape = shape
        self._subjects: list[IntArray] = []
        self.texts = {path: TextColumn(vocabulary, limits.dimension_bytes_max) for path in shape.texts}
        self.numbers = {(path, precision): NumberColumn(precision) for path, precision in shape.numbers}
        self.members = {path: MemberColumn() for path in shape.members}
        self._rows: list[IntArray] = []
        columns: list[tuple[str, TextColumn | NumberColumn | MemberColumn]] = [
            *self.texts.items(),
            *((path, column) for (path, _), column in self.numbers.items()),
            *self.members.items(),
        ]
        self._extends = [[column.extend for of, column in columns if of == path] for path in shape.paths]

    def extend(self, rows: IntArray, subjects: IntArray, datas: Sequence[Any], plain: bool, short: bool) -> list[int]:
        """`subjects`: codes. Returns the rows that only the careful path can tell."""
        self._rows.append(rows)
        self._subjects.append(subjects)
        unfit: list[int] = []
        for values, extends in zip(self.shape.values(datas), self._extends, strict=True):
            for extend in extends:
                unfit += extend(values, plain, short)
        return rows[unfit].tolist() if unfit else []

    @property
    def any(self) -> bool:
        """Whether there are events of the type."""
        return bool(self._rows)

    def rows(self) -> IntArray:
        """int64[k], ascending; empty for a type without events."""
        return np.concatenate([np.empty(0, np.int64), *self._rows])

    def subjects(self) -> IntArray:
        """int64[k]: the code of each row's subject."""
        return np.concatenate([np.empty(0, np.int64), *self._subjects])


class Columns:
    """All events of one `decode` call, in log order; every row counts, also a refused one."""

    def __init__(self, shapes: Sequence[Shape], vocabulary: Vocabulary, limits: Limits) -> None:
        self.vocabulary = vocabulary
        self.types = [TypeColumns(shape, vocabulary, limits) for shape in shapes if shape.kind != UNMETERED]
        self.events = 0
        self.suspects: set[int] = set()  # rows that only the careful path can tell
        self._kind_of: dict[type, int] = {shape.event: shape.kind for shape in shapes}
        self._kind_of |= {Unmetered: UNMETERED, Invalid: INVALID}
        self._limits = limits
        self._kinds: list[npt.NDArray[np.int16]] = []
        self._digests: list[bytes] = []
        self._times: list[Any] = []
        self.numbered = NumberedColumns()

    def add(self, events: Sequence[Any], plain: bool, short: bool) -> None:
        """Takes event structs (of the shapes, Unmetered or Invalid), at least one. `plain`: no text of them can hold a
        forbidden character, `short`: nor be too long (only if `plain`)."""
        ids, sources, subjects, times, datas, _, types, numbers = zip(*map(astuple, events), strict=True)
        for texts in (ids, sources, subjects):
            if not all(texts):
                self._suspect([place for place, text in enumerate(texts) if not text])
        if not short:
            ids = self._fit(ids, self._limits.id_bytes_max, plain)
            sources = self._fit(sources, self._limits.source_bytes_max, plain)
            subjects = self._fit(subjects, self._limits.subject_bytes_max, plain)
            times = self._fit(times, TIME_BYTES_MAX, plain)
        self._digests.append(self._identities(ids, sources, types, numbers) if any(types) else by_id(sources, ids))
        self._times.append(pa.array(times, pa.string()))
        kinds = np.fromiter(map(self._kind_of.__getitem__, map(type, events)), np.int16, len(events))
        self._kinds.append(kinds)
        subject = self.vocabulary.codes(subjects, len(subjects))
        for columns in self.types:
            mask = kinds == columns.shape.kind
            places = np.flatnonzero(mask)
            if len(places):
                of_type = list(compress(datas, mask.tobytes()))
                odd = columns.extend(places + self.events, subject[places], of_type, plain, short)
                self.suspects.update(odd)
        self.events += len(events)

    def _identities(
        self, ids: Sequence[str], sources: Sequence[str], types: Sequence[str | None], numbers: Sequence[object]
    ) -> bytes:
        """The digests by id of a chunk in which some events may be numbered; of those it is zero."""
        count = types.count(SEQUENCE_TYPE)
        if not count:
            return by_id(sources, ids)
        if count == len(types):
            rows = np.arange(self.events, self.events + count)
            self.suspects.update(self.numbered.extend(rows, sources, numbers))
            return bytes(16 * count)
        numbered = np.fromiter((kind == SEQUENCE_TYPE for kind in types), np.bool_, len(types))
        rows, mask = np.flatnonzero(numbered) + self.events, numbered.tobytes()
        self.suspects.update(self.numbered.extend(rows, [*compress(sources, mask)], [*compress(numbers, mask)]))
        found, others = np.zeros((len(types), 2), ">u8"), (~numbered).tobytes()
        joined = by_id(compress(sources, others), compress(ids, others))
        found[~numbered] = np.frombuffer(joined, ">u8").reshape(-1, 2)
        return found.tobytes()

    def _suspect(self, places: Iterable[int]) -> None:
        """Places of the chunk at hand."""
        self.suspects.update(self.events + place for place in places)

    def _fit(self, texts: tuple[str, ...], bytes_max: int, plain: bool) -> tuple[str, ...]:
        """The texts, the unfit ones as "", which can be encoded and whose rows are suspects."""
        unfit = unfit_texts(texts, bytes_max, plain)
        if not unfit:
            return texts
        self._suspect(unfit)
        left_out = set(unfit)
        return tuple("" if place in left_out else text for place, text in enumerate(texts))

    def kinds(self) -> npt.NDArray[np.int16]:
        return np.concatenate([np.empty(0, np.int16), *self._kinds])

    def times(self) -> tuple[IntArray, BoolArray]:
        """int64[n] microseconds, and bool[n] where only the careful path can tell."""
        return instant_column(pa.concat_arrays([pa.array([], pa.string()), *self._times]))

    def digests(self) -> DigestArray:
        """uint64[n, 2], of source and id alone; zero for numbered events."""
        return digest_array(b"".join(self._digests))
