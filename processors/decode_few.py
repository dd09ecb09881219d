"""A few single events, straight by the careful path: what a whole chunk's columns cost, some would not earn.

The hot path pays about a millisecond a call before its first event, the careful path a thirtieth of that for each one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from config.settings import Limits
from processors.decode_careful import CarefulDecoder, Judged, RefusedError
from processors.decode_columns import IntArray, by_id, digest_array, digests, with_instant
from processors.decode_messages import NO_UTF8, is_utf8
from processors.decode_shapes import INVALID, UNMETERED, Shape
from processors.decode_split import form_of, may_nest
from processors.decoded import Decoded, Refusal, TypeRows
from processors.vocabulary import Vocabulary

FEW = 16  # dearer than the hot path from about twice as many on


class FewDecoder:
    """Reads what `Decoder` would, the same."""

    def __init__(self, shapes: Sequence[Shape], careful: CarefulDecoder, limits: Limits) -> None:
        self._shapes, self._careful = shapes, careful
        self._bytes_max = limits.message_bytes_max

    def decode(self, values: Sequence[bytes | None], timestamps_ms: IntArray, vocabulary: Vocabulary) -> Decoded | None:
        """Arguments as for `Decoder.decode`. None where there are too many, or one is no single event in JSON, or is
        known by a number: then the hot path has to read all."""
        if len(values) > FEW:
            return None
        judged: dict[int, Judged] = {}
        refusals: list[Refusal] = []
        for row, value in enumerate(values):
            if not value or not self._is_single(value):
                return None
            if not is_utf8(value):
                refusals.append(Refusal(row, NO_UTF8, value))
                continue
            try:
                one = self._careful.judge(value, "JSON", int(timestamps_ms[row]))
            except RefusedError as error:
                refusals.append(Refusal(row, str(error), value))
                continue
            if one.sequence is not None:
                return None
            judged[row] = one
        return self._decoded(len(values), judged, refusals, vocabulary)

    def _is_single(self, value: bytes) -> bool:
        """Whether it is one message of one event in JSON, well-formed or not, that nests no deeper than it may."""
        if value.isspace() or len(value) > self._bytes_max:
            return False
        return form_of(value) == ("JSON", False) and not may_nest(value, "JSON")

    def _decoded(
        self, count: int, judged: dict[int, Judged], refusals: list[Refusal], vocabulary: Vocabulary
    ) -> Decoded:
        kind, time_us = np.full(count, INVALID, np.int16), np.zeros(count, np.int64)
        digest = np.zeros((count, 2), np.uint64)
        if judged:
            rows, good = [*judged], judged.values()
            kind[rows] = [one.kind for one in good]
            time_us[rows] = [one.time_us for one in good]
            identities = digest_array(by_id([one.source for one in good], [one.id for one in good]))
            digest[rows] = with_instant(identities, time_us[rows])
        return Decoded(
            message=np.arange(count, dtype=np.int32),
            index=np.zeros(count, np.int32),
            kind=kind,
            time_us=time_us,
            digest=digest,
            types={
                shape.kind: _type_rows(shape, judged, np.flatnonzero(kind == shape.kind), vocabulary)
                for shape in self._shapes
                if shape.kind != UNMETERED and (kind == shape.kind).any()
            },
            refusals=refusals,
            sequence=np.full(count, -1, np.int64),
            source=np.full(count, -1, np.int64),
            sources=np.empty((0, 2), np.uint64),
            vocabulary=vocabulary,
        )


def _type_rows(shape: Shape, judged: dict[int, Judged], row: IntArray, vocabulary: Vocabulary) -> TypeRows:
    of_type = [judged[place] for place in row.tolist()]
    found = TypeRows(row, vocabulary.codes((one.subject for one in of_type), len(of_type)), {}, {}, {})
    for path in shape.texts:
        found.text[path] = vocabulary.codes((one.texts[path] for one in of_type), len(of_type))
    for key in (*shape.numbers, *shape.formulas):
        numbers = [one.numbers[key] for one in of_type]
        present = np.array([number is not None for number in numbers], np.bool_)
        found.number[key] = np.array([number or 0 for number in numbers], np.int64), present
    for path in shape.members:
        members = [one.members[path] for one in of_type]
        told = np.array([member is not None for member in members], np.bool_)
        digest = digest_array(digests(member or "" for member in members))
        digest[~told] = 0
        found.member[path] = digest, told
    return found
