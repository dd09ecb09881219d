"""What admission records said of the archive is asked of the log: honest ones agree, and every lie is found."""

import msgspec
import pytest
from admission_logs import CATALOGUE, HOUR_MS, LATENESS_MAX_MS, SKEW_MS, START_MS, Story, event

from config.settings import Limits
from reconcile.claims import Claims
from reconcile.differences import Outcome
from reconcile.recount import Recount
from reconcile.returned import HEAD

Messages = list[tuple[int, int, bytes | None]]
LATER_MS = START_MS + 9 * HOUR_MS


def fresh() -> Recount:
    return Recount(CATALOGUE, Limits(), SKEW_MS)


def verified(messages: Messages, partition: int = 0) -> Outcome:
    claims, first, outcome = Claims(), fresh(), Outcome()
    for message in messages:
        first.fold(*message)
    claims.take(first.outcomes)
    if claims.letters("T", partition):
        claims.identify(fresh(), messages)
    claims.count(fresh(), messages, lambda _: None)
    claims.compare(outcome, partition)
    return outcome


def record(letter: int, raw: bytes, *, known: bool) -> bytes:
    body = [LATER_MS, LATENESS_MAX_MS, "T", 0, [[letter, 0, raw, known]]]
    return HEAD + msgspec.msgpack.encode(body)


@pytest.mark.parametrize("seed", range(12))
def test_honest_commands_said_what_is_so(seed: int) -> None:
    outcome = verified([(line.offset, line.timestamp_ms, line.value) for line in Story(seed, 120).log])
    assert [difference for difference, _ in outcome.differences] == []
    assert outcome.compared["claims"] > 0


@pytest.mark.parametrize("number", [-1, 7])
def test_a_retry_of_what_was_counted_is_found_with_both_places(number: int) -> None:
    once, other = event("a", "e1", START_MS - 30 * HOUR_MS, 1, number), event("b", "e2", LATER_MS, 1)
    messages: Messages = [(0, START_MS - 30 * HOUR_MS, once), (4, LATER_MS, other), (5, LATER_MS, once)]
    outcome = verified([*messages, (9, LATER_MS, record(5, once, known=False))])
    ((difference, _),) = outcome.differences
    assert difference.what == "an event that came back was counted twice"
    assert [(cause.offset, cause.index, cause.id) for cause in difference.causes] == [(0, 0, "e1"), (9, 0, "e1")]
    assert verified([*messages, (9, LATER_MS, record(5, b"", known=True))]).count == 0


@pytest.mark.parametrize("number", [-1, 7])
def test_an_event_that_was_dropped_for_one_that_nobody_counted_is_found(number: int) -> None:
    late = event("a", "e1", START_MS - 30 * HOUR_MS, 1, number)
    outcome = verified([(5, LATER_MS, late), (9, LATER_MS, record(5, b"", known=True))])
    ((difference, _),) = outcome.differences
    assert difference.what == "an event was taken for one that was counted, and none was"
    assert difference.offsets == [5, 9]


def test_letters_of_another_log_are_left_out_and_that_is_said() -> None:
    outcome = verified([(9, LATER_MS, record(5, b"", known=True))], partition=3)
    assert outcome.count == 0
    assert [line for line in outcome.unchecked if "its log is not looked at" in line]
