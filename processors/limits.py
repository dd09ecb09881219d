"""Limits on what one window may hold: dimension combinations of a subject, members of a unique partial or gauge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from processors.partials import PartialTable
from processors.windows import Selection, Series


def refused_by(
    table: PartialTable, chosen: Selection, unique_max: int, dimension_sets_max: int
) -> tuple[NDArray[np.bool_], bool]:
    """Events that cannot be taken because a limit is reached already, and whether the rest might cross one.

    A limit is a property of the log: what fills it is what was accepted before, in windows still open.
    """
    n = len(chosen.offset)
    full = np.zeros(n, np.bool_)
    if table.most_members + n <= unique_max and _combinations_fit(table, chosen, dimension_sets_max):
        return full, False  # nearly always: no need to look closer
    keys = [
        (table.series.get(one, -1) << 32) | number
        for one, number in zip(chosen.series, (chosen.window // table.window_ms).tolist(), strict=True)
    ]
    rows = list(map(table.row_of.get, keys))
    might = _combinations_full(table, chosen, rows, full, dimension_sets_max) if None in rows else False
    if table.has_members:
        might |= _members_full(table, chosen, rows, full, unique_max)
    return full, might


def _combinations_fit(table: PartialTable, chosen: Selection, most: int) -> bool:
    """Whether the batch cannot cross the limit, by bounds that cost little; the second one is the tighter."""
    room = most - table.most_combined
    return len(chosen.series) <= room or len({one[1:] for one in chosen.series}) <= room


def _combinations_full(
    table: PartialTable, chosen: Selection, rows: list[int | None], full: NDArray[np.bool_], most: int
) -> bool:
    fresh: dict[tuple[str, int], set[Series]] = {}
    windows = chosen.window.tolist()
    for at, row in enumerate(rows):
        if row is None:
            place = (chosen.series[at][0], windows[at])
            if table.combinations.get(place, 0) >= most:
                full[at] = True
            else:
                fresh.setdefault(place, set()).add(chosen.series[at])
    return any(table.combinations.get(place, 0) + len(new) > most for place, new in fresh.items())


def _members_full(
    table: PartialTable, chosen: Selection, rows: list[int | None], full: NDArray[np.bool_], most: int
) -> bool:
    assert chosen.member is not None
    events: dict[int | tuple[Series, int], list[int]] = {}
    for at, row in enumerate(rows):
        events.setdefault((chosen.series[at], int(chosen.window[at])) if row is None else row, []).append(at)
    might = False
    for place, places in events.items():
        held = table.sets[place] if isinstance(place, int) else None
        if (held.count if held else 0) + len(places) <= most:
            continue
        new = ~held.contains(chosen.member[places]) if held else np.ones(len(places), np.bool_)
        if held and held.count >= most:
            full[np.array(places)[new]] = True
        else:
            might |= (held.count if held else 0) + int(new.sum()) > most
    return might
