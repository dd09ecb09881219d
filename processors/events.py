"""Bytes to validated events, as columns: the first and hottest step of the fold.

A pure function of (values, record timestamps, catalogue, limits): what an event is never depends on its neighbours or
on how messages are cut into batches. Good events take a path without a Python line of their own (msgspec, numpy,
pyarrow); anything odd takes the careful path (`decode_careful`), which defines what is valid.
"""

from collections.abc import Sequence

import numpy as np

from config.catalogue import Catalogue
from config.settings import Limits
from processors.arrow_frames import HEAD
from processors.compiled import built
from processors.decode_arrow import ArrowDecoder
from processors.decode_careful import CarefulDecoder
from processors.decode_columns import (
    IntArray,
    TypeColumns,
    with_instant,
)
from processors.decode_few import FewDecoder
from processors.decode_join import joined
from processors.decode_kernel import KernelDecoder
from processors.decode_messages import HotDecoders, Messages
from processors.decode_shapes import INVALID, UNMETERED, compile_shapes
from processors.decode_split import SplitError, form_of, split
from processors.decode_types import complete, fill, kept
from processors.decoded import Decoded, Refusal, TypeRows
from processors.sequences import identities
from processors.vocabulary import Vocabulary

__all__ = ["INVALID", "UNMETERED", "Decoded", "Decoder", "Refusal", "TypeRows"]


class Decoder:
    """`skew_ms`: how far an event's time may be ahead of its record's timestamp. `kernel`: with the compiled kernel,
    where it is built; what comes out is the same. Not for concurrent use."""

    def __init__(self, catalogue: Catalogue, limits: Limits, skew_ms: int, *, kernel: bool = False) -> None:
        self._limits = limits
        self._skew_ms = skew_ms
        self._shapes = compile_shapes(catalogue)
        self._hot = HotDecoders(self._shapes)
        self._careful = CarefulDecoder(self._shapes, limits, skew_ms)
        self._arrow = ArrowDecoder(self._shapes, self._careful, limits, skew_ms)
        self._few = FewDecoder(self._shapes, self._careful, limits)
        self._split_of: tuple[bytes, list[bytes]] = (b"", [])
        self.vocabulary = Vocabulary()
        self.series_open = 0  # of the state it decodes for: a vocabulary without their texts would be learnt for ever
        self.compiled = built() if kernel else None
        self._kernel = None
        if self.compiled is not None:
            self._kernel = KernelDecoder(self.compiled, self._shapes, limits, skew_ms)

    def decode(self, values: Sequence[bytes | None], timestamps_ms: IntArray) -> Decoded:
        """`values`: message values; `timestamps_ms` int64[len(values)]: their records' timestamps. Never raises for
        what a message holds."""
        if len(self.vocabulary) > self._limits.vocabulary_texts_max + self.series_open:
            self.vocabulary = Vocabulary()
        columnar = columnar_of(values)
        if not columnar:
            return self._decode(values, timestamps_ms)
        if len(columnar) == len(values):
            return self._arrow.decode([*columnar.values()], timestamps_ms, self.vocabulary)
        places = np.array([*columnar], np.int32)
        parts = [(places, self._arrow.decode([*columnar.values()], timestamps_ms[places], self.vocabulary))]
        others = np.setdiff1d(np.arange(len(values), dtype=np.int32), places)
        left, stamps = [values[place] for place in others.tolist()], timestamps_ms[others]
        parts.append((others, self._few.decode(left, stamps, self.vocabulary) or self._decode(left, stamps)))
        return joined(parts)

    def _decode(self, values: Sequence[bytes | None], timestamps_ms: IntArray) -> Decoded:
        """Of JSON and MessagePack, and of what is neither."""
        if self._kernel is None:
            return self._read(values, timestamps_ms)
        return self._kernel.decode(values, timestamps_ms, self.vocabulary, self._read_rest)

    def _read_rest(self, values: Sequence[bytes | None], timestamps_ms: IntArray) -> Decoded:
        """What the kernel hands back: nearly always a few odd events."""
        return self._few.decode(values, timestamps_ms, self.vocabulary) or self._read(values, timestamps_ms)

    def _read(self, values: Sequence[bytes | None], timestamps_ms: IntArray) -> Decoded:
        """The Python path, which defines what is valid."""
        messages = Messages(
            values, timestamps_ms, self._hot, self._careful, self._shapes, self.vocabulary, self._limits
        )
        messages.walk()
        return _Conclusion(messages, timestamps_ms, self._skew_ms).decoded()

    def raw(self, value: bytes, index: int) -> bytes:
        """The bytes of event `index` of a message: the message itself unless it is an array of events, and the JSON
        form of an event of a columnar one."""
        if value.startswith(HEAD):
            return self._arrow.raw(value, index)
        form, many = form_of(value) if value else ("JSON", False)
        if not many:
            return value
        if self._split_of[0] is not value:  # the late events of one batch come one after the other
            try:
                self._split_of = (value, split(value, form))
            except SplitError:
                return value
        parts = self._split_of[1]
        return parts[index] if 0 < len(parts) <= self._limits.message_events_max else value


