"""A naive recount of a log: plain dicts and sets, one event at a time, nothing ever forgotten. It shares no code with
the processors but the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

from config.catalogue import BEGIN_MS, Catalogue, Meter
from config.settings import Limits

_HOUR_MS = 3_600_000
VERDICTS = ("accepted", "duplicate", "late", "invalid", "unmetered")


class Fact(NamedTuple):
    """One event as its author knows it. `data` maps a path to a text or a Decimal; `readable` False: garbage."""

    readable: bool
    id: str = ""
    source: str = ""
    type: str = ""
    subject: str = ""
    time_us: int = 0
    data: Mapping[str, Any] = MappingProxyType({})
    sequence: int | None = None  # known by it, with its source, instead of its id


class Admission(NamedTuple):
    """What an admission record says, beside its events. `known`: of each whether the command found it counted."""

    topic: str
    as_of_ms: int
    lateness_ms: int
    known: tuple[bool, ...]


class Message(NamedTuple):
    offset: int
    timestamp_ms: int
    value: bytes | None
    facts: tuple[Fact, ...]
    admission: Admission | None = None


# meter, version, subject, dimensions, window start, admission: offset of the record + 1, or 0 for what came in time
Key = tuple[str, int, str, tuple[str, ...], int, int]


class Sample(NamedTuple):
    """What a gauge said."""

    time_us: int
    identity: tuple[object, ...]
    value: Decimal


class State(NamedTuple):
    """An absolute state after some message. `members` are (value, offset of its first event), in order of arrival; the
    values of a gauge are samples."""

    events: int = 0
    sum: Decimal = Decimal(0)
    lowest: Decimal | None = None
    highest: Decimal | None = None
    latest: tuple[int, Decimal] | None = None
    members: tuple[tuple[Any, int], ...] = ()


class Oracle:
    """The truth about one partition's log."""

    def __init__(self, catalogue: Catalogue, limits: Limits, skew_ms: int, topic: str) -> None:
        self.catalogue, self.limits, self.skew_ms, self.topic = catalogue, limits, skew_ms, topic
        self.clock_ms = BEGIN_MS
        self.seen: set[tuple[object, ...]] = set()
        self.newest: dict[tuple[str, int], int] = {}  # (source, day) -> time of its newest numbered event, in ms
        self.states: dict[Key, State] = {}
        self.history: dict[Key, dict[int, State]] = {}  # by offset of the last message folded in
        self.ledger: Counter[str] = Counter(consumed=0, admitted=0, **dict.fromkeys(VERDICTS, 0))
        self.ledgers: dict[int, dict[str, int]] = {0: dict(self.ledger)}  # by next offset
        self.facts: dict[tuple[int, int], Fact] = {}  # by (offset, index)
        self.letters: dict[tuple[int, int], str] = {}  # (offset, index) -> verdict
        self.outcomes: dict[tuple[int, int], str] = {}  # (offset of the admission record, place in it) -> verdict
        self.faults: list[str] = []
        # What stands for an event's identity in rows, as the first of them said, and which one a digest stands for.
        self.digests: dict[tuple[object, ...], tuple[int, ...]] = {}
        self.named: dict[tuple[int, ...], tuple[object, ...]] = {}

    def fold(self, messages: Iterable[Message]) -> Oracle:
        for message in messages:
            self.clock_ms = max(self.clock_ms, message.timestamp_ms)
            touched: set[Key] = set()
            for index, fact in enumerate(message.facts):
                place = (message.offset, index)
                self.ledger["consumed"] += 1
                if message.admission is None:
                    self.facts[place] = fact
                    verdict = self._verdict(fact, message, touched)
                    if verdict in ("late", "invalid"):
                        self.letters[place] = verdict
                else:
                    verdict = self.outcomes[place] = self._returned(fact, message, message.admission, index, touched)
                    self.ledger["admitted"] += verdict == "accepted"
                self.ledger[verdict] += 1
            for key in touched:
                self.history.setdefault(key, {})[message.offset] = self.states[key]
            self.ledgers[message.offset + 1] = dict(self.ledger)
        return self

    def _verdict(self, fact: Fact, message: Message, touched: set[Key]) -> str:
        takers = self._takers(fact, message.timestamp_ms)
        if isinstance(takers, str):
            return takers
        if fact.time_us < (self.clock_ms - self.catalogue.lateness_ms(fact.type)) * 1000:
            return "late"
        if any(self._over(meter, self._key(meter, fact), fact) for meter in takers):
            return "invalid"
        return self._counted(fact, takers, message.offset, 0, touched)

    def _returned(self, fact: Fact, message: Message, admission: Admission, index: int, touched: set[Key]) -> str:
        """Of an event that came back, judged by all that was ever accepted here. It is late again where nobody could
        know all of that: neither the fold, of which hours are open, nor the command, of which were closed then."""
        if admission.known[index]:
            if identity_of(fact) not in self.seen:
                self.faults.append(f"I2: {fact} was never counted, and a command found it in the archive")
            return "duplicate"
        takers = self._takers(fact, message.timestamp_ms)
        if isinstance(takers, str):
            return takers
        lateness_ms = max(one.lateness_ms for one in self.catalogue.events)
        size_ms = _HOUR_MS if fact.sequence is None else 24 * _HOUR_MS
        end_ms = (fact.time_us // 1000 // size_ms + 1) * size_ms
        closed_ms = self.clock_ms - lateness_ms
        as_of_ms = admission.as_of_ms
        bucket_ends_ms = (as_of_ms // _HOUR_MS + 1) * _HOUR_MS
        archived = end_ms <= as_of_ms - lateness_ms and as_of_ms <= self.clock_ms and bucket_ends_ms > closed_ms
        archived &= admission.lateness_ms == lateness_ms
        opened = end_ms > closed_ms
        if admission.topic != self.topic or not (opened or archived):
            return "late"
        verdict = self._counted(fact, takers, message.offset, message.offset + 1, touched)
        return "duplicate" if verdict == "invalid" and not opened else verdict

    def _takers(self, fact: Fact, timestamp_ms: int) -> list[Meter] | str:
        """The meters that an event counts for; or why none."""
        if not fact.readable or fact.time_us > (timestamp_ms + self.skew_ms) * 1000:
            return "invalid"
        spans = [s for s in self.catalogue.meters_of(fact.type) if s.from_ms * 1000 <= fact.time_us < s.to_ms * 1000]
        if any(s.meter.aggregation not in ("count", "unique") and fact.data.get(s.meter.value) is None for s in spans):
            return "invalid"
        takers = [s.meter for s in spans if self._passes(s.meter, fact)]
        return takers or "unmetered"

    def _counted(self, fact: Fact, takers: list[Meter], offset: int, admission: int, touched: set[Key]) -> str:
        identity = identity_of(fact)
        source_day, time_ms = (fact.source, fact.time_us // 86_400_000_000), fact.time_us // 1000
        if identity in self.seen:  # nothing that repeats an event is newer than all events of its source
            newer = fact.sequence is not None and time_ms > self.newest[source_day]
            return "invalid" if newer else "duplicate"
        self.seen.add(identity)
        if fact.sequence is not None:
            self.newest[source_day] = max(self.newest.get(source_day, -1), time_ms)
        for meter in takers:
            key = self._key(meter, fact, admission)
            self.states[key] = self._grown(meter, self.states.get(key, State()), fact, offset)
            touched.add(key)
        return "accepted"

    @staticmethod
    def _passes(meter: Meter, fact: Fact) -> bool:
        if meter.aggregation == "unique" and fact.data.get(meter.value) is None:
            return False
        return all(fact.data.get(path, "") in allowed for path, allowed in meter.filter.items())

    @staticmethod
    def _key(meter: Meter, fact: Fact, admission: int = 0) -> Key:
        start = fact.time_us // 1000 // meter.window_ms * meter.window_ms
        dimensions = tuple(fact.data.get(path, "") for path in meter.dimensions)
        return (meter.id, meter.version, fact.subject, dimensions, start, admission)

    def _over(self, meter: Meter, key: Key, fact: Fact) -> bool:
        if key not in self.states:
            place = (key[0], key[1], key[2], key[4])
            held = sum((k[0], k[1], k[2], k[4]) == place for k in self.states if not k[5])
            return held >= self.limits.dimension_sets_max
        members = self.states[key].members
        if meter.aggregation == "gauge":
            new = identity_of(fact) not in [one.identity for one, _ in members]
        else:
            new = meter.aggregation == "unique" and fact.data[meter.value] not in [one for one, _ in members]
        return new and len(members) >= self.limits.unique_max

    @staticmethod
    def _grown(meter: Meter, state: State, fact: Fact, offset: int) -> State:
        state = state._replace(events=state.events + 1)
        if meter.aggregation == "count":
            return state
        value = fact.data[meter.value]
        if meter.aggregation == "unique":
            known = value in [one for one, _ in state.members]
            return state if known else state._replace(members=(*state.members, (value, offset)))
        latest = (fact.time_us, value)
        if meter.aggregation == "gauge":
            state = state._replace(members=(*state.members, (Sample(fact.time_us, identity_of(fact), value), offset)))
        return state._replace(
            sum=state.sum + value,
            lowest=value if state.lowest is None else min(state.lowest, value),
            highest=value if state.highest is None else max(state.highest, value),
            latest=latest if state.latest is None else max(state.latest, latest),
        )


def identity_of(fact: Fact) -> tuple[object, ...]:
    """What an event is known by: its number within its day, or else its id and its time."""
    if fact.sequence is not None:
        return (fact.source, fact.time_us // 86_400_000_000, "number", fact.sequence)
    return (fact.source, fact.id, fact.time_us)


def quantity(aggregation: str, states: Iterable[State]) -> Decimal | Fraction:
    """What states of one meter come to together."""
    held = list(states)
    events = sum(one.events for one in held)
    if aggregation == "count":
        return Decimal(events)
    if aggregation == "unique":
        return Decimal(len({value for one in held for value, _ in one.members}))
    total = sum((one.sum for one in held), Decimal(0))
    if aggregation == "sum":
        return total
    if aggregation == "avg":
        return Fraction(total) / events
    if aggregation == "latest":
        return max(one.latest for one in held if one.latest)[1]
    values = [one.lowest if aggregation == "min" else one.highest for one in held]
    return min(v for v in values if v is not None) if aggregation == "min" else max(v for v in values if v is not None)
