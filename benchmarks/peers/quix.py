"""Quix Streams: a streaming data frame with state in RocksDB, keyed by the message's key, which is the subject."""

import json
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.state.rocksdb import RocksDBStorePartition

from benchmarks.peers.job import Job, Taken, Totals, Watch, add, side
from benchmarks.peers.reading import Reading, read

_COMMIT_EVERY = 50_000  # messages, as often as our checkpoints; every commit flushes RocksDB
_FROM_HTTP = ("http_requests", "egress_bytes")


def measure(job: Job) -> Taken:
    """Variant `changelog`: every change of state goes to a topic too, so that it outlives the machine."""
    application = Application(
        broker_address=job.bootstrap,
        consumer_group=f"quix-{job.variant}",
        auto_offset_reset="earliest",
        commit_every=_COMMIT_EVERY,
        state_dir=job.directory,
        use_changelog_topics=job.variant == "changelog",
        consumer_extra_config={"queued.min.messages": 200_000, "fetch.queue.backoff.ms": 2},
        loglevel="WARNING",
    )
    topic = application.topic(job.topic, value_deserializer="bytes")
    watch, taken = Watch(job), 0

    def read_one(value: bytes, key: Any, timestamp_ms: int, headers: Any) -> Reading | None:
        nonlocal taken
        if not taken:
            watch.begin()
        taken += 1
        if taken == job.events:
            application.stop()  # after this message; then it commits
        return read(value, timestamp_ms)

    frame = application.dataframe(topic)
    frame = frame.apply(read_one, metadata=True).filter(_counts)
    frame.update(_add, stateful=True)
    application.run()
    watch.end()
    return watch.taken(taken, ("quixstreams", "confluent-kafka", "rocksdict", "msgspec"), _totals(Path(job.directory)))


def _counts(reading: Reading | None) -> bool:
    return reading is not None


def _add(reading: Reading, state: Any) -> None:
    """One entry an id, and one for what an event type adds to a dimension and hour: fewer reads than one a meter."""
    if state.exists(reading.identity):
        return
    state.set(reading.identity, 1)
    meter, dimension, _ = reading.usage[0]
    key = f"sum|{meter}|{dimension}|{reading.hour}"
    before = state.get(key)
    added = [quantity for _, _, quantity in reading.usage]
    state.set(key, added if before is None else [one + more for one, more in zip(before, added, strict=True)])


def _totals(directory: Path) -> Totals:
    """From the databases on disk, of which there is one a partition: keys are `subject|"sum|..."`."""
    totals: Totals = {}
    for place in sorted(directory.glob("*/default/*/*")):
        store = RocksDBStorePartition(str(place))
        for name, value in store.iter_items(b""):
            subject, begins, rest = name.decode().partition('|"sum|')
            if begins:
                meter, dimension, hour = rest.rstrip('"').split("|")
                meters = _FROM_HTTP if meter == _FROM_HTTP[0] else (meter,)
                for one, quantity in zip(meters, json.loads(value), strict=True):
                    add(totals, (one, subject, dimension, int(hour)), quantity)
        store.close()
    return totals


if __name__ == "__main__":
    side(measure)