def columnar_of(values: Sequence[bytes | None]) -> dict[int, bytes]:
    """place -> value of the columnar messages.

    In the order of bytes nothing that begins otherwise is above HEAD, four times the highest byte: so the highest value
    tells whether there is one at all, for a third of what it costs to look at the beginning of each.
    """
    try:
        if max(values, default=b"") < HEAD:  # type: ignore[type-var, operator]
            return {}
    except TypeError:  # a message without a value
        pass
    return {place: value for place, value in enumerate(values) if value is not None and value.startswith(HEAD)}


class _Conclusion:
    """From the columns to verdicts: checks them, asks the careful path for the rows that are odd, and cuts out what is
    refused."""

    def __init__(self, messages: Messages, timestamps_ms: IntArray, skew_ms: int) -> None:
        self._messages = messages
        self._columns = messages.columns
        counts = messages.counts
        self._message = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        starts = np.cumsum(counts, dtype=np.int32) - counts
        self._index = np.arange(len(self._message), dtype=np.int32) - starts[self._message]
        self._kind = self._columns.kinds()
        self._limit_us = (timestamps_ms + skew_ms)[self._message] * 1_000
        self._time_us, self._odd = self._columns.times()
        self._suspects = self._columns.suspects

    def decoded(self) -> Decoded:
        for row, judged in self._messages.judged.items():
            self._time_us[row] = judged.time_us
        known = set(self._messages.judged)  # their columns are blank, and filled in below
        self._suspects.update(np.flatnonzero(self._odd | (self._time_us > self._limit_us)).tolist())
        types = {columns.shape.kind: self._type_rows(columns) for columns in self._columns.types if columns.any}
        for row in sorted(self._suspects - known - self._messages.refused.keys()):
            self._messages.rejudge(int(self._message[row]), int(self._index[row]), row)
        for row, judged in self._messages.judged.items():
            self._time_us[row] = judged.time_us
            if judged.kind != UNMETERED:
                fill(types[judged.kind], row, judged, self._columns.vocabulary)
        refused = sorted(self._messages.refused.items())
        rows = np.array([row for row, _ in refused], np.int64)
        digest = with_instant(self._columns.digests(), self._time_us)
        sequence, source = np.full((2, len(digest)), -1, np.int64)
        numbered, of_source, numbers, sources = self._columns.numbered.arrays()
        if len(numbered):
            sequence[numbered], source[numbered] = numbers, of_source
            digest[numbered] = identities(sources[of_source], numbers)
        for column, value in ((self._kind, INVALID), (self._time_us, 0), (digest, 0), (sequence, -1), (source, -1)):
            column[rows] = value
        types = {kind: kept(found, self._kind) for kind, found in types.items()}
        return Decoded(
            message=self._message,
            index=self._index,
            kind=self._kind,
            time_us=self._time_us,
            digest=digest,
            types={kind: found for kind, found in types.items() if len(found.row)},
            refusals=[Refusal(row, found.reason, found.raw) for row, found in refused],
            sequence=sequence,
            source=source,
            sources=sources,
            vocabulary=self._columns.vocabulary,
        )

    def _type_rows(self, columns: TypeColumns) -> TypeRows:
        """All rows of one type; those that lack what a meter needs join the suspects."""
        found = TypeRows(
            columns.rows(),
            columns.subjects(),
            {path: column.array() for path, column in columns.texts.items()},
            {key: column.arrays() for key, column in columns.numbers.items()},
            {path: column.arrays() for path, column in columns.members.items()},
        )
        odd = complete(found, columns.shape, self._time_us[found.row])
        if odd.any():
            self._suspects.update(found.row[odd].tolist())
        return found
