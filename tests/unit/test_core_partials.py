"""A table of partials, step by step: what an empty one holds, what a fold and a pack leave behind, what is refused."""

from __future__ import annotations

from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest

from processors.combinations import Combinations
from processors.partials import DamagedError, PartialTable
from processors.vocabulary import Vocabulary
from processors.windows import Selection
from tests.unit.test_core_windows import AGGREGATIONS, HOUR_MS, held, naive, selection

A, B = ("a", "x"), ("b", "")
BATCHES = [
    [(A, 0, 0, (1, 1), 5, 1), (A, 0, 2, (2, 1), 2**32 - 1, 2), (B, 1, 1, (3, 1), -7, 3), (A, 0, 1, (4, 1), 2**33, 1)],
    [(B, 1, 1, (3, 0), -9, 4), (A, 1, 0, (5, 1), 10**18, 1), (A, 0, 2, (2, 2), 2**32 - 1, 5), (A, 0, 0, (7, 1), 1, 6)],
    [(("c", "x"), 0, 0, (6, 1), -(10**18), 1), (A, 0, 2, (1, 9), 4, 7), (A, 0, 0, (8, 1), -(2**40), 8)],
]


def folded(aggregation: str, batches: list[Any], table: PartialTable | None = None, offset: int = 0) -> PartialTable:
    table = PartialTable(aggregation, HOUR_MS) if table is None else table
    for batch in batches:
        table.fold(selection(aggregation, batch, offset))
        offset += len(batch)
    return table


