"""What nobody gets under: taking the messages, and reading them."""

import gc
import time
from typing import Any

import numpy as np

from benchmarks.load import configuration
from benchmarks.peers.job import Job, Taken, Watch, side
from benchmarks.peers.reading import BAD, DECODER
from benchmarks.peers.taking import Taker
from processors.events import Decoder

_BATCH = 2000  # of one call; more is no faster
_DECODE_BATCH = 20_000  # what a worker takes at once
_PACKAGES = ("confluent-kafka",)


def count(job: Job) -> Taken:
    """Takes every message and looks at nothing."""
    watch, taker = Watch(job), Taker(job, "floor")
    taken = sum(map(len, taker.batches(watch, _BATCH)))
    watch.end()
    return watch.taken(taken, _PACKAGES, None)


def decode(job: Job) -> Taken:
    """CPU of the decode calls alone, on this thread: taking the messages is not in it."""
    watch, taker = Watch(job), Taker(job, f"floor-{job.variant}")
    read, packages = (_plain, ("msgspec",)) if job.variant == "decode" else (_ours(job), ("msgspec", "pyarrow"))
    taken, cpu_s, wall_s = 0, 0.0, 0.0
    for messages in taker.batches(watch, _DECODE_BATCH):
        values = [message.value() for message in messages]
        stamps = np.array([message.timestamp()[1] for message in messages], np.int64)
        wall, cpu = time.monotonic(), time.thread_time()
        read(values, stamps)
        cpu_s += time.thread_time() - cpu
        wall_s += time.monotonic() - wall
        taken += len(values)
    watch.end()
    done = watch.taken(taken, packages, None, cpu_s)
    done.wall_s, done.servers_cpu_s = wall_s, {}
    return done


def _plain(values: list[bytes], stamps: Any) -> None:
    rest = iter(values)
    while True:
        try:
            for value in rest:
                DECODER.decode(value)
        except BAD:  # go on with the one behind it
            continue
        return


def _ours(job: Job) -> Any:
    config, kernel = configuration(), job.variant == "decode-kernel"
    return Decoder(config.catalogue, config.settings.limits, config.settings.processing.skew_ms, kernel=kernel).decode


if __name__ == "__main__":
    gc.freeze()
    side(lambda job: count(job) if job.variant == "count" else decode(job))
