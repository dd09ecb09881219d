"""What counts as a difference, what is on its way, and what is ahead."""

import json
from typing import Any

import pytest

from config.catalogue import Catalogue, EventType, Meter
from rating.contracts import Account
from reconcile.compare import StoredLetter, StoredRow, Usage, compare_identities, compare_letters
from reconcile.differences import Cause, Difference, Outcome
from reconcile.recount import Letter
from reconcile.states import Row
from tollstream.reconcile import document, exit_code, lines

METER = Meter("calls", 1, "http", "sum", "n", dimensions=("zone",))
CATALOGUE = Catalogue(events=(EventType("http", 1),), meters=(METER,), accounts=(Account(id="acme", subjects=("s",)),))
KEY = (0, ("s", "a"), 0, 0)
ROW = Row(7, 3, 12)


def stored(row: Row = ROW, account: str = "acme", odd: bool = False) -> StoredRow:
    return StoredRow(0, ("s", "a"), 0, account, row, odd)


def compared(found: list[StoredRow], reached: int | None = 10, acknowledged: int = 10) -> tuple[Usage, Outcome]:
    outcome = Outcome()
    usage = Usage(outcome, CATALOGUE, METER, 2)
    usage.compare({KEY: ROW}, found, reached, acknowledged)
    return usage, outcome


def test_equal_rows_are_no_difference() -> None:
    usage, outcome = compared([stored()])
    assert (outcome.count, usage.behind, usage.ahead, outcome.compared["usage"]) == (0, {}, {}, 1)


@pytest.mark.parametrize(
    ("found", "what", "differs"),
    [
        ([], "a row is missing", None),
        ([stored(Row(7, 3, 13))], "a row differs", {"sum": 13}),
        ([stored(Row(6, 2, 12))], "a row differs", {"offset": 6, "events": 2}),
        ([stored(Row(8, 3, 12))], "a row differs", {"offset": 8}),
        ([stored(account="globex")], "a row differs", {"account": "globex"}),
        ([stored(odd=True)], "a row differs", {}),
        ([stored(), stored()], "a row stands twice", None),
        ([stored(), stored()._replace(chunk=7)], "a row that the log does not give", None),
        ([stored(), stored()._replace(series=("s", "b"))], "a row that the log does not give", None),
    ],
)
def test_whatever_is_not_as_the_log_says_is_named(found: list[StoredRow], what: str, differs: Any) -> None:
    _, outcome = compared(found)
    ((difference, trail),) = outcome.differences
    assert (difference.what, difference.partition, difference.subject) == (what, 2, "s")
    assert trail is not None
    if differs is not None:
        assert difference.found == differs


def test_a_row_that_is_not_acknowledged_is_waited_for() -> None:
    usage, outcome = compared([], acknowledged=7)
    assert (usage.behind, outcome.count) == ({KEY: ROW}, 0)
    usage, outcome = compared([stored(Row(5, 2, 4))], acknowledged=7)
    assert (usage.behind, outcome.count) == ({KEY: ROW}, 0)


def test_a_row_ahead_of_the_recount_is_kept_for_later() -> None:
    newer = stored(Row(10, 9, 99))
    usage, outcome = compared([newer])
    assert (usage.ahead, outcome.count) == ({KEY: newer}, 0)
    usage, outcome = compared([newer], reached=None)
    assert (usage.ahead, outcome.count) == ({}, 1)


def test_letters_are_all_there_and_none_more() -> None:
    outcome = Outcome()
    expected = [Letter(1, 0, True, 11), Letter(2, 0, False, 22), Letter(3, 1, False, 33), Letter(9, 0, False, 9, False)]
    late = [StoredLetter(1, 0, 11), StoredLetter(2, 0, 22)]
    compare_letters(outcome, 0, expected, {"late": late, "dead-letter": [StoredLetter(3, 1, 34)]})
    assert [(one.place, one.what, one.offsets) for one, _ in outcome.differences] == [
        ("late", "a letter for an event that is none", [2]),
        ("dead-letter", "a letter with other bytes than the log has", [3]),
        ("dead-letter", "a letter is missing", [2]),
    ]


def test_identities_are_compared_hour_by_hour_where_they_count() -> None:
    outcome = Outcome()
    compare_identities(outcome, 0, {5: {1, 2}, 6: {3}}, {5: {2, 4}, 4: {9}}, lambda hour: hour >= 5)
    said = [(one.what, one.expected or one.found) for one, _ in outcome.differences]
    assert said == [
        ("an identity is missing", {"identity": f"{1:032x}"}),
        ("an identity no event has", {"identity": f"{4:032x}"}),
        ("an identity is missing", {"identity": f"{3:032x}"}),
    ]


def test_many_of_one_kind_do_not_hide_another() -> None:
    outcome = Outcome()
    for number in range(50):
        outcome.differ(Difference(place="usage", what="a row is missing", partition=number))
    outcome.differ(Difference(place="ledger", what="differs"))
    assert {one.place for one, _ in outcome.sample(2)} == {"usage", "ledger"}


def test_what_could_not_be_checked_is_no_success() -> None:
    outcome = Outcome()
    assert exit_code(outcome) == 0
    outcome.leave_out("windows before the log begins")
    assert exit_code(outcome) == 2
    outcome.differ(Difference(place="ledger", what="differs"))
    assert exit_code(outcome) == 1


def test_a_difference_is_told_with_its_offsets_and_ids() -> None:
    outcome = Outcome()
    difference = Difference(
        place="usage",
        what="a row differs",
        partition=1,
        meter="calls",
        expected={"sum": 3},
        found={"sum": 4},
        offsets=[17],
        events=2,
        causes=[Cause(17, 0, "accepted", "e1", "edge", "2026-11-01T00:00:00Z")],
    )
    outcome.differ(difference)
    said = "\n".join(lines(difference))
    for part in ("partition=1", "meter=calls", "sum=3", "sum=4", "offsets 17", "17/0 accepted id=e1", "1 events more"):
        assert part in said
    told = json.loads(json.dumps(document(outcome, 20)))
    assert (told["equal"], told["differences_found"]) == (False, 1)
    assert told["differences"][0]["causes"][0]["id"] == "e1"
