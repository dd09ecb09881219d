"""Partials as columns, against naive Python; what is packed comes back; limits."""

from __future__ import annotations

from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.combinations import Combinations
from processors.partials import DamagedError, PartialTable
from processors.samples import sample_rows
from processors.vocabulary import Vocabulary
from processors.windows import Selection, window_start_ms

HOUR_MS = 3_600_000
AGGREGATIONS = ["count", "sum", "avg", "min", "max", "latest", "unique", "gauge"]
VALUE = st.one_of(st.integers(-3, 3), st.sampled_from([10**18, -(10**18), 2**32, -(2**32), 2**31, 2**32 - 1]))
EVENT = st.tuples(
    st.sampled_from([("a", ""), ("a", "x"), ("b", ""), ("b", "é")]),
    st.integers(0, 3),  # window
    st.integers(0, 2),  # time within it
    st.tuples(st.integers(1, 3), st.integers(1, 3)),  # identity
    VALUE,
    st.integers(1, 12),  # member
)
BATCHES = st.lists(st.lists(EVENT, min_size=1, max_size=25), max_size=5)
few = settings(max_examples=30, deadline=None)  # of each aggregation


def selection(aggregation: str, events: list[Any], first_offset: int) -> Selection:
    """Every two events share a message."""
    time_us = np.array([(window * HOUR_MS + ms) * 1000 for _, window, ms, *_ in events], np.int64)
    digest = np.array([event[3] for event in events], np.uint64).reshape(-1, 2)
    value = np.array([event[4] for event in events], np.int64)
    member = np.array([(event[5], 7) for event in events], np.uint64).reshape(-1, 2)
    if aggregation == "gauge":
        member = sample_rows(time_us, digest, value)
    named = Combinations(Vocabulary(), 1)
    texts = [named.vocabulary.codes([event[0][place] for event in events], len(events)) for place in (0, 1)]
    return Selection(
        named=named,
        series=named.codes(texts[0], texts[1:]),
        window=window_start_ms(time_us, HOUR_MS),
        offset=first_offset + np.arange(len(events)) // 2,
        time_us=time_us,
        digest=digest,
        value=value,
        member=member,
    )


def naive(aggregation: str, folded: list[tuple[Any, int]]) -> dict[Any, Any]:
    """(series, window) -> what the events come to, the offset of the last."""
    found: dict[Any, Any] = {}
    for event, offset in folded:
        found.setdefault((event[0], event[1] * HOUR_MS), []).append((event, offset))
    return {key: (_state(aggregation, [event for event, _ in held]), held[-1][1]) for key, held in found.items()}


def _state(aggregation: str, events: list[Any]) -> Any:
    values = [event[4] for event in events]
    return len(events), {
        "count": lambda: None,
        "sum": lambda: sum(values),
        "avg": lambda: sum(values),
        "min": lambda: min(values),
        "max": lambda: max(values),
        "latest": lambda: max((event[2], event[3]) for event in events),
        "unique": lambda: list(dict.fromkeys(event[5] for event in events)),
        "gauge": lambda: (max((event[2], event[3]) for event in events), _readings(events)),
    }[aggregation]()


def _readings(events: list[Any]) -> list[Any]:
    """Of events of one identity the first counts: here identities hold no time, as those of the decoder do."""
    first: dict[Any, Any] = {}
    for event in events:
        first.setdefault(event[3], (event[2], event[3], event[4]))
    return list(first.values())


