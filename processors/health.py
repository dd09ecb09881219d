"""Progress is health (I9): ready means that the position moves while the log has more."""

from __future__ import annotations

import msgspec


class Health(msgspec.Struct, frozen=True):
    """What a worker says of itself, as of the last look."""

    healthy: bool = True
    reason: str = "starting"


class Progress:
    """Watches one stage. Times are seconds of a monotonic clock, given by the caller."""

    def __init__(self, stall_ms: int, now_s: float) -> None:
        self._stall_s = stall_ms / 1000
        self._moved_at, self._position = now_s, -1

    def look(self, now_s: float, position: int, behind: bool, trouble: str = "") -> Health:
        """`position` is any number that grows with work done; `behind`: the log has more than was processed.

        `trouble` names what work waits for. Not moving is fine at the end of the log, and nowhere else.
        """
        if position != self._position or not (behind or trouble):
            self._position, self._moved_at = position, now_s
        still = now_s - self._moved_at
        if still < self._stall_s:
            return Health(True, trouble or ("working" if behind else "at the end of the log"))
        return Health(False, f"no progress for {still:.0f} s: {trouble or 'the log has more, and none of it arrives'}")


def past_the_end(partition: int, offset: int, high: int) -> str | None:
    """A position beyond the log is never healthy: the log is not the one that the state was folded from."""
    if offset <= high:
        return None
    return (
        f"partition {partition}: the state is at offset {offset} and the log ends at {high}: it was cut or made again"
    )
