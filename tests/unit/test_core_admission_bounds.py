"""What comes back, at its bounds: sizes, hours that just closed, numbers, and all that is said of each event."""

from __future__ import annotations

import numpy as np
import pytest

from config.settings import Limits
from processors import admission
from processors.admission import HEAD, AdmissionRecord, Admissions, Outcome, Returned, encode, lasting, parse
from processors.identity import DigestSet
from processors.meter import PartitionState
from processors.sequences import DAY_US, REUSED, splitmix
from tests.unit.admission_logs import CATALOGUE, DECODER, HOUR_MS, LATENESS_MAX_MS, START_MS, Line, batch, event

HOUR_US = HOUR_MS * 1000
MINUTE_MS = 60_000


def empty() -> PartitionState:
    return PartitionState(CATALOGUE, Limits(), DECODER)


def started(*raw: bytes) -> PartitionState:
    """The clock is at START_MS, so that hours that end two hours before are closed, and days two hours after them."""
    state = empty()
    for at, value in enumerate([event("a", "now", START_MS, 1), *raw]):
        state.fold(batch([Line(at, START_MS, value)]))
    return state


def admit(state: PartitionState, *returned: Returned, as_of_ms: int = START_MS) -> list[Outcome]:
    record = AdmissionRecord(as_of_ms, LATENESS_MAX_MS, "T", 0, list(returned))
    state.fold(batch([Line(state.offset, START_MS, encode(record))]))
    return state.admissions.pending[state.offset - 1].outcomes


def back(name: str, hours_ago: float, at: int, number: int = -1, kind: str = "a", v: int = 3) -> Returned:
    return Returned(at, 0, event(kind, name, START_MS - int(hours_ago * HOUR_MS), v, number))


def said(outcomes: list[Outcome]) -> list[str]:
    return [one.verdict for one in outcomes]


def test_a_record_is_read_up_to_its_limits() -> None:
    value = encode(AdmissionRecord(1, 2, "T", 0, [Returned(1, 0, b"x"), Returned(2, 0, b"y")]))
    assert value.startswith(HEAD)
    assert parse(value, len(value), 2) is not None
    assert parse(value, len(value) - 1, 2) is None
    assert parse(value, len(value), 1) is None


def test_buckets_close_when_their_hour_is_over_and_what_is_acknowledged_below_an_offset_is_dropped() -> None:
    admissions = Admissions()
    for hour in (7, 8, 9):
        admissions.buckets[hour] = DigestSet(np.array([[hour, 1]], np.uint64))
    admissions.close(9 * HOUR_US - 1)
    assert list(admissions.buckets) == [8, 9]
    admissions.close(9 * HOUR_US)
    assert list(admissions.buckets) == [9]
    assert admissions.contain(np.array([[8, 1], [9, 1]], np.uint64)).tolist() == [False, True]
    admissions.pending = dict.fromkeys((3, 4, 5), admission.Settled([], []))
    admissions.acknowledged(4)
    assert list(admissions.pending) == [4, 5]


