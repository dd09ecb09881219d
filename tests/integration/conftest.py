"""A pipeline of its own for each test that asks for one."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from pipeline import Pipeline
from pipeline_traffic import CATALOGUE

MakePipeline = Callable[..., Pipeline]


@pytest.fixture
def make_pipeline(redis_url: str, clickhouse_url: str, unique: str) -> Iterator[MakePipeline]:
    """Makes a pipeline on a broker; settings of `processing`, and `limits`, may be given."""
    with contextlib.ExitStack() as until:

        def make(bootstrap: str, clickhouse: str = clickhouse_url, **settings: Any) -> Pipeline:
            made = Pipeline(bootstrap, redis_url, clickhouse, unique, CATALOGUE, **settings)
            until.callback(made.close)
            return made

        yield make


@pytest.fixture
def pipeline(make_pipeline: MakePipeline, kafka: Any) -> Pipeline:
    """Once on each kind of broker, in small batches, so that there are many checkpoints."""
    return make_pipeline(kafka.bootstrap, consume_messages_max=100)


@pytest.fixture
def one_pipeline(make_pipeline: MakePipeline, services: Mapping[str, str]) -> Pipeline:
    """On one broker, for broken variants, which need not be caught twice."""
    return make_pipeline(services["TOLLSTREAM_KAFKA__BOOTSTRAP"], consume_messages_max=100)


@pytest.fixture
def apache(make_pipeline: MakePipeline, start: Callable[[str, str], str]) -> Pipeline:
    """On Apache Kafka, or the broker named in the environment."""
    kind = "named" if os.environ.get("TOLLSTREAM_KAFKA__BOOTSTRAP") else "apache"
    return make_pipeline(start("kafka", kind), consume_messages_max=100)
