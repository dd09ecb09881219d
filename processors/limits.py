"""Limits on what one window may hold: dimension combinations of a subject, members of a unique partial or gauge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from processors.combinations import Combinations
from processors.partials import PartialTable
from processors.windows import Selection


def out_of_reach(
    table: PartialTable, named: Combinations, events: int, unique_max: int, dimension_sets_max: int
) -> bool:
    """Whether so many events cannot cross a limit, by bounds that cost next to nothing: nearly always."""
    if table.most_members + events > unique_max:
        return False
    more = min(events, named.dimension_sets)
    return table.dimension_sets + more <= dimension_sets_max or table.counts.most + more <= dimension_sets_max


def refused_by(
    table: PartialTable, chosen: Selection, unique_max: int, dimension_sets_max: int
) -> tuple[NDArray[np.bool_], bool]:
    """Events that cannot be taken because a limit is reached already, and whether the rest might cross one.

    A limit is a property of the log: what fills it is what was accepted before, in windows still open.
    """
    n = len(chosen.offset)
    full = np.zeros(n, np.bool_)
    if out_of_reach(table, chosen.named, n, unique_max, dimension_sets_max):
        return full, False
    rows = table.find(chosen).tolist()
    might = _combinations_full(table, chosen, rows, full, dimension_sets_max) if -1 in rows else False
    if table.has_members:
        might |= _members_full(table, chosen, rows, full, unique_max)
    return full, might


def _combinations_full(
    table: PartialTable, chosen: Selection, rows: list[int], full: NDArray[np.bool_], most: int
) -> bool:
    begun = np.flatnonzero(np.array(rows) < 0)
    codes, numbers = chosen.series[begun], chosen.window[begun] // table.window_ms
    subjects = [series[0] for series in chosen.named.series(codes)]
    held = table.counts.of(subjects, numbers)
    full[begun] = held >= most
    fresh: dict[tuple[str, int, int], set[int]] = {}
    for subject, number, count, code in zip(subjects, numbers.tolist(), held.tolist(), codes.tolist(), strict=True):
        if count < most:
            fresh.setdefault((subject, number, count), set()).add(code)
    return any(count + len(new) > most for (_, _, count), new in fresh.items())


def _members_full(table: PartialTable, chosen: Selection, rows: list[int], full: NDArray[np.bool_], most: int) -> bool:
    assert chosen.member is not None
    events: dict[tuple[int, int], list[int]] = {}
    for at, (code, window) in enumerate(zip(chosen.series.tolist(), chosen.window.tolist(), strict=True)):
        events.setdefault((code, window), []).append(at)
    might = False
    for places in events.values():
        row = rows[places[0]]
        held = table.sets[row] if row >= 0 else None
        if (held.count if held else 0) + len(places) <= most:
            continue
        new = ~held.contains(chosen.member[places]) if held else np.ones(len(places), np.bool_)
        if held and held.count >= most:
            full[np.array(places)[new]] = True
        else:
            might |= (held.count if held else 0) + int(new.sum()) > most
    return might
