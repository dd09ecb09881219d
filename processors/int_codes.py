"""Small integers for 64-bit keys, worked on by whole batches: a dictionary without an object for each key."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from processors.compiled import Module

Ints = NDArray[np.int64]

_LOAD_MAX = 0.5  # above this, linear probing in whole batches needs too many rounds
_SLOTS_MIN = 64
_FEW = 32  # as few are looked at one by one: a round has a price of its own, and most rounds are for the last few
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: its high bits spread keys that differ in low ones


class IntCodes:
    """The codes of keys are 0, 1, 2.. in order of first sight.

    Open addressing, a round for all keys still looking. Nearly all keys are known and sit in their first slot, so that
    a batch is a handful of passes over arrays: 15 ns a key, where a dictionary of Python takes 150. The compiled kernel
    goes from key to key in the same arrays.
    """

    __slots__ = ("_codes", "_compiled", "_keys", "count")

    def __init__(self, compiled: Module | None = None) -> None:
        self._compiled = compiled
        self.count = 0
        self._codes: NDArray[np.int32] = np.full(_SLOTS_MIN, -1, np.int32)  # by slot
        self._keys: Ints = np.zeros(_room(_SLOTS_MIN), np.int64)  # by code; as long as there may be codes for the slots

    def __len__(self) -> int:
        return self.count

    @property
    def keys(self) -> Ints:
        """int64[count]: the key of each code."""
        return self._keys[: self.count]

    def find(self, keys: Ints) -> Ints:
        """int64[n]: the code of each key, -1 of those that have none."""
        if self._compiled is not None:
            told: Ints = self._compiled.find(self._keys, self._codes, np.ascontiguousarray(keys), int(_MIX))
            return told
        slots = self._first_slots(keys)
        at = self._codes[slots]
        hit = (self._keys[at] == keys) & (at >= 0)
        if hit.all():  # nearly always
            return at.astype(np.int64)
        found = np.where(hit, at, -1).astype(np.int64)
        looking = np.flatnonzero(~hit & (at >= 0))  # an empty slot ends the search
        slots = slots[looking]
        while len(looking) > _FEW:
            slots = (slots + 1) & (len(self._codes) - 1)
            at = self._codes[slots]
            hit = (self._keys[at] == keys[looking]) & (at >= 0)
            found[looking[hit]] = at[hit]
            on = ~hit & (at >= 0)
            looking, slots = looking[on], slots[on]
        for place, slot in zip(looking.tolist(), slots.tolist(), strict=True):
            found[place] = self._codes[self._slot_of(keys.item(place), slot)]
        return found

    def _slot_of(self, key: int, slot: int) -> int:
        """The slot that a key is in, or the free one that it would go into, looking from `slot` on."""
        code_in, key_of, last = self._codes.item, self._keys.item, len(self._codes) - 1
        while (code := code_in(slot)) >= 0 and key_of(code) != key:
            slot = (slot + 1) & last
        return slot

    def codes(self, keys: Ints) -> Ints:
        """int64[n]: the code of each key, a new one where it has none."""
        if self._compiled is not None:
            return self._codes_compiled(np.ascontiguousarray(keys), self._compiled)
        found = self.find(keys)
        fresh = found < 0
        if fresh.any():
            begun, first, place = np.unique(keys[fresh], return_index=True, return_inverse=True)
            arrival = np.argsort(first)
            code = np.empty(len(begun), np.int64)
            code[arrival] = np.arange(self.count, self.count + len(begun))
            found[fresh] = code[place]
            self._add(begun[arrival])
        return found

    def _codes_compiled(self, keys: Ints, compiled: Module) -> Ints:
        """As `codes`, by the compiled kernel. It stops before the first key that there is no room for."""
        found: Ints
        found, self.count = compiled.codes(self._keys, self._codes, keys, int(_MIX), self.count)
        while len(found) < len(keys):
            self._grow(self.count + 1)
            more, self.count = compiled.codes(self._keys, self._codes, keys[len(found) :], int(_MIX), self.count)
            found = np.concatenate([found, more])
        return found

    def _add(self, begun: Ints) -> None:
        """Keys that have no code, each once."""
        first, count = self.count, self.count + len(begun)
        if count > len(self._keys):
            self._grow(count)
        self._keys[first:count] = begun
        self.count = count
        self._settle(np.arange(first, count, dtype=np.int32))

    def _grow(self, count: int) -> None:
        """Make room for as many keys; those that are there keep their codes."""
        size = len(self._codes)
        while count > _room(size):
            size *= 2
        keys = self.keys
        self._keys, self._codes = np.zeros(_room(size), np.int64), np.full(size, -1, np.int32)
        if self._compiled is not None:
            self._compiled.codes(self._keys, self._codes, keys, int(_MIX), 0)  # in this order, so with these codes
            return
        self._keys[: self.count] = keys
        self._settle(np.arange(self.count, dtype=np.int32))

    def _settle(self, codes: NDArray[np.int32]) -> None:
        """Give each code a slot. Of several that want a free one the last written gets it, and the others go on."""
        slots = self._first_slots(self._keys[codes])
        while len(codes) > _FEW:
            free = self._codes[slots] < 0
            self._codes[slots[free]] = codes[free]
            seeks = self._codes[slots] != codes
            codes, slots = codes[seeks], (slots[seeks] + 1) & (len(self._codes) - 1)
        for code, slot in zip(codes.tolist(), slots.tolist(), strict=True):
            self._codes[self._slot_of(self._keys.item(code), slot)] = code

    def _first_slots(self, keys: Ints) -> Ints:
        shift = np.uint64(65 - len(self._codes).bit_length())
        return ((keys.view(np.uint64) * _MIX) >> shift).view(np.int64)


def _room(slots: int) -> int:
    """How many keys there may be for as many slots."""
    return int(slots * _LOAD_MAX)
