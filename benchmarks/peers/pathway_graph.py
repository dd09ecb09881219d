"""Pathway: its Kafka reader, our msgspec reading as a function of its own, `groupby` for the ids and for the sums."""

import os
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pathway as pw

from benchmarks.peers.job import Job, Taken, Totals, Watch, side
from benchmarks.peers.reading import read

_COMMIT_MS = 500
_QUIET_S = 3.0  # several commits


def measure(job: Job) -> Taken:
    """Streaming mode, as the static one believes the end offsets of the broker, and the embedded broker's are wrong.

    Pathway then never ends by itself, so it runs on a thread of its own, and is over when it has computed what became
    of the last message and nothing came for a while.
    """
    watch, taken, totals = Watch(job), 0, Totals()
    settled_at = 0.0
    settings = {
        "bootstrap.servers": job.bootstrap,
        "group.id": f"pathway-{os.getpid()}",
        "auto.offset.reset": "earliest",
        "session.timeout.ms": "6000",
        "fetch.queue.backoff.ms": "2",
        "queued.min.messages": "200000",
    }
    messages = pw.io.kafka.read(
        settings,
        topic=job.topic,
        format="raw",
        autogenerate_key=True,
        with_metadata=True,
        autocommit_duration_ms=_COMMIT_MS,
    )

    @pw.udf(deterministic=True)  # type: ignore[untyped-decorator]
    def read_one(value: bytes, metadata: pw.Json) -> list[tuple[str, str, str, str, int, int]]:
        nonlocal taken
        if not taken:
            watch.begin()
        taken += 1
        one = read(value, int(metadata["timestamp_millis"].as_int()))
        if one is None:
            return []
        return [(one.identity, meter, one.subject, dim, one.hour, quantity) for meter, dim, quantity in one.usage]

    usage = messages.select(usage=read_one(pw.this.data, pw.this._metadata)).flatten(pw.this.usage)
    columns = usage.select(
        identity=pw.this.usage.get(0),
        meter=pw.this.usage.get(1),
        subject=pw.this.usage.get(2),
        dimension=pw.this.usage.get(3),
        hour=pw.this.usage.get(4),
        quantity=pw.this.usage.get(5),
    )
    once = columns.groupby(pw.this.identity, pw.this.meter).reduce(
        pw.this.meter,
        subject=pw.reducers.any(pw.this.subject),
        dimension=pw.reducers.any(pw.this.dimension),
        hour=pw.reducers.any(pw.this.hour),
        quantity=pw.reducers.any(pw.this.quantity),
    )
    by_hour = once.groupby(pw.this.meter, pw.this.subject, pw.this.dimension, pw.this.hour).reduce(
        pw.this.meter,
        pw.this.subject,
        pw.this.dimension,
        pw.this.hour,
        quantity=pw.reducers.sum(pw.this.quantity),
    )

    def keep(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        if is_addition:
            totals[row["meter"], row["subject"], row["dimension"], row["hour"]] = row["quantity"]

    def settle(time: int) -> None:
        nonlocal settled_at
        if taken == job.events:
            watch.end()
            settled_at = monotonic()

    pw.io.subscribe(by_hour, on_change=keep, on_time_end=settle)
    Thread(target=lambda: pw.run(monitoring_level=pw.MonitoringLevel.NONE), daemon=True).start()
    while not settled_at or monotonic() < settled_at + _QUIET_S:
        sleep(0.1)
    return watch.taken(taken, ("pathway", "msgspec"), totals)


if __name__ == "__main__":
    side(measure)
    os._exit(0)  # its thread never ends
