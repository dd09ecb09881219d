"""Texts as small integers, so that columns of them are arrays: one look-up each, whatever is done with them after."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Codes(dict[Any, int]):
    """Small integers for values, in order of first sight; a look-up of a new value makes its code."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def __missing__(self, value: Any) -> int:
        code = self[value] = len(self.seen)
        self.seen.append(value)
        return code

    def begin(self, values: list[Any]) -> bool:
        """Codes for values that have none yet; False where one of them has, or comes twice: then nothing holds."""
        first = len(self.seen)
        self.seen += values
        self.update(zip(values, range(first, len(self.seen)), strict=True))
        return len(self) == len(self.seen)

    def of_distinct(self, values: list[Any]) -> list[int]:
        """The codes of values of which none comes twice: a fifth of the time where most are new."""
        found = list(map(self.get, values))
        new = [value for value, code in zip(values, found, strict=True) if code is None]
        fresh = range(len(self.seen), len(self.seen) + len(new))
        self.begin(new)
        if len(new) == len(values):
            return list(fresh)
        codes = iter(fresh)
        return [next(codes) if code is None else code for code in found]

    def codes(self, values: Iterable[Any], count: int) -> NDArray[np.int64]:
        """int64[count]: the code of each value."""
        return np.fromiter(map(self.__getitem__, values), np.int64, count)


class Vocabulary(Codes):
    """The codes of a decoder's texts; that of "" is 0.

    A decoder begins a new one when it has grown past `limits.vocabulary_texts_max` and the open series. Who remembers
    codes remembers the vocabulary beside them, and forgets both when another comes: `is` tells.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self[""]  # a look-up gives the code
