"""What a partial is about, as a code: a subject with the values of a meter's dimensions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from processors.compiled import Module
from processors.int_codes import IntCodes
from processors.vocabulary import Vocabulary

Ints = NDArray[np.int64]
Series = tuple[str, ...]  # subject, then the dimensions' values in the meter's order
_LOW = 0xFFFFFFFF


class Combinations:
    """The codes of all series with so many dimensions that were seen in one vocabulary.

    Each step pairs the code of the dimensions before with the next one; the last takes the subject, so that sets of
    dimensions have codes of their own.
    """

    def __init__(self, vocabulary: Vocabulary, dimensions: int, compiled: Module | None = None) -> None:
        self.vocabulary = vocabulary
        self._series: list[Series] = []  # by code, of those that were asked for and all before
        self._steps = [IntCodes(compiled) for _ in range(dimensions + 1)] if dimensions else []

    def __len__(self) -> int:
        """How many codes there are. Without dimensions they are those of the vocabulary."""
        return len(self._steps[-1]) if self._steps else len(self.vocabulary.seen)

    @property
    def dimension_sets(self) -> int:
        """How many different sets of values the dimensions had."""
        return len(self._steps[-2]) if self._steps else 1

    def codes(self, subject: Ints, dimensions: Sequence[Ints]) -> Ints:
        """int64[n]: of each event, from the codes of its texts."""
        if not dimensions:
            return subject
        code = np.zeros(len(subject), np.int64)
        for step, text in zip(self._steps, [*dimensions, subject], strict=True):
            code = step.codes((code << 32) | text)
        return code

    def series(self, codes: Ints) -> list[Series]:
        """The texts of each code. With dimensions they are made once: meters that share codes share them too."""
        if not self._steps:
            return list(zip(map(self.vocabulary.seen.__getitem__, codes.tolist())))
        known = len(self._series)
        if known < len(self):
            self._series += self._made(np.arange(known, len(self)))
        return list(map(self._series.__getitem__, codes.tolist()))

    def _made(self, codes: Ints) -> Iterator[Series]:
        columns = []
        for step in reversed(self._steps):
            keys = step.keys[codes]
            codes = keys >> 32
            columns.append((keys & _LOW).tolist())
        subject, *dimensions = columns
        of = self.vocabulary.seen.__getitem__
        return zip(*(map(of, column) for column in (subject, *reversed(dimensions))), strict=True)
