"""Where runs follow each other: one stack of services, and for each run topics, groups and tables of its own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.load import configuration
from config.loader import Config
from processors.state import connect
from sinks.clickhouse import ClickHouseSink, reader
from sinks.topics import create_topics
from stack.running import SERVICES, Kafka, Stack

_TOPICS = ("events", "windows", "rated", "alerts", "late", "dead_letter", "catalogue", "marks")
_NOTHING: dict[str, str] = {}


class Ground:
    """A stack that runs for as long as the `with` block lasts."""

    def __init__(
        self, directory: Path, kafka: Kafka, settings: Mapping[str, str], say: Callable[[str], None] = lambda _: None
    ) -> None:
        """`settings`: TOLLSTREAM_SECTION__KEY of every run; a run may have more."""
        self.stack = Stack(directory, kafka, only=SERVICES, say=say)
        self._settings = dict(settings)
        self._number = 0

    def fresh(self, settings: Mapping[str, str] = _NOTHING) -> Config:
        """Topics, groups and tables that nobody has used, and a Redis without any state."""
        self._number += 1
        prefix = f"run{self._number}"
        names = {f"TOLLSTREAM_KAFKA__{name.upper()}_TOPIC": f"{prefix}.{name}" for name in _TOPICS}
        return self._made({**names, **self._own(prefix), **settings})

    def again(self, config: Config, *topics: str, settings: Mapping[str, str] = _NOTHING) -> Config:
        """As `fresh`, but with these topics of another run: `events`, say."""
        kafka = config.settings.kafka
        kept = {f"TOLLSTREAM_KAFKA__{name.upper()}_TOPIC": getattr(kafka, f"{name}_topic") for name in topics}
        sizes = {
            "TOLLSTREAM_KAFKA__PARTITIONS": str(kafka.partitions),
            "TOLLSTREAM_KAFKA__WINDOWS_PARTITIONS": str(kafka.windows_partitions),
        }
        return self.fresh({**kept, **sizes, **settings})

    def forget(self, config: Config) -> None:
        """Drop the tables of a run: what ClickHouse merges for it would count for the next one."""
        database = config.settings.clickhouse.database
        client = reader(config.settings.clickhouse)
        client.command(f"DROP DATABASE IF EXISTS {database} SYNC")
        client.close()

    def _own(self, prefix: str) -> dict[str, str]:
        return {"TOLLSTREAM_KAFKA__GROUP": prefix, "TOLLSTREAM_CLICKHOUSE__DATABASE": prefix}

    def _made(self, settings: Mapping[str, str]) -> Config:
        config = configuration({**self._settings, **settings, **self.stack.services.environ})
        connect(config.settings.redis.url).flushall()
        create_topics(config.settings.kafka)
        ClickHouseSink(config.settings.clickhouse).migrate()
        return config

    def __enter__(self) -> Self:
        self.stack.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stack.stop()
