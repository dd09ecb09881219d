"""Rows of `usage.windows` made again from columns of ClickHouse are the rows that were there."""

from typing import Any

import numpy as np
import pytest

from config.catalogue import Catalogue, EventType, Meter
from processors.columns import usage_columns
from processors.refill import _row
from processors.samples import unpacked
from processors.window_rows import WindowRow, WindowRows

KINDS = ("sum", "count", "min", "max", "avg", "latest", "unique", "gauge")
METERS = {kind: Meter(kind, 1, "a", kind, "v", dimensions=("zone", "b")) for kind in KINDS}  # type: ignore[arg-type]
CATALOGUE = Catalogue(events=(EventType("a", 1),), meters=tuple(METERS.values()))
WORDS = np.array([1, 2**64 - 2, 3, 4, 5, 6, 7, 2**64 - 8], np.uint64)


def columns_of(row: WindowRow) -> list[Any]:
    """As ClickHouse gives them back for what the stage inserts."""
    rows = usage_columns(WindowRows.of([row]), CATALOGUE)
    members = [(int(high) << 64) | int(low) for high, low in (rows.members or [[]])[0]]
    samples = (
        [(at, (high << 64) | low, value) for at, high, low, value in unpacked(row.members)] if rows.samples else []
    )
    names = (
        "meter meter_version subject dims account window_start_ms topic partition chunk offset events sum_hi sum_lo "
    )
    names += "min max latest_value latest_time_us latest_id_hi latest_id_lo"
    held = [getattr(rows, name)[0] for name in names.split()]
    plain = [one.item() if isinstance(one, np.generic) else one for one in held]
    return [*plain, [] if rows.samples else members, samples, row.admission]


@pytest.mark.parametrize("chunk", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_comes_back_as_it_was(kind: str, chunk: int) -> None:
    number = -5 if kind in ("min", "max", "latest", "gauge") else 0
    row = WindowRow(kind, 1, "s", ["z", "b"], "acme", 3_600_000, "T", 2, 0, 70, 4, -1, 9, number, 8, 2**63, 6, b"", 71)
    if chunk and kind in ("unique", "gauge"):
        row = WindowRow(kind, 1, "s", ["z", "b"], "acme", 0, "T", 2, chunk, 70, 0, 0, 0, 0, 0, 0, 0, WORDS.tobytes())
    assert _row(METERS[kind], columns_of(row)) == row
