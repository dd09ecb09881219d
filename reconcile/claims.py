"""Whether it was true what admission records said of the archive: asked of the log of one partition.

An event that was accepted as it came back must not have been accepted at any other place of the log; and one that was
said to be known must have been accepted before. Only identities of events that came back are remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reconcile.differences import Cause, Difference, at_us
from reconcile.differences import Outcome as Found
from reconcile.log import Message
from reconcile.reader import Event
from reconcile.recount import Recount, Seen, lasting
from reconcile.returned import Outcome
from reconcile.values import LAST_US

_STEP = 10_000  # messages between two times that closed windows are forgotten
_Letter = tuple[int, int]  # offset and index in the partition


class Claims:
    """`take` what came back, then `letters`, `identify`, `count` and `compare`."""

    def __init__(self) -> None:
        self._accepted: list[Outcome] = []
        self._known: list[Outcome] = []  # said to be in the archive, so that nothing but the letter's place is told
        self._identities: dict[_Letter, int | None] = {}  # None: before where the check begins
        self._elsewhere = 0
        self._places: dict[int, list[Cause]] = {}  # identity -> where it was accepted

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """What became of events that came back."""
        for one in outcomes:
            if one.verdict == "accepted":
                self._accepted.append(one)
            elif one.verdict == "duplicate" and not one.identity:
                self._known.append(one)

    @property
    def made(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._accepted or self._known)

    def letters(self, topic: str, partition: int) -> set[int]:
        """Offsets of the messages in which known events came first."""
        here = [one for one in self._known if one.letter[:2] == (topic, partition)]
        self._elsewhere, self._known = len(self._known) - len(here), here
        return {one.letter[2] for one in here}

    def identify(self, recount: Recount, messages: Iterable[Message]) -> None:
        """Read the identities of known events where they came first. `recount`: a fresh one, for its reader."""
        wanted: dict[int, set[int]] = {}
        for one in self._known:
            wanted.setdefault(one.letter[2], set()).add(one.letter[3])
        for offset, timestamp_ms, value in messages:
            if offset not in wanted:
                continue
            found = recount.reader.events(value, timestamp_ms)
            for index in wanted[offset]:
                event = found[index] if index < len(found) else None
                if event is not None and not isinstance(event, Event):  # refused then, and maybe not any more
                    event = recount.reader.single(event.raw, LAST_US // 1_000)
                if isinstance(event, Event):
                    counts = event.time_us >= recount.since_ms * 1_000
                    self._identities[(offset, index)] = lasting(event) if counts else None

    def count(self, recount: Recount, messages: Iterable[Message], counted: Callable[[int], None]) -> None:
        """Find every place where one of them was accepted. `recount`: a fresh one."""
        identities = {one.identity for one in self._accepted} | set(self._identities.values())
        self._places = {one: [] for one in identities if one is not None}
        recount.tell = self._see
        for number, (offset, timestamp_ms, value) in enumerate(messages, 1):
            recount.fold(offset, timestamp_ms, value)
            if number % _STEP == 0:
                recount.forget()
                counted(_STEP)

    def _see(self, seen: Seen) -> None:
        event = seen.event
        if event is not None and seen.verdict == "accepted":
            places = self._places.get(lasting(event))
            if places is not None:
                places.append(
                    Cause(seen.offset, seen.index, seen.verdict, event.id, event.source, at_us(event.time_us))
                )

    def compare(self, outcome: Found, partition: int) -> None:
        """Tell what was not true."""
        told: set[int] = set()
        for one in self._accepted:
            places = self._places[one.identity]
            outcome.compared["claims"] += 1
            if len(places) > 1 and one.identity not in told:
                told.add(one.identity)
                _differ(outcome, partition, "an event that came back was counted twice", one, places)
        for one in self._known:
            letter = one.letter[2:]
            identity = self._identities.get(letter, 0)
            if identity is None:
                continue
            outcome.compared["claims"] += 1
            places = self._places.get(identity, [])
            if not any(cause.offset < one.admission for cause in places):
                _differ(outcome, partition, "an event was taken for one that was counted, and none was", one, places)
        if self._elsewhere:
            outcome.leave_out(
                f"partition {partition}: {self._elsewhere:,} events that came back from another topic or partition "
                "were taken for counted; its log is not looked at"
            )


def _differ(outcome: Found, partition: int, what: str, one: Outcome, places: list[Cause]) -> None:
    said = {"letter": "/".join(map(str, one.letter[2:])), "verdict": one.verdict}
    offsets = sorted({one.admission, one.letter[2], *(cause.offset for cause in places)})
    outcome.differ(
        Difference(
            place="admission",
            what=what,
            partition=partition,
            row={"place": str(one.place)},
            found=said,
            offsets=offsets,
            events=len(places),
            causes=places[:10],
        )
    )
