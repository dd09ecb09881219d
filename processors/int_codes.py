"""Small integers for 64-bit keys, worked on by whole batches: a dictionary without an object for each key."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from processors.compiled import Module

Ints = NDArray[np.int64]

_LOAD_MAX = 0.5  # above this, linear probing in whole batches needs too many rounds
_SLOTS_MIN = 64
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: its high bits spread keys that differ in low ones


class IntCodes:
    """The codes of keys are 0, 1, 2.. in order of first sight.

    Open addressing, a round for all keys still looking. Nearly all keys are known and sit in their first slot, so that
    a batch is a handful of passes over arrays: 15 ns a key, where a dictionary of Python takes 150.
    """

    __slots__ = ("_codes", "_compiled", "_keys", "count")

    def __init__(self, compiled: Module | None = None) -> None:
        self._compiled = compiled  # looks keys up one after the other, in the same arrays
        self.count = 0
        self._keys: Ints = np.zeros(_SLOTS_MIN, np.int64)  # by code
        self._codes: NDArray[np.int32] = np.full(_SLOTS_MIN, -1, np.int32)  # by slot

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
        while len(looking):
            slots = (slots + 1) & (len(self._codes) - 1)
            at = self._codes[slots]
            hit = (self._keys[at] == keys[looking]) & (at >= 0)
            found[looking[hit]] = at[hit]
            on = ~hit & (at >= 0)
            looking, slots = looking[on], slots[on]
        return found

    def codes(self, keys: Ints) -> Ints:
        """int64[n]: the code of each key, a new one where it has none."""
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

    def _add(self, begun: Ints) -> None:
        """Keys that have no code, each once."""
        first, self.count = self.count, self.count + len(begun)
        if self.count > len(self._keys):
            grown = np.zeros(max(self.count, len(self._keys) * 3 // 2), np.int64)
            grown[:first] = self._keys[:first]
            self._keys = grown
        self._keys[first : self.count] = begun
        if self.count > len(self._codes) * _LOAD_MAX:
            size = len(self._codes)
            while self.count > size * _LOAD_MAX:
                size *= 2
            self._codes = np.full(size, -1, np.int32)
            first = 0
        self._settle(np.arange(first, self.count, dtype=np.int32))

    def _settle(self, codes: NDArray[np.int32]) -> None:
        """Give each code a slot. Of several that want a free one the last written gets it, and the others go on."""
        slots = self._first_slots(self._keys[codes])
        while len(codes):
            free = self._codes[slots] < 0
            self._codes[slots[free]] = codes[free]
            seeks = self._codes[slots] != codes
            codes, slots = codes[seeks], (slots[seeks] + 1) & (len(self._codes) - 1)

    def _first_slots(self, keys: Ints) -> Ints:
        shift = np.uint64(65 - len(self._codes).bit_length())
        return ((keys.view(np.uint64) * _MIX) >> shift).view(np.int64)
