"""The mergeable states of one meter version in one partition, as columns.

A partial is the state of one (meter version, subject, dimensions, window) as seen by one partition. A table holds
all partials of a meter version, a row each; a batch of events is folded in with whole-column operations.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from processors.combinations import Combinations, Series
from processors.compiled import Module
from processors.digests import DamagedError as DamagedError
from processors.identity import DigestSet
from processors.int_codes import IntCodes
from processors.packed import Packed, rows_of
from processors.samples import SampleSet
from processors.series_counts import SeriesCounts
from processors.vocabulary import Codes
from processors.windows import Ints, Selection

CHUNK_MEMBERS: Final = 4096  # members of a unique partial in one output row: 64 KiB, far below a Kafka message
_LOW: Final = 0xFFFFFFFF
_COMMON: Final = (("series", "<i4"), ("window", "<i8"), ("offset", "<i8"), ("events", "<i8"))
_LATEST: Final = (("value", "<i8"), ("time_us", "<i8"), ("id_hi", "<u8"), ("id_lo", "<u8"))
_STATE: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "count": (),
    "sum": (("sum_hi", "<i8"), ("sum_lo", "<i8")),
    "avg": (("sum_hi", "<i8"), ("sum_lo", "<i8")),
    "min": (("value", "<i8"),),
    "max": (("value", "<i8"),),
    "latest": _LATEST,
    "unique": (("members", "<i8"),),
    "gauge": (*_LATEST, ("members", "<i8")),
}
_SETS: Final[dict[str, tuple[type[DigestSet], int]]] = {"unique": (DigestSet, 2), "gauge": (SampleSet, 4)}
_DIMENSIONS: Final = itemgetter(slice(1, None))  # of a series: all but the subject
_EMPTY: Final = {"min": np.iinfo(np.int64).max, "max": np.iinfo(np.int64).min}


class PartialTable:
    """The partials of one meter version in one partition."""

    def __init__(self, aggregation: str, window_ms: int, compiled: Module | None = None) -> None:
        self.aggregation, self.window_ms = aggregation, window_ms
        self.dtype = np.dtype([*_COMMON, *_STATE[aggregation]])
        self.series = Codes()  # Series -> code
        self._compiled = compiled
        self._places = IntCodes(compiled)  # of code << 32 | window number: the rows
        self._named: Combinations | None = None  # whose codes `_code_of` knows
        self._code_of = np.empty(0, np.int64)  # code of theirs -> ours, -1 where not asked for yet
        self.has_members = aggregation in _SETS  # unique and gauge: a row holds a set that is cut into chunks
        self._set, self._member_width = _SETS.get(aggregation, (DigestSet, 2))
        self.sets: list[DigestSet] = []  # the members of each row
        self.chunk_offsets: list[list[int]] = []  # offset of the last member of each chunk of each row
        self._counts = SeriesCounts(compiled)
        self._counted = 0  # rows in it
        self._dimension_sets: set[Series] = set()
        self._dimensioned = 0  # series in it
        self.most_members = 0  # of any row
        self._columns: dict[str, NDArray[Any]] = {
            name: np.empty(0, self.dtype[name]) for name in self.dtype.names or ()
        }
        self._digests = np.empty(0, np.uint64)
        self._touched = np.zeros(0, np.bool_)  # by row: changed since the last `settle`
        self.sent = np.empty(0, np.int64)  # by row, and room for more: see processors.sent; -1: not sent by this owner
        self._saved_series = 0
        self._saved_members: list[int] = []

    def __len__(self) -> int:
        return len(self._places)

    def column(self, name: str) -> NDArray[Any]:
        """A view of one column, one value a row."""
        return self._columns[name][: len(self._places)]

    def series_at(self, row: int) -> Series:
        """The series of a row."""
        return self.series.seen[self._columns["series"][row]]  # type: ignore[no-any-return]

    def series_digests(self) -> NDArray[np.uint64]:
        """uint64[series]: a stable digest of each series, by its code."""
        known = len(self._digests)
        if known < len(self.series):
            fresh = [xxhash.xxh3_64_intdigest("\x1f".join(one).encode()) for one in self.series.seen[known:]]
            self._digests = np.concatenate([self._digests, np.array(fresh, np.uint64)])
        return self._digests

    @property
    def counts(self) -> SeriesCounts:
        """Of all rows, brought up to date when somebody asks: `dimension_sets` nearly always tells enough."""
        if self._counted < len(self):
            keys = self._places.keys[self._counted :]
            self._counts.add(self.series.seen, keys >> 32, keys & _LOW)
            self._counted = len(self)
        return self._counts

    @property
    def dimension_sets(self) -> int:
        """How many different sets of values the dimensions of all series have: no subject can have more."""
        fresh = self.series.seen[self._dimensioned :]
        self._dimension_sets.update(map(_DIMENSIONS, fresh))
        self._dimensioned += len(fresh)
        return len(self._dimension_sets)

    # -- finding rows

    def find(self, chosen: Selection) -> Ints:
        """int64[n]: the row that each event would go into, -1 where there is none yet."""
        known = self._codes(chosen, lambda series: [self.series.get(one, -1) for one in series])
        # A code of -1 makes a key below zero, which no row has.
        return self._places.find((known << 32) | (chosen.window // self.window_ms))

    def _codes(self, chosen: Selection, code: Callable[[list[Series]], list[int]]) -> Ints:
        """int64[n]: our codes of the events' series; of those seen for the first time, each once, what `code` says."""
        if chosen.named is not self._named:
            self._named, self._code_of = chosen.named, np.empty(0, np.int64)
        if len(self._code_of) < len(chosen.named):
            longer = np.full(len(chosen.named) * 3 // 2, -1, np.int64)
            longer[: len(self._code_of)] = self._code_of
            self._code_of = longer
        codes: Ints = self._code_of[chosen.series]
        if codes.min(initial=0) < 0:
            sought = chosen.series[codes < 0]
            places = -2 - np.arange(len(sought))
            self._code_of[sought[::-1]] = places[::-1]  # back to front: what comes several times keeps its first place
            unknown = sought[self._code_of[sought] == places]  # in order of arrival
            self._code_of[unknown] = code(chosen.named.series(unknown))
            codes = self._code_of[chosen.series]
        return codes

    def _rows(self, codes: Ints, window: Ints) -> Ints:
        """int64[n]: the row of each (series, window), begun where there is none."""
        known = len(self._places)
        rows = self._places.codes((codes << 32) | (window // self.window_ms))
        if len(self._places) > known:
            self._begin(known)
        return rows

    def _begin(self, first: int) -> None:
        """Give the rows from `first` on their empty state."""
        keys, total = self._places.keys[first:], len(self._places)
        if total > len(self._columns["series"]):
            room = max(total, len(self._columns["series"]) * 3 // 2, 64)
            for name, column in self._columns.items():
                self._columns[name] = _grown(column, room)
            self._touched, self.sent = _grown(self._touched, room), _grown(self.sent, room)
        if self.aggregation in _EMPTY:  # all else begins at zero, as room for it does
            self._columns["value"][first:total] = _EMPTY[self.aggregation]
        self.sent[first:total] = -1
        self._columns["series"][first:total] = keys >> 32
        self._columns["window"][first:total] = (keys & _LOW) * self.window_ms
        if self.has_members:
            self.sets.extend(self._set() for _ in keys)
            self.chunk_offsets.extend([] for _ in keys)
            self._saved_members.extend(0 for _ in keys)

    # -- folding

    def fold(self, chosen: Selection) -> None:
        """Fold accepted events in. Exact whatever the batch boundaries: every operation is associative."""
        if not len(chosen.offset):
            return
        rows = self._rows(self._codes(chosen, self.series.of_distinct), chosen.window)
        self._tally(rows, chosen.offset)
        if self.aggregation in ("sum", "avg"):
            assert chosen.value is not None
            self._add(rows, chosen.value)
        elif self.aggregation == "min":
            assert chosen.value is not None
            np.minimum.at(self._columns["value"], rows, chosen.value)
        elif self.aggregation == "max":
            assert chosen.value is not None
            np.maximum.at(self._columns["value"], rows, chosen.value)
        elif self.aggregation in ("latest", "gauge"):
            self._latest(rows, chosen)
        if self.has_members:
            self._unite(rows, chosen)

    def _tally(self, rows: Ints, offset: Ints) -> None:
        """Count events and note where they came from. Offsets ascend, so that the last written is the highest."""
        if self._compiled is not None:
            self._compiled.tally(
                rows, np.ascontiguousarray(offset), self._columns["events"], self._columns["offset"], self._touched
            )
            return
        np.add.at(self._columns["events"], rows, 1)
        self._columns["offset"][rows] = offset
        self._touched[rows] = True

    def _add(self, rows: Ints, values: Ints) -> None:
        """Sums in two limbs of 32 bits: neither can wrap within a batch, and the carry is settled after it."""
        hi, lo = self._columns["sum_hi"], self._columns["sum_lo"]
        if self._compiled is not None:
            self._compiled.sums(rows, np.ascontiguousarray(values), hi, lo)
            return
        np.add.at(lo, rows, values & _LOW)
        np.add.at(hi, rows, values >> 32)
        full = rows[lo[rows] > _LOW]
        if len(full):  # seldom: small values fill a limb after many events
            full = np.unique(full)
            hi[full] += lo[full] >> 32
            lo[full] &= _LOW

    def _latest(self, rows: Ints, chosen: Selection) -> None:
        """The value of the highest (time, identity): an order that no order of arrival changes."""
        assert chosen.value is not None
        assert chosen.time_us is not None
        assert chosen.digest is not None
        order = np.lexsort((chosen.digest[:, 1], chosen.digest[:, 0], chosen.time_us))
        last = dict(zip(rows[order].tolist(), order.tolist(), strict=True))  # of each row the highest stays
        at, best = np.array(list(last), np.int64), np.array(list(last.values()), np.int64)
        held = {name: self._columns[name] for name in ("time_us", "id_hi", "id_lo", "value")}
        time, high, low = chosen.time_us[best], chosen.digest[best, 0], chosen.digest[best, 1]
        same_time, same_high = time == held["time_us"][at], high == held["id_hi"][at]
        newer = (time > held["time_us"][at]) | (
            same_time & ((high > held["id_hi"][at]) | (same_high & (low > held["id_lo"][at])))
        )
        at, best = at[newer], best[newer]
        held["value"][at], held["time_us"][at] = chosen.value[best], chosen.time_us[best]
        held["id_hi"][at], held["id_lo"][at] = chosen.digest[best, 0], chosen.digest[best, 1]

    def _unite(self, rows: Ints, chosen: Selection) -> None:
        assert chosen.member is not None
        order = np.argsort(rows, kind="stable")
        distinct, starts = np.unique(rows[order], return_index=True)
        for row, events in zip(distinct.tolist(), np.split(order, starts[1:]), strict=True):
            new = self.sets[row].add(chosen.member[events])
            self._place_chunks(row, chosen.offset[events][new].tolist())

    def _place_chunks(self, row: int, offsets: list[int]) -> None:
        """Note which chunk each newest member fell into, and that chunk's new version."""
        chunks, count = self.chunk_offsets[row], self.sets[row].count
        for place, offset in enumerate(offsets, count - len(offsets)):
            if place // CHUNK_MEMBERS == len(chunks):
                chunks.append(offset)
            chunks[-1] = offset
        self._columns["members"][row] = count
        self.most_members = max(self.most_members, count)

    # -- what changed, packed for a checkpoint

    def changed(self) -> Ints:
        """Rows touched since the last `settle`, ascending."""
        return np.flatnonzero(self._touched)

    def settle(self) -> None:
        """What changed so far is in the checkpoint."""
        if self.has_members:
            for row in self.changed().tolist():
                self._saved_members[row] = self.sets[row].count
        self._touched[:] = False
        self.settle_series()

    def saved_members(self, row: int) -> int:
        """How many members of a row the last checkpoint holds."""
        return self._saved_members[row]

    def settle_series(self) -> None:
        """The series seen so far are in the checkpoint."""
        self._saved_series = len(self.series)

    def pack(self, rows: Ints) -> list[Any]:
        """The rows as absolute values: [first series, series, rows, members]. `unpack` reads it back.

        Series and members are only ever added to, so only those since the last `settle` are in it.
        """
        packed = np.empty(len(rows), self.dtype)
        for name in self.dtype.names or ():
            packed[name] = self.column(name)[rows]
        members = []
        for row in rows.tolist() if self.has_members else ():
            start = self._saved_members[row]
            if self.sets[row].count > start:
                chunk = start // CHUNK_MEMBERS
                place = [int(self._columns[name][row]) for name in ("series", "window")]
                added = self.sets[row].rows[start:].tobytes()
                members.append([*place, start, added, chunk, self.chunk_offsets[row][chunk:]])
        return [self._saved_series, self.series.seen[self._saved_series :], packed.tobytes(), members]

    def unpack(self, frame: list[Any]) -> None:
        """Read what `pack` wrote, in the order it was written: the last value of a row wins.

        DamagedError or ValidationError where it makes no sense: it is of other code, or of another meter.
        """
        since, series, packed, members = msgspec.convert(frame, Packed)
        if since != len(self.series):
            raise DamagedError(f"series from {since}, expected {len(self.series)}")
        if not self.series.begin(list(map(tuple, series))) or not all(series):
            raise DamagedError("a series that is empty, or there already")
        rows = rows_of(packed, self.dtype, len(self.series), self.window_ms)
        at = self._rows(rows["series"].astype(np.int64), rows["window"])
        for name in self.dtype.names or ():
            self._columns[name][at] = rows[name]
        for code, window, start, added, chunk, offsets in members:
            key = (code << 32) | (window // self.window_ms)
            row = int(self._places.find(np.array([key], np.int64))[0]) if 0 <= key < 1 << 63 else -1
            if row < 0 or self.sets[row].count != start or len(added) % (8 * self._member_width):
                raise DamagedError(f"members from {start} of a row that holds others")
            self.sets[row].add(np.frombuffer(added, np.uint64).reshape(-1, self._member_width))
            self.chunk_offsets[row][chunk:] = offsets
            self._saved_members[row] = self.sets[row].count
            self.most_members = max(self.most_members, self.sets[row].count)
        for row in set(at.tolist()) if self.sets else ():
            count = self.sets[row].count
            if self._columns["members"][row] != count or len(self.chunk_offsets[row]) != -(-count // CHUNK_MEMBERS):
                raise DamagedError(f"a row does not hold the {count} members that came with it")

    # -- closing

    def closed(self, before_ms: int, published: int) -> NDArray[np.bool_]:
        """bool[rows]: closed by the clock *and* acknowledged by every output. Only these may be forgotten."""
        ends = self.column("window") + self.window_ms
        return (ends <= before_ms) & (self.column("offset") < published)

    def without(self, gone: NDArray[np.bool_]) -> PartialTable:
        """A table of the other rows, and of the series that still have one. What had changed is forgotten."""
        kept = np.flatnonzero(~gone)
        table = PartialTable(self.aggregation, self.window_ms, self._compiled)
        series = [self.series.seen[code] for code in self.column("series")[kept].tolist()]
        at = table._rows(table.series.codes(series, len(series)), self.column("window")[kept])
        for name in self.dtype.names or ():
            if name != "series":
                table._columns[name][at] = self.column(name)[kept]
        table.sent[at] = self.sent[kept]
        if self.has_members:
            table.sets = [self.sets[row] for row in kept.tolist()]
            table.chunk_offsets = [self.chunk_offsets[row] for row in kept.tolist()]
            table.most_members = max((one.count for one in table.sets), default=0)
        return table

    def touch_all(self) -> None:
        """Count every row as changed and nothing as saved: the next `pack` is the whole table."""
        self._touched[: len(self)] = True
        self._saved_series = 0
        self._saved_members = [0] * len(self.sets)

    def bytes_of(self, rows: Ints) -> Ints:
        """About what each of the rows takes in a compacted copy, in bytes."""
        members = self.column("members")[rows] if self.has_members else 0
        return np.full(len(rows), self.dtype.itemsize + 40, np.int64) + members * 8 * self._member_width


def _grown(column: NDArray[Any], room: int) -> NDArray[Any]:
    grown = np.zeros(room, column.dtype)
    grown[: len(column)] = column
    return grown
