"""From Kafka to money: usage, rated rows, previews and ledger equal a recount by other means."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pipeline import Pipeline
from pipeline_traffic import BASE, CATALOGUE, DAY, Traffic, check

MakePipeline = Callable[..., Pipeline]


@pytest.fixture
def pipeline(kafka: Any, redis_url: str, clickhouse_url: str, unique: str) -> Iterator[Pipeline]:
    made = Pipeline(kafka.bootstrap, redis_url, clickhouse_url, unique, CATALOGUE)
    yield made
    made.close()


def test_i1_i2_every_aggregation_shape_and_price_model_equals_the_recount(pipeline: Pipeline) -> None:
    traffic = Traffic(seed=1)
    pipeline.send(traffic.fill(4_000, BASE, BASE + 3 * DAY))
    pipeline.catch_up(workers=2)
    truth = check(pipeline, traffic.log)
    assert all(truth.ledger[column] for column in ("accepted", "duplicate", "late", "unmetered"))
    assert all(truth.facts[one.id] for one in CATALOGUE.meters)
