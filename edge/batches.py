"""Groups events by partition, so that one message carries many of them."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

# All partitions together; a topic of very many partitions gets smaller batches instead of much memory.
_PENDING_BYTES_MAX = 64 * 1024 * 1024

Value = TypeVar("Value")


class Batches(Generic[Value]):
    """Values wait here until their partition has `count_max` of them, or they come to `bytes_max` bytes, or the first
    of them has waited for `age_s` seconds and `aged` is asked. `join` makes messages of them, one or more."""

    def __init__(
        self,
        join: Callable[[Sequence[Value]], Iterable[bytes]],
        count_max: int,
        bytes_max: int,
        age_s: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._join = join
        self.count_max = count_max
        self.bytes_max = bytes_max
        self._age_s, self._clock = age_s, clock
        self._waiting: dict[int, list[Value]] = {}
        self._bytes: dict[int, int] = {}
        self._since: dict[int, float] = {}
        self._total = 0

    def add(self, partition: int, value: Value, size: int) -> Iterator[tuple[int, bytes]]:
        """Take one value; yields the (partition, message) that are full by it. Read to the end, or values are lost."""
        if self._bytes.get(partition, 0) + size > self.bytes_max:
            yield from self._take(partition)
        values = self._waiting.get(partition)
        if values is None:
            values = self._waiting[partition] = []
            self._since[partition] = self._clock()
        values.append(value)
        self._bytes[partition] = self._bytes.get(partition, 0) + size
        self._total += size
        if len(values) >= self.count_max:
            yield from self._take(partition)
        elif self._total > _PENDING_BYTES_MAX:
            yield from self.rest()

    def aged(self) -> Iterator[tuple[int, bytes]]:
        """What has waited too long."""
        before = self._clock() - self._age_s
        for partition in [partition for partition, since in self._since.items() if since <= before]:
            yield from self._take(partition)

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """All that still waits."""
        for partition in list(self._waiting):
            yield from self._take(partition)

    def _take(self, partition: int) -> Iterator[tuple[int, bytes]]:
        values = self._waiting.pop(partition, [])
        if values:
            self._total -= self._bytes.pop(partition)
            del self._since[partition]
            for message in self._join(values):
                yield partition, message
