"""What the sink promises, on the embedded engine or on whatever TOLLSTREAM_CLICKHOUSE__URL names."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from sinks.clickhouse import ClickHouseSink, connect, reader
from sinks.errors import Retryable
from sinks.queries import dead_letters, late_events, ledger, usage
from sinks.rows import CatalogueRows, LedgerRows, LetterRows, RatedRows, UsageRows
from sinks.totals import rated_period, top_accounts

VIEWS = {
    *("usage_partials", "usage_windows", "usage_hourly", "usage_daily", "rated_usage", "spend_daily"),
    *("ledger_current", "late_events", "dead_letters", "admissions", "catalogue"),
}
JANUARY = date(2026, 1, 1)


@pytest.fixture
def settings(clickhouse_url: str) -> Iterator[SimpleNamespace]:
    database = f"sink_{random.randrange(10**9)}"
    settings = SimpleNamespace(url=clickhouse_url, user="default", password="", database=database, timeout_ms=60_000)
    ClickHouseSink(settings).migrate()
    yield settings
    connect(settings).command(f"DROP DATABASE {database} SYNC")


def columns(kind: Any, rows: list[dict[str, Any]]) -> Any:
    return kind(**{name: [row[name] for row in rows] for name in kind.__struct_fields__})


def usage_row(**changed: Any) -> dict[str, Any]:
    zero = dict.fromkeys(UsageRows.__struct_fields__, 0)
    texts = {"meter": "requests", "aggregation": "sum", "subject": "zone-1", "dims": "{}", "account": "acme"}
    places = {
        "topic": "topic-id",
        "window_end_ms": 3_600_000,
        "events": 1,
        "members": [],
        "samples": np.empty((0, 4), np.uint64),
    }
    return zero | texts | places | changed


def rated_row(**changed: Any) -> dict[str, Any]:
    texts = {
        "account": "acme",
        "plan": "pro",
        "price": "p1",
        "model": "per_unit",
        "meter": "requests",
        "currency": "USD",
    }
    days = {
        "period_start": JANUARY,
        "segment_start": JANUARY,
        "day": JANUARY,
        "opening": 0,
        "part": "",
        "unrated_reason": "",
    }
    numbers = {"quantity": Decimal(1), "quantity_total": Decimal(1), "amount": Decimal(1), "plan_version": 1}
    return texts | days | numbers | {"generation": 1, "version": 1} | changed


def ledger_row(offset: int, late: int = 0) -> dict[str, Any]:
    counts = {"consumed": offset, "accepted": offset - 1, "duplicate": 1, "late": late, "invalid": 0, "unmetered": 0}
    archive = {"admitted": 0, "lateness_max_ms": 7_200_000, "archived_since_ms": 0}
    return {"topic": "topic-id", "partition": 0, "offset": offset, "clock_ms": 1_700_000_000_123, **counts, **archive}


def letter_row(**changed: Any) -> dict[str, Any]:
    place = {"topic": "topic-id", "partition": 0, "offset": 5, "index": 2, "record_timestamp_ms": 1_700_000_000_123}
    return place | {"reason": "json: mend it", "raw": b'{"id":\xff\x00', "type": "", "subject": ""} | changed


def test_migrate_may_run_again_over_data(settings: Any) -> None:
    sink = ClickHouseSink(settings)
    sink.insert_ledger(columns(LedgerRows, [ledger_row(7)]))
    sink.migrate()
    assert ledger(reader(settings)).consumed == 7


def test_every_table_view_and_column_has_a_comment(settings: Any) -> None:
    client = reader(settings)
    tables = client.query(
        "SELECT name, engine, comment FROM system.tables WHERE database = currentDatabase()"
    ).result_rows
    assert {name for name, engine, _ in tables if engine == "View"} == VIEWS
    assert [name for name, _, comment in tables if not comment] == []
    assert all("Grain and key: " in comment for _, engine, comment in tables if engine == "View")
    bare = "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = ''"
    assert client.query(bare).result_rows == []


def test_rated_rows_shuffled_and_repeated_show_their_newest_version_exactly(settings: Any) -> None:
    """I4 and I6, down to the last of 30 digits."""
    small, large = Decimal("0.000000000000000000000000000001"), Decimal(10**45)
    rows = [
        rated_row(opening=1, amount=small, quantity=Decimal(0), quantity_total=Decimal(0)),
        rated_row(amount=Decimal(9), version=1),
        rated_row(amount=large, version=2**63, plan_version=2, quantity=Decimal("-1.000000000001")),
        rated_row(amount=Decimal(8), version=2**64 - 1, generation=0),
        rated_row(price="", model="", plan="", currency="", amount=None, unrated_reason="no plan"),
        rated_row(account="bolt", day=date(2026, 1, 31), amount=Decimal("-0.10"), currency="EUR"),
    ]
    sink, client = ClickHouseSink(settings), reader(settings)
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        for row in rows:
            sink.insert_rated(columns(RatedRows, [row]))
    unrated, opening, day = rated_period(client, "acme", JANUARY)
    assert (unrated.amount, unrated.currency, unrated.unrated_reason) == (None, "", "no plan")
    assert (opening.opening, opening.amount) == (True, small)
    assert (day.plan_version, day.amount, day.quantity) == (2, large, Decimal("-1.000000000001"))
    spend = client.query("SELECT account, currency, day, amount FROM spend_daily ORDER BY account").result_rows
    assert [tuple(map(str, row)) for row in spend] == [
        ("acme", "USD", "2026-01-01", "1000000000000000000000000000000000000000000000.000000000000000000000000000001"),
        ("bolt", "EUR", "2026-01-31", "-0.100000000000000000000000000000"),
    ]
    top = top_accounts(client, JANUARY, date(2026, 2, 1), limit=2)
    assert [(row.account, row.currency, str(row.amount)) for row in top][1:] == [("bolt", "EUR", "-0.1")]
    superseded = (
        "SELECT * FROM rated_usage WHERE price = 'p1' AND NOT opening AND account = 'acme' AND plan_version = 1"
    )
    assert client.query(superseded).result_rows == []


def test_the_ledger_shows_the_furthest_offset_and_whether_it_balances(settings: Any) -> None:
    """I1 and I4 as a reader sees them."""
    sink = ClickHouseSink(settings)
    for offset in (3, 9, 5):
        sink.insert_ledger(columns(LedgerRows, [ledger_row(offset), ledger_row(4) | {"partition": 1}]))
    answer = ledger(reader(settings))
    assert (answer.consumed, answer.accepted, answer.duplicate, answer.balanced) == (13, 11, 2, True)
    assert [(p.partition, p.offset) for p in answer.partitions] == [(0, 9), (1, 4)]
    assert answer.partitions[0].clock == datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)
    sink.insert_ledger(columns(LedgerRows, [ledger_row(10, late=1)]))
    assert not ledger(reader(settings)).balanced


def test_letters_keep_their_bytes_and_repeats_are_one_row(settings: Any) -> None:
    sink = ClickHouseSink(settings)
    rows = [letter_row(), letter_row(index=3, raw=b"", subject="zone-1", type="http.request")]
    for _ in range(3):
        sink.insert_late(columns(LetterRows, rows))
        sink.insert_dead_letters(columns(LetterRows, rows[:1]))
    client = reader(settings)
    assert [(letter.index, letter.raw) for letter in late_events(client, 10)] == [(3, b""), (2, b'{"id":\xff\x00')]
    assert late_events(client, 1)[0].subject == "zone-1"
    (letter,) = dead_letters(client, 10)
    assert msgspec.structs.astuple(letter)[:6] == ("topic-id", 0, 5, 2, "json: mend it", b'{"id":\xff\x00')


def test_the_catalogue_is_there_for_analysts(settings: Any) -> None:
    sink = ClickHouseSink(settings)
    for _ in range(2):
        sink.insert_catalogue(CatalogueRows([1, 1], ["plan", "plan"], ["pro", "pro"], [1, 2], ["{}", '{"a":1}']))
    query = "SELECT version, body FROM catalogue ORDER BY version"
    assert reader(settings).query(query).result_rows == [(1, "{}"), (2, '{"a":1}')]


def test_calls_larger_than_a_block_and_spanning_many_months_arrive_whole(settings: Any) -> None:
    sink = ClickHouseSink(settings, rows_max=50, bytes_max=16 * 40)
    month_ms = 31 * 86_400_000
    rows = [usage_row(window_start_ms=n * month_ms, window_end_ms=n * month_ms + 3_600_000) for n in range(160)]
    rows += [usage_row(meter="who", aggregation="unique", chunk=n, members=[2**128 - 1, n, 99]) for n in range(100)]
    sink.insert_usage(columns(UsageRows, rows))
    ClickHouseSink(settings).insert_usage(columns(UsageRows, rows))
    client = reader(settings)
    assert [record.events for record in usage(client, "requests", window="total")] == [160]
    assert [record.quantity for record in usage(client, "who", window="total")] == [101]


def test_arrays_and_lists_say_the_same(settings: Any) -> None:
    members = [[2**127 + 5, 2**64], []]
    halves = [np.array([[m >> 64, m % 2**64] for m in row], np.uint64).reshape(-1, 2) for row in members]
    rows = columns(UsageRows, [usage_row(meter="who", aggregation="unique", chunk=n) for n in range(2)])
    sink, client = ClickHouseSink(settings), reader(settings)
    for offset, form in ((1, members), (2, halves)):
        arrays = {name: np.array(getattr(rows, name)) for name in ("events", "min", "window_start_ms")}
        changed = msgspec.structs.replace(rows, members=form, offset=[offset] * 2, **(arrays if offset == 2 else {}))
        sink.insert_usage(changed)
        query = "SELECT members FROM usage_rows FINAL WHERE offset = {offset:UInt64} ORDER BY chunk"
        assert client.query(query, parameters={"offset": offset}).result_rows == [(members[0],), ([],)]


def test_a_batch_without_rows_does_nothing(settings: Any) -> None:
    sink = ClickHouseSink(settings)
    sink.insert_usage(columns(UsageRows, []))
    sink.insert_rated(columns(RatedRows, []))


def test_what_no_retry_mends_is_raised_as_it_is(settings: Any) -> None:
    sink = ClickHouseSink(settings)
    with pytest.raises(DatabaseError, match="aggregation_known"):
        sink.insert_usage(columns(UsageRows, [usage_row(aggregation="median")]))
    connect(settings).command(f"DROP TABLE {settings.database}.ledger_rows SYNC")
    with pytest.raises(DatabaseError, match="ledger_rows"):
        sink.insert_ledger(columns(LedgerRows, [ledger_row(1)]))


def test_a_server_that_is_away_is_retryable() -> None:
    away = SimpleNamespace(
        url="http://127.0.0.1:1", user="default", password="secret", database="tollstream", timeout_ms=1_000
    )
    with pytest.raises(Retryable) as caught:
        ClickHouseSink(away).insert_ledger(columns(LedgerRows, [ledger_row(1)]))
    assert caught.value.retry_after_ms > 0
    assert "secret" not in str(caught.value)


def test_gauge_samples_arrive_whole_and_show_the_last_reading(settings: SimpleNamespace) -> None:
    """Times before 1970 and negative values are two's complement on their way."""
    readings = [(1_000, 7, 2**64 - 1, 5), (-2_000, 2**63, 0, -3), (1_000, 8, 0, 6)]
    samples = np.array([[at % 2**64, high, low, value % 2**64] for at, high, low, value in readings], np.uint64)
    last = {"latest_time_us": 1_000, "latest_id_hi": 8, "latest_value": 6, "precision": 1}
    rows = [
        usage_row(meter="stored", aggregation="gauge", offset=1, **last),
        usage_row(meter="stored", aggregation="gauge", chunk=1, offset=1, events=0, samples=samples, precision=1),
    ]
    sink = ClickHouseSink(settings)
    sink.migrate()  # again: every statement may be repeated
    sink.insert_usage(columns(UsageRows, rows))
    with reader(settings) as client:
        found = client.query("SELECT readings FROM usage_partials WHERE chunk = 1").result_rows[0][0]
        assert [tuple(one.values()) if isinstance(one, dict) else tuple(one) for one in found] == [
            (at, (high << 64) + low, value * 10**11) for at, high, low, value in readings
        ]
        assert client.query("SELECT quantity, events FROM usage_windows").result_rows == [(Decimal("0.6"), 1)]
