"""Numbers for the events of a log: some keep what they promise, some do not."""

from __future__ import annotations

import random
from typing import Any

from tests.simulation.oracle import Fact

_SOURCES = ("edge-1", "edge-1#a", "edge-2#b")  # the first one sends events without numbers, too
_MALFORMED = ("", "07", "-1", "1e3", "9223372036854775808", 7, None)


class Numbers:
    """Draws from a stream of its own, so that a seed's log is otherwise what it was."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = random.Random(repr(rng.getstate()[1][:8]))
        self._heads = dict.fromkeys(_SOURCES, -1)
        self._skipped: list[tuple[str, int]] = []
        self._used: list[tuple[str, int]] = []

    def stamp(self, fact: Fact, body: dict[str, Any]) -> tuple[Fact, dict[str, Any]]:
        """An event that may have a number now: the next one, one that was skipped, one that another event has, or none
        that could be read."""
        rng, chance = self._rng, self._rng.random()
        if chance < 0.5 or not fact.readable:
            return fact, body
        if chance < 0.52:
            malformed = {"sequencetype": "tollstream", "sequence": rng.choice(_MALFORMED)}
            return fact._replace(readable=False), body | malformed
        if self._skipped and chance < 0.6:
            source, number = self._skipped.pop(rng.randrange(len(self._skipped)))
        elif self._used and chance < 0.64:
            source, number = rng.choice(self._used)
        else:
            source = rng.choice(_SOURCES)
            for _ in range(rng.choice((0, 0, 0, 1, 2, 30))):
                self._heads[source] += 1
                self._skipped.append((source, self._heads[source]))
            self._heads[source] += 1
            number = self._heads[source]
        self._used.append((source, number))
        more = {"source": source, "sequencetype": "tollstream", "sequence": str(number)}
        return fact._replace(source=source, sequence=number), body | more
