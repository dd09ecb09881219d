"""The hot path's columns: chunks of about a thousand events become lists, the lists become arrays.

Python objects live for one chunk only, so that they stay in the processor's cache.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec.structs import astuple
from xxhash import xxh3_128_digest

from config.settings import Limits
from processors.decode_careful import FORBIDDEN, canonical_text
from processors.decode_shapes import Shape
from processors.instants import instant_column
from processors.numbers import CANONICAL_MAX

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
DigestArray = npt.NDArray[np.uint64]

TIME_BYTES_MAX = 1_024  # longer ones go to the careful path, however many digits their seconds have
_kind = attrgetter("kind")
SEPARATOR = "\x1f"  # a control character, so no source and no id can hold it


def digests(texts: Sequence[str]) -> bytes:
    """xxh3_128 of each, canonical (big endian), joined."""
    return b"".join(map(xxh3_128_digest, map(str.encode, texts)))


def digest_array(joined: bytes) -> DigestArray:
    """uint64[n, 2]: the high and the low half of each digest."""
    return np.frombuffer(joined, ">u8").reshape(-1, 2).astype(np.uint64)


def with_instant(digest: DigestArray, time_us: IntArray) -> DigestArray:
    """The identity of an event: its digest of source and id, the high half XORed with splitmix64 of the instant.

    For one digest different instants always differ, as splitmix64 is a bijection; the low half stays that of the id.
    """
    mixed = time_us.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    digest[:, 0] ^= mixed ^ (mixed >> np.uint64(31))
    return digest


def unfit_texts(texts: Sequence[str], bytes_max: int, plain: bool) -> list[int]:
    """The places of texts that are too long or hold a forbidden character; `plain`: all are known to be ASCII without
    any."""
    longest = max(map(len, texts), default=0)
    if plain and longest <= bytes_max:
        return []
    joined = "".join(texts)
    if not joined.isascii():
        longest *= 4  # bytes of a character in UTF-8, at most
    if longest <= bytes_max and (joined.isprintable() or not FORBIDDEN.search(joined)):
        return []
    return [
        place
        for place, text in enumerate(texts)
        if FORBIDDEN.search(text) or len(text.encode()) > bytes_max  # a surrogate is forbidden, so encode cannot fail
    ]


class TypeColumns:
    """The events of one type, as lists that grow chunk by chunk."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.rows: list[IntArray] = []
        self.subjects: list[str] = []
        self.leaves: dict[str, list[Any]] = {path: [] for path in shape.paths}
        self._columns: list[tuple[Callable[[Any], Any], list[Any]]] = [
            (shape.getters[path], values) for path, values in self.leaves.items()
        ]

    def extend(self, rows: IntArray, subjects: Sequence[str], datas: Sequence[Any]) -> None:
        self.rows.append(rows)
        self.subjects.extend(subjects)
        for getter, values in self._columns:
            values.extend(map(getter, datas))

    def texts(self, path: str) -> list[str]:
        values = self.leaves[path]
        if set(map(type, values)) == {str}:
            return values
        return ["" if value is None else canonical_text(value) for value in values]

    def members(self, path: str) -> tuple[DigestArray, BoolArray, list[int]]:
        """uint64[k, 2] digests (0 where absent), bool[k] present, and the places that are unfit."""
        values = self.leaves[path]
        present = np.ones(len(values), np.bool_)
        unfit: list[int] = []
        kinds = set(map(type, values))
        if kinds != {str}:
            present = np.fromiter((value is not None for value in values), np.bool_, len(values))
            values = ["" if value is None else canonical_text(value) for value in values]
            if int in kinds:
                unfit = [place for place, text in enumerate(values) if len(text) > CANONICAL_MAX]
        digest = digest_array(digests(values))
        digest[~present] = 0
        return digest, present, unfit


class Columns:
    """All events of one `decode` call, in log order; every row counts, also a refused one."""

    def __init__(self, shapes: Sequence[Shape], limits: Limits) -> None:
        self.types = [TypeColumns(shape) for shape in shapes]
        self.events = 0
        self.suspects: set[int] = set()  # rows that only the careful path can tell
        self._unchecked, self._plain = False, True  # what `add` was told of the texts, taken together
        self._limits = limits
        self._kinds: list[npt.NDArray[np.int16]] = []
        self._digests: list[bytes] = []
        self._times: list[Any] = []

    def add(self, events: Sequence[Any], plain: bool, short: bool) -> None:
        """Takes event structs (of the shapes, Unmetered or Invalid), at least one. `plain`: no text of them can hold a
        forbidden character, `short`: nor be too long."""
        ids, sources, subjects, times, datas, *_ = zip(*map(astuple, events), strict=True)
        for texts in (ids, sources, subjects):
            if not all(texts):
                self._suspect([place for place, text in enumerate(texts) if not text])
        if not (plain and short):
            self._unchecked = True
            self._plain &= plain
            ids = self._fit(ids, self._limits.id_bytes_max, plain)
            sources = self._fit(sources, self._limits.source_bytes_max, plain)
            subjects = self._fit(subjects, self._limits.subject_bytes_max, plain)
            times = self._fit(times, TIME_BYTES_MAX, plain)
        self._digests.append(digests(list(map(SEPARATOR.join, zip(sources, ids, strict=True)))))
        self._times.append(pa.array(times, pa.string()))
        kinds = np.fromiter(map(_kind, events), np.int16, len(events))
        self._kinds.append(kinds)
        for columns in self.types:
            places = np.flatnonzero(kinds == columns.shape.kind)
            if len(places) == len(events):
                columns.extend(places + self.events, subjects, datas)
            elif len(places):
                listed = places.tolist()
                columns.extend(places + self.events, _at(subjects, listed), _at(datas, listed))
        self.events += len(events)

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
        """uint64[n, 2], of source and id alone."""
        return digest_array(b"".join(self._digests))

    def texts(self, columns: TypeColumns, path: str) -> tuple[list[str], list[int]]:
        """The canonical texts of a path, and the places where they are unfit."""
        texts = columns.texts(path)
        unfit = unfit_texts(texts, self._limits.dimension_bytes_max, self._plain) if self._unchecked else []
        return texts, unfit


def _at(items: Sequence[Any], places: list[int]) -> list[Any]:
    return list(map(items.__getitem__, places))
