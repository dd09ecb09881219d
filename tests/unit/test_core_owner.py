"""An owner around its checkpoint: what it releases, when it restores, when it refuses to guess."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from unittest import mock

import msgspec
import numpy as np
import pytest

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Limits, Processing, Settings
from processors.checkpoint import Recorder, Write
from processors.homes import Homes
from processors.meter import Batch
from processors.outputs import Released
from processors.owner import LogTooShortError, Mark, Owner
from processors.partials import DamagedError
from processors.state import FencedError, OlderCatalogueError
from sinks.errors import Retryable
from tests.simulation.slots import FakeSlot, SlotStore

HOUR_MS = 3_600_000
MIDNIGHT_MS = 1_793_577_600_000  # 2026-11-02
CATALOGUE = Catalogue(
    generation=4,
    events=(EventType("a", 2 * HOUR_MS), EventType("b", 5 * HOUR_MS)),
    meters=(Meter("days", 1, "a", "count", window="1d"), Meter("hours", 1, "b", "unique", "v")),
)


class Log:
    """A partition's log: messages as (offset, timestamp, value)."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, int, bytes]] = []
        self.first = 0
        self.marked: Mark | None = None
        self.away = self.timeless = False

    def add(self, kind: str, at_h: float, text: str = "x") -> None:
        at_ms = MIDNIGHT_MS + int(at_h * HOUR_MS)
        time = np.datetime64(at_ms, "ms").item().isoformat() + "Z"
        event = {"specversion": "1.0", "id": str(len(self.messages)), "source": "s", "type": kind, "subject": "z"}
        value = msgspec.json.encode(event | {"time": time, "data": {"v": text}})
        self.messages.append((len(self.messages), at_ms, value))

    def low(self) -> int:
        if self.away:
            raise Retryable("the broker is away", 1)
        return self.first

    def first_at(self, timestamp_ms: int) -> int:
        if self.timeless:
            return 0
        found = [offset for offset, at_ms, _ in self.messages if at_ms >= timestamp_ms and offset >= self.first]
        return found[0] if found else len(self.messages)

    def mark(self) -> Mark | None:
        return self.marked

    def batch(self, start: int, end: int | None = None) -> Batch:
        offsets, times, values = zip(*self.messages[start:end], strict=True)
        return Batch(list(values), np.array(offsets), np.array(times))


class Place:
    """A slot's server, a log, and owners over them."""

    def __init__(self) -> None:
        self.store, self.log, self.fault = SlotStore(), Log(), ""
        self.rng = random.Random(1)
        self.settings = Settings(limits=Limits(state_segment_bytes_max=4_096), processing=Processing(skew_ms=0))

    def owner(self, catalogue: Catalogue = CATALOGUE) -> Owner:
        slot = FakeSlot(self.store, self.rng, lambda call: self.fault if call != "claim" else "")
        return Owner(slot, self.log, catalogue, self.settings, "topic", 0, Homes(4))

    def begun(self, at: int) -> Owner:
        owner = self.owner()
        assert owner.begin() == at
        return owner


@pytest.fixture
def place() -> Place:
    return Place()


def through(owner: Owner, log: Log, start: int, end: int | None = None) -> Released:
    owner.fold(log.batch(start, end))
    released = owner.checkpoint()
    assert released is not None
    return released


def said(released: Released) -> list[tuple[str, int, int, int]]:
    """meter, chunk, version, events of each row."""
    return sorted((row.meter, row.chunk, row.offset, row.events) for row in released.rows)


# -- outputs


def test_what_the_last_owner_may_not_have_sent_is_sent_again(place: Place) -> None:
    for at_h in (1, 2, 3):
        place.log.add("a", at_h)
    owner = place.begun(0)
    first = through(owner, place.log, 0, 2)
    again = place.begun(2).checkpoint()
    assert again is not None
    assert again.rows == first.rows
    assert again.through == 2


def test_what_is_acknowledged_and_saved_is_not_sent_again(place: Place) -> None:
    place.log.add("a", 1)
    owner = place.begun(0)
    owner.acknowledged(through(owner, place.log, 0).through)
    assert said(owner.checkpoint()) == []  # type: ignore[arg-type]  # the ledger once more, and `published`
    assert owner.checkpoint() is None
    assert place.begun(1).checkpoint() is None


@pytest.mark.parametrize("fault", ["refused", "lost", "torn"])
def test_a_write_that_failed_is_repeated_and_releases_all_the_same(place: Place, fault: str) -> None:
    place.log.add("a", 1)
    place.log.add("b", 1)
    owner = place.begun(0)
    owner.fold(place.log.batch(0))
    place.fault = fault
    for _ in range(3):
        if fault == "lost" and owner._recorder.committed is not None:
            break
        with pytest.raises(Retryable):
            owner.checkpoint()
    place.fault = ""
    released = owner.checkpoint()
    assert released is not None
    assert said(released) == [("days", 0, 0, 1), ("hours", 0, 1, 1), ("hours", 1, 1, 0)]


