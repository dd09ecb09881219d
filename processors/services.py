"""What a worker talks to: clients of Kafka, Redis and ClickHouse, a thread beside it, and the clock.

The stages make none of them, so that the simulator can run the stages as they are over services of its own.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cached_property
from typing import Any, Protocol

from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Producer
from redis import Redis

from config.settings import Settings
from processors.state import RedisSlot, Slot, connect
from sinks import topics
from sinks.clickhouse import ClickHouseSink, reader
from sinks.superseded import RatedKey, rated_before


class Clock(Protocol):
    """Seconds since some instant and since 1970, and waiting. The module `time` is one."""

    def monotonic(self) -> float: ...

    def time(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


class Services:
    """The real ones. Nothing is connected before it is asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.clock: Clock = time
        self.new_consumer: Callable[[dict[str, Any]], Any] = Consumer
        self.new_producer: Callable[[dict[str, Any]], Any] = Producer

    def topic_id(self, topic: str) -> str:
        return topics.topic_id(self._settings.kafka, topic)

    def partition_count(self, topic: str) -> int:
        return topics.partition_count(self._settings.kafka, topic)

    def ends_are_trusted(self) -> bool:
        return topics.ends_are_trusted(self._settings.kafka)

    def read_to_end(self, topic: str) -> list[tuple[bytes, bytes | None]]:
        return topics.read_to_end(self._settings.kafka, topic)

    def slot(self, topic_id: str, partition: int) -> Slot:
        return RedisSlot(self._redis, topic_id, partition)

    @cached_property
    def _redis(self) -> Redis:
        return connect(self._settings.redis.url, self._settings.redis.timeout_ms / 1000)

    def sink(self) -> ClickHouseSink:
        return ClickHouseSink(self._settings.clickhouse, rows_max=self._settings.limits.sink_rows_max)

    def rated_before(self, generation: int) -> list[RatedKey]:
        return rated_before(self._reader, generation)

    @cached_property
    def _reader(self) -> Client:
        return reader(self._settings.clickhouse)

    def beside(self) -> Executor:
        """One thread that does what it is given, in that order."""
        return ThreadPoolExecutor(1, "clickhouse")

    def token(self) -> str:
        """A word that no other worker ever had."""
        return secrets.token_hex(8)
