"""Rows of the stages as columns for ClickHouse: nothing is lost or mixed up on the way."""

from __future__ import annotations

import random

import msgspec
import numpy as np

from config.catalogue import BEGIN_MS
from config.settings import Limits
from processors.admission import Outcome
from processors.columns import (
    dims_text,
    identity_columns,
    ledger_columns,
    letter_columns,
    number_columns,
    outcome_columns,
    rated_columns,
    returned_columns,
    usage_columns,
)
from processors.events import Decoder
from processors.meter import Letter, PartitionState
from processors.outputs import GENERATION, Released, unpublished_rows
from processors.rate import Rater
from processors.sequences import Numbered, SequenceDay, identities
from processors.window_rows import WindowRows
from tests.simulation.logs import CATALOGUE, SKEW_MS, batch_of, make_log


def rows() -> WindowRows:
    state = PartitionState(CATALOGUE, Limits(), Decoder(CATALOGUE, Limits(), SKEW_MS))
    state.fold(batch_of(make_log(random.Random(4), 60)))
    return unpublished_rows(state, 0, "T", 2)


def test_each_usage_row_is_its_column_entries() -> None:
    given = rows()
    columns = usage_columns(given, CATALOGUE)
    meters = {(meter.id, meter.version): meter for meter in CATALOGUE.meters}
    assert list(columns.generation) == [GENERATION] * len(columns.meter)
    assert {meters[(row.meter, row.meter_version)].aggregation for row in given} == {
        *("sum", "count", "min", "max", "avg", "latest", "unique", "gauge")
    }
    for at, row in enumerate(given):
        meter = meters[(row.meter, row.meter_version)]
        given_columns = [name for name in columns.__struct_fields__ if getattr(columns, name) is not None]
        entry = {name: getattr(columns, name)[at] for name in given_columns}
        kind = meter.aggregation
        assert (entry["aggregation"], entry["precision"]) == (kind, meter.precision)
        assert entry["window_end_ms"] - entry["window_start_ms"] == meter.window_ms
        assert entry["dims"] == dims_text(meter.dimensions, tuple(row.dimensions))
        assert (entry["sum_hi"], entry["sum_lo"]) == (row.sum_hi, row.sum_lo)
        assert (entry["min"], entry["max"], entry["latest_value"]) == tuple(
            row.value if kind in held else 0 for held in (("min",), ("max",), ("latest", "gauge"))
        )
        assert (entry["latest_time_us"], entry["latest_id_hi"], entry["latest_id_lo"]) == (
            row.time_us,
            row.id_hi,
            row.id_lo,
        )
        assert entry["members"].tobytes() == (b"" if kind == "gauge" else row.members)  # a gauge's are samples
        for name in ("meter", "meter_version", "subject", "account", "topic", "partition", "chunk", "offset", "events"):
            assert entry[name] == getattr(row, name)


def test_dimensions_are_one_text_whatever_their_order() -> None:
    assert dims_text(("b", "a"), ("1", 'ü"')) == dims_text(("a", "b"), ('ü"', "1")) == '{"a":"ü\\"","b":"1"}'
    assert dims_text((), ()) == "{}"


def test_no_rows_are_columns_of_no_length() -> None:
    none = usage_columns(WindowRows(), CATALOGUE)
    assert len(none.meter) == 0
    assert np.asarray(none.meter_version).dtype == np.asarray(none.generation).dtype == np.int64
    assert rated_columns([]).account == []
    assert letter_columns([], "T").raw == []


def test_letters_keep_their_bytes_and_say_what_they_can() -> None:
    event = {"type": "a", "subject": "z", "data": {"v": 1}}
    raws = [msgspec.json.encode(event), b"\xff{", b"[" * 2_000, b'{"type": 7}', b""]
    letters = [(3, Letter("invalid", 9, at, "why", raw, 5)) for at, raw in enumerate(raws)]
    columns = letter_columns(letters, "T")
    assert columns.raw == raws
    assert list(zip(columns.type, columns.subject, strict=True)) == [("a", "z"), *[("", "")] * 4]
    assert (columns.topic[0], columns.partition[0], columns.offset[0], columns.index) == ("T", 3, 9, [0, 1, 2, 3, 4])
    assert (list(columns.reason), list(columns.record_timestamp_ms)) == (["why"] * 5, [5] * 5)


