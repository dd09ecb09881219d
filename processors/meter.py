"""Stage 1: the fold of a partition's log. A pure function of (state, messages); no I/O, no clock but the log's own.

Verdicts, in this order, the first that fits: invalid, unmetered, late, over a limit (invalid), a number that another
event had (invalid), duplicate, accepted.
They depend on the log's prefix and the catalogue alone: cutting the log into other batches changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, Literal

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from config.catalogue import BEGIN_MS, Catalogue, Meter
from config.settings import Limits
from processors import admission
from processors.combinations import Combinations
from processors.events import INVALID, Decoded, Decoder, Refusal, TypeRows
from processors.identity import Identities
from processors.instants import END_US
from processors.limits import out_of_reach, refused_by
from processors.partials import PartialTable
from processors.sequences import REUSED, Numbered, Sequences
from processors.takes import Arrivals, Take
from processors.vocabulary import Vocabulary
from processors.windows import Ints

Verdict = Literal["accepted", "duplicate", "late", "invalid", "unmetered"]
MeterKey = tuple[str, int]  # meter id, version
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it loses nothing
_ADMISSIONS: Final = 1 << 48  # above every hour: tells the two kinds of buckets apart in a digest


class Batch(msgspec.Struct):
    """Consecutive messages of one partition, as columns. Gaps in the offsets are fine."""

    values: Sequence[bytes | None]
    offset: Ints  # ascending
    timestamp_ms: Ints  # of the record; may go back

    def part(self, start: int, end: int) -> Batch:
        """The messages at these places."""
        return Batch(self.values[start:end], self.offset[start:end], self.timestamp_ms[start:end])


class Letter(msgspec.Struct):
    """An event that was not added, with all that is needed to find it again: late, or invalid (to the dead letters)."""

    verdict: Verdict
    offset: int
    index: int  # place in its message
    reason: str
    raw: bytes
    record_timestamp_ms: int


class Ledger(msgspec.Struct):
    """Counts of events. `consumed` is counted before classification, so that the sum can fail."""

    consumed: int = 0
    accepted: int = 0
    duplicate: int = 0
    late: int = 0
    invalid: int = 0
    unmetered: int = 0
    admitted: int = 0  # of the accepted ones, those that came back by an admission

    def balanced(self) -> bool:
        """I1: every event has exactly one verdict."""
        return self.consumed == self.accepted + self.duplicate + self.late + self.invalid + self.unmetered


class PartitionState:
    """All that one partition's log prefix comes to: clock, ledger, identities, partials, admissions."""

    def __init__(self, catalogue: Catalogue, limits: Limits, decoder: Decoder, topic_id: str = "") -> None:
        """`topic_id`: of the log; no admission of letters of another one is taken. "" for any."""
        self.catalogue, self.limits, self.decoder, self.topic_id = catalogue, limits, decoder, topic_id
        self.offset = 0  # the next message
        self.clock_ms = BEGIN_MS  # the highest record timestamp seen
        self.ledger = Ledger()
        self.identities = Identities(compiled=decoder.compiled)
        self.sequences = Sequences(limits.sequence_intervals_max)
        self.admissions = admission.Admissions()
        self.tables: dict[MeterKey, PartialTable] = {}
        self._combinations: dict[int, Combinations] = {}  # by number of dimensions
        self.meters: dict[MeterKey, Meter] = {(meter.id, meter.version): meter for meter in catalogue.meters}
        # One text for both limits: which of two full meters refused an event first depends on where batches are cut.
        self._over_limit = (
            f"limit: a window of this subject holds dimension_sets_max={limits.dimension_sets_max} combinations of "
            f"dimensions or unique_max={limits.unique_max} values already; drop a dimension or raise the limit"
        )
        self.lateness_max_ms = max((event.lateness_ms for event in catalogue.events), default=0)

    def table(self, meter: Meter) -> PartialTable:
        """The partials of a meter version, begun when first asked for."""
        key = (meter.id, meter.version)
        if key not in self.tables:
            self.tables[key] = PartialTable(meter.aggregation, meter.window_ms, self.decoder.compiled)
        return self.tables[key]

    def open_since_ms(self, key: MeterKey) -> int:
        """Windows of this meter that end at or before this instant are closed: their events are late."""
        return self.clock_ms - self.catalogue.lateness_ms(self.meters[key].event_type)

    def identities_since_us(self) -> int:
        """Hours that end at or before this instant are closed for every event type."""
        return (self.clock_ms - self.lateness_max_ms) * 1000

    def close(self) -> None:
        """Close the hours and days that the clock has passed."""
        since_us = self.identities_since_us()
        self.identities.close(since_us)
        self.sequences.close(since_us)
        self.admissions.close(since_us)

    # -- the fold

    def fold(self, batch: Batch, since_ms: int = BEGIN_MS) -> list[Letter]:
        """Fold a batch in and return its letters. Events before `since_ms` are left out: only a restore says so."""
        stamps = np.clip(batch.timestamp_ms, 0, END_US // 1000)  # a record may carry any 64 bits
        batch = Batch(batch.values, batch.offset, stamps)
        self.decoder.series_open = self._series_open()
        decoded = self.decoder.decode(batch.values, stamps)
        if any(refusal.raw.startswith(b"\0") for refusal in decoded.refusals):
            records = admission.records_of(batch.values, decoded, self.limits)
            if records:
                return self._fold_around(records, batch, since_ms)
        clocks = np.maximum(np.maximum.accumulate(stamps), self.clock_ms)
        letters = [
            self._letter("invalid", batch, decoded, refusal.row, _reason(refusal), refusal.raw)
            for refusal in decoded.refusals
        ]
        metered, late = np.zeros((2, len(decoded.kind)), np.bool_)
        takes = []
        for code, rows in decoded.types.items():
            arrivals = self.arrivals(rows, decoded, batch.offset)
            late[rows.row] = self._late(code, arrivals, clocks)
            for _, take in self.takes(code, arrivals):
                metered[take.row] = True
                takes.append(take)
        late &= metered
        wanted = metered & ~late
        if since_ms > BEGIN_MS:
            wanted &= decoded.time_us >= since_ms * 1000
        kept = [take.only(wanted) for take in takes]
        refused, accepted, duplicate = self._accept(kept, np.flatnonzero(wanted), decoded)
        reason = "late: its window closed by the partition's clock; see `tollstream ledger`"
        letters += [self._letter("late", batch, decoded, row, reason, None) for row in np.flatnonzero(late).tolist()]
        letters += [self._letter("invalid", batch, decoded, row, why, None) for row, why in sorted(refused.items())]
        if since_ms == BEGIN_MS:  # the counts of a restore come from its mark
            invalid = decoded.kind == INVALID
            self.ledger.consumed += len(decoded.kind)
            self.ledger.invalid += int(invalid.sum()) + len(refused)
            self.ledger.unmetered += int((~metered & ~invalid).sum())
            self.ledger.late += int(late.sum())
            self.ledger.duplicate += duplicate
            self.ledger.accepted += accepted
        if len(batch.offset):
            self.offset, self.clock_ms = int(batch.offset[-1]) + 1, int(clocks[-1])
        self.close()
        return letters

    def _fold_around(self, records: dict[int, admission.AdmissionRecord], batch: Batch, since_ms: int) -> list[Letter]:
        """Fold a batch that holds admission records, in order: each stands between the messages around it."""
        letters, at = [], 0
        for place, record in sorted(records.items()):
            letters += self.fold(batch.part(at, place), since_ms) if at < place else []
            offset, timestamp_ms = int(batch.offset[place]), int(batch.timestamp_ms[place])
            admission.fold(self, record, offset, timestamp_ms, counts=since_ms == BEGIN_MS)
            self.offset, at = offset + 1, place + 1
            self.close()
        return letters + self.fold(batch.part(at, len(batch.values)), since_ms) if at < len(batch.values) else letters

    def arrivals(self, rows: TypeRows, decoded: Decoded, offset: Ints) -> Arrivals:
        """The valid events of one type; `offset` int64[messages]: of each message that was decoded."""
        return Arrivals(rows, decoded, offset, partial(self._named, decoded.vocabulary))

    def takes(self, code: int, arrivals: Arrivals) -> list[tuple[Meter, Take]]:
        """What each meter version takes of the events of its type, the one at `code` of the catalogue's."""
        spans = self.catalogue.meters_of(self.catalogue.events[code].type)
        return [(span.meter, arrivals.take(span, self.table(span.meter))) for span in spans]

    def _late(self, code: int, arrivals: Arrivals, clocks: Ints) -> NDArray[np.bool_] | bool:
        """Whether the partition's clock, by message, had closed what an event belongs to."""
        lateness_ms = self.catalogue.events[code].lateness_ms
        if not len(arrivals.row) or int(arrivals.time_us.min()) >= (int(clocks[-1]) - lateness_ms) * 1000:
            return False  # the clock never goes back
        late: NDArray[np.bool_] = arrivals.time_us < (clocks[arrivals.message] - lateness_ms) * 1000
        return late

    def _named(self, vocabulary: Vocabulary, dimensions: int) -> Combinations:
        """The codes of series, begun anew with the vocabulary, and when they are too many."""
        named = self._combinations.get(dimensions)
        most = self.limits.vocabulary_texts_max + self._series_open()
        if named is None or named.vocabulary is not vocabulary or len(named) > most:
            named = self._combinations[dimensions] = Combinations(vocabulary, dimensions, self.decoder.compiled)
        return named

    def _series_open(self) -> int:
        """How many series have a partial, those of each meter version apart."""
        return sum(len(table.series) for table in self.tables.values())

    def _accept(self, takes: list[Take], rows: Ints, decoded: Decoded) -> tuple[dict[int, str], int, int]:
        """Apply limits, drop duplicates, fold. Returns what a limit refused, with why; how many are new; duplicates.

        Where a batch might cross a limit it is cut in half until each part is clearly on one side: so the verdicts
        are those of one event at a time, at the price of whole batches nearly always.
        """
        refused: dict[int, str] = {}
        might = False
        most = self.limits.unique_max, self.limits.dimension_sets_max
        for take in takes:
            if out_of_reach(take.table, take.columns.named, len(take.row), *most):
                continue
            full, close = refused_by(take.table, take.events, *most)
            might |= close
            refused |= dict.fromkeys(take.row[full].tolist(), self._over_limit)
        if refused:
            rows = rows[~np.isin(rows, list(refused))]
            wanted = np.zeros(len(decoded.kind), np.bool_)
            wanted[rows] = True
            takes = [take.only(wanted) for take in takes]
        if might and len(rows) > 1:
            accepted = duplicate = 0
            for half in np.array_split(rows, 2):
                wanted = np.zeros(len(decoded.kind), np.bool_)
                wanted[half] = True
                more, fresh, again = self._accept([take.only(wanted) for take in takes], half, decoded)
                refused |= more
                accepted += fresh
                duplicate += again
            return refused, accepted, duplicate
        new_rows, reused = self._new(decoded, rows)
        refused |= dict.fromkeys(rows[reused].tolist(), REUSED)
        new = np.zeros(len(decoded.kind), np.bool_)
        new[rows[new_rows]] = True
        for take in takes:
            take.table.fold(take.only(new).events)
        return refused, int(new_rows.sum()), int((~new_rows).sum() - reused.sum())

    def _new(self, decoded: Decoded, rows: Ints) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(new, of a number that another event had before), by number or by id as each event asks."""
        new, reused = np.zeros((2, len(rows)), np.bool_)
        by_number = decoded.sequence[rows] >= 0
        if not by_number.any():
            return self.identities.add(decoded.time_us[rows], decoded.digest[rows]), reused
        others = rows[~by_number]
        new[~by_number] = self.identities.add(decoded.time_us[others], decoded.digest[others])
        found = Numbered(decoded.source, decoded.sequence, decoded.time_us, decoded.digest, decoded.sources)
        new[by_number], reused[by_number] = self.sequences.add(found.take(rows[by_number]))
        return new, reused

    def _letter(
        self, verdict: Verdict, batch: Batch, decoded: Decoded, row: int, reason: str, raw: bytes | None
    ) -> Letter:
        message, index = int(decoded.message[row]), int(decoded.index[row])
        if raw is None:
            raw = self.decoder.raw(batch.values[message] or b"", index)
        at, when = int(batch.offset[message]), int(batch.timestamp_ms[message])
        return Letter(verdict, at, index, reason, raw, when)

    # -- the mark

    def open_digest(self) -> str:
        """A digest of all that is open by the clock, whatever the order it came in: what a restore must reproduce."""
        total = np.zeros(2, np.uint64)
        for salt, sets in ((0, self.identities.hours), (_ADMISSIONS, self.admissions.buckets)):
            for hour, held in sorted(sets.items()):
                total += _mixed(held.keys.sum(axis=0, dtype=np.uint64) + np.uint64(held.count), hour + salt)
        for day, numbers in sorted(self.sequences.days.items()):
            total += _mixed(numbers.digest(), -1 - day)  # no hour is negative
        for key, table in sorted(self.tables.items()):
            opened = np.flatnonzero(table.column("window") + table.window_ms > self.open_since_ms(key))
            if len(opened):  # a table without open rows is as good as none: a restore may never have begun it
                salt = xxhash.xxh3_64_intdigest(f"{key[0]}\x1f{key[1]}".encode())
                total += _mixed(_table_digest(table, opened), salt)
        return total.tobytes().hex()


def _mixed(lanes: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    lanes = (lanes ^ np.uint64(salt & (2**64 - 1))) * _MIX
    return lanes ^ (lanes >> np.uint64(29))


def _table_digest(table: PartialTable, rows: Ints) -> NDArray[np.uint64]:
    """uint64[2]: a sum over rows, so that their order does not matter; within a row every column counts."""
    lanes = table.series_digests()[table.column("series")[rows]]
    for name in table.dtype.names or ():
        if name != "series":
            lanes = _mixed(lanes, 0) + table.column(name)[rows].astype(np.uint64)
    members = np.zeros(2, np.uint64)
    for row, lane in zip(rows.tolist(), lanes, strict=True) if table.sets else ():
        held = table.sets[row].rows
        halves = (
            held if held.shape[1] == 2 else held[:, 1:3] ^ _mixed(held[:, [0, 3]], 0)
        )  # a sample's parts belong together
        members += _mixed(halves.sum(axis=0, dtype=np.uint64), int(lane))
    lanes = _mixed(lanes, len(rows))
    return np.array([lanes.sum(dtype=np.uint64), (lanes >> np.uint64(7)).sum(dtype=np.uint64)]) + members


def _reason(refusal: Refusal) -> str:
    """A zero byte and more is what an admission begins with; a zero alone may be an element of a MessagePack array."""
    return admission.UNREADABLE if refusal.raw[:1] == b"\0" and len(refusal.raw) > 1 else refusal.reason
