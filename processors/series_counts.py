"""How many series a subject has in a window: what a runaway dimension is told by."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from processors.combinations import Series
from processors.compiled import Module
from processors.int_codes import IntCodes
from processors.vocabulary import Codes

Ints = NDArray[np.int64]


class SeriesCounts:
    """The counts of one table. `most`: the highest of any subject and window."""

    def __init__(self, compiled: Module | None = None) -> None:
        self.most = 0
        self._subjects = Codes()
        self._subject_of = np.zeros(0, np.int64)  # of each series
        self._known = 0  # series in it
        self._places = IntCodes(compiled)  # subject << 32 | window number
        self._counts = np.zeros(0, np.int64)  # by place

    def add(self, series: Sequence[Series], codes: Ints, windows: Ints) -> None:
        """Partials that begin, each once: the code of its series in `series`, and the number of its window."""
        if len(series[0]) == 1:  # without dimensions a subject is a series
            self.most = 1
            return
        known, self._known = self._known, len(series)
        self._subject_of = _roomy(self._subject_of, len(series))
        subjects = list(map(itemgetter(0), series[known:]))
        self._subjects.of_distinct(list(dict.fromkeys(subjects)))
        self._subject_of[known : len(series)] = self._subjects.codes(subjects, len(subjects))
        places = self._places.codes((self._subject_of[codes] << 32) | windows)
        self._counts = _roomy(self._counts, len(self._places))
        np.add.at(self._counts, places, 1)
        self.most = max(self.most, int(self._counts[places].max()))

    def of(self, subjects: Sequence[str], windows: Ints) -> Ints:
        """int64[n]: of each subject, in the window of this number."""
        codes = np.fromiter((self._subjects.get(subject, -1) for subject in subjects), np.int64, len(subjects))
        places = self._places.find((codes << 32) | windows)
        # The last one is for places that there are not; a code of -1 makes a key below zero, which none has.
        return np.append(self._counts, 0)[places]


def _roomy(column: Ints, needed: int) -> Ints:
    """The column, or a longer one with zeros behind it."""
    if needed <= len(column):
        return column
    grown = np.zeros(max(needed, len(column) * 3 // 2), np.int64)
    grown[: len(column)] = column
    return grown
