"""Intervals of one source: as few as can be, and fewer than that at the price of what they leave out."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

HOLES: Final = 0
MEMBERS: Final = 1

Span = tuple[int, int]


def united(intervals: list[Span]) -> list[Span]:
    """The same numbers in as few intervals as can be, ascending."""
    united: list[Span] = []
    for low, high in sorted(intervals):
        if united and united[-1][1] >= low - 1:
            united[-1] = (united[-1][0], high)
        else:
            united.append((low, high))
    return united


def fewer(intervals: list[Span], excess: int) -> tuple[list[Span], int, list[Span]]:
    """So many intervals less: either the smallest gaps are closed, and their numbers are holes, or the shortest
    intervals end, and their numbers are members by themselves. The intervals, which of the two, and the numbers as
    (first, how many).

    Never more numbers than the runs had that made it too many: so never more digests than the same events by id.
    """
    gaps = [after[0] - before[1] - 1 for before, after in pairwise(intervals)]
    sizes = [high - low + 1 for low, high in intervals]
    closed = sorted(range(len(gaps)), key=gaps.__getitem__)[:excess]
    ended = sorted(range(len(sizes)), key=sizes.__getitem__)[:excess]
    if len(closed) == excess and sum(gaps[at] for at in closed) <= sum(sizes[at] for at in ended):
        inside = set(closed)
        lows = [low for at, (low, _) in enumerate(intervals) if at - 1 not in inside]
        highs = [high for at, (_, high) in enumerate(intervals) if at not in inside]
        return list(zip(lows, highs, strict=True)), HOLES, [(intervals[at][1] + 1, gaps[at]) for at in closed]
    gone = set(ended)
    kept = [interval for at, interval in enumerate(intervals) if at not in gone]
    return kept, MEMBERS, [(intervals[at][0], sizes[at]) for at in ended]
