"""Is this numbered event new? Exact sets of sequence numbers: a few intervals a source, whatever the events.

A number lives in the day of its event's time, as an id lives in its hour: so what a restore folds again is whole days,
and every verdict is the same as without it. Within a day the set of a source is known exactly at all times:

    a number is in it  <=>  its identity is a stray, or an interval covers it and its hole is no stray

`strays` are digests beside the intervals. They take what more intervals than allowed would say: either the numbers that
are missing between two of them, as holes, or the numbers of a short one, as identities; whichever are fewer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from processors.identity import HOUR_US, Digests, DigestSet
from processors.intervals import HOLES, Span, fewer, united

DAY_US = 24 * HOUR_US
NUMBER_MAX: Final = 2**63 - 1
REUSED: Final = (
    "sequence: an older event of this source has this number; a source never uses one twice, so give it a new name "
    "(another fragment) whenever its count begins again"
)
_HOLE: Final = np.uint64(0xA5A5A5A5A5A5A5A5)  # turns the identity of a number into the digest of its hole
_PIECE: Final = 1 << 16  # numbers looked at together: they fit the processor's cache
_TIME_BITS: Final = np.int64(27)  # a millisecond of a day, plus one

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def splitmix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64 of each: a bijection, so that different values never meet."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def identities(sources: Digests, numbers: Ints) -> Digests:
    """uint64[n, 2]: the identity of each (digest of the source, number). Those of one source never meet."""
    mixed = splitmix(numbers.astype(np.uint64))
    return np.stack((sources[:, 0] ^ mixed, sources[:, 1] + splitmix(mixed)), axis=1)


class Numbered(NamedTuple):
    """Numbered events in order of arrival."""

    source: Ints  # [n] row of `sources`
    number: Ints  # [n] 0 to NUMBER_MAX
    time_us: Ints  # [n]
    identity: Digests  # [n, 2] see `identities`
    sources: Digests  # [k, 2]

    def take(self, rows: Ints) -> Numbered:
        """Only these rows."""
        return Numbered(self.source[rows], self.number[rows], self.time_us[rows], self.identity[rows], self.sources)


class SequenceDay:
    """The numbers accepted of every source, of events of one day. A source has a slot from its first one on."""

    def __init__(self, intervals_max: int) -> None:
        self.intervals_max = intervals_max
        self.sources = DigestSet()  # the place of a source is its slot
        self.strays = DigestSet()
        self.total = np.zeros(2, np.uint64)  # sum of the identities of all members: the same however they are kept
        self.newest: Ints = np.empty(0, np.int64)  # [slots] time of the newest event, in milliseconds of the day
        self.count: Ints = np.empty(0, np.int64)  # [slots] intervals
        self.strayed: Bools = np.empty(0, np.bool_)  # [slots] whether `strays` may tell anything of the source
        # [slots, places] ascending and apart; a place that holds none ends at -1, so that it covers nothing
        self.starts: Ints = np.empty((0, 1), np.int64)
        self.ends: Ints = np.empty((0, 1), np.int64)
        self.touched: list[Ints] = []  # slots changed since the last `settle`
        self.saved_sources = self.saved_strays = 0

    def __len__(self) -> int:
        """Intervals of all sources."""
        return int(self.count[: self.sources.count].sum())

    # -- adding

    def add(self, events: Numbered) -> tuple[Bools, Bools]:
        """Add a batch. (bool[n] new, bool[n] reused): of the others, those that cannot be a repeat of the event that
        had their number, since all events of their source so far are older."""
        slot = self._slots(events)
        order, first = _ordered(events.source, events.number)
        slots, numbers = slot[order], events.number[order]
        column = numbers[:, None]
        covered: Bools = np.any((self.starts[slots] <= column) & (column <= self.ends[slots]), axis=1)
        member, holed = self._members(slots, covered, events.identity[order])
        fresh = first & ~member
        new = np.zeros(len(order), np.bool_)
        new[order] = fresh
        time_ms = events.time_us % DAY_US // 1000
        reused = np.zeros(len(order), np.bool_) if new.all() else self._reused(events.source, slot, time_ms, new)
        if fresh.any():
            back = fresh & holed  # what was a hole: only a stray can say that it is none any more
            if back.any():
                self.strays.add(events.identity[order[back]])
            self.total += events.identity[new].sum(axis=0, dtype=np.uint64)
            begins = np.flatnonzero(_changes(slots[fresh]))
            at = slots[fresh][begins]
            self.newest[at] = np.maximum(self.newest[at], np.maximum.reduceat(time_ms[order[fresh]], begins))
            self.touched.append(at)
            run = fresh & ~covered
            self._grow(slots[run], numbers[run])
        return new, reused

    def _slots(self, events: Numbered) -> Ints:
        """int64[n]: the slot of each event's source. Each of them is about to have a number, if it has none yet."""
        seen = np.flatnonzero(np.bincount(events.source))
        slot_of = np.zeros(len(events.sources), np.int64)
        slot_of[seen] = self.sources.place(events.sources[seen])[0]
        self.reserve(self.sources.count, 1)
        return slot_of[events.source]

    def _members(self, slots: Ints, covered: Bools, identity: Digests) -> tuple[Bools, Bools]:
        """Which are in the set, and which have a hole among the strays."""
        member, holed = covered.copy(), np.zeros(len(slots), np.bool_)
        asked = np.flatnonzero(self.strayed[slots])
        if len(asked):
            holed[asked] = self.strays.contains(_holes(identity[asked]))
            member[asked] = self.strays.contains(identity[asked]) | (covered[asked] & ~holed[asked])
        return member, holed

    def _reused(self, source: Ints, slot: Ints, time_ms: Ints, new: Bools) -> Bools:
        """A repeat is as old as what it repeats, so never newer than the newest accepted before it."""
        order = np.argsort(source, kind="stable")
        group = np.cumsum(_changes(source[order])) << _TIME_BITS  # in the high bits: a maximum never leaves its group
        so_far = np.empty(len(order), np.int64)
        so_far[order] = np.maximum.accumulate(group | np.where(new[order], time_ms[order] + 1, 0)) - group
        return ~new & (time_ms >= np.maximum(so_far, self.newest[slot] + 1))

    # -- intervals

    def _grow(self, slots: Ints, numbers: Ints) -> None:
        """Numbers that nothing covers, ordered by slot and number. One run above all others costs no line of Python."""
        if not len(slots):
            return
        begins = _changes(slots)
        begins[1:] |= numbers[1:] - 1 != numbers[:-1]
        ends = np.append(np.flatnonzero(begins)[1:], len(slots)) - 1
        slots, low, high = slots[begins], numbers[begins], numbers[ends]
        alone = _changes(slots)
        alone[:-1] &= alone[1:]
        top = np.maximum(self.count[slots] - 1, 0)
        begun = self.count[slots] == 0
        next_ = alone & (begun | (self.ends[slots, top] == low - 1))
        self.ends[slots[next_], top[next_]] = high[next_]
        begun &= next_
        self.starts[slots[begun], 0], self.count[slots[begun]] = low[begun], 1
        rest = ~next_
        if rest.any():
            self._merge(slots[rest], low[rest], high[rest])

    def _merge(self, slots: Ints, low: Ints, high: Ints) -> None:
        """Put runs among the intervals of their sources, and the fewest numbers among the strays where those make too
        many."""
        runs: dict[int, list[Span]] = {}
        for slot, *run in zip(slots.tolist(), low.tolist(), high.tolist(), strict=True):
            runs.setdefault(slot, []).append((run[0], run[1]))
        at = np.array(list(runs), np.int64)
        merged: list[list[Span]] = []
        changes: tuple[list[tuple[int, int, int]], ...] = ([], [])  # holes and members: slot, first number, how many
        held = zip(self.starts[at].tolist(), self.ends[at].tolist(), self.count[at].tolist(), strict=True)
        for (slot, more), (starts, ends, count) in zip(runs.items(), held, strict=True):
            intervals = united([*zip(starts[:count], ends[:count], strict=True), *more])
            excess = len(intervals) - self.intervals_max
            if excess > 0:
                intervals, kind, spans = fewer(intervals, excess)
                changes[kind].extend((slot, *span) for span in spans)
            merged.append(intervals)
        counts = np.array([len(intervals) for intervals in merged], np.int64)
        self.reserve(self.sources.count, int(counts.max()))
        there = np.arange(self.starts.shape[1]) < counts[:, None]
        rows = np.full((2, *there.shape), [[[NUMBER_MAX]], [[-1]]], np.int64)
        rows[:, there] = np.array([interval for intervals in merged for interval in intervals], np.int64).T
        self.starts[at], self.ends[at], self.count[at] = rows[0], rows[1], counts
        for kind, spans_ in enumerate(changes):
            if spans_:
                self._stray(np.array(spans_, np.int64), hole=kind == HOLES)

    def _stray(self, spans: Ints, *, hole: bool) -> None:
        """Numbers between intervals become holes, or numbers of intervals that end here members. `spans` int64[k, 3]:
        slot, first number, how many."""
        slots, lows, counts = spans.T
        before = np.repeat(np.cumsum(counts) - counts, counts)
        numbers = np.repeat(lows, counts) + np.arange(len(before)) - before
        digests = identities(self.sources.keys[np.repeat(slots, counts)], numbers)
        if hole:  # but for those that are members by a stray of their own
            self.strays.add(_holes(digests[~self.strays.contains(digests)]))
        else:  # but for those that were holes in them
            self.strays.add(digests[~self.strays.contains(_holes(digests))])
        self.strayed[slots] = True

    def exact_intervals(self) -> tuple[Digests, Ints, Ints]:
        """(source uint64[n, 2], first int64[n], last int64[n]): intervals without holes. What they do not cover is in
        the set only if its identity is among the strays."""
        slot, place = np.nonzero(np.arange(self.starts.shape[1]) < self.count[: self.sources.count, None])
        first, last = self.starts[slot, place], self.ends[slot, place]
        holed = np.flatnonzero(self.strayed[slot])
        cut: list[tuple[int, int, int]] = []
        for one, low, high in zip(slot[holed].tolist(), first[holed].tolist(), last[holed].tolist(), strict=True):
            begin = low
            for hole in self._holes_between(one, low, high):
                cut += [(one, begin, hole - 1)] if begin < hole else []
                begin = hole + 1
            cut += [(one, begin, high)] if begin <= high else []
        plain = ~self.strayed[slot]
        slots, lows, highs = np.array(cut, np.int64).reshape(-1, 3).T
        sources = self.sources.keys[np.concatenate([slot[plain], slots])]
        return sources, np.concatenate([first[plain], lows]), np.concatenate([last[plain], highs])

    def _holes_between(self, slot: int, low: int, high: int) -> Iterator[int]:
        """Numbers that have a hole, ascending, both ends included; a piece at a time, as an interval may be long."""
        for start in range(low, high + 1, _PIECE):
            numbers = start + np.arange(min(_PIECE, high + 1 - start))
            source = np.broadcast_to(self.sources.keys[slot], (len(numbers), 2))
            yield from numbers[self.strays.contains(_holes(identities(source, numbers)))].tolist()

    def reserve(self, slots: int, places: int) -> None:
        """Room for so many sources, and so many intervals of each."""
        had, width = self.starts.shape
        if slots > had or places > width:
            room = max(slots, had * 3 // 2) if slots > had else had
            starts, ends = np.full((2, room, max(places, width)), [[[NUMBER_MAX]], [[-1]]], np.int64)
            starts[:had, :width], ends[:had, :width] = self.starts, self.ends
            self.starts, self.ends = starts, ends
            self.newest = _longer(self.newest, room, -1)
            self.count = _longer(self.count, room, 0)
            self.strayed = _longer(self.strayed, room, 0)

    # -- the mark, the checkpoint

    def digest(self) -> NDArray[np.uint64]:
        """uint64[2], the same for the same numbers and times, however they are kept and in whatever order they came."""
        newest = self.newest[: self.sources.count].astype(np.uint64)
        lanes = splitmix(self.sources.keys ^ splitmix(newest)[:, None])
        return self.total + lanes.sum(axis=0, dtype=np.uint64)  # type: ignore[no-any-return]

    def changed(self) -> Ints:
        """Slots touched since the last `settle`, ascending."""
        return np.unique(np.concatenate(self.touched)) if self.touched else np.empty(0, np.int64)

    def settle(self) -> None:
        """What changed so far is in the checkpoint."""
        self.touched = []
        self.saved_sources, self.saved_strays = self.sources.count, self.strays.count


class Sequences:
    """The numbers of a partition by day of event time. A day closes by the partition's clock alone.

    `closed`: days that wait for the archive to acknowledge them.
    """

    def __init__(self, intervals_max: int) -> None:
        self.intervals_max = intervals_max
        self.days: dict[int, SequenceDay] = {}
        self.closed: dict[int, SequenceDay] = {}

    def all_days(self) -> dict[int, SequenceDay]:
        """Open, and closed but not archived yet."""
        return self.closed | self.days

    def day(self, number: int) -> SequenceDay:
        """A day, begun when first asked for; `number` counts from 1970."""
        if number not in self.days:
            self.days[number] = SequenceDay(self.intervals_max)
        return self.days[number]

    def add(self, events: Numbered) -> tuple[Bools, Bools]:
        """Add a batch in order of arrival: (new, reused), see `SequenceDay.add`."""
        new, reused = np.zeros((2, len(events.number)), np.bool_)
        days = events.time_us // DAY_US
        for number in np.unique(days).tolist():
            rows = np.flatnonzero(days == number)
            new[rows], reused[rows] = self.day(number).add(events.take(rows))
        return new, reused

    def close(self, before_us: int) -> None:
        """Close the days that end at or before this instant: whatever falls into them from now on is late."""
        for number in [number for number in self.days if (number + 1) * DAY_US <= before_us]:
            self.closed[number] = self.days.pop(number)


def _ordered(source: Ints, number: Ints) -> tuple[Ints, Bools]:
    """An order by source, number and arrival, and where in it a number comes for the first time."""
    order = np.argsort(source, kind="stable")
    for _ in range(2):
        sources, numbers = source[order], number[order]
        first = _changes(sources)
        if (first[1:] | (numbers[1:] >= numbers[:-1])).all():  # nearly always at once
            break
        order = np.lexsort((number, source))
    first[1:] |= numbers[1:] != numbers[:-1]
    return order, first


def _changes(column: Ints) -> Bools:
    """Where a value differs from the one before; the first one does."""
    found = np.ones(len(column), np.bool_)
    found[1:] = column[1:] != column[:-1]
    return found


def _holes(identity: Digests) -> Digests:
    return identity ^ _HOLE


def _longer(column: NDArray[Any], size: int, fill: int) -> NDArray[Any]:
    grown = np.full(size, fill, column.dtype)
    grown[: len(column)] = column
    return grown
