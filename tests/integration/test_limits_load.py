"""I7: a runaway label, a hot key, and a ClickHouse that is away while traffic goes on: bounded, visible, exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import MakePipeline
from pipeline import PARTITIONS, Pipeline
from pipeline_traffic import BASE, DAY, Traffic, check, ms
from pipeline_truth import Sent

import stack
from config.settings import Limits
from sinks.queries import dead_letters

NOW = BASE + DAY
HOUR = DAY / 24
SETS_MAX = 25


def test_i7_a_dimension_explosion_fills_its_own_windows_and_nobody_elses(
    make_pipeline: MakePipeline, services: Mapping[str, str]
) -> None:
    """2,000 zones of one subject, in the same batches as everybody else's events."""
    limits = Limits(dimension_sets_max=SETS_MAX)
    pipeline = make_pipeline(services["TOLLSTREAM_KAFKA__BOOTSTRAP"], limits=limits)
    traffic = Traffic(seed=71)
    traffic.fill(100, BASE, NOW)
    noisy, partition = "s-99", traffic.partition("s-99")
    quiet = [f"s-{number}" for number in range(9) if traffic.partition(f"s-{number}") == partition]
    zones = 0
    for _ in range(50):
        batch: list[dict[str, Any] | None] = []
        sent: list[dict[str, Any]] = []
        for _ in range(40):
            data = {"requests": 1, "bytes": 1, "ms": 1, "zone": f"zone-{zones}"}
            exploding = traffic.event(NOW, type="http", subject=noisy, data=data)
            other = traffic.event(NOW, type="http", subject=quiet[zones % len(quiet)], data={**data, "zone": "a"})
            sent += [exploding, other]
            batch += [exploding if zones < SETS_MAX else None, other]
            zones += 1
        traffic.add(Sent(partition, ms(NOW), msgspec.json.encode(sent), batch))
    pipeline.send(traffic.messages())
    pipeline.catch_up()
    truth = check(pipeline, traffic.log)
    assert truth.ledger["invalid"] == zones - SETS_MAX
    letters = dead_letters(pipeline.client, 5_000)
    assert len(letters) == zones - SETS_MAX
    assert {(letter.subject, letter.reason.partition(":")[0]) for letter in letters} == {(noisy, "limit")}
    rows = "SELECT countDistinct(meter, dims, window_start) FROM usage_rows WHERE subject = {noisy:String}"
    per_meter = {"noisy": noisy}
    assert pipeline.client.query(rows, per_meter).result_rows[0][0] <= SETS_MAX * 7


def hot(pipeline: Pipeline, *, spread: bool) -> Any:
    """90 % of the events are of one subject, on one partition or on all of them."""
    traffic = Traffic(seed=72, subjects=30)
    batches: list[list[dict[str, Any]]] = [[] for _ in range(PARTITIONS)]
    for number in range(6_000):
        subject = "s-0" if number % 10 else f"s-{1 + number // 10 % 29}"
        event = traffic.event(BASE + HOUR * number / 6_000, subject=subject)
        place = number % PARTITIONS if spread and subject == "s-0" else traffic.partition(subject)
        batches[place].append(event)
        if len(batches[place]) == 50:
            traffic.add(Sent(place, ms(NOW), msgspec.json.encode(batches[place]), list(batches[place])))
            batches[place] = []
    pipeline.send(traffic.messages())
    pipeline.catch_up()
    check(pipeline, traffic.log)
    partials = "SELECT count(), countDistinct(partition) FROM usage_rows FINAL WHERE subject = 's-0' AND chunk = 0"
    return pipeline.client.query(partials).result_rows[0]


def test_i7_a_hot_key_costs_one_partial_a_window_and_its_spreading_one_a_partition(
    make_pipeline: MakePipeline, services: Mapping[str, str]
) -> None:
    """Nothing grows with its events; how to spread it is in docs/limits.md."""
    bootstrap = services["TOLLSTREAM_KAFKA__BOOTSTRAP"]
    partials, partitions = hot(make_pipeline(bootstrap), spread=False)
    assert partitions == 1
    assert partials < 5_400 / 10


def test_i7_a_hot_key_that_is_spread_comes_to_the_same(
    make_pipeline: MakePipeline, services: Mapping[str, str]
) -> None:
    _, partitions = hot(make_pipeline(services["TOLLSTREAM_KAFKA__BOOTSTRAP"]), spread=True)
    assert partitions == PARTITIONS


def committed(pipeline: Pipeline) -> int:
    """Messages that are in a checkpoint, of all partitions."""
    heads = pipeline.redis.keys("tollstream:*:head")
    assert isinstance(heads, list)
    return sum(int(pipeline.redis.hget(head, "offset") or 0) for head in heads)  # type: ignore[arg-type]


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[stack.Stack]:
    """One of its own, to be stopped."""
    with stack.Stack(tmp_path, only=["clickhouse"]) as services:
        yield services


def test_i7_i9_while_clickhouse_is_away_a_worker_holds_one_checkpoint_and_stops_taking(
    clickhouse: stack.Stack, make_pipeline: MakePipeline, services: Mapping[str, str]
) -> None:
    """However long it is away: what is not taken stays in the log, and all of it is there afterwards."""
    taken_max = 100
    pipeline = make_pipeline(
        services["TOLLSTREAM_KAFKA__BOOTSTRAP"],
        clickhouse.services.environ["TOLLSTREAM_CLICKHOUSE__URL"],
        consume_messages_max=taken_max,
        checkpoint_events=300,
        behind_factor=1,
        health_stall_ms=1_000,
    )
    traffic = Traffic(seed=73)
    pipeline.send(traffic.fill(200, BASE, BASE + DAY / 4))
    with pipeline.running() as run:

        def all_out() -> bool:
            return pipeline.consumed() == sum(len(sent.events) for sent in traffic.log)

        run.until(all_out, "the first events")
        clickhouse.kill("clickhouse")
        before = committed(pipeline)
        messages = traffic.fill(8_000, BASE + DAY / 4, NOW)
        pipeline.send(messages)
        run.until(lambda: not run.tally.health.healthy, "word that it is unwell")
        # At most the checkpoint whose outputs are not acknowledged; what is folded behind it waits to be one.
        assert committed(pipeline) - before <= 300 + taken_max < len(messages) / 5
        assert "ClickHouse" in run.tally.health.reason
        clickhouse.restart("clickhouse")
        run.until(all_out, "all of it")
        run.until(lambda: run.tally.health.healthy, "its recovery")
        assert run.tally.restarts == 0
    pipeline.catch_up()
    check(pipeline, traffic.log)
