"""Every view and query equals a naive recount of the newest rows, whatever the order and number of the inserts.

The same checks run on broken schemas, which they must catch.
"""

import json
import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import localcontext
from types import SimpleNamespace
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from usage_recount import DAY_MS, HOUR_MS, KEY, METERS, NEW_YEAR_MS, Row, batch, history, instant, recount, who

from sinks.clickhouse import ClickHouseSink, connect, reader, statements
from sinks.queries import usage
from sinks.totals import day_totals, period_totals

HOSTILE = "optimize_move_to_prewhere_if_final = 1, do_not_merge_across_partitions_select_final = 1"
VIEWS: dict[str, tuple[str, Callable[[Row], tuple[Any, ...] | None]]] = {
    "usage_windows": (
        "toUnixTimestamp64Milli(window_start), meter_version",
        lambda row: (*who(row), row["window_start_ms"], row["meter_version"]),
    ),
    "usage_hourly": (
        "toUnixTimestamp64Milli(hour)",
        lambda row: (
            (*who(row), row["window_start_ms"] // HOUR_MS * HOUR_MS)
            if row["window_end_ms"] - row["window_start_ms"] <= HOUR_MS
            else None
        ),
    ),
    "usage_daily": ("day", lambda row: (*who(row), instant(row["window_start_ms"]).date())),
}


def view(client: Client, name: str, condition: str = "1") -> dict[tuple[Any, ...], Any]:
    select = f"SELECT meter, aggregation, subject, account, dims, {VIEWS[name][0]}, quantity, events FROM {name}"
    rows = client.query(f"{select} WHERE {condition}").result_rows
    answer = {tuple(row[:-2]): tuple(row[-2:]) for row in rows}
    assert len(answer) == len(rows), f"{name}: a key appears twice"
    return answer


def check_views(client: Client, rows: list[Row]) -> None:
    for name, (_, key) in VIEWS.items():
        expected = recount(rows, key)
        assert view(client, name) == expected, name
        # Nothing superseded shows through a filter on a column outside the key, whatever the caller's settings.
        acme = {group: values for group, values in expected.items() if group[3] == "acme"}
        assert view(client, name, f"account = 'acme' SETTINGS {HOSTILE}") == acme, name


def check_monotone(client: Client, seen: dict[tuple[Any, ...], int]) -> None:
    """I4: no reader sees an older version of a row than before."""
    key = ", ".join(name.replace("window_start_ms", "toUnixTimestamp64Milli(window_start)") for name in KEY)
    for *row, number in client.query(f"SELECT {key}, version FROM usage_rows FINAL").result_rows:
        assert number >= seen.get(tuple(row), 0), f"went back: {row}"
        seen[tuple(row)] = number


def check_shuffled(sink: ClickHouseSink, client: Client, seed: int) -> None:
    rows = history(seed)
    shuffle = random.Random(seed).shuffle
    seen: dict[tuple[Any, ...], int] = {}
    for _ in range(3):
        shuffle(rows)
        for start in range(0, len(rows), 400):
            sink.insert_usage(batch(rows[start : start + 400]))
            check_monotone(client, seen)
    check_views(client, rows)
    client.command("OPTIMIZE TABLE usage_rows FINAL")
    check_views(client, rows)


@pytest.fixture
def settings(clickhouse_url: str) -> Iterator[SimpleNamespace]:
    database = f"views_{random.randrange(10**9)}"
    settings = SimpleNamespace(url=clickhouse_url, user="default", password="", database=database, timeout_ms=60_000)
    yield settings
    connect(settings).command(f"DROP DATABASE {database} SYNC")


@pytest.mark.parametrize("seed", [1, 2])
def test_usage_views_equal_a_recount_after_three_shuffled_repeated_inserts(settings: Any, seed: int) -> None:
    """I4, and the promise of the views."""
    sink = ClickHouseSink(settings)
    sink.migrate()
    check_shuffled(sink, reader(settings), seed)


@pytest.mark.parametrize("window", ["hour", "day", "month", "total"])
def test_usage_merges_states_over_whatever_is_not_grouped_by(settings: Any, window: Any) -> None:
    sink = ClickHouseSink(settings)
    sink.migrate()
    rows = history(seed=3)
    sink.insert_usage(batch(rows))
    formats = {"hour": "%Y%m%d%H", "day": "%Y%m%d", "month": "%Y%m", "total": ""}

    start, end = instant(NEW_YEAR_MS), instant(NEW_YEAR_MS + 31 * DAY_MS)
    within = [row for row in rows if start <= instant(row["window_start_ms"]) < end]
    client = reader(settings)
    for meter in METERS:
        for filters in ({}, {"account": "acme"}, {"subject": "zone'2\\\t"}):
            for group_by in ((), ("subject", "a.b"), ("account",)):

                def key(row: Row, meter=meter, filters=filters, group_by=group_by) -> tuple[str, ...] | None:
                    if row["meter"] != meter or not filters.items() <= row.items():
                        return None
                    named = json.loads(row["dims"]) | row
                    bucket = instant(row["window_start_ms"]).strftime(formats[window])
                    return row["aggregation"], bucket, *(named.get(name, "") for name in group_by)

                seen = {}
                for record in usage(client, meter, start=start, end=end, window=window, group_by=group_by, **filters):
                    named = {"subject": record.subject, "account": record.account, **record.dimensions}
                    bucket = record.window_start.strftime(formats[window])
                    group = (record.aggregation, bucket, *(named[name] for name in group_by))
                    seen[group] = (record.quantity, record.events)
                assert seen == recount(within, key)


def test_day_totals_accumulate_states_not_quantities(settings: Any) -> None:
    sink = ClickHouseSink(settings)
    sink.migrate()
    rows = history(seed=4)
    sink.insert_usage(batch(rows))
    start, end = date(2026, 1, 1), date(2026, 2, 1)
    totals = day_totals(reader(settings), "acme", start, end)
    for number in range(31):
        day = start + timedelta(days=number)
        through = recount(
            rows,
            lambda row, day=day: (
                (row["meter"], row["aggregation"])
                if row["account"] == "acme" and start <= instant(row["window_start_ms"]).date() <= day
                else None
            ),
        )
        for meter in METERS:
            expected = [values for (name, _), values in through.items() if name == meter]
            seen = [total for total in totals.get(meter, []) if total.day <= day][-1:]
            assert [total.events for total in seen] == [sum(events for _, events in expected)][: len(expected)]
            with localcontext(prec=100):
                assert [total.quantity for total in seen] == [sum(q for q, _ in expected)][: len(expected)]
    assert period_totals(reader(settings), "acme", start, end) == {meter: days[-1] for meter, days in totals.items()}


@pytest.mark.parametrize(
    ("sound", "broken"),
    [
        ("FROM {database}.usage_rows FINAL", "FROM {database}.usage_rows"),
        ("ENGINE = ReplacingMergeTree(version)", "ENGINE = ReplacingMergeTree"),
        ("bitShiftLeft(toUInt128(generation), 64)", "toUInt128(0)"),
        ("FROM {database}.usage_rows FINAL", "FROM {database}.usage_rows FINAL PREWHERE account = 'acme'"),
        ("(toInt256(sum_hi)", "(toInt128(sum_hi)"),
        ("PARTITION BY toYYYYMM(window_start)", "PARTITION BY account"),
        ("minIf(p.min_12, p.events > 0)", "min(p.min_12)"),
    ],
)
def test_the_recount_catches_a_broken_schema(settings: Any, sound: str, broken: str) -> None:
    sound, broken = (text.replace("{database}", settings.database) for text in (sound, broken))
    client = connect(settings)
    changed = 0
    for statement in statements(settings.database):
        changed += sound in statement
        client.command(statement.replace(sound, broken))
    assert changed
    with pytest.raises(AssertionError):
        check_shuffled(ClickHouseSink(settings), reader(settings), seed=1)
