"""Events that come back: counted once and no more, whatever the order, the age of what a command knew, and crashes."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import Limits, Processing, Settings
from processors import admission
from processors.admission import HEAD, AdmissionRecord, Admissions, Returned, encode
from processors.checkpoint import Recorder, load
from processors.homes import Homes
from processors.meter import PartitionState
from processors.outputs import admitted_rows, unpublished_rows
from processors.owner import LogTooShortError, Mark, Owner
from tests.simulation.slots import FakeSlot, SlotStore
from tests.unit.admission_logs import (
    CATALOGUE,
    DECODER,
    HOUR_MS,
    LATENESS_MAX_MS,
    SKEW_MS,
    START_MS,
    Line,
    Story,
    batch,
    event,
)

SEED = st.integers(0, 10**6)
runs = settings(max_examples=15, deadline=None)


def empty() -> PartitionState:
    return PartitionState(CATALOGUE, Limits(), DECODER)


def shape(state: PartitionState) -> tuple[Any, ...]:
    """All that a state comes to."""
    rows = {repr(row.key()): row for row in unpublished_rows(state, 0, "T", 0)}
    pending = sorted(state.admissions.pending.items())
    return rows, state.ledger, state.open_digest(), state.clock_ms, state.offset, pending


def cut(log: list[Line], rng: random.Random, most: int) -> list[list[Line]]:
    parts, at = [], 0
    while at < len(log):
        size = rng.randint(1, most)
        parts.append(log[at : at + size])
        at += size
    return parts


# -- nothing twice, nothing lost


@given(SEED)
@runs
def test_i2_whatever_comes_back_is_counted_exactly_once(seed: int) -> None:
    story = Story(seed)
    assert story.faults == []
    rows = [*unpublished_rows(story.state, 0, "T", 0), *admitted_rows(story.state, 0, "T", 0)[0]]
    kinds = {name: kind for kind, name, *_ in story.sent}
    values = {name: v for _, name, _, v, _ in story.sent}
    counted = [name for name, _ in story.known]
    total = sum((row.sum_hi << 32) + row.sum_lo for row in rows if row.meter == "sums")
    assert total == sum(values[name] for name in counted if kinds[name] == "a")
    assert sum(row.events for row in rows if row.meter == "counts") == sum(kinds[name] == "b" for name in counted)
    assert len({repr(row.key()) for row in rows}) == len(rows)


@given(SEED)
@runs
def test_i1_the_ledger_counts_every_event_that_came_back(seed: int) -> None:
    story = Story(seed)
    ledger = story.state.ledger
    assert ledger.balanced()
    sizes = [1 if not line.value.startswith(HEAD) else len(parsed(line.value).events) for line in story.log]
    assert ledger.consumed == sum(sizes)
    assert ledger.admitted == story.verdicts["accepted"]
    assert ledger.accepted == len(story.known)


def parsed(value: bytes) -> AdmissionRecord:
    record = admission.parse(value, 2**20, 10_000)
    assert record is not None
    return record


def test_the_logs_hold_every_case() -> None:
    seen: Counter[str] = Counter()
    for seed in range(20):
        seen.update(Story(seed).verdicts)
    assert {"accepted", "duplicate", "late"} <= set(seen)


def broken(name: str) -> Any:
    """What goes wrong without one part of it."""
    if name == "admissions are forgotten":
        return mock.patch.object(Admissions, "contain", lambda self, digests: digests[:, 0] != digests[:, 0])
    judged = admission._vouched

    def vouched(*arguments: Any) -> Any:
        opened, right = judged(*arguments)
        if name == "open hours are not looked at":
            return opened & False, right
        return opened, right | True if name == "it never expires" else right & False

    return mock.patch.object(admission, "_vouched", vouched)


@pytest.mark.parametrize(
    "name", ["it never expires", "admissions are forgotten", "open hours are not looked at", "it always expires"]
)
def test_i2_catches_it_where(name: str) -> None:
    with broken(name):
        assert any(Story(seed).faults for seed in range(60))


# -- however it is cut, saved, loaded and restored


@given(SEED)
@runs
def test_i5_one_message_at_a_time_says_the_same_as_any_batches(seed: int) -> None:
    story = Story(seed)
    for most in (3, 100):
        other = empty()
        for part in cut(story.log, random.Random(seed), most):
            other.fold(batch(part))
        assert shape(other) == shape(story.state)


@given(SEED, st.integers(300, 10_000))
@runs
def test_i5_what_was_saved_and_loaded_goes_on_the_same(seed: int, segment: int) -> None:
    story, rng = Story(seed), random.Random(seed)
    slot, one = FakeSlot(SlotStore(), rng), empty()
    slot.claim(1)
    recorder = Recorder(one, segment)
    with (
        mock.patch("processors.checkpoint.HOUR_PIECE_BYTES", 48),
        mock.patch("processors.checkpoint._COMPACT_FLOOR_BYTES", 400),
    ):
        for part in cut(story.log, rng, 6):
            one.fold(batch(part))
            written = recorder.checkpoint(0, 1)
            slot.write(written)
            recorder.commit(written)
            if recorder.wants_compaction():
                for chunk in recorder.compact(0):
                    slot.put(chunk)
            if rng.random() < 0.4:
                head = slot.claim(1)
                assert head is not None
                one = empty()
                load(one, slot.load(head))
                recorder = Recorder(one, segment, head)
    assert shape(one) == shape(story.state)
    assert closed(one) == closed(story.state)


def closed(state: PartitionState) -> Any:
    """What waits for the archive."""
    hours = {hour: sorted(held.keys.tolist()) for hour, held in state.identities.closed.items()}
    return hours, {day: held.digest().tolist() for day, held in state.sequences.closed.items()}


@pytest.fixture
def store() -> SlotStore:
    return SlotStore()


class Log:
    """A log with its last mark."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.marked: Mark | None = None

    def low(self) -> int:
        return 0

    def first_at(self, timestamp_ms: int) -> int:
        found = [line.offset for line in self.lines if line.timestamp_ms >= timestamp_ms]
        return found[0] if found else self.lines[-1].offset + 1

    def mark(self) -> Mark | None:
        return self.marked


