"""Progress is health (I9): ready means that the position moves while the log has more."""

from __future__ import annotations

from collections.abc import Container, Mapping

import msgspec


class Health(msgspec.Struct, frozen=True):
    """What a worker says of itself, as of the last look."""

    healthy: bool = True
    reason: str = "starting"


class Progress:
    """Watches the partitions of one stage, each by itself. Times are seconds of a monotonic clock, from the caller."""

    def __init__(self, stall_ms: int) -> None:
        self._stall_s = stall_ms / 1000
        self._moved: dict[int, tuple[int, float]] = {}  # partition -> its position, and since when it stands there

    def look(self, now_s: float, positions: Mapping[int, int], behind: Container[int], trouble: str = "") -> Health:
        """`positions`: of each partition that is ours; `behind`: those whose log has more than was processed.

        `trouble` names what work waits for. Not moving is fine at the end of the log, and nowhere else.
        """
        found: dict[int, tuple[int, float]] = {}
        for partition, position in positions.items():
            before = self._moved.get(partition)
            stands = before is not None and before[0] == position and (trouble or partition in behind)
            found[partition] = before if before is not None and stands else (position, now_s)
        self._moved = found
        partition, (position, since) = min(found.items(), key=lambda one: one[1][1], default=(-1, (0, now_s)))
        if now_s - since < self._stall_s:
            more = any(partition in behind for partition in positions)
            ours = "working" if more else "at the end of the log" if positions else "no partitions are ours yet"
            return Health(True, trouble or ours)
        why = trouble or "the log has more, and none of it arrives"
        return Health(False, f"partition {partition}: no progress from {position} for {now_s - since:.0f} s: {why}")


def past_the_end(partition: int, offset: int, high: int) -> str | None:
    """A position beyond the log is never healthy: the log is not the one that the state was folded from."""
    if offset <= high:
        return None
    return (
        f"partition {partition}: the state is at offset {offset} and the log ends at {high}: it was cut or made again"
    )
