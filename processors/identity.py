"""Is this event new? Exact sets of 128-bit digests, kept by hour of event time.

A digest set never forgets while its hour is open, so every accepted event was checked against everything
that could be its twin; there is no time-to-live and no probabilistic answer.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from processors.compiled import Module

HOUR_US = 3_600_000_000
_LOAD_MAX = 0.6  # above this, linear probing in whole batches needs too many rounds
_SLOTS_MIN = 16
_FEW = 32  # as few are looked at one by one: a round has a price of its own, and most rounds are for the last few

Digests = NDArray[np.uint64]  # [n, 2]


class DigestSet:
    """An insertion-ordered set of 128-bit digests: `keys[:count]` are its members in order of arrival.

    Open addressing, worked on by whole batches: each round looks at one slot for every digest still looking.
    """

    __slots__ = ("_keys", "_table", "count")

    def __init__(self) -> None:
        self.count = 0
        self._keys: Digests = np.empty((0, 2), np.uint64)
        self._table: NDArray[np.int32] = np.full(_SLOTS_MIN, -1, np.int32)

    @classmethod
    def of(cls, keys: Digests) -> DigestSet:
        """The set of these, in this order. ValueError where one comes twice.

        A quarter of what it takes to add them: that they are distinct is only looked at where two want one slot.
        """
        found = cls()
        found._keys, found.count = keys.copy(), len(keys)
        if not found._rebuild(found._size_for(len(keys))):
            raise ValueError("a digest comes twice")
        return found

    @property
    def keys(self) -> Digests:
        """The members, uint64[count, 2], in order of arrival."""
        return self._keys[: self.count]

    @property
    def rows(self) -> NDArray[np.uint64]:
        """What is kept of each member, in order of arrival: here the digest and nothing else."""
        return self.keys

    def add(self, digests: Digests) -> NDArray[np.bool_]:
        """Add a batch. True where a digest was not there before; of twins in one batch the first is the new one."""
        return self.place(digests)[1]

    def add_compiled(self, digests: Digests, compiled: Module) -> NDArray[np.bool_]:
        """As `add`, by the compiled kernel: one digest after the other, in the same arrays."""
        self._reserve(len(digests))
        new: NDArray[np.bool_]
        new, self.count = compiled.add(self._keys, self._table, np.ascontiguousarray(digests), self.count)
        return new

    def place(self, digests: Digests) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Add a batch; the place of each digest in `keys`, and whether it is new (see `add`)."""
        n, base = len(digests), self.count
        self._reserve(n)
        keys, table = self._keys, self._table
        keys[base : base + n] = digests  # provisional rows: the whole batch, compacted below
        found = np.empty(n, np.int64)
        slot_of = np.empty(n, np.int64)
        looking = np.arange(n)
        slots = self._first_slots(digests)
        while len(looking) > _FEW:
            at = table[slots]
            free = np.flatnonzero(at < 0)
            # Written back to front: of several that want a slot the earliest keeps it.
            table[slots[free][::-1]] = (base + looking[free])[::-1]
            at[free] = table[slots[free]]
            hit = at == base + looking  # most have a slot of their own now
            others = np.flatnonzero(~hit)
            hit[others] = self._same(keys.take(at[others], 0), digests.take(looking[others], 0))
            found[looking[hit]] = at[hit]
            slot_of[looking[hit]] = slots[hit]
            slots = (slots[~hit] + 1) & (len(table) - 1)
            looking = looking[~hit]
        for row, slot in zip(looking.tolist(), slots.tolist(), strict=True):
            slot_of[row], found[row] = self._place_one(base + row, slot)
        new: NDArray[np.bool_] = found == np.arange(base, base + n)
        added = int(new.sum())
        if added < n:
            keys[base : base + added] = digests[new]
        final = np.arange(base, base + added, dtype=np.int32)
        table[slot_of[new]] = final
        moved = np.empty(n, np.int64)
        moved[new] = final
        provisional = found >= base
        found[provisional] = moved[found[provisional] - base]
        self.count = base + added
        return found, new

    def _place_one(self, row: int, slot: int) -> tuple[int, int]:
        """The slot that the digest of this provisional row is in from now on, looking from `slot` on; its row there."""
        table, key = self._table, self._keys.item
        high, low, last = key(row, 0), key(row, 1), len(table) - 1
        while (at := table.item(slot)) >= 0:
            if key(at, 0) == high and key(at, 1) == low:
                return slot, at
            slot = (slot + 1) & last
        table[slot] = row
        return slot, row

    def contains(self, digests: Digests) -> NDArray[np.bool_]:
        """True where a digest is a member."""
        answer = np.zeros(len(digests), np.bool_)
        looking = np.arange(len(digests))
        slots = self._first_slots(digests)
        while len(looking):
            at = self._table[slots]
            taken = at >= 0
            looking, slots, at = looking[taken], slots[taken], at[taken]
            hit = self._same(self._keys[at], digests[looking])
            answer[looking[hit]] = True
            looking, slots = looking[~hit], (slots[~hit] + 1) & (len(self._table) - 1)
        return answer

    def _first_slots(self, digests: Digests) -> NDArray[np.int64]:
        # The high half: an identity has its instant mixed in there, while all instants of one id share the low half.
        return (digests[:, 0] & np.uint64(len(self._table) - 1)).astype(np.int64)

    @staticmethod
    def _same(a: Digests, b: Digests) -> NDArray[np.bool_]:
        return (a[:, 0] == b[:, 0]) & (a[:, 1] == b[:, 1])  # type: ignore[no-any-return]

    def _reserve(self, more: int) -> None:
        need = self.count + more
        if need > len(self._keys):
            grown = np.empty((max(need, len(self._keys) * 3 // 2), 2), np.uint64)
            grown[: self.count] = self.keys
            self._keys = grown
        if need > len(self._table) * _LOAD_MAX:
            self._rebuild(self._size_for(need))

    def _size_for(self, count: int) -> int:
        size = len(self._table)
        while count > size * _LOAD_MAX:
            size *= 2
        return size

    def _rebuild(self, size: int) -> bool:
        """Place the members into a new table; False where one comes twice: its twin is on its way to a free slot."""
        table = np.full(size, -1, np.int32)
        rows = np.arange(self.count, dtype=np.int32)
        slots = (self.keys[:, 0] & np.uint64(size - 1)).astype(np.int64)
        while len(rows):
            free = table[slots] < 0
            table[slots[free]] = rows[free]
            seeks = table[slots] != rows
            rows, slots = rows[seeks], slots[seeks]
            if self._same(self._keys[table[slots]], self._keys[rows]).any():
                return False
            slots = (slots + 1) & (size - 1)
        self._table = table
        return True


def _by_value(values: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each value with its places, in order."""
    least = values.min()
    above = values - least
    if above.max() < 1 << 16:  # of so few bits numpy sorts by counting
        above = above.astype(np.uint16)
    order = np.argsort(above, kind="stable")
    ordered = above[order]
    starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    for rows in np.split(order, starts):
        yield int(values[rows[0]]), rows


class Identities:
    """The digests of accepted events, by hour of event time. An hour closes by the partition's clock alone.

    `closed`: hours that wait for the archive to acknowledge them. Nothing is looked up in them: what falls into them
    is late.
    """

    def __init__(self, compiled: Module | None = None) -> None:
        self._compiled = compiled
        self.hours: dict[int, DigestSet] = {}
        self.closed: dict[int, DigestSet] = {}

    def add(self, time_us: NDArray[np.int64], digests: Digests) -> NDArray[np.bool_]:
        """Add a batch; True where the event is new. Its twin, if any, is in the same hour: time is part of identity."""
        if not len(time_us):
            return np.zeros(0, np.bool_)
        hours = time_us // HOUR_US
        first = int(hours[0])
        if (hours == first).all():  # the common case by far
            return self._added(first, digests)
        new = np.zeros(len(hours), np.bool_)
        for hour, rows in _by_value(hours):
            new[rows] = self._added(hour, digests[rows])
        return new

    def close(self, before_us: int) -> list[int]:
        """Close the hours that end at or before this instant: whatever falls into them from now on is late."""
        closed = [hour for hour in self.hours if (hour + 1) * HOUR_US <= before_us]
        for hour in closed:
            self.closed[hour] = self.hours.pop(hour)
        return closed

    def __len__(self) -> int:
        return sum(one.count for one in self.hours.values())

    def _added(self, hour: int, digests: Digests) -> NDArray[np.bool_]:
        held = self._hour(hour)
        return held.add(digests) if self._compiled is None else held.add_compiled(digests, self._compiled)

    def _hour(self, hour: int) -> DigestSet:
        found = self.hours.get(hour)
        if found is None:
            found = self.hours[hour] = DigestSet()
        return found
