"""Usage as `rating` takes it equals a recount, series by series and window by window; gauges are carried."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from usage_recount import DAY_MS, HOUR_MS, METERS, NEW_YEAR_MS, batch, history, instant, recount

from rating.numbers import shown
from sinks.clickhouse import ClickHouseSink, connect, reader
from sinks.window_totals import gauge_totals, window_totals

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def settings(clickhouse_url: str) -> Iterator[SimpleNamespace]:
    settings = SimpleNamespace(
        timeout_ms=60_000, url=clickhouse_url, user="default", password="", database=f"totals_{random.randrange(10**9)}"
    )
    ClickHouseSink(settings).migrate()
    yield settings
    connect(settings).command(f"DROP DATABASE {settings.database} SYNC")


@pytest.mark.parametrize("apart", [frozenset(METERS), frozenset(["visitors", "mean"]), frozenset[str]()])
def test_window_totals_merge_partitions_and_versions_and_keep_series_apart_where_asked(
    settings: Any, apart: frozenset[str]
) -> None:
    rows = history(seed=5)
    ClickHouseSink(settings).insert_usage(batch(rows))
    meters = METERS.keys() - {"moody"}  # its versions do not merge

    def key(row: dict[str, Any]) -> tuple[Any, ...] | None:
        if row["account"] != "acme" or not START <= instant(row["window_start_ms"]) < END or row["meter"] not in meters:
            return None
        series = (row["subject"], row["dims"]) if row["meter"] in apart else ("", "{}")
        return (row["meter"], *series, row["window_start_ms"], row["window_end_ms"])

    found = {}
    for total in window_totals(reader(settings), "acme", START, END, apart):
        if total.meter in meters:
            dims = json.dumps(dict(total.dimensions))
            found[total.meter, total.subject, dims, total.start_ms, total.end_ms] = shown(total.state.quantity())
    assert found == {group: quantity for group, (quantity, _) in recount(rows, key).items()}
    assert found


def test_a_gauge_is_carried_to_the_end_as_long_as_its_subject_belongs_to_the_account(settings: Any) -> None:
    zeros = ("partition", "chunk", "generation", "sum_hi", "sum_lo", "min", "max", "latest_time_us", "latest_id_hi")
    row = dict.fromkeys((*zeros, "latest_id_lo"), 0) | {
        "meter": "stored",
        "meter_version": 1,
        "aggregation": "gauge",
        "precision": 1,
        "subject": "bucket",
        "dims": "{}",
        "account": "acme",
        "window_start_ms": NEW_YEAR_MS,
        "window_end_ms": NEW_YEAR_MS + HOUR_MS,
        "topic": "t",
        "offset": 9,
        "events": 1,
        "latest_value": 55,
        "members": [],
    }
    rows = batch([row])
    rows.samples = [np.array([[NEW_YEAR_MS * 1000, 1, 2, 55]], np.uint64)]
    ClickHouseSink(settings).insert_usage(rows)
    leaves_ms = NEW_YEAR_MS + 3 * DAY_MS

    def owner(subject: str, at_ms: int) -> str:
        return "acme" if at_ms < leaves_ms else "other"

    found = list(gauge_totals(reader(settings), "acme", {"stored": DAY_MS}, START + timedelta(days=5), owner))
    assert [(total.start_ms - NEW_YEAR_MS) // DAY_MS for total in found] == [0, 1, 2]
    assert {total.state.quantity() for total in found} == {Decimal("5.5") * 24}
