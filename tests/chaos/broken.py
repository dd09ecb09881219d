"""Workers with a planted bug, as entry points of their processes: the comparison with the truth must find each."""

from concurrent.futures import Future
from multiprocessing.connection import Connection
from typing import Any

from config.catalogue import Catalogue
from config.settings import Settings
from processors.meter_stage import MeterStage
from processors.worker import work
from sinks.clickhouse import ClickHouseSink


def acknowledge_early(settings: Settings, catalogue: Catalogue, parent: Connection, alone: bool) -> None:
    """What was sent to ClickHouse counts as there: what a dying worker had sent is lost."""

    def trust(self: MeterStage, future: Future[None]) -> None:
        """In place of the wait."""

    MeterStage._await = trust  # type: ignore[method-assign]
    work(settings, catalogue, parent, alone)


def drop_inserts(settings: Settings, catalogue: Catalogue, parent: Connection, alone: bool) -> None:
    """One batch of usage in four is forgotten, and counts as inserted."""
    insert, calls = ClickHouseSink.insert_usage, 0

    def forgetful(self: ClickHouseSink, rows: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % 4:
            insert(self, rows)

    ClickHouseSink.insert_usage = forgetful  # type: ignore[method-assign]
    work(settings, catalogue, parent, alone)
