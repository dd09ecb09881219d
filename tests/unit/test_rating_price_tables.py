"""The rules of a price, read from a table in which something is refused already."""

from __future__ import annotations

from typing import Any

from rating.checks import UNKNOWN
from rating.prices import Matrix


def test_a_cell_whose_texts_are_refused_does_not_hide_the_faults_of_the_next() -> None:
    cells: list[dict[str, Any]] = [{"when": UNKNOWN, "price": None}, {"when": {"b": ("x",)}, "price": None}]
    table: dict[str, Any] = {"meter": "gb", "dimensions": ("zone",), "per": (), "cell": cells}
    faults = list(Matrix.faults_in(table, lambda item, name: item.get(name)))
    assert faults == [(("cell", 1, "when"), "must give texts for each dimension: zone")]
