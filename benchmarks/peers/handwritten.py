"""The usual hand-written consumer: `SET NX EX` for the ids, `HINCRBY` for the sums, both pipelined, offsets at the end.

Better than most: ids go in one pipeline a batch, sums are added up in the batch before they go, and the replies are
parsed by hiredis where it is installed. A crash between the two pipelines loses the sums of ids that are already
marked; one between the sums and the commit does no harm, as the ids are known then.

Variant `memory`: the same loop with a set and a dict, which a restart empties: what plain Python costs without Redis.
"""

import gc
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any

import redis

from benchmarks.peers.job import Job, Taken, Totals, Watch, add, side
from benchmarks.peers.reading import LATENESS_MS, read
from benchmarks.peers.taking import Taker

_BATCH = 5000
_KEPT_S = LATENESS_MS // 1000 + 3600


def in_memory(job: Job) -> Taken:
    """Adds the topic up in this process."""
    watch, taker = Watch(job), Taker(job, "handwritten-memory")
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    seen: set[str] = set()
    totals: Totals = {}
    taken = 0
    for messages in taker.batches(watch, _BATCH):
        for message in messages:
            one = read(message.value(), message.timestamp()[1])
            if one is not None and one.identity not in seen:
                seen.add(one.identity)
                for meter, dimension, quantity in one.usage:
                    add(totals, (meter, one.subject, dimension, one.hour), quantity)
        taker.commit(messages)
        taken += len(messages)
    watch.end()
    return watch.taken(taken, ("confluent-kafka", "msgspec"), totals)


def in_redis(job: Job) -> Taken:
    """Adds the topic up in Redis, which must be empty."""
    client = redis.Redis.from_url(job.redis_url)
    client.ping()
    watch, taker = Watch(job), Taker(job, "handwritten")
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    taken = 0
    for messages in taker.batches(watch, _BATCH):
        _add(client, messages)
        taker.commit(messages)
        taken += len(messages)
    watch.end()
    packages = ("confluent-kafka", "redis", "msgspec", *(("hiredis",) if find_spec("hiredis") else ()))
    return watch.taken(taken, packages, _totals(client))


def _add(client: redis.Redis, messages: list[Any]) -> None:
    readings = [one for message in messages if (one := read(message.value(), message.timestamp()[1])) is not None]
    new = _pipelined(client, (("SET", f"id:{one.identity}", 1, "NX", "EX", _KEPT_S) for one in readings))
    sums: dict[tuple[str, str], int] = {}
    for one, is_new in zip(readings, new, strict=True):
        if is_new:
            for meter, dimension, quantity in one.usage:
                key = f"sum:{meter}:{one.hour}", f"{one.subject}|{dimension}"
                sums[key] = sums.get(key, 0) + quantity
    _pipelined(client, (("HINCRBY", name, field, quantity) for (name, field), quantity in sums.items()))


def _pipelined(client: redis.Redis, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
    """One round trip. `execute_command` is what `set` and `hincrby` come to, without their checks."""
    with client.pipeline(transaction=False) as pipeline:
        send: Callable[..., Any] = pipeline.execute_command
        for command in commands:
            send(*command)
        return pipeline.execute()


def _totals(client: redis.Redis) -> Totals:
    totals: Totals = {}
    for name in client.scan_iter("sum:*", 1000):
        _, meter, hour = name.decode().split(":")
        fields: dict[bytes, bytes] = client.hgetall(name)  # type: ignore[assignment]
        for field, quantity in fields.items():
            subject, dimension = field.decode().split("|")
            totals[meter, subject, dimension, int(hour)] = int(quantity)
    return totals


if __name__ == "__main__":
    side(lambda job: in_memory(job) if job.variant == "memory" else in_redis(job))
