"""The check of one partition: reads on to a frozen offset, and compares what is stored there, round by round."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from config.catalogue import BEGIN_MS, END_MS, Catalogue, Meter
from config.settings import Settings
from processors.held import Held
from reconcile.admission_rows import AdmissionRows
from reconcile.claims import Claims
from reconcile.compare import (
    RowKey,
    StoredRow,
    Usage,
    compare_counts,
    compare_letters,
    counts_of,
)
from reconcile.differences import Outcome
from reconcile.log import Message
from reconcile.recount import Letter, Recount, WindowKey
from reconcile.redis_side import RedisSide
from reconcile.states import Row, State
from reconcile.tables import Tables
from reconcile.takes import MeterKey

CLOSED_MAX = 200_000  # partials of closed windows kept before they are compared and forgotten: about 100 MB
_STEP = 2_000  # messages between two looks at memory

Take = Callable[[WindowKey, State], None]


class Frozen(NamedTuple):
    """What is compared in one round."""

    redis_offset: int | None  # of the head in Redis; None: there is none
    acknowledged: int  # every row of an event below it must be in ClickHouse
    held: Held | None  # the whole state, or None where only the head is looked at
    head: tuple[dict[str, int], dict[int, int]] | None  # counts with clock_ms, and identities in each hour
    ledger: tuple[int, dict[str, int]] | None  # the ledger's offset and counts in ClickHouse

    @property
    def target(self) -> int:
        """Read up to here."""
        return max(self.redis_offset or 0, self.ledger[0] if self.ledger else 0)


class PartitionCheck:
    """Keeps the recount of one partition between rounds. `take` gets every partial once nothing can change it."""

    def __init__(
        self,
        partition: int,
        catalogue: Catalogue,
        settings: Settings,
        tables: Tables,
        outcome: Outcome,
        start: int = 0,
        since_ms: int = BEGIN_MS,
        take: Take | None = None,
    ) -> None:
        self.partition, self.since_ms = partition, since_ms
        self.recount = Recount(catalogue, settings.limits, settings.processing.skew_ms, since_ms)
        self.recount.offset = start
        self._catalogue, self._tables, self._outcome = catalogue, tables, outcome
        self._take = take
        self._meters: dict[MeterKey, Meter] = {(one.id, one.version): one for one in catalogue.meters}
        self._done_ms = dict.fromkeys(self._meters, since_ms)  # windows that start before it are compared
        self._letters_from = start
        self._rows_from = 0  # offset from which rows of open windows are to compare
        self._owed: dict[MeterKey, dict[RowKey, Row]] = {key: {} for key in self._meters}
        self._ahead: dict[int, list[tuple[MeterKey, RowKey, StoredRow]]] = {}  # by the offset that they name
        self._acknowledged = 0
        self.claims = Claims()
        self._admissions = AdmissionRows(outcome, tables, partition, start)

    # -- reading

    def read(self, messages: Iterable[Message], frozen: Frozen, counted: Callable[[int], None]) -> None:
        """Count messages up to the target, and compare Redis and the ledger at the offsets where they stand."""
        self._acknowledged = frozen.acknowledged
        stops: list[tuple[int, Callable[[], None]]] = []
        if frozen.redis_offset is not None:
            stops.append((frozen.redis_offset, lambda: self._compare_redis(frozen)))
        if frozen.ledger is not None:
            stops.append((frozen.ledger[0], lambda: self._compare_ledger(frozen)))
        stops = sorted((stop for stop in stops if stop[0] >= self.recount.offset), key=lambda stop: -stop[0])
        self._count(messages, stops, counted)
        for _, compare in reversed(stops):
            compare()
        # Behind the last message there may be transaction markers, which are no messages.
        self.recount.offset = max(self.recount.offset, frozen.target)

    def read_on(self, messages: Iterable[Message], counted: Callable[[int], None]) -> None:
        """Count further messages, so that the rows found ahead of the recount are compared, too."""
        self._count(messages, [], counted)
        for rows in self._ahead.values():  # the log does not reach so far: no event stands behind them
            for key, at, stored in rows:
                self._usage(key).never(at, stored)
        self._ahead = {}

    def _count(
        self, messages: Iterable[Message], stops: list[tuple[int, Callable[[], None]]], counted: Callable[[int], None]
    ) -> None:
        """`stops`: what to do before the message of an offset, the nearest last."""
        done = self.recount.offset
        for offset, timestamp_ms, value in messages:
            while stops and stops[-1][0] <= offset:
                stops.pop()[1]()
            self.recount.fold(offset, timestamp_ms, value)
            if self._ahead:
                self._settle()
            if offset + 1 - done >= _STEP:
                counted(offset + 1 - done)
                done = offset + 1
                self._spill()
        counted(self.recount.offset - done)

    def _settle(self) -> None:
        """Rows that were ahead of the recount, now that it has reached the offset that they name."""
        for key, at, stored in self._ahead.pop(self.recount.offset - 1, ()):
            start, series, chunk, admission = at
            state = self.recount.state_of((*key, series, start, admission))
            wanted = dict(state.rows()).get(chunk) if state is not None else None
            usage = self._usage(key)
            if wanted is None or wanted.offset != stored.row.offset:
                usage.never(at, stored)
            else:
                usage.same(at, wanted, stored)

    def _spill(self) -> None:
        """Compare and forget closed windows once they are many."""
        if len(self.recount.letters) > CLOSED_MAX:
            self._compare_letters()
        for key, windows in self.recount.windows.items():
            if sum(map(len, windows.values())) > CLOSED_MAX:
                self._compare_closed(key)

    @property
    def reach(self) -> int:
        """The offset through which the log must still be read so that every row found can be compared."""
        return max(self._ahead, default=-1) + 1

    # -- Redis and the ledger

    def _compare_ledger(self, frozen: Frozen) -> None:
        assert frozen.ledger is not None
        offset, found = frozen.ledger
        if self.since_ms == BEGIN_MS:
            compare_counts(self._outcome, "ledger", self.partition, offset, counts_of(self.recount), found)

    def _compare_redis(self, frozen: Frozen) -> None:
        assert frozen.redis_offset is not None
        assert frozen.head is not None
        counts, hours = frozen.head
        if self.since_ms == BEGIN_MS:
            compare_counts(self._outcome, "redis", self.partition, frozen.redis_offset, counts_of(self.recount), counts)
        side = RedisSide(self._outcome, self._catalogue, self.partition, self.recount, self.since_ms)
        if frozen.held is None:
            side.compare_lengths(hours)
            return
        side.compare_identities(frozen.held.hours())
        side.compare_numbers(frozen.held.numbers())
        side.compare_partials(frozen.held, self._done_ms)

    # -- ClickHouse

    def compare_tables(self, *, later_rounds: bool) -> None:
        """Letters and usage through where the recount is. Rows ahead of it and not yet acknowledged are remembered."""
        self._compare_letters()
        self._compare_outcomes()
        self._compare_owed()
        for key in self._meters:
            self._compare_closed(key)
        self._compare_open()
        self._compare_admitted()
        if later_rounds:
            self._rows_from = self.recount.offset
            self.recount.admitted.clear()

    def _compare_letters(self) -> None:
        through = self.recount.offset
        letters: list[Letter] = self.recount.letters
        stored = self._tables.letters(self.partition, self._letters_from, through)
        compare_letters(self._outcome, self.partition, letters, stored)
        self._letters_from, self.recount.letters = through, []

    def _compare_outcomes(self) -> None:
        if self._take is not None:
            self.claims.take(self.recount.outcomes)
        self._admissions.compare(self.recount.outcomes, self.recount.offset, self._acknowledged)
        self.recount.outcomes = []

    def _compare_closed(self, key: MeterKey) -> None:
        expected: dict[RowKey, Row] = {}
        limit = self.recount.open_since_ms(key)
        size = self._meters[key].window_ms
        first, last = self._done_ms[key], limit // size * size  # the first window that ends after the limit starts here
        if last <= first:
            return
        for start, window in self.recount.close(key):
            for series, state in window.items():
                expected.update(((start, series, chunk, 0), row) for chunk, row in state.rows())
                if self._take is not None:
                    self._take((*key, series, start, 0), state)
        usage = self._usage(key)
        usage.compare(expected, self._stored([key], first, last, admitted=False).get(key, ()), None, self._acknowledged)
        self._done_ms[key] = last
        self._owed[key] |= usage.behind

    def _stored(
        self,
        keys: Iterable[MeterKey],
        from_ms: int,
        to_ms: int = END_MS,
        offset: int = 0,
        *,
        admitted: bool | None = None,
    ) -> dict[MeterKey, list[StoredRow]]:
        found: dict[MeterKey, list[StoredRow]] = {}
        meters = [self._meters[key] for key in keys]
        for key, row in self._tables.usage(self.partition, meters, from_ms, to_ms, offset, admitted):
            found.setdefault(key, []).append(row)
        return found

    def _compare_open(self) -> None:
        least = self._rows_from
        first = min(self._done_ms.values(), default=0)
        found = self._stored(self._meters, first, offset=least, admitted=False)
        for key, windows in self.recount.windows.items():
            expected: dict[RowKey, Row] = {}
            for start, window in windows.items():
                for series, state in window.items():
                    if state.offset >= least:
                        rows = state.rows()
                        expected.update(((start, series, chunk, 0), row) for chunk, row in rows if row.offset >= least)
            stored = [row for row in found.pop(key, ()) if row.start_ms >= self._done_ms[key]]
            self._compare_through(key, expected, stored)

    def _compare_admitted(self) -> None:
        """What came back is final at once, whether its window is open or not."""
        least = self._rows_from
        found = self._stored(self._meters, self.since_ms, offset=least, admitted=True)
        expected: dict[MeterKey, dict[RowKey, Row]] = {key: {} for key in self._meters}
        for (meter, version, series, start, admission), state in self.recount.admitted.items():
            if state.offset >= least:
                rows = {(start, series, chunk, admission): row for chunk, row in state.rows()}
                expected[(meter, version)] |= rows
        for key in self._meters:
            self._compare_through(key, expected[key], found.get(key, []))

    def _compare_through(self, key: MeterKey, expected: dict[RowKey, Row], stored: list[StoredRow]) -> None:
        """At the offset where the recount is."""
        usage = self._usage(key)
        usage.compare(expected, stored, self.recount.offset, self._acknowledged)
        self._owed[key] |= usage.behind
        for at, row in usage.ahead.items():
            self._ahead.setdefault(row.row.offset, []).append((key, at, row))

    def _compare_owed(self) -> None:
        """Rows that were not acknowledged at the last look."""
        for key, owed in self._owed.items():
            if not owed:
                continue
            starts = [start for start, *_ in owed]
            found = self._stored([key], min(starts), max(starts) + 1).get(key, ())
            there = {(one.start_ms, one.series, one.chunk, one.admission): one for one in found}
            # A newer one than the row that was owed is compared for itself, where its own offset is.
            newer = {at for at, row in owed.items() if at in there and there[at].row.offset > row.offset}
            still = {at: row for at, row in owed.items() if at not in newer}
            usage = self._usage(key)
            usage.compare(still, [there[at] for at in still if at in there], None, self._acknowledged)
            self._owed[key] = usage.behind

    @property
    def waiting(self) -> int:
        """Rows that ClickHouse does not have, and that no owner has called acknowledged."""
        return sum(map(len, self._owed.values())) + len(self._admissions.owed)

    def look_again(self, acknowledged: int) -> None:
        """Look for what was owed, now that more is acknowledged."""
        self._acknowledged = max(self._acknowledged, acknowledged)
        self._compare_owed()
        self._compare_outcomes()

    def take_rest(self) -> None:
        """Hand over the partials of windows that are still open."""
        if self._take is not None:
            for window, state in self.recount.states():
                self._take(window, state)

    def _usage(self, key: MeterKey) -> Usage:
        return Usage(self._outcome, self._catalogue, self._meters[key], self.partition)
