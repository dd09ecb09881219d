"""Watches what readers of ClickHouse see while a pipeline runs: the version of a row never goes back (I4)."""

import threading
from types import TracebackType
from typing import Any, Self

from pipeline import Pipeline

from sinks.clickhouse import reader

_QUERIES = {
    "usage": "SELECT (meter, meter_version, subject, dims, window_start, topic, partition, chunk, admission), version"
    " FROM usage_rows FINAL",
    "rated": "SELECT (account, period_start, segment_start, price, meter, opening, day, part), version"
    " FROM rated_rows FINAL",
    "ledger": "SELECT (topic, partition), offset FROM ledger_rows FINAL",
}


class Versions:
    """Looks again and again, in a thread, for as long as the block lasts, and once more at its end."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._client = reader(pipeline.settings.clickhouse)
        self._seen: dict[tuple[str, Any], int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.looks = 0
        self.went_back: list[tuple[str, Any, int, int]] = []

    def look(self) -> None:
        """Once: every row that was seen is still there, with the same version or a higher one."""
        missing = set(self._seen)
        for name, query in _QUERIES.items():
            for key, version in self._client.query(query).result_rows:
                before = self._seen.get((name, key), -1)
                if version < before:
                    self.went_back.append((name, key, before, version))
                self._seen[(name, key)] = version
                missing.discard((name, key))
        self.went_back += [(name, key, self._seen[(name, key)], -1) for name, key in missing]
        self.looks += 1

    def _watch(self) -> None:
        while not self._over.wait(0.3):
            self.look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self.look()
        self._client.close()
