"""Groups values by partition, so that one message carries many events."""

from collections.abc import Callable, Iterator, Sequence

# All partitions together; a topic of very many partitions gets smaller batches instead of much memory.
_PENDING_BYTES_MAX = 64 * 1024 * 1024


class Batches:
    """Values wait here until their partition has `count_max` of them or they come to `bytes_max` bytes."""

    def __init__(self, join: Callable[[Sequence[bytes]], bytes], count_max: int, bytes_max: int) -> None:
        self._join = join
        self.count_max = count_max
        self.bytes_max = bytes_max
        self._waiting: dict[int, list[bytes]] = {}
        self._bytes: dict[int, int] = {}
        self._total = 0

    def add(self, partition: int, value: bytes) -> Iterator[tuple[int, bytes]]:
        """Take one value; yields the (partition, message) that are full by it. Read to the end, or values are lost."""
        size = len(value)
        if self._bytes.get(partition, 0) + size > self.bytes_max:
            yield from self._take(partition)
        values = self._waiting.setdefault(partition, [])
        values.append(value)
        self._bytes[partition] = self._bytes.get(partition, 0) + size
        self._total += size
        if len(values) >= self.count_max:
            yield from self._take(partition)
        elif self._total > _PENDING_BYTES_MAX:
            yield from self.rest()

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """All that still waits."""
        for partition in list(self._waiting):
            yield from self._take(partition)

    def _take(self, partition: int) -> Iterator[tuple[int, bytes]]:
        values = self._waiting.pop(partition, [])
        if values:
            self._total -= self._bytes.pop(partition)
            yield partition, self._join(values)