def test_i2_a_compaction_that_fails_half_way_loses_no_output(place: Place) -> None:
    """Each of many checkpoints releases its row, though what is put ahead of them fails at first every time."""
    for _ in range(60):
        place.log.add("a", 1)
    owner = place.begun(0)
    put, fails = owner.slot.put, [True]

    def put_at_the_second_try(chunk: Write) -> None:
        fails[0] = not fails[0]
        if not fails[0]:
            raise Retryable("away", 1)
        put(chunk)

    owner.slot.put = put_at_the_second_try  # type: ignore[method-assign]
    versions = []
    with mock.patch("processors.checkpoint._COMPACT_FLOOR_BYTES", 1_000):
        for at in range(60):
            owner.fold(place.log.batch(at, at + 1))
            for _ in range(2):  # as the stage does: until it is not Retryable
                with contextlib.suppress(Retryable):
                    released = owner.checkpoint()
                    assert released is not None
                    versions += [row.offset for row in released.rows]
                    owner.acknowledged(released.through)
                    break
    assert versions == list(range(60))
    assert "state:0" not in place.store.now.chunks, "it never compacted"
    assert place.begun(60).state.tables[("days", 1)].column("events").tolist() == [60]


# -- restoring


def marked(place: Place) -> None:
    """A log whose mark's oldest open hour lies in a day that is closed for the other meter; then Redis is lost."""
    for at_h in (-14, -0.5):
        place.log.add("a", at_h)
    place.log.add("b", 3, "u")
    owner = place.begun(0)
    owner.acknowledged(through(owner, place.log, 0).through)
    owner.checkpoint()
    place.log.marked = owner.mark()
    assert place.log.marked is not None
    place.store.lose()


def restored(place: Place) -> list[tuple[str, int, int, int]]:
    owner = place.owner()
    start = owner.begin()
    owner.fold(place.log.batch(start))
    owner.at_end()
    released = owner.checkpoint()
    assert released is not None
    return said(released)


def test_i3_a_restore_releases_nothing_that_was_published(place: Place) -> None:
    marked(place)
    assert restored(place) == []
    place.store.lose()
    place.log.add("b", 3.1, "w")
    assert restored(place) == [("hours", 0, 3, 2), ("hours", 1, 3, 0)]


def test_i3_catches_a_restore_that_releases_half_a_window(place: Place) -> None:
    """From each meter's oldest open window, with all that was folded again counted as changed."""

    def open_since(self: Owner, clock_ms: int) -> int:
        return min(
            (clock_ms - self.catalogue.lateness_ms(meter.event_type)) // meter.window_ms * meter.window_ms
            for meter in self.catalogue.meters
        )

    marked(place)
    with mock.patch.object(Owner, "_open_since", open_since), mock.patch.object(Recorder, "compact", lambda *_: []):
        assert ("days", 0, 1, 1) in restored(place), "version 1 of that day has 2 events"


def test_a_restored_state_is_the_one_that_was_there(place: Place) -> None:
    marked(place)
    owner = place.owner()
    start = owner.begin()
    assert owner.restoring
    assert not owner.unsaved
    assert owner.checkpoint() is None
    assert owner.mark() is None
    owner.fold(place.log.batch(start))
    owner.at_end()
    assert not owner.restoring
    assert owner.state.ledger.accepted == 3
    owner.checkpoint()
    assert owner.mark() == place.log.marked
    again = place.begun(3)
    assert again.state.open_digest() == owner.state.open_digest()
    assert again.state.ledger == owner.state.ledger


def test_a_meter_without_open_windows_does_not_stop_a_restore(place: Place) -> None:
    """All that it counted is closed when the mark is made, and the restore does not even meet it."""
    place.log.add("a", -50)
    place.log.add("b", 30, "u")
    owner = place.begun(0)
    owner.acknowledged(through(owner, place.log, 0).through)
    owner.checkpoint()
    place.log.marked = owner.mark()
    place.store.lose()
    assert restored(place) == []


def test_another_log_is_not_restored_from(place: Place) -> None:
    marked(place)
    place.log.messages[2] = (2, place.log.messages[2][1], b"{}")
    with pytest.raises(LogTooShortError, match="not the one that was there"):
        restored(place)


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_log_that_was_cut_short_of_the_restore_is_refused(place: Place, first: int) -> None:
    marked(place)
    place.log.first = first
    with pytest.raises(LogTooShortError):
        owner = place.owner()
        owner.begin()
        owner.at_end()