def test_sets_are_columns_only_where_a_row_has_any() -> None:
    given = rows()
    kinds = {(meter.id, meter.version): meter.aggregation for meter in CATALOGUE.meters}
    for kind, sets in (("sum", (False, False)), ("unique", (True, False)), ("gauge", (False, True))):
        columns = usage_columns(WindowRows([one for one in given.blocks if kinds[one.meter] == kind]), CATALOGUE)
        assert (columns.members is not None, columns.samples is not None) == sets


COUNTS = {"consumed": 15, "accepted": 1, "duplicate": 2, "late": 3, "invalid": 4, "unmetered": 5, "admitted": 1}


def released(partition: int, clock_ms: int = 123, **more: object) -> Released:
    return Released(partition, 70 + partition, WindowRows(), [], clock_ms, COUNTS, **more)  # type: ignore[arg-type]


def test_a_ledger_row_is_of_its_checkpoint() -> None:
    given = [released(2, lateness_max_ms=9), released(5, 124, archived_since_ms=8), released(3, BEGIN_MS)]
    columns = ledger_columns(given, "T")
    assert {name: getattr(columns, name) for name in COUNTS} == {name: [count] * 2 for name, count in COUNTS.items()}
    assert (columns.topic, columns.partition, columns.offset) == (["T", "T"], [2, 5], [72, 75])
    assert (columns.clock_ms, columns.lateness_max_ms, columns.archived_since_ms) == ([123, 124], [9, 0], [0, 8])


SOURCES = np.array([[11, 12]], np.uint64)


def day_of(*numbers: int) -> SequenceDay:
    """One interval at most, so what is too far from it is a stray."""
    day, of = SequenceDay(1), np.array(numbers)
    source = np.zeros(len(of), np.int64)
    day.add(Numbered(source, of, of * 0, identities(SOURCES[source], of), SOURCES))
    return day


def test_what_is_archived_of_closed_hours_and_days_is_under_their_partition() -> None:
    hour, other = np.array([[1, 2]], np.uint64), np.array([[3, 4], [5, 6]], np.uint64)
    strays, plain = day_of(1, 2, 3, 1000), day_of(7)
    given = [released(2, identities=[(100, hour), (101, other)]), released(5, numbers=[(4, strays), (6, plain)])]
    hours = [(one.topic, one.partition, one.hour, one.identity.tolist()) for one in identity_columns(given, "T")]
    assert len(strays.strays.keys) == 1
    assert hours == [
        ("T", 2, 100, hour.tolist()),
        ("T", 2, 101, other.tolist()),
        ("T", 5, 4 * 24, strays.strays.keys.tolist()),
    ]
    days = [
        (one.topic, one.partition, one.day, one.source.tolist(), *one.first, *one.last)
        for one in number_columns(given, "T")
    ]
    (interval,) = {(first, last) for *_, first, last in days[:1]}
    assert interval in {(1, 3), (1000, 1000)}
    assert days == [("T", 5, 4, [[11, 12]], *interval), ("T", 5, 6, [[11, 12]], 7, 7)]


def test_what_became_of_events_that_came_back_has_the_place_of_its_letter() -> None:
    one = Outcome("L", 8, 80, 800, 30, 3, "accepted", "", 2**64 - 1, 2**63, 123)
    two = Outcome("M", 9, 90, 900, 40, 4, "late", "why", 0, 0, 124)
    columns = outcome_columns([released(2, outcomes=[one]), released(5), released(6, outcomes=[two])], "T")
    assert (columns.topic, columns.partition, columns.offset, columns.index) == (["T"] * 2, [2, 6], [30, 40], [3, 4])
    assert (columns.letter_topic, columns.letter_partition) == (["L", "M"], [8, 9])
    assert (columns.letter_offset, columns.letter_index) == ([80, 90], [800, 900])
    assert (columns.verdict, columns.reason, columns.clock_ms) == (["accepted", "late"], ["", "why"], [123, 124])
    assert (columns.identity.tolist(), columns.identity.dtype.name) == ([[2**64 - 1, 2**63], [0, 0]], "uint64")
    again = returned_columns([one, two], "T", 7)
    assert (again.topic, again.partition, again.offset) == (["T"] * 2, [7, 7], [30, 40])
    assert outcome_columns([], "T").identity.shape == (0, 2)


def test_each_rated_row_is_its_column_entries() -> None:
    rater = Rater(CATALOGUE, lambda account: True)
    rater.add([value for _, _, value in rows().messages()])
    rated = rater.rate()
    columns = rated_columns(rated)
    for name in columns.__struct_fields__:
        assert np.array_equal(getattr(columns, name), [getattr(row, name) for row in rated])
