"""ClickHouse stops in the middle: nothing is lost, the run says that it is unwell, and recovers by itself (I9)."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MakePipeline
from pipeline_traffic import BASE, DAY, Traffic, check

import stack


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[stack.Stack]:
    """One of its own, to be stopped."""
    with stack.Stack(tmp_path, only=["clickhouse"]) as services:
        yield services


def test_i9_i2_a_clickhouse_that_hangs_and_dies_is_reported_and_costs_nothing(
    clickhouse: stack.Stack, make_pipeline: MakePipeline, kafka: Any
) -> None:
    traffic = Traffic(seed=51)
    url = clickhouse.services.environ["TOLLSTREAM_CLICKHOUSE__URL"]
    pipeline = make_pipeline(kafka.bootstrap, url, consume_messages_max=100, health_stall_ms=1_500)

    def all_out() -> bool:
        return pipeline.consumed() == sum(len(sent.events) for sent in traffic.log)

    with pipeline.running(workers=2) as run:

        def unwell() -> bool:
            return not run.tally.health.healthy and "ClickHouse" in run.tally.health.reason

        def well() -> bool:
            return run.tally.health.healthy and all_out()

        pipeline.send(traffic.fill(300, BASE, BASE + DAY))
        run.until(all_out, "the first events")
        pid = clickhouse.services.pids["clickhouse"]
        os.kill(pid, signal.SIGSTOP)
        pipeline.send(traffic.fill(300, BASE + DAY, BASE + 2 * DAY))
        run.until(unwell, "word that ClickHouse hangs")
        os.kill(pid, signal.SIGCONT)
        run.until(well, "the recovery from a hang")
        clickhouse.kill("clickhouse")
        pipeline.send(traffic.fill(300, BASE + 2 * DAY, BASE + 3 * DAY))
        run.until(unwell, "word that ClickHouse is gone")
        clickhouse.restart("clickhouse")
        run.until(well, "the recovery from a death")
        assert run.tally.restarts == 0
    pipeline.catch_up()
    check(pipeline, traffic.log)
