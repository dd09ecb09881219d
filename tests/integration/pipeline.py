"""A whole pipeline on real services, small and fast: its topics, its tables, its workers, and what it wrote.

Records carry their own timestamps (CreateTime), so that the partitions' clocks, and with them every verdict, are the
test's. Workers are the real ones: processes under a real `Supervisor`.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import redis
from clickhouse_connect.driver.client import Client
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import NewTopic

from config.catalogue import Catalogue
from config.settings import ClickHouse, Kafka, Limits, Processing, Redis, Settings
from processors.supervise import Supervisor, Tally
from sinks.catalogue_topic import publish_catalogue, read_catalogue
from sinks.clickhouse import ClickHouseSink, reader
from sinks.queries import Ledger, ledger
from sinks.topics import admin, create_topics, read_to_end, topic_id

PATIENCE_S = 90.0  # for one step of a test: a bound, not an expectation
PARTITIONS = 3
WINDOWS_PARTITIONS = 2


class Message(NamedTuple):
    """One record for the events topic."""

    partition: int
    at_ms: int
    value: bytes | None


def wait_for(found: Callable[[], Any], what: str) -> Any:
    """What `found` returns once it is true; a failure after PATIENCE_S."""
    until = time.monotonic() + PATIENCE_S
    while not (answer := found()):
        assert time.monotonic() < until, f"waited {PATIENCE_S:.0f} s for {what}"
        time.sleep(0.05)
    return answer


class Run:
    """One `tollstream run`, in a thread of this process; its workers are processes."""

    def __init__(self, supervisor: Supervisor, until_caught_up: bool, heard: list[str]) -> None:
        self.supervisor, self.heard = supervisor, heard
        self.tallies: list[Tally] = []
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(until_caught_up,))
        self._thread.start()

    def _run(self, until_caught_up: bool) -> None:
        try:
            self.supervisor.run(until_caught_up=until_caught_up, watch=self.tallies.append)
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            self.failure = error

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def tally(self) -> Tally:
        return self.tallies[-1] if self.tallies else Tally()

    def until(self, found: Callable[[], Any], what: str) -> Any:
        """As `wait_for`, for as long as the run goes on."""

        def look() -> Any:
            if self.failure is not None:
                raise self.failure
            return found()

        return wait_for(look, what)

    def wait(self) -> None:
        """Until it has ended by itself; raises what it raised."""
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            tally = self.tally
            self.kill_all()
            self.supervisor.stop()
            self._thread.join(PATIENCE_S)
            raise AssertionError(f"not done after {PATIENCE_S:.0f} s: {tally}, it said {self.heard}")
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """As SIGTERM does it."""
        self.supervisor.stop()
        self.wait()

    def kill(self, place: int = 0) -> int:
        """SIGKILL to one worker, once it is there; its pid."""
        pids = self.until(lambda: self.supervisor.pids[place:], "a worker to kill")
        os.kill(pids[0], signal.SIGKILL)
        self.until(lambda: pids[0] not in self.supervisor.pids, "the supervisor to miss it")
        return int(pids[0])

    def kill_all(self) -> None:
        self.supervisor.stop()
        for pid in self.supervisor.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Pipeline:
    """Topics, group, tables and Redis of one test."""

    def __init__(
        self,
        bootstrap: str,
        redis_url: str,
        clickhouse_url: str,
        name: str,
        catalogue: Catalogue,
        limits: Limits | None = None,
        events_config: Mapping[str, str] | None = None,
        **processing: Any,
    ) -> None:
        topics = {f"{kind}_topic": f"{name}.{kind}" for kind in _TOPICS}
        self.settings = Settings(
            kafka=Kafka(
                bootstrap=bootstrap,
                group=name,
                partitions=PARTITIONS,
                windows_partitions=WINDOWS_PARTITIONS,
                session_timeout_ms=2_000,
                **topics,
            ),
            redis=Redis(url=redis_url),
            clickhouse=ClickHouse(url=clickhouse_url, database=name),
            processing=msgspec.convert(
                {"checkpoint_interval_ms": 100, "rate_interval_ms": 200, "mark_interval_ms": 500, **processing},
                Processing,
            ),
            limits=limits or Limits(),
        )
        self.make_events_topic(events_config)
        create_topics(self.settings.kafka)
        ClickHouseSink(self.settings.clickhouse).migrate()
        self.client: Client = reader(self.settings.clickhouse)
        self.redis = redis.Redis.from_url(redis_url)
        self.publish(catalogue)

    def make_events_topic(self, more: Mapping[str, str] | None = None) -> None:
        """With the timestamps of the producer, and kept for ever."""
        kafka = self.settings.kafka
        config = {"message.timestamp.type": "CreateTime", "retention.ms": "-1", **(more or {})}
        new = NewTopic(kafka.events_topic, PARTITIONS, 1, config=config)
        client = admin(kafka)
        client.create_topics([new])[new.topic].result(30)

        def known() -> str | None:
            try:
                return topic_id(kafka, kafka.events_topic)
            except KafkaException:  # acknowledged, and not yet told to everybody
                return None

        wait_for(known, "the events topic")

    def publish(self, catalogue: Catalogue) -> Catalogue:
        """As the next generation. It is now long before any event, so that what comes next is always the future."""
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        found = publish_catalogue(self.settings.kafka, catalogue, int(long_ago.timestamp()) * 1000, 0)
        assert not found.faults, found.faults
        self.catalogue = found.catalogue
        return found.catalogue

    def send(self, messages: list[Message]) -> None:
        """Returns when all are acknowledged."""
        producer = Producer({"bootstrap.servers": self.settings.kafka.bootstrap, "message.max.bytes": 16 * 2**20})
        topic, failed = self.settings.kafka.events_topic, list[Any]()

        def delivered(error: Any, _: Any) -> None:
            failed.extend([error] if error else [])

        for message in messages:
            producer.produce(
                topic, message.value, b"", message.partition, timestamp=message.at_ms, on_delivery=delivered
            )
        assert producer.flush(PATIENCE_S) == 0
        assert not failed, failed[0]

    # -- running

    def supervisor(self, workers: int, heard: list[str]) -> Supervisor:
        def catalogue() -> Catalogue:
            found = read_catalogue(self.settings.kafka)
            assert found is not None
            return found

        return Supervisor(self.settings, catalogue, workers, (PARTITIONS, WINDOWS_PARTITIONS), heard.append)

    def start(self, workers: int = 1, *, until_caught_up: bool = False) -> Run:
        heard: list[str] = []
        return Run(self.supervisor(workers, heard), until_caught_up, heard)

    @contextlib.contextmanager
    def running(self, workers: int = 1) -> Iterator[Run]:
        """A run that is stopped, and so drained, at the end of the block."""
        run = self.start(workers)
        try:
            yield run
        except BaseException:
            run.kill_all()
            raise
        run.stop()

    def catch_up(self, workers: int = 1) -> Run:
        """Process all that is on the topics now."""
        run = self.start(workers, until_caught_up=True)
        run.wait()
        return run

    # -- what came of it

    def ledger(self) -> Ledger:
        return ledger(self.client)

    def consumed(self) -> int:
        return self.ledger().consumed

    def topic(self, name: str) -> list[tuple[bytes, bytes | None]]:
        """(key, value) of every record of one of the other topics, such as "marks"."""
        return read_to_end(self.settings.kafka, getattr(self.settings.kafka, f"{name}_topic"))

    def close(self) -> None:
        self.client.command(f"DROP DATABASE {self.settings.clickhouse.database}")
        self.client.close()
        self.redis.close()


_TOPICS = ("events", "windows", "rated", "alerts", "late", "dead_letter", "catalogue", "marks")
