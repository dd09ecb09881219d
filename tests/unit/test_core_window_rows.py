"""Rows of `usage.windows` as columns and as bytes say what they say one by one."""

from __future__ import annotations

import random
from unittest import mock

import pytest

from config.settings import Limits
from processors import merge
from processors.events import Decoder
from processors.merge import Merged, UnknownMeterError
from processors.meter import PartitionState
from processors.outputs import changed_rows, unpublished_rows
from processors.row_records import Taken, UnknownFormatError
from processors.window_rows import FORM, WindowRow, WindowRows
from tests.simulation.logs import CATALOGUE, SKEW_MS, batch_of, make_log

METERS = {(meter.id, meter.version): meter for meter in CATALOGUE.meters}
ROW = WindowRow("sums", 1, "é", [], "payer", 3_600_000, "T", 2, 0, 7, 1, -1, 9, -8, 5, 2**64 - 1, 6, b"m" * 32, 71)


def rows() -> WindowRows:
    state = PartitionState(CATALOGUE, Limits(), Decoder(CATALOGUE, Limits(), SKEW_MS))
    state.fold(batch_of(make_log(random.Random(4), 60)))
    assert changed_rows(state, "T", 2) == unpublished_rows(state, 0, "T", 2)
    return changed_rows(state, "T", 2)


def test_a_row_is_the_same_after_a_way_through_bytes() -> None:
    given = rows()
    assert list(Taken([value for _, _, value in given.messages(b"token")])) == list(given)
    assert [account for account, _, _ in given.messages()] == [row.account for row in given]
    assert any(row.members for row in given)
    assert list(Taken([value for _, _, value in WindowRows.of([ROW]).messages()])) == [ROW]


def test_rows_come_back_from_columns_whatever_they_were_made_of() -> None:
    given = list(rows())
    shuffled = random.Random(1).sample(given, len(given))
    assert sorted(map(repr, WindowRows.of(shuffled))) == sorted(map(repr, given))


def test_a_key_on_the_topic_is_that_of_the_row_and_ends_with_the_owners_token() -> None:
    given = list(rows())
    keys = [key for row in given for _, key, _ in WindowRows.of([row]).messages(b"token")]
    assert len(set(keys)) == len({repr(row.key()) for row in given}) == len(given)
    assert {key[-5:] for key in keys} == {b"token"}
    assert next(iter(WindowRows.of([ROW]).messages()))[1] == next(iter(rows_of_another_payer().messages()))[1]


def rows_of_another_payer() -> WindowRows:
    other = WindowRow(*(getattr(ROW, name) for name in WindowRow.__struct_fields__))
    other.account, other.offset = "another", 8
    return WindowRows.of([other])


@pytest.mark.parametrize(
    "value", [b"\x9f" * 200, b"", FORM.to_bytes(4, "little"), (FORM + 1).to_bytes(4, "little") * 50]
)
def test_what_other_code_wrote_is_refused(value: bytes) -> None:
    with pytest.raises(UnknownFormatError):
        Taken([value])
    with pytest.raises(UnknownFormatError):
        Merged(METERS).add([*(value for _, _, value in rows().messages()), value])


def test_a_row_of_a_meter_that_the_catalogue_lacks_is_refused() -> None:
    with pytest.raises(UnknownMeterError, match="sums version 1"):
        Merged({}).add([value for _, _, value in WindowRows.of([ROW]).messages()])


def test_texts_are_forgotten_at_a_bound_and_nothing_else() -> None:
    values = [value for _, _, value in rows().messages()]
    whole, merged = Merged(METERS), Merged(METERS)
    whole.add(values)
    with mock.patch.object(merge, "_TEXTS_MAX", 5):
        for at in range(0, len(values), 3):
            merged.add(values[at : at + 3])
            merged.add(values[at : at + 3])
            assert len(merged._codes) <= 5
    assert (merged.days, len(merged)) == (whole.days, len(whole))
    assert merged.take_changed() == whole.take_changed()
    assert merged.take_changed() == {}
