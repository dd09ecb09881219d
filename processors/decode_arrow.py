"""Columnar messages to columns: the cheapest form, as its events never become objects.

A row is the event that its JSON form would be (docs/columnar.md). Rows that hold nothing odd are taken by whole
columns; all others go through the careful path in their JSON form, which is also what their letters hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute
from xxhash import xxh3_128_digest

from config.settings import Limits
from processors.arrow_batch import DATA, ColumnarBatch, json_form, read_batch, text_lengths
from processors.arrow_frames import ArrowError
from processors.decode_arrow_columns import (
    BoolArray,
    Gathered,
    IntArray,
    Texts,
    canonical,
    instants,
    no_text,
    number_text,
    scaled,
    unfit,
)
from processors.decode_careful import CarefulDecoder, Judged, RefusedError
from processors.decode_columns import SEPARATOR, DigestArray, digest_array, digests, with_instant
from processors.decode_sequences import SEQUENCE_TYPE, number_column
from processors.decode_shapes import INVALID, UNMETERED, Shape
from processors.decode_types import complete, fill, kept
from processors.decoded import Decoded, Refusal, TypeRows
from processors.sequences import identities
from processors.vocabulary import Vocabulary

Places = npt.NDArray[np.int32]


class ArrowDecoder:
    """Reads messages that begin with `arrow_frames.HEAD`. Not for concurrent use."""

    def __init__(self, shapes: Sequence[Shape], careful: CarefulDecoder, limits: Limits, skew_ms: int) -> None:
        self._shapes, self._careful, self._limits, self._skew_ms = shapes, careful, limits, skew_ms
        self._latest: tuple[bytes, ColumnarBatch | None] = (b"", None)

    def decode(self, values: Sequence[bytes], timestamps_ms: IntArray, vocabulary: Vocabulary) -> Decoded:
        """`timestamps_ms` int64[len(values)]: of their records. Never raises for what a message holds."""
        batches: list[ColumnarBatch | None] = []
        refused: dict[int, str] = {}
        for place, value in enumerate(values):
            try:
                batches.append(read_batch(value, self._limits))
            except ArrowError as error:
                batches.append(None)
                refused[place] = str(error)
        rows = _Rows(Gathered(batches), self._shapes, vocabulary, self._limits)
        message = np.repeat(np.arange(len(values), dtype=np.int32), rows.gathered.counts)
        starts = np.cumsum(rows.gathered.counts) - rows.gathered.counts
        index = (np.arange(len(message)) - starts[message]).astype(np.int32)
        rows.odd |= rows.time_us > (timestamps_ms + self._skew_ms)[message] * 1_000
        refusals = {
            int(starts[place]): Refusal(int(starts[place]), why, values[place]) for place, why in refused.items()
        }
        for row in np.flatnonzero(rows.odd).tolist():
            place = int(message[row])
            batch = batches[place]
            if batch is None:
                continue
            raw = json_form(batch, int(index[row]))
            try:
                rows.judged(row, self._careful.judge(raw, "JSON", int(timestamps_ms[place])))
            except RefusedError as error:
                refusals[row] = Refusal(row, str(error), raw)
        return rows.decoded(message, index, [refusals[row] for row in sorted(refusals)])

    def raw(self, value: bytes, index: int) -> bytes:
        """The JSON form of event `index`; of a message that cannot be read, its bytes."""
        if self._latest[0] is not value:  # the late events of one batch come one after the other
            try:
                self._latest = (value, read_batch(value, self._limits))
            except ArrowError:
                self._latest = (value, None)
        batch = self._latest[1]
        return value if batch is None else json_form(batch, index)


class _Rows:
    """From what was gathered to `Decoded`. `odd` bool[n]: rows that only the careful path can tell."""

    def __init__(self, gathered: Gathered, shapes: Sequence[Shape], vocabulary: Vocabulary, limits: Limits) -> None:
        self.gathered = gathered
        self._vocabulary, self._limits = vocabulary, limits
        self.odd = np.zeros(gathered.rows, np.bool_)
        self._kind = self._kinds(shapes)
        self._check_version()
        subject = self._attribute("subject", limits.subject_bytes_max)
        self._source = self._attribute("source", limits.source_bytes_max)
        self._ids, known = gathered.strings("id")
        self.odd |= ~known | unfit(self._ids, limits.id_bytes_max) | (text_lengths(self._ids) == 0)
        self.time_us, unread = instants(gathered.readings("time"), gathered.rows)
        self.odd |= unread
        self._sequence = self._numbers()
        self._subject = subject.gather(self._codes(subject, limits.subject_bytes_max), 0)
        used = [shape for shape in shapes if shape.kind != UNMETERED and (self._kind == shape.kind).any()]
        self._types = {shape.kind: self._type_rows(shape) for shape in used}

    def _only_text(self, name: str) -> Texts:
        """The texts under a name; what is of another kind there counts as none."""
        for reading in self.gathered.readings(name):
            if reading.texts is not None:
                return reading.texts
        return Texts(pa.array([], pa.string()), np.zeros(self.gathered.rows, np.int64))

    def _kinds(self, shapes: Sequence[Shape]) -> npt.NDArray[np.int16]:
        """int16[n]; INVALID where there is no type."""
        known = {shape.type: shape.kind for shape in shapes}
        types = self._attribute("type", None)
        kinds = [known.get(text, UNMETERED) for text in types.distinct.to_pylist()]
        return types.gather(np.array(kinds, np.int16), INVALID)

    def _check_version(self) -> None:
        """Messages without the column are of version 1.0, and so is each row that says so."""
        told = self._only_text("specversion")
        right = told.gather(compute.equal(told.distinct, "1.0").to_numpy(zero_copy_only=False), False)
        self.odd |= ~right & self.gathered.messages_with("specversion")

    def _attribute(self, name: str, bytes_max: int | None) -> Texts:
        texts = self._only_text(name)
        fit = ~unfit(texts.distinct, bytes_max) & (text_lengths(texts.distinct) > 0)
        self.odd |= ~texts.gather(fit, False)
        return texts

    def _numbers(self) -> IntArray:
        """int64[n]: the number that an event is known by, -1 where that is its id."""
        sequence = np.full(self.gathered.rows, -1, np.int64)
        asks = self._only_text("sequencetype")
        numbered = asks.gather(compute.equal(asks.distinct, SEQUENCE_TYPE).to_numpy(zero_copy_only=False), False)
        if not numbered.any():
            return sequence
        for reading in self.gathered.readings("sequence"):
            if reading.texts is not None:
                value, good = number_column(reading.texts.distinct.to_pylist())
                value, good = reading.texts.gather(value, -1), reading.texts.gather(good, False)
            elif reading.column.kind == "integer":
                value, good, _ = scaled(reading, 0)
                good &= value >= 0
            else:
                continue
            sequence = np.where(good & numbered, value, sequence)
        self.odd |= numbered & (sequence < 0)
        return sequence

    def _codes(self, texts: Texts, bytes_max: int) -> IntArray:
        """int64[distinct]: codes, that of "" for what no row may hold, which needs none."""
        fit = compute.if_else(pa.array(unfit(texts.distinct, bytes_max)), "", texts.distinct)
        return self._vocabulary.codes(fit.to_pylist(), len(fit))

    def _type_rows(self, shape: Shape) -> TypeRows:
        """All rows of one type; those that lack what a meter needs become odd."""
        row = np.flatnonzero(self._kind == shape.kind)
        odd = np.zeros(len(row), np.bool_)
        for path in shape.paths:
            odd |= self.gathered.related(path)[row]
        found = TypeRows(row, self._subject[row], {}, {}, {})
        for path in shape.texts:
            found.text[path], bad = self._text(path, row)
            odd |= bad
        for path, precision in shape.numbers:
            value, told, bad = self._number(path, precision, row)
            found.number[path, precision] = value, told
            odd |= bad
        for path in shape.members:
            digest, told, bad = self._member(path, row)
            found.member[path] = digest, told
            odd |= bad
        self.odd[row] |= odd | complete(found, shape, self.time_us[row])
        return found

    def _text(self, path: str, row: IntArray) -> tuple[IntArray, BoolArray]:
        """int64[k] codes of a dimension, and bool[k] odd."""
        code, odd = np.zeros(len(row), np.int64), np.zeros(len(row), np.bool_)
        for reading in self.gathered.at(DATA + path, row):
            texts, bad = canonical(reading, no_text)
            code += texts.gather(self._codes(texts, self._limits.dimension_bytes_max), 0)
            odd |= texts.gather(bad | unfit(texts.distinct, self._limits.dimension_bytes_max), False)
        return code, odd

    def _number(self, path: str, precision: int, row: IntArray) -> tuple[IntArray, BoolArray, BoolArray]:
        """int64[k] scaled, bool[k] present, bool[k] odd."""
        total, told, odd = np.zeros(len(row), np.int64), np.zeros(len(row), np.bool_), np.zeros(len(row), np.bool_)
        for reading in self.gathered.at(DATA + path, row):
            value, known, bad = scaled(reading, precision)
            total, told, odd = total + value, told | known, odd | bad
        return total, told, odd

    def _member(self, path: str, row: IntArray) -> tuple[DigestArray, BoolArray, BoolArray]:
        """uint64[k, 2] digests of what a unique meter counts, bool[k] present, bool[k] odd."""
        total, told, odd = (
            np.zeros((len(row), 2), np.uint64),
            np.zeros(len(row), np.bool_),
            np.zeros(len(row), np.bool_),
        )
        for reading in self.gathered.at(DATA + path, row):
            texts, bad = canonical(reading, number_text)
            total += texts.gather(digest_array(digests(texts.distinct.to_pylist())), 0)
            told |= texts.present
            odd |= texts.gather(bad, False)
        return total, told, odd

    def judged(self, row: int, judged: Judged) -> None:
        """Writes what the careful path read of an odd row."""
        self.time_us[row] = judged.time_us
        self._sequence[row] = -1 if judged.sequence is None else judged.sequence
        if judged.kind != UNMETERED:
            fill(self._types[judged.kind], row, judged, self._vocabulary)

    def decoded(self, message: Places, index: Places, refusals: list[Refusal]) -> Decoded:
        """All of it, once every odd row is judged or refused."""
        refused = np.array([refusal.row for refusal in refusals], np.int64)
        for column, value in ((self._kind, INVALID), (self.time_us, 0), (self._sequence, -1)):
            column[refused] = value
        numbered = self._sequence >= 0
        digest, source, sources = self._identities(numbered)
        digest[refused] = 0
        types = {kind: kept(found, self._kind) for kind, found in self._types.items()}
        return Decoded(
            message=message,
            index=index,
            kind=self._kind,
            time_us=self.time_us,
            digest=digest,
            types={kind: found for kind, found in types.items() if len(found.row)},
            refusals=refusals,
            sequence=self._sequence,
            source=source,
            sources=sources,
            vocabulary=self._vocabulary,
        )

    def _identities(self, numbered: BoolArray) -> tuple[DigestArray, IntArray, DigestArray]:
        """uint64[n, 2] identities; of numbered events int64[n], else -1, the row of their source in uint64[k, 2]
        digests, one row for one source."""
        source = np.full(len(numbered), -1, np.int64)
        if not numbered.any():
            return self._by_id(self._source.at, self._ids, self.time_us), source, np.empty((0, 2), np.uint64)
        digest = np.zeros((len(numbered), 2), np.uint64)
        by_id = np.flatnonzero(~numbered)
        if len(by_id):
            ids = self._ids.take(pa.array(by_id))
            digest[by_id] = self._by_id(self._source.at[by_id], ids, self.time_us[by_id])
        every = digest_array(digests(self._source.distinct.to_pylist()))
        sources, place = np.unique(every, axis=0, return_inverse=True)
        rows = np.flatnonzero(numbered)
        source[rows] = place.reshape(-1)[self._source.at[rows] - 1]
        digest[rows] = identities(sources[source[rows]], self._sequence[rows])
        return digest, source, sources

    def _by_id(self, source: IntArray, ids: Any, time_us: IntArray) -> DigestArray:
        """uint64[k, 2] identities of events that are known by their ids. `source`: as `Texts.at`."""
        texts = pa.concat_arrays([pa.array([""], pa.string()), self._source.distinct])
        joined = compute.binary_join_element_wise(texts.take(pa.array(source)), ids, SEPARATOR)
        # One object of bytes an event: no hash of whole columns gives these digests, and numpy's is slower.
        parts = joined.cast(pa.binary()).to_pylist()
        return with_instant(digest_array(b"".join(map(xxh3_128_digest, parts))), time_us)