def owner(store: SlotStore, log: Log, **processing: Any) -> Owner:
    chosen = Settings(processing=Processing(skew_ms=SKEW_MS, **processing))
    return Owner(FakeSlot(store, random.Random(1)), log, CATALOGUE, chosen, "T", 0, Homes(4))


def restored(log: Log, marked_after: int, rng: random.Random) -> Owner:
    """An owner whose predecessor left a mark, and then Redis was lost; it has folded to the end."""
    store = SlotStore()
    first = owner(store, log)
    first.begin()
    first.fold(batch(log.lines[:marked_after]))
    released = first.checkpoint()
    assert released is not None
    first.acknowledged(released.through)
    first.checkpoint()
    log.marked = first.mark()
    assert log.marked is not None
    store.lose()
    second = owner(store, log)
    start = second.begin()
    for part in cut([line for line in log.lines if line.offset >= start], rng, 7):
        second.fold(batch(part))
    second.at_end()
    again = second.checkpoint()
    assert all(one.admission >= log.marked.offset for one in (again.outcomes if again else [])), "it was sent before"
    return second


@given(SEED)
@runs
def test_i5_a_restore_from_the_log_ends_with_the_same_buckets(seed: int) -> None:
    story, rng = Story(seed), random.Random(seed)
    second = restored(Log(story.log), rng.randint(1, len(story.log)), rng)
    assert second.state.open_digest() == story.state.open_digest()
    assert second.state.ledger == story.state.ledger


def forgotten_twin() -> Log:
    """An event is admitted, and again while that is remembered; then the first bucket closes, and a mark is made."""
    first_ms = START_MS - 40 * 60_000  # of the day before: a restore begins with a day
    record = encode(AdmissionRecord(first_ms, LATENESS_MAX_MS, "T", 0, [letter("one", 50, 0)]))
    at_min = {-40: event("a", "now", first_ms, 1), -30: record, 90: record, 130: event("a", "end", START_MS, 1)}
    lines = [Line(n, START_MS + minute * 60_000, value) for n, (minute, value) in enumerate(at_min.items())]
    return Log(lines)


def test_i5_a_restore_need_not_know_why_an_event_was_a_duplicate() -> None:
    log = forgotten_twin()
    second = restored(log, 4, random.Random(1))
    assert second.state.ledger.duplicate == 1
    assert [held.count for held in second.state.admissions.buckets.values()] == [2]


