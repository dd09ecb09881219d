from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sinks.clickhouse import ClickHouseSink, statements
from sinks.columns import group_cuts, integers, size_cuts
from sinks.rows import CatalogueRows, RatedRows

SETTINGS = SimpleNamespace(url="http://127.0.0.1:1", user="", password="", database="tollstream")


@pytest.mark.parametrize(
    "values",
    [[2**63], [-(2**63) - 1], [1.5], [1, None], np.array([1.0]), np.array([2**63], np.uint64), ["1"]],
)
def test_integers_that_the_column_cannot_hold_are_refused(values: Any) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        integers(values, pa.int64())


def test_integers_keep_their_extremes() -> None:
    for extreme in (2**64 - 1, 0):
        assert integers([extreme, 8], pa.uint64()).to_pylist() == [extreme, 8]
        assert integers(np.array([extreme], np.uint64), pa.uint64()).to_pylist() == [extreme]


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        (Decimal("1e-13"), Decimal(0)),
        (Decimal(10**64), Decimal(0)),
        (Decimal(0), Decimal("1e-31")),
        (Decimal("NaN"), Decimal(0)),
        (0.5, Decimal(0)),
    ],
)
def test_decimals_that_would_lose_digits_are_refused_before_anything_is_sent(quantity: Any, amount: Any) -> None:
    day = [date(2026, 1, 1)]
    texts = (["a"], ["pro"], [1], ["p"], ["flat"], [""], ["USD"], day, day, day, [0])
    with pytest.raises((ValueError, TypeError)):
        ClickHouseSink(SETTINGS).insert_rated(RatedRows(*texts, [quantity], [Decimal(0)], [amount], [""], [1], [1]))


def test_none_is_refused_where_clickhouse_would_store_a_default() -> None:
    rows = CatalogueRows([1], ["plan"], [None], [1], ["{}"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"catalogue_rows\.id"):
        ClickHouseSink(SETTINGS).insert_catalogue(rows)


def test_blocks_hold_no_more_than_their_bounds() -> None:
    assert size_cuts(0, 10) == [0]
    assert size_cuts(10, 10) == [0, 10]
    assert size_cuts(25, 10) == [0, 10, 20, 25]
    assert size_cuts(5, 10, [4, 4, 4, 99, 1], 10) == [0, 2, 3, 4, 5]
    assert size_cuts(5, 2, [0] * 5, 10) == [0, 2, 4, 5]


def test_neighbours_of_a_group_share_a_block_where_one_holds_them() -> None:
    assert group_cuts("aabbbcc", 3) == [0, 2, 5, 7]
    assert group_cuts("aabb", 4) == [0, 4]
    assert group_cuts("aaaaab", 3) == [0, 3, 6]
    assert group_cuts("abbbbbb", 3) == [0, 1, 4, 7]


def test_a_statement_ends_with_a_semicolon_at_the_end_of_a_line() -> None:
    for statement in statements("tollstream"):
        code = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
        assert code.startswith(("CREATE ", "ALTER TABLE "))
        assert code.count("CREATE ") + code.count("ALTER TABLE ") == 1
        assert "{" not in code


def test_a_database_name_that_needs_quoting_is_refused() -> None:
    with pytest.raises(ValueError, match="identifier"):
        ClickHouseSink(SimpleNamespace(url="", user="", password="", database="x; DROP"))
