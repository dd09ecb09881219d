"""`admission_rows` of one partition: what became of every event that came back."""

from __future__ import annotations

from collections.abc import Iterable

from reconcile.differences import Difference, Outcome, Trail, differing
from reconcile.returned import Outcome as Returned
from reconcile.tables import Tables

_Place = tuple[int, int]  # offset of the admission record, place in it


class AdmissionRows:
    """Keeps what is not acknowledged yet in `owed`."""

    def __init__(self, outcome: Outcome, tables: Tables, partition: int, start: int) -> None:
        self._outcome, self._tables, self._partition, self._from = outcome, tables, partition, start
        self.owed: dict[_Place, Returned] = {}

    def compare(self, expected: Iterable[Returned], through: int, acknowledged: int) -> None:
        """`expected`: what the log gives since the last time, through this offset; rows of records below
        `acknowledged` must be there."""
        wanted = self.owed | {(one.admission, one.place): one for one in expected}
        first = min([self._from, *(offset for offset, _ in self.owed)])
        before, seen = self._from, set[_Place]()
        for found in self._tables.outcomes(self._partition, first, through):
            at = (found.admission, found.place)
            mine = wanted.get(at)
            if mine is None and found.admission < before:
                continue  # compared before
            self._outcome.compared["admissions"] += 1
            seen.add(at)
            if mine is None:
                self._differ("a verdict on an event that did not come back", at, None, found)
            elif mine.verdict and mine != found:
                self._differ("the verdict on an event that came back differs", at, mine, found)
        missing = {at: one for at, one in wanted.items() if at not in seen}
        self.owed = {at: one for at, one in missing.items() if at[0] >= acknowledged}
        for at, one in missing.items():
            if at not in self.owed:
                self._differ("the verdict on an event that came back is missing", at, one, None)
        self._from = through

    def _differ(self, what: str, at: _Place, mine: Returned | None, theirs: Returned | None) -> None:
        said = [None if one is None else one._asdict() for one in (mine, theirs)]
        expected, found = differing(said[0], said[1]) if said[0] and said[1] else said
        self._outcome.differ(
            Difference(
                place="admission",
                what=what,
                partition=self._partition,
                row={"place": str(at[1])},
                expected=expected,
                found=found,
                offsets=[at[0]],
            ),
            Trail(self._partition, offset=at[0]),
        )
