"""Lost and older backups of either store: what comes back by itself, and what `republish` brings back."""

from contextlib import closing
from typing import Any

import pytest
from pipeline import Pipeline, wait_for
from pipeline_traffic import BASE, DAY, Traffic, check, check_truth
from test_pipeline_admission import bring_back, with_late
from test_recovery_log import shorten

from processors.refill import refill
from processors.republish import republish
from reconcile.check import Check
from sinks.clickhouse import ClickHouseSink
from sinks.topics import admin, create_topics

pytestmark = pytest.mark.apache
TABLES = ("usage_rows", "rated_rows", "ledger_rows", "late_event_rows", "dead_letter_rows")


def differences(pipeline: Pipeline) -> list[Any]:
    with closing(Check(pipeline.settings, pipeline.catalogue)) as again:
        outcome = again.once(lambda _: None, 20)
        return [difference for difference, _ in outcome.differences] + list(outcome.unchecked)


def test_lost_tables_come_back_whole_and_an_older_backup_catches_up(apache: Pipeline) -> None:
    traffic = Traffic(seed=51)
    apache.send(traffic.fill(700, BASE, BASE + 3 * DAY))
    apache.catch_up()
    backup = {table: f"{table}_backup" for table in TABLES}
    for table, copy in backup.items():
        apache.client.command(f"CREATE TABLE {copy} AS {table}")
        apache.client.command(f"INSERT INTO {copy} SELECT * FROM {table}")
    apache.send(traffic.fill(400, BASE + 3 * DAY, BASE + 5 * DAY))
    apache.catch_up()
    for table in TABLES:
        apache.client.command(f"DROP TABLE {table}")
    ClickHouseSink(apache.settings.clickhouse).migrate()
    assert apache.consumed() == 0
    written = republish(apache.settings, apache.catalogue, lambda _: None, lambda _: None)
    assert min(written.usage, written.rated, written.ledger, written.late) > 0
    check(apache, traffic.log)
    assert differences(apache) == []
    for table, copy in backup.items():
        apache.client.command(f"TRUNCATE TABLE {table}")
        apache.client.command(f"INSERT INTO {table} SELECT * FROM {copy}")
    assert differences(apache) != []
    republish(apache.settings, apache.catalogue, lambda _: None, lambda _: None)
    check(apache, traffic.log)
    assert differences(apache) == []


def test_what_came_back_comes_back_with_the_tables_and_the_archive_begins_anew(apache: Pipeline) -> None:
    _, truth, counts = with_late(apache, seed=57)
    apache.catch_up()
    with apache.running():
        bring_back(apache)
    apache.catch_up()
    query = "SELECT * FROM admissions ORDER BY partition, offset, event_index"
    before = apache.client.query(query).result_rows
    for table in (*TABLES, "admission_rows", "identity_archive_rows", "number_archive_rows", "archive_gap_rows"):
        apache.client.command(f"TRUNCATE TABLE {table}")
    said: list[str] = []
    written = republish(apache.settings, apache.catalogue, lambda _: None, lambda line: said.append(line or ""))
    assert written.admissions == len(before) >= sum(counts.values())
    assert apache.client.query(query).result_rows == before
    check_truth(apache, truth)
    assert differences(apache) == []
    assert apache.ledger().admitted == counts["accepted"]
    assert [line for line in said if line] and "begins anew" in "".join(said)


def test_what_a_shortened_log_no_longer_tells_of_what_came_back_is_said(apache: Pipeline) -> None:
    _, _, counts = with_late(apache, seed=58)
    apache.catch_up()
    with apache.running():
        bring_back(apache)
    apache.catch_up()
    apache.client.command("TRUNCATE TABLE admission_rows")
    shorten(apache, {0: 5, 1: 5, 2: 5})
    said: list[str] = []
    written = republish(apache.settings, apache.catalogue, lambda _: None, lambda line: said.append(line or ""))
    assert written.admissions > 0  # the log is long enough for verdicts at its end
    assert sum("the log begins at offset 5" in line for line in said) == 3
    assert sum(counts.values())


def test_a_lost_windows_topic_is_reported_and_filled_again_from_clickhouse(apache: Pipeline) -> None:
    kafka, client = apache.settings.kafka, admin(apache.settings.kafka)
    traffic = Traffic(seed=59)
    apache.send(traffic.fill(500, BASE, BASE + 2 * DAY))
    apache.catch_up()
    client.delete_topics([kafka.windows_topic])[kafka.windows_topic].result(30)
    wait_for(lambda: kafka.windows_topic not in client.list_topics(timeout=10).topics, "the topic to go")
    create_topics(kafka)
    apache.send(traffic.fill(300, BASE + 2 * DAY, BASE + 3 * DAY))
    apache.catch_up()
    assert {one.place for one in differences(apache)} == {"rated"}
    assert refill(apache.settings, apache.catalogue, lambda _: None) > 0
    apache.catch_up()
    check(apache, traffic.log)
    assert differences(apache) == []


def test_an_older_redis_goes_on_from_where_it_was(apache: Pipeline) -> None:
    traffic = Traffic(seed=52)
    apache.send(traffic.fill(500, BASE, BASE + 2 * DAY))
    apache.catch_up()
    backup = {key: apache.redis.dump(key) for key in apache.redis.scan_iter()}
    apache.send(traffic.fill(500, BASE + 2 * DAY, BASE + 4 * DAY))
    apache.catch_up()
    apache.redis.flushdb()
    for key, value in backup.items():
        apache.redis.restore(key, 0, value)  # type: ignore[arg-type]
    apache.send(traffic.fill(100, BASE + 4 * DAY, BASE + 5 * DAY))
    apache.catch_up()
    check(apache, traffic.log)
    assert differences(apache) == []
