"""The events behind differences: the log is read a second time, and what a difference may come from is written down."""

from __future__ import annotations

from collections.abc import Iterable

from reconcile.differences import Cause, Difference, Trail, at_us
from reconcile.log import Message
from reconcile.recount import Recount, Seen, WindowKey

_STEP = 10_000  # messages between two times that closed windows are forgotten
CAUSES_MAX = 10  # shown of each difference; `events` says how many there are in all


class Evidence:
    """Collects for the differences of one partition."""

    def __init__(self, partition: int, differences: Iterable[tuple[Difference, Trail | None]]) -> None:
        self._keys: dict[WindowKey, list[Difference]] = {}
        self._identities: dict[int, list[Difference]] = {}
        self._offsets: dict[int, list[Difference]] = {}
        for difference, trail in differences:
            if trail is None or trail.partition != partition:
                continue
            difference.events = 0
            if trail.offset is not None:
                self._offsets.setdefault(trail.offset, []).append(difference)
            elif trail.identity is not None:
                self._identities.setdefault(trail.identity, []).append(difference)
            elif trail.key is not None:
                self._keys.setdefault(trail.key, []).append(difference)

    @property
    def wanted(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._keys or self._identities or self._offsets)

    def collect(self, recount: Recount, messages: Iterable[Message]) -> None:
        """`recount`: a fresh one, since verdicts depend on all that came before."""
        recount.tell = self._see
        for number, (offset, timestamp_ms, value) in enumerate(messages):
            recount.fold(offset, timestamp_ms, value)
            if number % _STEP == 0:
                recount.forget()

    def _see(self, seen: Seen) -> None:
        for difference in self._offsets.get(seen.offset, ()):
            _note(difference, seen)
        if seen.event is None or seen.verdict not in ("accepted", "duplicate"):
            return
        for difference in self._identities.get(seen.event.identity, ()):
            _note(difference, seen)
        if seen.verdict == "accepted":
            for key in seen.keys:
                for difference in self._keys.get(key, ()):
                    _note(difference, seen)


def _note(difference: Difference, seen: Seen) -> None:
    difference.events = (difference.events or 0) + 1
    if len(difference.causes) >= CAUSES_MAX:
        return
    cause = Cause(seen.offset, seen.index, seen.verdict)
    if seen.event is not None:
        cause.id, cause.source, cause.time = seen.event.id, seen.event.source, at_us(seen.event.time_us)
    difference.causes.append(cause)
    if seen.offset not in difference.offsets:
        difference.offsets.append(seen.offset)