def test_i5_catches_buckets_that_only_hold_what_was_accepted() -> None:
    known = admission._known

    def only_accepted(state: PartitionState, *arguments: Any) -> Any:
        held, reused = known(state, *arguments)
        if held.all():
            state.admissions.buckets.pop(state.clock_ms // HOUR_MS)
        return held, reused

    with mock.patch.object(admission, "_known", only_accepted), pytest.raises(LogTooShortError, match="not the one"):
        restored(forgotten_twin(), 4, random.Random(1))


# -- outputs


def test_what_came_back_is_sent_until_it_is_acknowledged(store: SlotStore) -> None:
    record = encode(AdmissionRecord(START_MS, LATENESS_MAX_MS, "T", 0, [letter("one", 50, 0)]))
    log = Log([Line(0, START_MS, event("a", "now", START_MS, 1)), Line(1, START_MS, record)])
    first = owner(store, log)
    first.begin()
    first.fold(batch(log.lines))
    released = first.checkpoint()
    assert released is not None
    second = owner(store, log)
    assert second.begin() == 2
    again = second.checkpoint()
    assert again is not None
    assert (again.rows, again.outcomes) == (released.rows, released.outcomes)
    assert {row.admission for row in again.rows} == {0, 2}
    second.acknowledged(again.through)
    second.checkpoint()
    third = owner(store, log)
    third.begin()
    assert third.checkpoint() is None
    assert third.state.admissions.pending == {}


def test_a_closed_hour_is_sent_and_kept_until_the_archive_has_it(store: SlotStore) -> None:
    log = Log([Line(n, START_MS + n * 4 * HOUR_MS, event("a", str(n), START_MS + n * 4 * HOUR_MS, 1)) for n in (0, 1)])
    first = owner(store, log)
    first.begin()
    first.fold(batch(log.lines))
    sent = [hour for hour, _ in first.checkpoint().identities]  # type: ignore[union-attr]
    assert sent == [START_MS // HOUR_MS]
    second = owner(store, log)
    second.begin()
    again = second.checkpoint()
    assert again is not None
    assert [hour for hour, _ in again.identities] == sent
    assert second.checkpoint() is None, "it is on its way"
    second.acknowledged(again.through)
    second.checkpoint()
    assert set(store.now.chunks) == {"state:0", f"ids:{START_MS // HOUR_MS + 4}:0"}


def test_without_an_archive_it_is_said_from_when_on_nothing_can_come_back(store: SlotStore) -> None:
    log = Log([Line(n, START_MS + n * 4 * HOUR_MS, event("a", str(n), START_MS + n * 4 * HOUR_MS, 1)) for n in (0, 1)])
    first = owner(store, log, archive_identities=False)
    first.begin()
    first.fold(batch(log.lines))
    released = first.checkpoint()
    assert released is not None
    assert released.identities == []
    assert released.archived_since_ms == START_MS + 2 * HOUR_MS
    second = owner(store, log)
    second.begin()
    assert second.archived_since_ms == START_MS + 2 * HOUR_MS


def test_the_ledger_is_sent_again_though_nothing_else_changed(store: SlotStore) -> None:
    """The owner died after a checkpoint of duplicates alone, before its outputs: without it `published` never moves."""
    raw = event("a", "one", START_MS, 1)
    log = Log([Line(n, START_MS, raw) for n in (0, 1)])
    first = owner(store, log)
    first.begin()
    for line in log.lines:
        first.fold(batch([line]))
        released = first.checkpoint()
        assert released is not None
        first.acknowledged(1)  # of the first message alone
    second = owner(store, log)
    assert second.begin() == 2
    again = second.checkpoint()
    assert again is not None
    assert (again.through, len(again.rows), again.ledger["duplicate"]) == (2, 0, 1)
    assert second.checkpoint() is None


# -- one record


def letter(name: str, hours_ago: float, at: int, **changed: Any) -> Returned:
    raw = event("a", name, START_MS - int(hours_ago * HOUR_MS), 3)
    return Returned(**{"offset": at, "index": 0, "raw": raw} | changed)


def folded(*events: Returned, as_of_ms: int = START_MS, lateness_ms: int = LATENESS_MAX_MS) -> PartitionState:
    state = empty()
    state.fold(batch([Line(0, START_MS, event("a", "now", START_MS, 1))]))
    state.fold(batch([Line(1, START_MS, encode(AdmissionRecord(as_of_ms, lateness_ms, "T", 0, list(events))))]))
    return state


def verdicts(state: PartitionState) -> list[str]:
    return [one.verdict for one in state.admissions.pending[1].outcomes]


def test_each_event_of_a_record_has_a_verdict_of_its_own() -> None:
    unmetered = letter("x", 50, 4).raw.replace(b'"type":"a"', b'"type":"none"')
    state = folded(
        letter("one", 50, 1),
        letter("one", 50, 2),
        letter("two", 50, 3, raw=b"{"),
        letter("three", 50, 4, raw=unmetered),
        letter("four", 50, 5, raw=b"", known=True),
        letter("five", 50, 6, raw=b"[" + letter("five", 50, 6).raw + b"]"),
        letter("new", 0, 7),
        letter("six", 50, 1),
    )
    said = ["accepted", "duplicate", "invalid", "unmetered", "duplicate", "invalid", "accepted", "duplicate"]
    assert verdicts(state) == said
    assert state.admissions.pending[1].outcomes[5].reason == admission.ARRAY
    assert state.ledger.consumed == 9


def test_an_event_that_is_here_already_is_a_duplicate_in_its_open_hour() -> None:
    raw = event("a", "now", START_MS, 1)
    assert verdicts(folded(letter("now", 0, 7, raw=raw))) == ["duplicate"]


def test_an_admitted_event_of_an_open_hour_makes_its_retry_a_duplicate() -> None:
    state = folded(letter("open", 1.5, 0))
    assert verdicts(state) == ["accepted"]
    state.fold(batch([Line(2, START_MS, event("a", "open", START_MS - HOUR_MS * 3 // 2, 3))]))
    assert state.ledger.late == 1  # of its type's lateness; in its hour it is known all the same
    assert state.identities.hours[(START_MS - HOUR_MS * 3 // 2) // HOUR_MS].count == 1


@pytest.mark.parametrize(
    ("as_of_ms", "lateness_ms", "said"),
    [
        (START_MS, LATENESS_MAX_MS, "accepted"),
        (START_MS - 2 * HOUR_MS, LATENESS_MAX_MS, "accepted"),  # its hour was closed then, admissions are remembered
        (START_MS - 3 * HOUR_MS, LATENESS_MAX_MS, "late"),  # admissions of that hour are forgotten
        (START_MS, LATENESS_MAX_MS + 1, "late"),  # another catalogue closed other hours
        (START_MS + 1, LATENESS_MAX_MS, "late"),  # nobody can have read that
    ],
)
def test_what_the_command_knew_must_reach_to_where_we_remember(as_of_ms: int, lateness_ms: int, said: str) -> None:
    state = folded(letter("one", 50, 1), as_of_ms=as_of_ms, lateness_ms=lateness_ms)
    assert verdicts(state) == [said]
    assert state.admissions.pending[1].outcomes[0].reason == (admission.EXPIRED if said == "late" else "")


def test_letters_of_a_topic_that_is_no_more_are_not_taken() -> None:
    """The topic was made anew while the command was under way, and the archive that it read was the old one's."""
    state = PartitionState(CATALOGUE, Limits(), DECODER, "T")
    for offset, topic in enumerate("ST"):
        record = AdmissionRecord(START_MS, LATENESS_MAX_MS, topic, 0, [letter("one", 50, 1)])
        state.fold(batch([Line(offset, START_MS, encode(record))]))
    said = [one.verdict for offset in (0, 1) for one in state.admissions.pending[offset].outcomes]
    assert said == ["late", "accepted"]


def test_an_expired_event_can_be_admitted_later() -> None:
    state = folded(letter("one", 50, 1), as_of_ms=START_MS - 30 * HOUR_MS)
    again = encode(AdmissionRecord(START_MS, LATENESS_MAX_MS, "T", 0, [letter("one", 50, 1)]))
    state.fold(batch([Line(2, START_MS, again)]))
    assert [one.verdict for one in state.admissions.pending[2].outcomes] == ["accepted"]


@pytest.mark.parametrize(
    "value",
    [
        b"\x00\x02anything",
        HEAD,
        HEAD + b"\xff",
        HEAD + msgspec.msgpack.encode([1, 2, "T", 0, []]),
        HEAD + msgspec.msgpack.encode([-1, 2, "T", 0, [[1, 1, b"{}"]]]),
        HEAD + msgspec.msgpack.encode([1, 2, "T", 0, [[2**63, 1, b"{}"]]]),
        HEAD + msgspec.msgpack.encode([1, 2, "T", 0, [[1, 1, b"{}"]] * 11]),
        HEAD + msgspec.msgpack.encode([1, 2, "T", 0, [[1, 1, b" " * 5_000]]]),
    ],
)
def test_what_is_no_admission_record_is_one_invalid_event(value: bytes) -> None:
    """I7: its size and its number of events are limited like those of any message."""
    limits = Limits(message_events_max=10, message_bytes_max=4_096)
    state = PartitionState(CATALOGUE, limits, DECODER)
    (said,) = state.fold(batch([Line(3, START_MS, value), Line(4, START_MS, event("a", "x", START_MS, 1))]))
    assert (said.verdict, said.reason, said.raw, said.offset) == ("invalid", admission.UNREADABLE, value, 3)
    assert (state.ledger.consumed, state.ledger.accepted) == (2, 1)
