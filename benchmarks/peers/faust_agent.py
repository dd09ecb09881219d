"""Faust: an agent over the events, ids and sums in tables."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import faust

from benchmarks.peers.job import Job, Taken, Totals, Watch, side
from benchmarks.peers.reading import Reading, read

_PACKAGES = ("faust-streaming", "aiokafka", "msgspec")
_POLL_MESSAGES = 5000


def measure(job: Job) -> Taken:
    """Variant `tables`: Faust's own, in memory with a changelog topic. `dicts`: plain ones, which a restart empties."""
    app = _app(job)
    topic = app.topic(job.topic, key_serializer="raw", value_serializer="raw", value_type=bytes)
    seen: Any = {}
    sums: Any = {}
    if job.variant == "tables":
        seen = app.Table("seen", partitions=job.partitions, key_type=str, value_type=int)
        sums = app.Table("sums", partitions=job.partitions, key_type=str, value_type=int)
    watch, taken = Watch(job), 0

    @app.agent(topic)  # type: ignore[untyped-decorator]
    async def meter(stream: Any) -> None:
        nonlocal taken
        async for event in stream.events():
            if not taken:
                watch.begin()
            taken += 1
            message = event.message
            reading = read(message.value, int(message.timestamp * 1000))
            if reading is not None and reading.identity not in seen:
                seen[reading.identity] = 1
                _add(reading, sums)
            if taken == job.events:
                asyncio.get_running_loop().call_soon(done.set)

    done = asyncio.Event()

    @app.task  # type: ignore[untyped-decorator]
    async def finish() -> None:
        await done.wait()
        await app.producer.flush()
        await app.commit({job.topic})
        watch.end()
        os.kill(os.getpid(), signal.SIGTERM)  # the worker would outlive its app

    worker = faust.Worker(app, loglevel="ERROR", redirect_stdouts=False)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit:
        if not watch.ended:
            raise
    totals: Totals = {}
    for key, quantity in sums.items():
        name, subject, dimension, hour = key.split("|")
        totals[name, subject, dimension, int(hour)] = quantity
    return watch.taken(taken, _PACKAGES, totals)


def _add(reading: Reading, sums: Any) -> None:
    for name, dimension, quantity in reading.usage:
        key = f"{name}|{reading.subject}|{dimension}|{reading.hour}"
        sums[key] = sums.get(key, 0) + quantity


def _app(job: Job) -> Any:
    return faust.App(
        f"faust-{job.variant}",
        broker=f"kafka://{job.bootstrap}",
        store="memory://",
        datadir=str(Path(job.directory) / "faust"),
        topic_partitions=job.partitions,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6.0,
        broker_rebalance_timeout=6.0,
        broker_heartbeat_interval=1.5,
        broker_max_poll_records=_POLL_MESSAGES,
        stream_buffer_maxsize=4 * _POLL_MESSAGES,
        stream_wait_empty=False,
        producer_linger=0.02,  # without it a change of a table is a request of its own
        producer_max_batch_size=262_144,
        web_enabled=False,
    )


if __name__ == "__main__":
    side(measure)
