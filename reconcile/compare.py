"""Pure comparisons of a recount with what was stored. Each tells an Outcome what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from config.catalogue import Catalogue, Meter
from reconcile.differences import Difference, Outcome, Trail, at_ms, differing
from reconcile.recount import COUNTS, Letter, Recount, WindowKey
from reconcile.states import Row, Series

RowKey = tuple[int, Series, int, int]  # start of the window in ms, series, chunk, admission: a row of one meter version


class StoredRow(NamedTuple):
    """A row of usage as ClickHouse has it. `odd`: a column that the meter fixes, such as precision, is not so."""

    start_ms: int
    series: Series
    chunk: int
    account: str
    row: Row
    odd: bool = False
    admission: int = 0


class StoredLetter(msgspec.Struct, frozen=True, gc=False):
    offset: int
    index: int
    raw: int  # xxh3_128 of its bytes


class Usage:
    """Compares rows of usage of one meter version and partition.

    `behind` collects the rows that are not acknowledged yet, `ahead` those of events that the recount has not reached.
    """

    def __init__(self, outcome: Outcome, catalogue: Catalogue, meter: Meter, partition: int) -> None:
        self._outcome, self._catalogue, self._meter, self._partition = outcome, catalogue, meter, partition
        self.behind: dict[RowKey, Row] = {}
        self.ahead: dict[RowKey, StoredRow] = {}

    def compare(
        self, expected: Mapping[RowKey, Row], found: Iterable[StoredRow], reached: int | None, acknowledged: int
    ) -> None:
        """`reached`: offset through which the log is counted, None where no later event can matter; `acknowledged`:
        offset below which every row must be there."""
        seen: set[RowKey] = set()
        for stored in found:
            key = (stored.start_ms, stored.series, stored.chunk, stored.admission)
            wanted = expected.get(key)
            if key in seen:
                self._differ("a row stands twice", key, wanted, stored)
                continue
            seen.add(key)
            self._outcome.compared["usage"] += 1
            if reached is not None and stored.row.offset >= reached:
                self.ahead[key] = stored
            elif wanted is None:
                self._differ("a row that the log does not give", key, None, stored)
            elif stored.row.offset < wanted.offset and wanted.offset >= acknowledged:
                self.behind[key] = wanted
            else:
                self.same(key, wanted, stored)
        for key, wanted in expected.items():
            if key not in seen:
                if wanted.offset >= acknowledged:
                    self.behind[key] = wanted
                else:
                    self._differ("a row is missing", key, wanted, None)

    def same(self, key: RowKey, wanted: Row, stored: StoredRow) -> None:
        """Every column, now that both are of the same moment."""
        account = self._catalogue.account_of(key[1][0], key[0])
        if wanted != stored.row or stored.odd or stored.account != account:
            self._differ("a row differs", key, wanted, stored)

    def never(self, key: RowKey, stored: StoredRow) -> None:
        """A row of an event that the log turned out not to hold, or not for this partial."""
        self._differ("a row of an offset at which the log gives none", key, None, stored)

    def _differ(self, what: str, key: RowKey, wanted: Row | None, stored: StoredRow | None) -> None:
        start, series, chunk, admission = key
        account = self._catalogue.account_of(series[0], start)
        expected = None if wanted is None else _columns(wanted, account, False)
        found = None if stored is None else _columns(stored.row, stored.account, stored.odd)
        if expected is not None and found is not None and expected != found:
            expected, found = differing(expected, found)
        offsets = [stored.row.offset] if wanted is None and stored is not None else []
        window: WindowKey = (self._meter.id, self._meter.version, series, start, admission)
        self._outcome.differ(
            Difference(
                place="usage",
                what=what,
                partition=self._partition,
                account=account,
                chunk=chunk,
                expected=expected,
                found=found,
                offsets=offsets,
                **named(self._catalogue, window),
            ),
            Trail(self._partition, key=window, offset=offsets[0] if offsets else None),
        )


def _columns(row: Row, account: str, odd: bool) -> dict[str, Any]:
    members = sorted(map(str, row.members)) if row.members is not None else None
    return {
        **{name: value for name, value in row._asdict().items() if name != "members"},
        **({"members": members} if members is not None else {}),
        "account": account,
        **({"columns": "aggregation, precision or window_end are not the meter's"} if odd else {}),
    }


def named(catalogue: Catalogue, key: WindowKey) -> dict[str, Any]:
    """What a partial is about, as fields of a Difference."""
    meter_id, version, series, start, admission = key
    meter = next(one for one in catalogue.meters if (one.id, one.version) == (meter_id, version))
    return {
        "meter": meter_id,
        "meter_version": version,
        "subject": series[0],
        "dimensions": dict(zip(meter.dimensions, series[1:], strict=True)),
        "window_start": at_ms(start),
        "admission": admission or None,
    }


def compare_counts(
    outcome: Outcome, place: str, partition: int, offset: int, recount: Mapping[str, int], found: Mapping[str, int]
) -> None:
    """The ledger (and the clock, as `clock_ms`) through an offset."""
    outcome.compared["ledger"] += 1
    expected, found = differing(recount, found)
    if expected:
        what = f"the ledger through offset {offset - 1} differs"
        outcome.differ(Difference(place=place, what=what, partition=partition, expected=expected, found=dict(found)))


def counts_of(recount: Recount) -> dict[str, int]:
    """The ledger and the clock as they are now."""
    return {**{name: recount.ledger[name] for name in COUNTS}, "clock_ms": recount.clock_ms}


def compare_letters(
    outcome: Outcome, partition: int, expected: Iterable[Letter], stored: Mapping[str, Iterable[StoredLetter]]
) -> None:
    """`stored`: place ("late" or "dead-letter") -> the letters of the same range of offsets."""
    wanted = {(one.offset, one.index): one for one in expected}
    seen: set[tuple[int, int]] = set()
    for place, letters in stored.items():
        for found in letters:
            outcome.compared["letters"] += 1
            at = (found.offset, found.index)
            letter = wanted.get(at)
            if letter is None or letter.late != (place == "late"):
                _differ_letter(outcome, partition, place, "a letter for an event that is none", at)
            elif letter.raw != found.raw:
                _differ_letter(outcome, partition, place, "a letter with other bytes than the log has", at)
            if letter is not None and letter.late == (place == "late"):
                seen.add(at)
    for at, letter in wanted.items():
        if at not in seen and letter.certain:
            _differ_letter(outcome, partition, "late" if letter.late else "dead-letter", "a letter is missing", at)


def _differ_letter(outcome: Outcome, partition: int, place: str, what: str, at: tuple[int, int]) -> None:
    said = {"offset": at[0], "index": at[1]}
    missing = what == "a letter is missing"
    outcome.differ(
        Difference(
            place=place,
            what=what,
            partition=partition,
            expected=said if missing else None,
            found=None if missing else said,
            offsets=[at[0]],
        ),
        Trail(partition, offset=at[0]),
    )


def compare_identities(
    outcome: Outcome,
    partition: int,
    expected: Mapping[int, set[int]],
    found: Mapping[int, set[int]],
    counts: Callable[[int], bool],
) -> None:
    """The identities of accepted events by hour. `counts`: whether an hour is within what is checked."""
    for hour in sorted({*expected, *found}):
        if not counts(hour):
            continue
        mine, theirs = expected.get(hour, set()), found.get(hour, set())
        outcome.compared["identities"] += len(mine | theirs) if mine != theirs else len(mine)
        for what, ids in (("an identity is missing", mine - theirs), ("an identity no event has", theirs - mine)):
            for one in sorted(ids):
                said = {"identity": f"{one:032x}"}
                missing = what == "an identity is missing"
                outcome.differ(
                    Difference(
                        place="redis",
                        what=what,
                        partition=partition,
                        window_start=at_ms(hour * 3_600_000),
                        expected=said if missing else None,
                        found=None if missing else said,
                    ),
                    Trail(partition, identity=one),
                )
