"""What an owner hands to the archive, what it remembers of that, and where a restore may begin."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from config.catalogue import BEGIN_MS, Catalogue
from config.settings import Processing, Settings
from processors.admission import Outcome, Settled
from processors.checkpoint import Recorder
from processors.homes import Homes
from processors.meter import Ledger
from processors.outputs import WindowRow
from processors.owner import LogTooShortError, Mark, Owner
from tests.unit.test_core_owner import CATALOGUE, HOUR_MS, MIDNIGHT_MS, Log, Place, place, through

__all__ = ["place"]  # the fixture
DAY = MIDNIGHT_MS // (24 * HOUR_MS)
HOUR = MIDNIGHT_MS // HOUR_MS


class NumberedLog(Log):
    """Each event is known by its number as well."""

    def add(self, kind: str, at_h: float, text: str = "x") -> None:
        super().add(kind, at_h, text)
        offset, at_ms, value = self.messages[-1]
        event = msgspec.json.decode(value) | {"sequencetype": "tollstream", "sequence": str(offset)}
        self.messages[-1] = (offset, at_ms, msgspec.json.encode(event))


# -- the archive


def test_closed_hours_are_kept_until_their_own_release_is_acknowledged(place: Place) -> None:
    for at_h in (0.5, 1.5, 6.1, 7.1):
        place.log.add("b", at_h)
    owner = place.begun(0)
    assert through(owner, place.log, 0, 2).identities == []
    first = through(owner, place.log, 2, 3)
    second = through(owner, place.log, 3, 4)
    assert [[hour for hour, _ in one.identities] for one in (first, second)] == [[HOUR], [HOUR + 1]]
    assert [len(keys) for _, keys in first.identities] == [1]
    assert (first.lateness_max_ms, first.archived_since_ms, first.numbers) == (5 * HOUR_MS, BEGIN_MS, [])
    owner.acknowledged(first.through)
    assert list(owner.state.identities.closed) == [HOUR + 1]
    owner.acknowledged(second.through)
    assert owner.state.identities.closed == {}
    again = owner.checkpoint()
    assert again is not None
    assert again.identities == []


def test_closed_days_of_numbers_are_released_once_and_kept_until_acknowledged(place: Place) -> None:
    place.log = NumberedLog()
    for at_h in (1, 2, 29.5, 53.5):
        place.log.add("b", at_h)
    owner = place.begun(0)
    assert through(owner, place.log, 0, 2).numbers == []
    first = through(owner, place.log, 2, 3)
    assert [(day, held.sources.count) for day, held in first.numbers] == [(DAY, 1)]
    assert first.identities == []
    second = through(owner, place.log, 3, 4)
    assert [day for day, _ in second.numbers] == [DAY + 1]
    owner.acknowledged(first.through)
    assert list(owner.state.sequences.closed) == [DAY + 1]
    owner.acknowledged(second.through)
    assert owner.state.sequences.closed == {}


def test_without_an_archive_closed_days_of_numbers_go_at_once(place: Place) -> None:
    place.log, place.settings = NumberedLog(), Settings(processing=Processing(skew_ms=0, archive_identities=False))
    for at_h in (1, 29.5):
        place.log.add("b", at_h)
    owner = place.begun(0)
    released = through(owner, place.log, 0)
    assert released.numbers == []
    assert owner.state.sequences.closed == {}
    assert released.archived_since_ms == owner.archived_since_ms == MIDNIGHT_MS + 24 * HOUR_MS


def test_the_next_owner_knows_since_when_there_is_an_archive(place: Place) -> None:
    place.log.add("b", 30)
    owner = place.begun(0)
    through(owner, place.log, 0)
    assert place.begun(1).archived_since_ms == BEGIN_MS
    owner = place.begun(1)
    owner.acknowledged(1)
    owner.checkpoint()
    mark = owner.mark()
    assert mark is not None
    assert mark.archived_since_ms == BEGIN_MS


# -- folding and checkpoints


def test_letters_of_every_fold_wait_together(place: Place) -> None:
    for _ in range(2):
        place.log.add("a", 1)
    place.log.messages = [(offset, at_ms, b"{}") for offset, at_ms, _ in place.log.messages]
    owner = place.begun(0)
    for at in range(2):
        owner.fold(place.log.batch(at, at + 1))
    assert [letter.offset for letter in owner.letters] == [0, 1]


def test_letters_that_wait_stay_when_a_restore_ends(place: Place) -> None:
    place.log.add("a", 1)
    restored_from(place)
    place.log.messages.append((1, MIDNIGHT_MS, b"{}"))
    owner = place.begun(0)
    owner.letters.append("from before")  # type: ignore[arg-type]
    owner.fold(place.log.batch(0))
    assert len(owner.letters) == 2


def test_numbers_that_were_compacted_are_there_for_the_next_owner(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.log = NumberedLog()
    for at_h in (1, 1.1, 1.2):
        place.log.add("b", at_h)
    monkeypatch.setattr(Recorder, "wants_sequence_compaction", lambda self: True)
    owner = place.begun(0)
    for at in range(3):
        through(owner, place.log, at, at + 1)
    again = place.begun(3)
    assert "seq:0" not in place.store.now.chunks, "it never compacted"
    assert again.state.open_digest() == owner.state.open_digest()
    assert again.state.sequences.days.keys() == {DAY}


def test_a_mark_of_the_first_message_is_made_and_none_is_made_twice(place: Place) -> None:
    place.log.add("a", 1)
    owner = place.begun(0)
    owner.acknowledged(through(owner, place.log, 0).through)
    owner.checkpoint()
    mark = owner.mark()
    assert mark is not None
    assert mark.offset == 1
    assert owner.mark() is None


def test_what_an_admission_came_to_leaves_with_its_place_and_its_outcomes(place: Place) -> None:
    place.log.add("a", 1)
    owner = place.begun(0)
    owner.fold(place.log.batch(0))
    row = WindowRow("days", 1, "z", [], "", MIDNIGHT_MS, "", 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, b"", 1)
    outcome = Outcome("T", 2, 9, 0, 0, 0, "accepted", "", 1, 2, 3)
    owner.partition = 5
    owner.state.admissions.pending[0] = Settled([row], [outcome])
    released = owner.checkpoint()
    assert released is not None
    assert [(one.topic, one.partition) for one in released.rows] == [("topic", 5)] * 2
    assert released.outcomes == [outcome]


def test_an_owner_takes_no_letters_of_another_topic(place: Place) -> None:
    assert place.begun(0).state.topic_id == "topic"


# -- where a restore begins


def restored_from(place: Place) -> Mark:
    """Fold all, publish it, keep the mark, lose Redis."""
    owner = place.begun(0)
    owner.acknowledged(through(owner, place.log, 0).through)
    owner.checkpoint()
    mark = place.log.marked = owner.mark()
    assert mark is not None
    place.store.lose()
    return mark


def test_while_it_restores_an_owner_has_published_nothing(place: Place) -> None:
    place.log.add("a", 1)
    restored_from(place)
    owner = place.begun(0)
    assert (owner.restoring, owner.published) == (True, 0)


def test_a_beginning_that_a_person_set_is_gone_on_from_with_its_counts(place: Place) -> None:
    counts = Ledger(consumed=3, accepted=3)
    place.log.first = 4
    place.log.marked = Mark(4, BEGIN_MS, counts, "", begun=4)
    owner = place.begun(4)
    assert not owner.restoring
    assert owner.state.ledger == counts
    assert owner.published == owner.state.offset == 4
    place.log.first = 5
    with pytest.raises(LogTooShortError, match="a person had the fold begin at offset 4, but"):
        place.owner().begin()


def test_a_restore_reads_from_before_its_instant_by_the_skew(place: Place) -> None:
    """A record may be older than its event: the event that opens the day came with a record of the day before."""
    place.settings = Settings(processing=Processing(skew_ms=60_000))
    for at_h in (-30, -24 - 0.01, 4):
        place.log.add("b", at_h)
    offset, at_ms, value = place.log.messages[1]
    late = np.datetime64(at_ms + 60_000, "ms").item().isoformat() + "Z"
    place.log.messages[1] = (offset, at_ms, msgspec.json.encode(msgspec.json.decode(value) | {"time": late}))
    restored_from(place)
    owner = place.begun(1)
    owner.fold(place.log.batch(1))
    owner.at_end()
    assert owner.state.offset == 3


def test_a_log_that_begins_where_the_restore_would_is_refused(place: Place) -> None:
    """What came before the first message that is there might have been of the open day, too."""
    for at_h in (-60, 0.5, 1):
        place.log.add("b", at_h)
    restored_from(place)
    place.begun(1)
    place.log.first = 1
    refused = MIDNIGHT_MS - 24 * HOUR_MS
    with pytest.raises(LogTooShortError, match=f"before {refused} ms, and it begins at offset 1"):
        place.owner().begin()


def test_a_log_cut_at_the_mark_is_enough_where_nothing_is_open(place: Place) -> None:
    place.log.messages = [(0, MIDNIGHT_MS, b"{}")]
    restored_from(place)
    place.log.first = 1
    owner = place.begun(1)
    owner.at_end()
    assert owner.state.ledger.invalid == 1


def test_a_catalogue_without_events_restores_from_the_day_of_the_clock(place: Place) -> None:
    owner = place.owner(Catalogue(generation=4))
    assert [owner._open_since(clock_ms) for clock_ms in (MIDNIGHT_MS - 1, MIDNIGHT_MS)] == [
        *(MIDNIGHT_MS - 24 * HOUR_MS, MIDNIGHT_MS)
    ]


@pytest.mark.parametrize(
    ("marked", "why"), [(False, "with neither a state nor a mark the fold begins at"), (True, "after the last mark")]
)
def test_what_the_log_lacks_is_said_with_what_it_is_needed_for(place: Place, marked: bool, why: str) -> None:
    place.log.add("a", 1)
    restored_from(place)
    if not marked:
        place.log.marked = None
    place.log.first = 2
    with pytest.raises(LogTooShortError, match=f"partition 0: {why}"):
        place.owner().begin()


def test_a_state_behind_the_log_says_so(place: Place) -> None:
    place.log.add("a", 1)
    through(place.begun(0), place.log, 0)
    place.log.first = 2
    with pytest.raises(LogTooShortError, match="the state in Redis continues at offset 1"):
        place.owner().begin()


def test_an_owner_names_no_offset_before_it_begins() -> None:
    owner = Owner(None, Log(), CATALOGUE, Settings(), "topic", 3, Homes(4))  # type: ignore[arg-type]
    assert (owner.published, owner.restoring, owner.archived_since_ms) == (0, False, BEGIN_MS)
