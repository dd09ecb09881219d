"""Our own meter stage, in two sizes.

`fold`: what the others do: messages in, dedupe and sums, checkpoints in Valkey. `stage`: the meter stage as a worker
runs it, which besides sends every changed total to `usage.windows` and ClickHouse and waits for both, tells late and
refused events apart and keeps them, and marks its place.
"""

import os
from datetime import UTC, datetime
from itertools import chain

import msgspec
import numpy as np

import sinks.queries as queries
from benchmarks.load import configuration
from benchmarks.peers.job import Job, Taken, Totals, Watch, add, side
from benchmarks.peers.reading import PRECISION
from benchmarks.peers.taking import Taker
from config.loader import Config
from edge.generate import Shape, Traffic
from processors.consume import batch_of
from processors.events import Decoder
from processors.homes import Homes
from processors.meter import Batch, PartitionState
from processors.meter_stage import MeterStage
from processors.outputs import unpublished_rows
from processors.owner import Mark, Owner
from processors.services import Services
from processors.state import RedisSlot, connect
from processors.worker import few_collections
from sinks.clickhouse import ClickHouseSink, reader
from sinks.topics import create_topics

_PACKAGES = ("confluent-kafka", "redis", "msgspec", "numpy", "pyarrow", "xxhash")
_HOUR_MS = 3_600_000


class _NewLog:
    """A log whose whole content is there and of which nobody has marked anything."""

    def low(self) -> int:
        return 0

    def first_at(self, timestamp_ms: int) -> int:
        return 0

    def mark(self) -> Mark | None:
        return None


def fold(job: Job) -> Taken:
    """Owners of all partitions in one process, checkpointing as often as the settings say."""
    config = _configured(job)
    settings, client = config.settings, connect(job.redis_url)
    topic_id = f"beside-{os.getpid()}"
    homes = Homes(settings.kafka.windows_partitions)
    owners = [
        Owner(RedisSlot(client, topic_id, one), _NewLog(), config.catalogue, settings, topic_id, one, homes)
        for one in range(job.partitions)
    ]
    for owner in owners:
        owner.begin()
    _warm_up(config)
    watch, taker = Watch(job), Taker(job, "tollstream-fold")
    few_collections()
    taken = unsaved = 0
    for messages in taker.batches(watch, settings.processing.consume_messages_max):
        by_partition: dict[int, list[object]] = {}
        for message in messages:
            by_partition.setdefault(message.partition(), []).append(message)
        for partition, part in by_partition.items():
            owners[partition].fold(batch_of(part))
        unsaved += len(messages)
        if unsaved >= settings.processing.checkpoint_events:
            _checkpoint(owners)
            unsaved = 0
        taken += len(messages)
    _checkpoint(owners)
    watch.end()
    totals: Totals = {}
    counts = {meter.id for meter in config.catalogue.meters if meter.aggregation == "count"}
    for owner in owners:
        for row in unpublished_rows(owner.state, 0, topic_id, owner.partition):
            quantity = row.events if row.meter in counts else (row.sum_hi << 32) + row.sum_lo
            add(totals, (row.meter, row.subject, row.dimensions[0], row.window_start_ms // _HOUR_MS), quantity)
    return watch.taken(taken, _PACKAGES, totals)


def _checkpoint(owners: list[Owner]) -> None:
    for owner in owners:
        owner.letters = []  # the stage sends them; the others here have none
        released = owner.checkpoint()
        if released is not None:
            owner.acknowledged(released.through)


def stage(job: Job) -> Taken:
    """The stage itself, to the last acknowledgement. Its topics, its group and its database are its own."""
    config = _own(job)
    create_topics(config.settings.kafka)
    ClickHouseSink(config.settings.clickhouse).migrate()
    services = Services(config.settings)
    running = MeterStage(config.settings, config.catalogue, lambda: None, services, alone=True)
    _warm_up(config)
    watch, taken = Watch(job), 0
    few_collections()
    while taken < job.events:
        if not taken:
            watch.begin()
        taken += running.step(0.05)
    running.drain()
    watch.end()
    return watch.taken(taken, (*_PACKAGES, "clickhouse-connect"), _from_clickhouse(config))


def _configured(job: Job) -> Config:
    """The settings as they come, but for the kernel, which is the variant's affair."""
    config = configuration(job.environ)
    replace = msgspec.structs.replace
    processing = replace(config.settings.processing, kernel=job.variant.endswith("-kernel"))
    return Config(replace(config.settings, processing=processing), config.catalogue)


def _own(job: Job) -> Config:
    """The same, with names that no other side has."""
    config = _configured(job)
    name = job.variant.replace("-", "_")
    replace = msgspec.structs.replace
    kafka = replace(
        config.settings.kafka,
        group=name,
        **{topic: f"{name}.{topic}" for topic in ("windows_topic", "late_topic", "dead_letter_topic", "marks_topic")},
    )
    clickhouse = replace(config.settings.clickhouse, database=name)
    return Config(replace(config.settings, kafka=kafka, clickhouse=clickhouse), config.catalogue)


def _from_clickhouse(config: Config) -> Totals:
    client, totals = reader(config.settings.clickhouse), Totals()
    for meter in config.catalogue.meters:
        for record in queries.usage(client, meter.id, group_by=("subject", *meter.dimensions)):
            scaled = record.quantity * 10 ** PRECISION.get(meter.id, 0)
            hour = int(record.window_start.timestamp() * 1000) // _HOUR_MS
            (dimension,) = record.dimensions.values()
            add(totals, (meter.id, record.subject or "", dimension, hour), int(scaled))
    return totals


def _warm_up(config: Config) -> None:
    """What is imported or compiled with the first batch belongs to the start, which nobody's figures include."""
    limits, processing = config.settings.limits, config.settings.processing
    decoder = Decoder(config.catalogue, limits, processing.skew_ms, kernel=processing.kernel)
    state = PartitionState(config.catalogue, limits, decoder)
    now = datetime.now(UTC)
    lines = list(chain.from_iterable(Traffic(Shape(seed=0, events=1000, base_time=now)).blocks()))
    state.fold(Batch(lines, np.arange(len(lines)), np.full(len(lines), int(now.timestamp() * 1000))))


_MEASURES = {"fold": fold, "stage": stage}

if __name__ == "__main__":
    side(lambda job: _MEASURES[job.variant.partition("-")[0]](job))