def held(table: PartialTable) -> dict[Any, Any]:
    found = {}
    for row in range(len(table)):
        window = int(table.column("window")[row])
        numbers = {name: int(table.column(name)[row]) for name in table.dtype.names or ()}
        if table.aggregation in ("sum", "avg"):
            assert 0 <= numbers["sum_lo"] < 2**32
            state: Any = numbers["sum_hi"] * 2**32 + numbers["sum_lo"]
        elif table.aggregation == "latest":
            state = (numbers["time_us"] // 1000 - window, (numbers["id_hi"], numbers["id_lo"]))
        elif table.aggregation == "gauge":
            last = (numbers["time_us"] // 1000 - window, (numbers["id_hi"], numbers["id_lo"]))
            rows = table.sets[row].rows
            times, values = rows[:, 0].view(np.int64) // 1000 - window, rows[:, 3].view(np.int64)
            ids = [tuple(one) for one in rows[:, 1:3].tolist()]
            state = (last, list(zip(times.tolist(), ids, values.tolist(), strict=True)))
            assert numbers["members"] == len(rows)
        elif table.aggregation == "unique":
            state = table.sets[row].keys[:, 0].tolist()
            assert numbers["members"] == len(state)
        else:
            state = numbers.get("value")
        found[(table.series_at(row), window)] = ((numbers["events"], state), numbers["offset"])
    return found


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(BATCHES)
@few
def test_batches_fold_to_what_one_event_at_a_time_comes_to(aggregation: str, batches: list[list[Any]]) -> None:
    table, folded, offset = PartialTable(aggregation, HOUR_MS), [], 0
    for batch in batches:
        chosen = selection(aggregation, batch, offset)
        table.fold(chosen)
        folded += zip(batch, chosen.offset.tolist(), strict=True)
        offset += len(batch)
    assert held(table) == naive(aggregation, folded)


def test_the_latest_value_is_that_of_the_highest_time_and_identity() -> None:
    table = PartialTable("latest", HOUR_MS)
    events = [(("a", ""), 0, 1, (2, 9), 10, 1), (("a", ""), 0, 1, (2, 10), 20, 1), (("a", ""), 0, 0, (9, 9), 30, 1)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        table = PartialTable("latest", HOUR_MS)
        for at in order:
            table.fold(selection("latest", [events[at]], 5))
        assert table.column("value").tolist() == [20]


def counted(batches: list[list[Any]], subjects: list[str], windows: Any) -> list[int]:
    """How many series each subject has in each window."""
    held = {(event[0], event[1]) for batch in batches for event in batch}
    return [
        sum(series[0] == subject and window == number for series, window in held)
        for subject, number in zip(subjects, windows.tolist(), strict=True)
    ]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(BATCHES, st.integers(1, 3), st.data())
@few
def test_what_is_packed_comes_back(aggregation: str, batches: list[list[Any]], every: int, data: st.DataObject) -> None:
    """Incremental packs, some of them never committed and so packed again; then further folds on the copy."""
    with mock.patch("processors.partials.CHUNK_MEMBERS", 3):
        table, frames, offset = PartialTable(aggregation, HOUR_MS), [], 0
        for number, batch in enumerate(batches):
            table.fold(selection(aggregation, batch, offset))
            offset += len(batch)
            packed = msgspec.msgpack.decode(msgspec.msgpack.encode(table.pack(table.changed())))
            if data.draw(st.booleans()) or number == len(batches) - 1:
                frames.append(packed)
                table.settle()
                assert not len(table.changed())
        copy = PartialTable(aggregation, HOUR_MS)
        for frame in frames:
            copy.unpack(frame)
        assert held(copy) == held(table)
        assert copy.chunk_offsets == table.chunk_offsets
        places = ["a", "b"] * 4, np.repeat(np.arange(4), 2)
        assert copy.counts.of(*places).tolist() == table.counts.of(*places).tolist() == counted(batches, *places)
        assert not len(copy.changed())
        copy.settle()
        more = selection(aggregation, [(("a", ""), 0, 2, (3, 3), 1, 12), (("new", ""), 9, 2, (3, 3), 1, 11)], offset)
        for one in (table, copy):
            one.fold(more)
        assert copy.pack(copy.changed()) == table.pack(table.changed())


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(BATCHES, st.integers(0, 4 * HOUR_MS), st.integers(0, 60))
@few
def test_a_compacted_table_keeps_what_is_open_or_unacknowledged(
    aggregation: str, batches: list[list[Any]], before_ms: int, published: int
) -> None:
    table, offset = PartialTable(aggregation, HOUR_MS), 0
    for batch in batches:
        table.fold(selection(aggregation, batch, offset))
        offset += len(batch)
    whole = held(table)
    kept = table.without(table.closed(before_ms, published))
    assert held(kept) == {
        key: state for key, state in whole.items() if key[1] + HOUR_MS > before_ms or state[1] >= published
    }
    kept.touch_all()
    copy = PartialTable(aggregation, HOUR_MS)
    copy.unpack(kept.pack(kept.changed()))
    assert held(copy) == held(kept)


def test_i2_a_closed_window_leaves_only_when_it_is_acknowledged() -> None:
    table = PartialTable("count", HOUR_MS)
    table.fold(selection("count", [(("a", ""), 0, 0, (1, 1), 1, 1)], 5))
    assert table.closed(HOUR_MS, 6).tolist() == [True]
    assert table.closed(HOUR_MS, 5).tolist() == [False], "nobody has acknowledged it"
    assert table.closed(HOUR_MS - 1, 6).tolist() == [False], "it is open still"


def test_a_frame_out_of_order_is_damaged() -> None:
    table, frames = PartialTable("unique", HOUR_MS), []
    for offset, name in enumerate("ab"):
        table.fold(selection("unique", [((name, ""), 0, 0, (1, 1), 1, 1)], offset))
        frames.append(table.pack(table.changed()))
        table.settle()
    with pytest.raises(DamagedError):
        PartialTable("unique", HOUR_MS).unpack(frames[1])
    copy = PartialTable("unique", HOUR_MS)
    copy.unpack(frames[0])
    with pytest.raises(DamagedError):
        copy.unpack(frames[0])


def test_window_starts_are_floored_to_the_grid() -> None:
    times = np.array([0, HOUR_MS * 1000 - 1, HOUR_MS * 1000, 10**15])
    assert window_start_ms(times, HOUR_MS).tolist() == [0, 0, HOUR_MS, 10**12 // HOUR_MS * HOUR_MS]


def test_a_part_of_a_selection_has_the_same_rows_of_every_column() -> None:
    numbers = np.arange(4, dtype=np.int64)
    pairs = np.arange(8, dtype=np.uint64).reshape(-1, 2)
    whole = Selection(
        Combinations(Vocabulary(), 0),
        numbers + 40,
        numbers,
        numbers + 10,
        numbers + 20,
        pairs,
        numbers + 30,
        pairs + np.uint64(9),
    )
    part = whole.at(np.array([0, 2]))
    assert part.series.tolist() == [40, 42]
    rest = [part.window, part.offset, part.time_us, part.digest, part.value, part.member]
    assert [column.tolist() for column in rest if column is not None] == [
        *([0, 2], [10, 12], [20, 22], [[0, 1], [4, 5]], [30, 32], [[9, 10], [13, 14]])
    ]
    bare = msgspec.structs.replace(whole, value=None, member=None).at(np.array([1]))
    assert (bare.value, bare.member) == (None, None)
    assert whole.at(np.arange(4)) is whole


@pytest.mark.parametrize("code", [1, 2**31, 2**40])
def test_members_of_a_series_that_cannot_be_are_damaged(code: int) -> None:
    table = PartialTable("unique", HOUR_MS)
    table.fold(selection("unique", [(("a", ""), 0, 0, (1, 1), 1, 1)], 0))
    since, series, rows, members = table.pack(table.changed())
    members[0][0] = code
    with pytest.raises(DamagedError):
        PartialTable("unique", HOUR_MS).unpack([since, series, rows, members])