def test_the_identity_that_is_kept_of_a_number_holds_its_day_and_that_of_an_id_is_its_own() -> None:
    times_ms = [START_MS, START_MS - 25 * HOUR_MS, START_MS, START_MS + 24 * HOUR_MS - 1]
    raw = [event("a", "n", time_ms, 1, number) for time_ms, number in zip(times_ms, (-1, 0, 0, 5), strict=True)]
    decoded = DECODER.decode(raw, np.full(4, START_MS + 24 * HOUR_MS))
    found, plain = lasting(decoded).tolist(), decoded.digest.tolist()
    assert found[0] == plain[0]
    for at in (1, 2, 3):
        day = splitmix(np.array([times_ms[at] * 1000 // DAY_US], np.uint64)).tolist()[0]
        assert found[at] == [plain[at][0] ^ day, plain[at][1]]
    assert plain[1] == plain[2]
    assert found[1] != found[2]


def test_an_outcome_names_the_letter_the_admission_and_the_identity() -> None:
    state = started()
    raw = event("a", "one", START_MS - 50 * HOUR_MS, 3)
    (found,) = admit(state, Returned(17, 4, raw))
    decoded = DECODER.decode([raw], np.array([START_MS]))
    high, low = decoded.digest.tolist()[0]
    assert found == Outcome("T", 0, 17, 4, 1, 0, "accepted", "", high, low, START_MS)


def test_each_verdict_has_the_reason_of_its_own() -> None:
    state = started()
    array = b"[" + back("x", 50, 0).raw + b"]"
    found = admit(
        state,
        Returned(1, 0, b"{"),
        Returned(2, 0, b"", True),
        Returned(3, 0, array),
        Returned(4, 0, array, True),
        back("old", 50, 5),
        as_of_ms=START_MS - 3 * HOUR_MS,
    )
    assert said(found) == ["invalid", "duplicate", "invalid", "duplicate", "late"]
    reasons = [one.reason for one in found]
    assert reasons[1:] == ["", admission.ARRAY, "", admission.EXPIRED]
    assert reasons[0] not in ("", admission.ARRAY)
    assert (state.ledger.invalid, state.ledger.duplicate, state.ledger.late) == (2, 2, 1)


@pytest.mark.parametrize(
    ("hours_ago", "as_of_ms", "verdict"),
    [
        (2.5, START_MS, "accepted"),  # its hour has just closed, and had when the archive was read
        (2.5, START_MS - 1, "late"),  # it was open a millisecond before: the archive did not have it
        (50, START_MS - 2 * HOUR_MS, "accepted"),
        (50, START_MS - 2 * HOUR_MS - MINUTE_MS, "late"),  # admissions of that hour are forgotten
        (1.5, START_MS - 30 * HOUR_MS, "accepted"),  # its hour is open: all is known here
    ],
)
def test_an_hour_that_just_closed_is_vouched_for_by_what_read_the_archive_since(
    hours_ago: float, as_of_ms: int, verdict: str
) -> None:
    state = started()
    assert said(admit(state, back("one", hours_ago, 1), as_of_ms=as_of_ms)) == [verdict]
    hour = (START_MS - int(hours_ago * HOUR_MS)) // HOUR_MS
    assert (hour in state.identities.hours) == (hours_ago < 2), "of a closed hour nothing is kept but the admission"


@pytest.mark.parametrize("number", [-1, 0, 7])
@pytest.mark.parametrize("hours_ago", [1.5, 50])
def test_one_letter_counts_once_whatever_it_holds_and_one_event_once_whatever_letter(
    number: int, hours_ago: float
) -> None:
    """Across records, and within one."""
    state = started()
    other = number + 1 if number >= 0 else -1
    assert said(admit(state, back("one", hours_ago, 1, number))) == ["accepted"]
    assert said(admit(state, back("one", hours_ago, 2, number))) == ["duplicate"], "the event by another letter"
    assert said(admit(state, back("two", hours_ago, 1, other))) == ["duplicate"], "the letter with another event"
    again = admit(state, back("six", hours_ago, 8, other + 5), back("six", hours_ago, 9, other + 5))
    assert said(again) == ["accepted", "duplicate"]
    assert state.ledger.admitted == 2


@pytest.mark.parametrize("number", [0, 7])
def test_a_number_of_an_open_day_is_known_to_the_log_and_from_it(number: int) -> None:
    raw = event("a", "one", START_MS - 30 * MINUTE_MS, 3, number)
    state = started(raw)
    assert said(admit(state, Returned(9, 0, raw))) == ["duplicate"]
    fresh = started()
    hours = set(fresh.identities.hours)
    assert said(admit(fresh, Returned(9, 0, raw))) == ["accepted"]
    assert set(fresh.identities.hours) == hours, "a number is no id"
    fresh.fold(batch([Line(fresh.offset, START_MS, raw)]))
    assert (fresh.ledger.accepted, fresh.ledger.duplicate) == (2, 1)


def test_a_number_that_another_event_had_is_kept_as_invalid() -> None:
    state = started(event("a", "one", START_MS - 30 * MINUTE_MS, 3, 7))
    (found,) = admit(state, Returned(9, 0, event("a", "two", START_MS - MINUTE_MS, 3, 7)))
    assert (found.verdict, found.reason) == ("invalid", REUSED)
    assert (state.ledger.invalid, state.ledger.duplicate) == (1, 0)


def test_the_same_number_on_two_closed_days_is_two_events() -> None:
    state = started()
    assert said(admit(state, back("one", 50, 1, 0), back("one", 80, 2, 0))) == ["accepted"] * 2


def test_what_is_accepted_becomes_rows_of_every_meter_of_its_own() -> None:
    state = started()
    admit(state, back("one", 50, 1, v=3), back("two", 50, 2, v=5), back("b", 50, 3, kind="b", v=9))
    rows = state.admissions.pending[1].rows
    assert {(row.topic, row.partition, row.admission) for row in rows} == {("", 0, 2)}
    counted = [
        (row.meter, row.dimensions, row.chunk, row.events, row.sum_lo, row.value, len(row.members)) for row in rows
    ]
    assert sorted(counted) == [
        ("counts", [], 0, 1, 0, 0, 0),
        ("last", [], 0, 1, 0, 9, 0),
        ("sums", ["z0"], 0, 1, 3, 0, 0),
        ("sums", ["z2"], 0, 1, 5, 0, 0),
        ("users", [], 0, 2, 0, 0, 0),
        ("users", [], 1, 0, 0, 0, 32),
    ]