def test_a_log_that_begins_at_the_mark_and_knows_no_times_is_read_from_there(place: Place) -> None:
    """The embedded broker answers 0, where nothing is any more."""
    marked(place)
    place.log.first, place.log.timeless = 3, True
    owner = place.begun(3)
    with pytest.raises(LogTooShortError, match="not the one that was there"):
        owner.at_end()


def test_messages_that_are_gone_are_named(place: Place) -> None:
    marked(place)
    place.log.first = 7
    with pytest.raises(LogTooShortError, match="3 to 6 are gone"):
        place.owner().begin()
    place.log.marked = None
    with pytest.raises(LogTooShortError, match="0 to 6 are gone"):
        place.owner().begin()


def test_without_state_or_mark_the_fold_begins_where_it_is_told(place: Place) -> None:
    place.log.first = 7
    place.settings = Settings(processing=Processing(start_at=9))
    place.begun(9)


def test_a_state_behind_the_log_is_refused(place: Place) -> None:
    place.log.add("a", 1)
    owner = place.begun(0)
    through(owner, place.log, 0)
    place.log.first = 5
    with pytest.raises(LogTooShortError, match="1 to 4 are gone"):
        place.owner().begin()


@pytest.mark.parametrize("name", ["state:0", "ids:498221:0"])
def test_a_damaged_state_is_rebuilt_from_the_log(place: Place, name: str) -> None:
    place.log.add("b", 5.5, "u")
    owner = place.begun(0)
    through(owner, place.log, 0)
    assert name in place.store.now.chunks
    place.store.evict(name)
    owner = place.begun(0)
    assert place.store.now.chunks == {}
    assert said(through(owner, place.log, 0)) == [("hours", 0, 0, 1), ("hours", 1, 0, 0)]


def test_a_state_whose_head_is_damaged_is_rebuilt_from_the_log(place: Place) -> None:
    place.log.add("b", 5.5, "u")
    through(place.begun(0), place.log, 0)

    def claim(generation: int) -> None:
        whole(generation)
        raise DamagedError("the head is damaged")

    owner = place.owner()
    whole = owner.slot.claim
    with mock.patch.object(owner.slot, "claim", claim), mock.patch.object(owner.slot, "clear") as clear:
        assert owner.begin() == 0
    clear.assert_called_once_with(None)


def test_marks_are_made_under_steady_load(place: Place) -> None:
    """There is always a checkpoint on its way: a mark is of the one before."""
    for at_h in range(12):
        place.log.add("b", at_h, str(at_h))
    owner, marks, flying = place.begun(0), [], 0
    for at in range(12):
        owner.fold(place.log.batch(at, at + 1))
        owner.acknowledged(flying)
        released = owner.checkpoint()
        assert released is not None
        flying = released.through
        marks.append(owner.mark())
    made = [mark for mark in marks if mark is not None]
    assert len(made) >= 5
    for mark in made:
        place.store.lose()
        place.log.marked = mark
        restored(place)


# -- ownership


def test_begin_may_be_repeated(place: Place) -> None:
    place.log.add("a", 1)
    through(place.begun(0), place.log, 0)
    owner = place.owner()
    place.log.away = True
    with pytest.raises(Retryable):
        owner.begin()
    place.log.away = False
    assert owner.begin() == 1
    assert owner.state.ledger.accepted == 1


def test_a_stale_owner_can_save_nothing(place: Place) -> None:
    place.log.add("a", 1)
    stale = place.begun(0)
    place.begun(0)
    stale.fold(place.log.batch(0))
    with pytest.raises(FencedError):
        stale.checkpoint()


def test_an_older_catalogue_is_refused(place: Place) -> None:
    place.log.add("a", 1)
    through(place.begun(0), place.log, 0)
    older: Callable[[], int] = place.owner(msgspec.structs.replace(CATALOGUE, generation=3)).begin
    with pytest.raises(OlderCatalogueError):
        older()


def test_a_state_is_compacted_right_after_it_was_written_and_at_no_other_time(place: Place) -> None:
    place.log.add("a", 1)
    through(place.begun(0), place.log, 0)
    owner = place.begun(place.log.messages[-1][0] + 1)
    with (
        mock.patch.object(Recorder, "wants_compaction", lambda self: True),
        mock.patch.object(Recorder, "compact", autospec=True, return_value=[]) as compact,
    ):
        assert not owner.unsaved
        assert owner.checkpoint() is not None  # what the last owner may not have sent
        assert not compact.called
        place.log.add("a", 1)
        through(owner, place.log, -1)
        assert compact.call_count == 1