def wanted(aggregation: str, batches: list[Any]) -> dict[Any, Any]:
    known, offset = [], 0
    for batch in batches:
        known += zip(batch, selection(aggregation, batch, offset).offset.tolist(), strict=True)
        offset += len(batch)
    return naive(aggregation, known)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_an_empty_table_holds_nothing_and_says_so(aggregation: str) -> None:
    table = PartialTable(aggregation, HOUR_MS)
    assert (len(table), table.most_members, table.has_members) == (0, 0, aggregation in ("unique", "gauge"))
    assert (table.sets, table.chunk_offsets) == ([], [])
    assert table.pack(table.changed()) == [0, [], b"", []]
    assert (table.changed().dtype, len(table.changed())) == (np.int64, 0)
    assert (table.series_digests().dtype, len(table.series_digests())) == (np.uint64, 0)
    assert {name: table.column(name).dtype for name in table.dtype.names or ()} == {
        name: table.dtype[name] for name in table.dtype.names or ()
    }
    table.settle()
    table.touch_all()
    assert table.find(selection(aggregation, BATCHES[0], 0)).tolist() == [-1] * 4
    assert held(table.without(table.closed(0, 0))) == {}
    assert table.without(table.closed(0, 0)).most_members == 0
    nothing = selection(aggregation, BATCHES[0], 0).at(np.empty(0, np.int64))
    assert table.find(nothing).tolist() == []
    table.fold(nothing)
    assert (len(table), len(table.series)) == (0, 0)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_batch_after_batch_is_what_they_come_to(aggregation: str) -> None:
    with mock.patch("processors.partials.CHUNK_MEMBERS", 2):
        table = PartialTable(aggregation, HOUR_MS)
        for upto in (1, 2, 3):
            folded(aggregation, BATCHES[upto - 1 : upto], table, 4 * (upto - 1))
            assert held(table) == wanted(aggregation, BATCHES[:upto])
    subjects, windows = list("aabbcc"), np.array([0, 1] * 3)
    assert table.counts.of(subjects, windows).tolist() == [1, 1, 0, 1, 1, 0]
    if aggregation == "unique":
        assert table.chunk_offsets == [[0, 5, 9], [4], [4], [8]]
        assert table.most_members == 6
    if aggregation in ("latest", "gauge"):
        assert table.column("value").tolist() == [2**32 - 1, -7, 10**18, -(10**18)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
def test_the_latest_of_one_batch_is_told_by_time_then_by_both_halves_of_the_identity(order: tuple[int, ...]) -> None:
    events = [(A, 0, 1, (3, 1), 10, 0), (A, 0, 1, (2, 9), 20, 0), (A, 0, 1, (3, 2), 30, 0)]
    for left, value in ((2, 10), (0, 30), (1, 30)):
        batch = [events[at] for at in order if at != left]
        assert folded("latest", [batch]).column("value").tolist() == [value]
        assert folded("latest", [[one] for one in batch]).column("value").tolist() == [value]


def test_a_row_is_found_whoever_names_its_series() -> None:
    """A series that was asked for in vain is known once it is there; names of another vocabulary mean the same."""
    table = PartialTable("count", HOUR_MS)
    first = selection("count", BATCHES[0], 0)
    assert table.find(first).tolist() == [-1] * 4
    table.fold(first)
    assert table.find(first).tolist() == [0, 0, 1, 0]
    other = selection("count", [*BATCHES[2], *BATCHES[1]], 0)
    assert table.find(other).tolist() == [-1, 0, 0, 1, -1, 0, 0]
    table.fold(other)
    assert table.find(other).tolist() == [2, 0, 0, 1, 3, 0, 0]
    assert table.find(first).tolist() == [0, 0, 1, 0]
    assert table.column("events").tolist() == [7, 2, 1, 1]


def counts_of(named: Combinations, subjects: list[str], offset: int = 0) -> Selection:
    """An event of each subject."""
    zeros = np.zeros(len(subjects), np.int64)
    codes = named.vocabulary.codes(subjects, len(subjects))
    digest = np.zeros((len(subjects), 2), np.uint64)
    return Selection(named, named.codes(codes, []), zeros, zeros + offset, zeros, digest, zeros + 1, None)


def test_a_vocabulary_that_grows_between_batches_keeps_what_is_known() -> None:
    named, table = Combinations(Vocabulary(), 0), PartialTable("sum", HOUR_MS)
    subjects = [f"s{number}" for number in range(500)]
    table.fold(counts_of(named, subjects[:3]))
    table.fold(counts_of(named, subjects[:200], 1))
    table.fold(counts_of(named, subjects, 2))
    assert [table.series_at(row) for row in range(500)] == [(one,) for one in subjects]
    assert table.column("events").tolist() == [3] * 3 + [2] * 197 + [1] * 300
    assert table.column("sum_lo").tolist() == table.column("events").tolist()
    assert table.changed().tolist() == list(range(500))
    assert len(table) == 500


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_what_changed_is_packed_and_what_is_saved_is_not_packed_again(aggregation: str) -> None:
    with mock.patch("processors.partials.CHUNK_MEMBERS", 2):
        table, copy = PartialTable(aggregation, HOUR_MS), PartialTable(aggregation, HOUR_MS)
        for at, changed in enumerate(([0, 1], [0, 1, 2], [0, 3])):
            folded(aggregation, BATCHES[at : at + 1], table, 4 * at)
            assert table.changed().tolist() == changed
            frame = table.pack(table.changed())
            assert frame == table.pack(table.changed()), "nothing is saved before `settle`"
            table.settle()
            assert table.pack(table.changed())[1:] == [[], b"", []]
            copy.unpack(msgspec.msgpack.decode(msgspec.msgpack.encode(frame)))
            copy.settle()
            assert held(copy) == held(table)
            assert (copy.chunk_offsets, copy.most_members) == (table.chunk_offsets, table.most_members)
        if table.has_members:
            saved = [table.saved_members(row) for row in range(4)]
            assert saved == [copy.saved_members(row) for row in range(4)] == [one.count for one in table.sets]
        for one in (table, copy):
            folded(aggregation, BATCHES[:1], one, 20)
        assert copy.pack(copy.changed()) == table.pack(table.changed())


def test_members_are_packed_from_the_chunk_they_fall_into() -> None:
    with mock.patch("processors.partials.CHUNK_MEMBERS", 2):
        table = folded("unique", BATCHES)
        since, series, rows, members = table.pack(np.array([0]))
        assert (since, series, len(rows)) == (0, [A, B, ("c", "x")], table.dtype.itemsize)
        assert members == [[0, 0, 0, table.sets[0].rows.tobytes(), 0, [0, 5, 9]]]
        table.settle()
        table.fold(selection("unique", [(A, 0, 0, (9, 9), 0, 9)], 30))
        (since, series, _, members) = table.pack(table.changed())
        assert (since, series) == (3, [])
        assert members == [[0, 0, 6, table.sets[0].rows[6:].tobytes(), 3, [30]]]
        table.settle()
        table.fold(selection("unique", [(A, 0, 0, (9, 9), 0, 9)], 31))
        assert table.pack(table.changed())[3] == [], "no member is new"


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_compacted_table_has_the_rows_that_stay_and_packs_them_whole(aggregation: str) -> None:
    with mock.patch("processors.partials.CHUNK_MEMBERS", 2):
        table = folded(aggregation, BATCHES)
        table.settle()
        kept = table.without(np.array([True, False, False, True]))
        assert held(kept) == {key: value for key, value in held(table).items() if key in ((B, HOUR_MS), (A, HOUR_MS))}
        assert [kept.series_at(row) for row in range(2)] == [B, A]
        assert kept.aggregation == aggregation
        assert (kept.most_members, kept.window_ms) == ({"unique": 2, "gauge": 2}.get(aggregation, 0), HOUR_MS)
        kept.touch_all()
        assert kept.changed().tolist() == [0, 1]
        copy = PartialTable(aggregation, HOUR_MS)
        copy.unpack(kept.pack(kept.changed()))
        assert held(copy) == held(kept)
        table.touch_all()
        whole = PartialTable(aggregation, HOUR_MS)
        whole.unpack(table.pack(table.changed()))
        assert held(whole) == held(table)


def test_the_bytes_of_a_row_are_its_numbers_its_members_and_forty() -> None:
    """A log is compacted by what its rows take, about."""
    sizes = {name: folded(name, BATCHES).bytes_of(np.array([1, 0])).tolist() for name in ("sum", "unique", "gauge")}
    plain = {name: PartialTable(name, HOUR_MS).dtype.itemsize + 40 for name in sizes}
    assert sizes == {
        "sum": [plain["sum"]] * 2,
        "unique": [plain["unique"] + 2 * 16, plain["unique"] + 6 * 16],
        "gauge": [plain["gauge"] + 2 * 32, plain["gauge"] + 7 * 32],
    }


def test_frames_that_do_not_fit_together_are_damaged() -> None:
    with mock.patch("processors.partials.CHUNK_MEMBERS", 2):
        table = folded("unique", BATCHES)
        _, series, rows, members = table.pack(table.changed())
        first, *others = members
        column, window, start, added, chunk, offsets = first
        for frame, said in (
            ([1, series, rows, members], "series from 1, expected 0"),
            ([0, [*series, A], rows, members], "there already"),
            ([0, [*series, ()], rows, members], "empty"),
            ([0, series, rows, others], "does not hold the 0 members"),
            ([0, series, rows, [first, *members]], "members from 0 of a row"),
            ([0, series, rows, [[column, window, 1, added, chunk, offsets], *others]], "members from 1 of a row"),
            ([0, series, rows, [[column, window, start, added + b"12345678", 0, offsets], *others]], "members from 0"),
            ([0, series, rows, [[column, window, start, added[:-16], 0, offsets], *others]], "hold the 5 members"),
            ([0, series, rows, [[column, window, start, added, 0, offsets[:-1]], *others]], "hold the 6 members"),
            ([0, series, rows, [[column, window, start, added, 0, [*offsets, 9]], *others]], "hold the 6 members"),
            ([0, series, rows, [[column, 9 * HOUR_MS, start, added, 0, offsets], *others]], "members from 0 of a row"),
            ([0, series, rows, [[3, window, start, added, 0, offsets], *others]], "members from 0 of a row"),
        ):
            with pytest.raises(DamagedError, match=said):
                PartialTable("unique", HOUR_MS).unpack(frame)
        copy = PartialTable("unique", HOUR_MS)
        copy.unpack([0, series, rows, members])
        assert held(copy) == held(table)


def test_a_digest_of_a_series_is_that_of_its_texts_for_ever() -> None:
    table = folded("count", BATCHES[:1])
    first = table.series_digests().tolist()
    folded("count", BATCHES[1:], table, 4)
    assert first == table.series_digests().tolist()[:2]
    assert table.series_digests().tolist() == [14266913991089880574, 5282815464668506512, 11704209038509287528]
