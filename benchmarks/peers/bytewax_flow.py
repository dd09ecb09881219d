"""Bytewax: its Kafka source, and one stateful step, which holds the ids and the sums."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main

from benchmarks.peers.job import Job, Taken, Totals, Watch, add, side
from benchmarks.peers.reading import Reading, read

_BATCH = 5000


class _Sums(StatefulBatchLogic[Reading, Totals, Any]):  # type: ignore[misc]
    """All ids and sums of one key; handed on once, at the end of the log."""

    def __init__(self, resumed: Any) -> None:
        self._seen: set[str]
        self._sums: Totals
        self._seen, self._sums = (set(), {}) if resumed is None else resumed

    def on_batch(self, values: list[Reading]) -> tuple[Iterable[Totals], bool]:
        for one in values:
            if one.identity not in self._seen:
                self._seen.add(one.identity)
                for meter, dimension, quantity in one.usage:
                    add(self._sums, (meter, one.subject, dimension, one.hour), quantity)
        return (), StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[Totals], bool]:
        return (self._sums,), StatefulBatchLogic.DISCARD

    def snapshot(self) -> Any:
        return self._seen, self._sums


class _Gather(StatelessSinkPartition[tuple[str, Totals]]):  # type: ignore[misc]
    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def write_batch(self, items: list[tuple[str, Totals]]) -> None:
        for _, sums in items:
            for key, quantity in sums.items():
                add(self._totals, key, quantity)


class _Kept(DynamicSink[tuple[str, Totals]]):  # type: ignore[misc]
    def __init__(self) -> None:
        self.totals: Totals = {}

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Gather:
        return _Gather(self.totals)


def measure(job: Job) -> Taken:
    """One worker. Variant `recovery`: snapshots of what changed go to its store each epoch, so state is kept small by
    keying by subject; without one there are fewer and larger batches by partition."""
    watch, taken, sink = Watch(job), 0, _Kept()
    recovery = RecoveryConfig(Path(job.directory)) if job.variant == "recovery" else None
    if recovery is not None:
        init_db_dir(Path(job.directory), 1)

    def read_batch(messages: list[KafkaSourceMessage[bytes, bytes]]) -> list[tuple[str, Reading]]:
        nonlocal taken
        if not taken:
            watch.begin()
        taken += len(messages)
        return [
            (str(message.partition) if recovery is None else one.subject, one)
            for message in messages
            if (one := read(message.value, message.timestamp[1])) is not None
        ]

    tuning = {"statistics.interval.ms": 0, "queued.min.messages": 200_000, "fetch.queue.backoff.ms": 2}
    source = KafkaSource([job.bootstrap], [job.topic], tail=False, add_config=tuning, batch_size=_BATCH)
    flow = Dataflow("metering")
    readings = op.flat_map_batch("read", op.input("events", flow, source), read_batch)
    sums = op.stateful_batch("sums", readings, _Sums)
    op.output("totals", sums, sink)
    run_main(flow, recovery_config=recovery)
    watch.end()
    return watch.taken(taken, ("bytewax", "confluent-kafka", "msgspec"), sink.totals)


if __name__ == "__main__":
    side(measure)
