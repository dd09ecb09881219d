"""One small log with every verdict, message by message: what is counted, what is written off, and with which words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest

from config.catalogue import BEGIN_MS, Catalogue, EventType, Meter
from config.settings import Limits
from processors import admission
from processors.admission import UNREADABLE, AdmissionRecord, Returned
from processors.events import Decoder
from processors.instants import END_US
from processors.meter import Batch, Ledger, Letter, PartitionState
from processors.sequences import REUSED

HOUR_MS = 3_600_000
TEN_MS = 1_793_613_600_000  # 2026-11-02T10:00:00Z
ELEVEN = datetime(2026, 11, 2, 11, tzinfo=UTC)
LATENESS_MAX_MS = 2 * HOUR_MS
CATALOGUE = Catalogue(
    1,
    events=(EventType("a", HOUR_MS), EventType("b", LATENESS_MAX_MS), EventType("none", HOUR_MS)),
    meters=(
        Meter("m", 1, "a", "sum", "v"),
        Meter("m", 2, "a", "sum", "v", dimensions=("d",), from_=ELEVEN, filter={"e": ("x", "y"), "f": ("p",)}),
        Meter("u", 1, "b", "unique", "d"),
        Meter("u", 2, "b", "unique", "d", from_=ELEVEN, filter={"e": ("x",)}),
        Meter("c", 1, "b", "count", dimensions=("d",)),
    ),
)


def empty(catalogue: Catalogue = CATALOGUE, **limits: int) -> PartitionState:
    return PartitionState(catalogue, Limits(**limits), Decoder(catalogue, Limits(**limits), 0))


def event(name: str, kind: str = "b", minute: float = 0, data: Any = None, **changes: Any) -> bytes:
    """At so many minutes after ten."""
    time = np.datetime64(TEN_MS * 1000 + round(minute * 60_000_000), "us").item().isoformat() + "Z"
    known = {"specversion": "1.0", "id": name, "source": "s", "type": kind, "subject": "z", "time": time}
    return msgspec.json.encode(known | {"data": {"d": "x", "e": "x", "f": "p", "v": 3} | (data or {})} | changes)


def at(offset: int, *values: bytes | None, minute: float = 60) -> Batch:
    """Messages from this offset on, with the clock so many minutes after ten."""
    stamps = np.full(len(values), TEN_MS + round(minute * 60_000))
    return Batch(list(values), offset + np.arange(len(values)), stamps)


def events_of(state: PartitionState, meter: str, version: int) -> list[tuple[tuple[str, ...], int]]:
    """Series and events of each row."""
    table = state.tables[meter, version]
    return [(table.series_at(row), int(table.column("events")[row])) for row in range(len(table))]


def test_each_verdict_is_counted_and_the_rest_is_written_off_with_its_place_and_its_bytes() -> None:
    state = empty(dimension_sets_max=2)
    late, odd = event("late", "a", -1), event("odd", "a", data={"v": "much"})
    many = b"[" + b",".join([event("1"), event("1"), event("n", "none"), odd, late]) + b"]"
    numbered = [
        event(str(at), minute=at, source="n", sequencetype="tollstream", sequence=str(number))
        for at, number in enumerate((7, 7, 8))
    ]
    over = event("over", data={"d": "third"})
    first = [many, event("2", data={"d": "w"}), over, *numbered, None, b"\0", b"\0\1", event("2", data={"d": "w"})]
    now_ms, why = TEN_MS + HOUR_MS, state.fold(at(5, *first))
    limit = "limit: a window of this subject holds dimension_sets_max=2 combinations of dimensions or unique_max="
    assert [(one.verdict, one.offset, one.index, one.raw) for one in sorted(why, key=_place)] == [
        *(("invalid", 5, 3, odd), ("late", 5, 4, late), ("invalid", 7, 0, over), ("invalid", 9, 0, numbered[1])),
        *(("invalid", 11, 0, b""), ("invalid", 12, 0, b"\0"), ("invalid", 13, 0, b"\0\1")),
    ]
    assert {one.record_timestamp_ms for one in why} == {now_ms}
    reasons = {(one.offset, one.index): one.reason for one in why}
    assert reasons[5, 4] == "late: its window closed by the partition's clock; see `tollstream ledger`"
    assert reasons[7, 0].startswith(limit)
    assert (reasons[9, 0], reasons[13, 0]) == (REUSED, UNREADABLE)
    assert UNREADABLE not in (reasons[5, 3], reasons[11, 0], reasons[12, 0])
    counted = Ledger(consumed=14, accepted=4, duplicate=2, late=1, invalid=6, unmetered=1)
    assert (state.ledger, state.ledger.balanced()) == (counted, True)
    assert (state.offset, state.clock_ms) == (15, now_ms)
    again = [(one.verdict, one.offset - 15, one.raw) for one in state.fold(at(20, *first))]
    assert again == [(one.verdict, one.offset, one.raw) for one in why if one.reason != REUSED]
    twice = Ledger(consumed=28, accepted=4, duplicate=2 + 4 + 2 + 1, late=2, invalid=11, unmetered=2)
    assert state.ledger == twice, "what was accepted is there, and so is the number that was used again"
    assert events_of(state, "c", 1) == [(("z", "x"), 3), (("z", "w"), 1)]


def test_a_batch_that_is_too_large_is_written_off_whole() -> None:
    state, many = empty(message_bytes_max=200), b"[" + b",".join([event("1"), event("2")]) + b"]"
    (letter,) = state.fold(at(0, many))
    assert (letter.index, letter.raw) == (0, many)


def _place(letter: Letter) -> tuple[int, int]:
    return letter.offset, letter.index


@pytest.mark.parametrize("name", ["consumed", "accepted", "duplicate", "late", "invalid", "unmetered"])
def test_i1_a_ledger_is_out_of_balance_by_any_one_count(name: str) -> None:
    counts = {"consumed": 15, "accepted": 1, "duplicate": 2, "late": 3, "invalid": 4, "unmetered": 5}
    assert Ledger(**counts).balanced()
    assert not Ledger(**counts | {name: counts[name] + 1}).balanced()


def test_an_empty_state_stands_at_the_first_message() -> None:
    state = empty()
    assert (state.offset, state.clock_ms, state.ledger, state.tables) == (0, BEGIN_MS, Ledger(), {})
    assert state.lateness_max_ms == LATENESS_MAX_MS


def test_a_catalogue_that_names_no_events_meters_none() -> None:
    state = empty(Catalogue(1))
    assert state.lateness_max_ms == 0
    assert state.fold(at(0, event("1"))) == []
    assert state.ledger == Ledger(consumed=1, unmetered=1)


# -- what a meter takes


def test_a_version_takes_the_events_from_its_instant_to_the_next_ones() -> None:
    state = empty()
    microsecond = 1 / 60_000_000
    minutes = (1, 60 - microsecond, 60, 60 + microsecond)
    state.fold(at(0, *(event(str(at), "a", minute) for at, minute in enumerate(minutes)), minute=61))
    assert state.ledger == Ledger(consumed=4, accepted=4)
    assert events_of(state, "m", 1) == [(("z",), 2)]
    assert events_of(state, "m", 2) == [(("z", "x"), 2)]


def test_a_filter_lets_through_what_all_its_paths_allow_in_the_time_of_its_version() -> None:
    state = empty()
    data = [{}, {"e": "y"}, {"e": "w"}, {"f": "q"}, {"e": "w", "f": "q"}]
    values = [event(f"{minute}{at}", "a", minute, one) for minute in (30, 60) for at, one in enumerate(data)]
    state.fold(at(0, *values))
    assert events_of(state, "m", 1) == [(("z",), 5)]
    assert events_of(state, "m", 2) == [(("z", "x"), 2)]
    assert state.ledger == Ledger(consumed=10, accepted=7, unmetered=3)


def test_an_event_without_a_member_is_skipped_by_the_meter_that_counts_members_alone() -> None:
    state = empty()
    data = [{}, {"d": None}, {"e": "w"}, {"e": "w", "d": None}]
    state.fold(at(0, *(event(f"{minute}{at}", "b", minute, one) for minute in (30, 60) for at, one in enumerate(data))))
    assert events_of(state, "u", 1) == [(("z",), 2)]
    assert events_of(state, "u", 2) == [(("z",), 1)]
    assert events_of(state, "c", 1) == [(("z", "x"), 2), (("z", ""), 2), (("z", "x"), 2), (("z", ""), 2)]


def test_i7_codes_of_a_vocabulary_that_was_left_are_not_taken_for_those_of_the_next() -> None:
    """It is left when it has more texts than allowed, which late events bring without a series."""
    state, pairs, seen = empty(vocabulary_texts_max=4), [("a", "x"), ("b", "y"), ("c", "z"), ("d", "w")], []
    for offset, (subject, text) in enumerate(pairs * 2):
        late = [event("", subject=f"{offset}/{n}", minute=-61) for n in range(20)]
        state.fold(at(21 * offset, *late, event(f"{offset}", subject=subject, data={"d": text})))
        seen.append(state.decoder.vocabulary)
    assert len(set(map(id, seen))) == len(seen)
    assert events_of(state, "c", 1) == [(pair, 2) for pair in pairs]


def test_a_vocabulary_stays_while_its_texts_have_a_partial_or_they_would_be_learnt_with_every_batch() -> None:
    state = empty(vocabulary_texts_max=4)
    for offset in range(9):  # a subject and a value each, and a series in two tables
        state.fold(at(offset, event(f"{offset}", subject=f"z{offset}", data={"d": f"x{offset}"})))
    first = state.decoder.vocabulary
    assert (len(first.seen), state.decoder.series_open) == (20, 16)
    state.fold(at(9, event("9", subject="z0", data={"d": "x0"})))
    assert state.decoder.vocabulary is first


# -- clocks


@pytest.mark.parametrize(
    ("stamp", "clock_ms"),
    [(-5, 0), (0, 0), (1, 1), (END_US // 1000 - 1, END_US // 1000 - 1), (2**63 - 1, END_US // 1000)],
)
def test_the_clock_stays_on_the_calendar(stamp: int, clock_ms: int) -> None:
    state = empty()
    decode = state.decoder.decode
    with mock.patch.object(state.decoder, "decode", side_effect=decode) as decoded:
        (letter,) = state.fold(Batch([b"{"], np.array([0]), np.array([stamp])))
    assert (state.clock_ms, letter.record_timestamp_ms) == (clock_ms, clock_ms)
    assert (type(state.clock_ms), type(letter.record_timestamp_ms)) == (int, int)
    assert decoded.call_args.args[1].dtype == np.int64


# -- restores, and admissions among other messages


def came_back(*names: str) -> bytes:
    events = [Returned(int(name), 0, event(name, minute=1)) for name in names]
    return admission.encode(AdmissionRecord(TEN_MS, LATENESS_MAX_MS, "T", 0, events))


MIXED = (event("1"), b"[", came_back("3"), event("2", minute=30), b"{", event("5", minute=31), came_back("6"))


@pytest.mark.parametrize("after", [(), (event("7", minute=59), b"{")])
def test_messages_around_admissions_are_each_folded_once_and_in_order(after: tuple[bytes, ...]) -> None:
    state, values = empty(), (*MIXED, *after)
    letters = state.fold(at(10, *values))
    one_by_one = empty()
    said = [letter for place, value in enumerate(values) for letter in one_by_one.fold(at(10 + place, value))]
    offsets = [11, 14, 18] if after else [11, 14]
    assert [(one.offset, one.verdict) for one in letters] == [(offset, "invalid") for offset in offsets]
    assert letters == said
    more = len(after)
    assert state.ledger == Ledger(consumed=7 + more, accepted=5 + more // 2, invalid=2 + more // 2, admitted=2)
    assert (state.ledger, state.open_digest()) == (one_by_one.ledger, one_by_one.open_digest())
    assert sorted(state.admissions.pending) == [12, 16]
    assert state.offset == 17 + more


def test_a_restore_folds_the_events_from_its_instant_on_and_counts_nothing() -> None:
    state = empty()
    values = (*MIXED, event("before", minute=30 - 1 / 60_000_000), event("7", minute=30))
    state.fold(at(10, *values), TEN_MS + 30 * 60_000)
    assert state.ledger == Ledger()
    assert events_of(state, "c", 1) == [(("z", "x"), 3)]
    assert len(state.identities) == 5, "those that came back are known, too"
    assert state.admissions.pending == {}
    assert (state.offset, state.clock_ms) == (19, TEN_MS + HOUR_MS)
