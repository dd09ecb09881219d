"""Rows of the stages as columns for ClickHouse: nothing is lost or mixed up on the way."""

from __future__ import annotations

import random

import msgspec
import numpy as np

from config.settings import Limits
from processors.columns import dims_text, ledger_columns, letter_columns, rated_columns, usage_columns
from processors.events import Decoder
from processors.meter import Letter, PartitionState
from processors.outputs import Released, unpublished_rows
from processors.rate import Rater
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
    assert len(usage_columns(WindowRows(), CATALOGUE).meter) == 0
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


def test_a_ledger_row_is_of_its_checkpoint() -> None:
    counts = {"consumed": 15, "accepted": 1, "duplicate": 2, "late": 3, "invalid": 4, "unmetered": 5, "admitted": 1}
    columns = ledger_columns([Released(2, b"token", 77, WindowRows(), 123, counts)], "T")
    assert {name: getattr(columns, name) for name in counts} == {name: [count] for name, count in counts.items()}
    assert (columns.topic, columns.partition, columns.offset, columns.clock_ms) == (["T"], [2], [77], [123])


def test_each_rated_row_is_its_column_entries() -> None:
    rater = Rater(CATALOGUE, lambda account: True)
    rater.add([value for _, _, value in rows().messages()])
    rated = rater.rate()
    columns = rated_columns(rated)
    for name in columns.__struct_fields__:
        assert np.array_equal(getattr(columns, name), [getattr(row, name) for row in rated])
