"""Numbers for made-up traffic: what an emitter that counts its events would have written, and what became of it.

A part of the subjects have a source of their own, so that its numbers lie on one partition. Numbers come out of order,
and some never come.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.truth import Ints

_REACH = 200  # lines among which numbers may stand in another order
_GAPS = 0.002  # share of numbers before which some are missing
_GAP_MAX = 5
_SPREAD = 0x9E3779B1  # odd: spreads subjects evenly, hot and cold ones alike


class Counters:
    """The counters of all sources of one run. Draws from a stream of its own, so that other lines stay as they are."""

    def __init__(self, seed: int, subjects: int, share: float, run: str) -> None:
        self._rng = np.random.default_rng((seed, 1))
        self._next: Ints = np.zeros(subjects, np.int64)
        self._numbered = (np.arange(subjects) * _SPREAD % 2**32) < share * 2**32
        self._run = run.encode()
        self.lines = 0  # numbered so far, repeats aside

    def takes(self, subject: Ints) -> NDArray[np.bool_]:
        """bool[n]: whether events of these subjects are numbered."""
        return self._numbered[subject]

    def stamp(self, lines: Any, rows: Ints, subject: Ints) -> None:
        """Number these rows of an object array of lines; `subject` is that of each row."""
        self.lines += len(rows)
        place = rows + self._rng.integers(0, _REACH, len(rows))
        order = np.lexsort((place, subject))
        subjects = subject[order]
        begins = np.ones(len(rows), np.bool_)
        begins[1:] = subjects[1:] != subjects[:-1]
        gaps = np.where(self._rng.random(len(rows)) < _GAPS, self._rng.integers(1, _GAP_MAX, len(rows)), 0)
        steps = np.cumsum(gaps + 1)
        starts = np.flatnonzero(begins)
        before = np.repeat(steps[starts] - gaps[starts] - 1, np.diff(np.append(starts, len(rows))))
        numbers = self._next[subjects] + steps - before - 1
        np.maximum.at(self._next, subjects, numbers + 1)
        for row, one, number in zip(rows[order].tolist(), subjects.tolist(), numbers.tolist(), strict=True):
            more = b'#%b.%d","sequence":"%d","sequencetype":"tollstream","type":"' % (self._run, one, number)
            lines[row] = lines[row].replace(b'","type":"', more, 1)
