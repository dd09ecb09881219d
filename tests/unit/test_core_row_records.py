"""Many rows in one record of `usage.windows` say what they say one by one."""

from __future__ import annotations

import random
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Limits
from edge.murmur2 import partition_of
from processors import row_records
from processors.events import Decoder
from processors.homes import Homes
from processors.merge import Merged
from processors.meter import PartitionState
from processors.outputs import changed_rows
from processors.republish import _of_rows
from processors.row_records import Taken, UnknownFormatError, packed, rows_in
from processors.window_rows import WindowRow, WindowRows
from tests.simulation.logs import CATALOGUE, SKEW_MS, batch_of, make_log

METERS = {(meter.id, meter.version): meter for meter in CATALOGUE.meters}
NUMBER = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=5)


def rows(seed: int = 4, topic: str = "T") -> WindowRows:
    state = PartitionState(CATALOGUE, Limits(), Decoder(CATALOGUE, Limits(), SKEW_MS))
    state.fold(batch_of(make_log(random.Random(seed), 60)))
    return WindowRows(block for block in changed_rows(state, topic, 2).blocks if block.at is not None)


def values(of: WindowRows, homes: int = 2) -> list[bytes]:
    return [value for block in of.blocks for _, _, value in packed(block, Homes(homes))]


def test_rows_are_the_same_after_a_way_through_records() -> None:
    some = rows()
    assert len(values(some)) < len(some)
    assert sorted(map(repr, Taken(values(some)))) == sorted(map(repr, some))


@given(
    st.lists(
        st.tuples(TEXT, TEXT, st.text(min_size=1, max_size=5), *[NUMBER] * 5, st.integers(0, 2**64 - 1)), max_size=9
    )
)
def test_any_text_and_any_number_come_back(said: list[tuple[str, str, str, int, int, int, int, int, int]]) -> None:
    some = [
        WindowRow("m", 1, subject, [value], account, a, "T", 2, 0, b, c, d, e, a, b, high, high // 2, b"")
        for subject, value, account, a, b, c, d, e, high in said
    ]
    found = list(Taken(values(WindowRows.of(some), homes=1)))
    assert found == some


def test_a_record_has_rows_of_one_partition_and_no_more_than_its_limits() -> None:
    some = [
        WindowRow("m", 1, f"z{n}", ["x" * 50], f"a{n}", 0, "T", 2, 0, n, 1, 0, 0, 0, 0, 0, 0, b"") for n in range(200)
    ]
    [block] = WindowRows.of(some).blocks
    with mock.patch.multiple(row_records, ROWS_MAX=7, BYTES_MAX=300):
        made = list(packed(block, Homes(3)))
    assert sorted(np.concatenate([which for _, which, _ in made]).tolist()) == list(range(200))
    for partition, which, value in made:
        assert len(which) < 7  # the bytes of six are more than the limit and one row
        assert {partition_of(some[at].account.encode(), 3) for at in which.tolist()} == {partition}
        assert list(Taken([value])) == [some[at] for at in which.tolist()]
    with mock.patch.multiple(row_records, ROWS_MAX=7, BYTES_MAX=10**9):
        sizes = [len(which) for _, which, _ in packed(block, Homes(1))]
    assert sizes == [7] * 28 + [4]


def test_the_kinds_of_records_mix() -> None:
    some, more = rows(4), rows(5, "another")
    alone = [value for _, _, value in more.messages()]
    mixed = [one for pair in zip(values(some), alone, strict=False) for one in pair]
    assert len(Taken(mixed)) > len(mixed)
    whole, again = Merged(METERS), Merged(METERS)
    everything = WindowRows(some.blocks + more.blocks)
    assert whole.add([value for _, _, value in everything.messages()]) == len(everything)
    assert again.add([*alone, *values(some)]) == len(everything)
    assert again.add(values(more)) == len(more)  # the same once more
    assert again.days == whole.days
    assert len(again) == len(whole)
    assert again.add([]) == 0


@pytest.mark.parametrize("cut", [3, 15, 30, 90, -1])
def test_a_record_that_is_not_whole_is_refused(cut: int) -> None:
    value = values(rows())[0]
    with pytest.raises(UnknownFormatError):
        Taken([value[:cut]])
    with pytest.raises(UnknownFormatError):
        Taken([value + b"\0"])


def test_a_record_with_columns_of_newer_code_is_refused() -> None:
    value = values(rows())[0]
    with pytest.raises(UnknownFormatError):
        Taken([value[:11] + b"\x80" + value[12:]])


def test_homes_remember_no_more_than_their_limit() -> None:
    homes, sizes = Homes(5), []
    with mock.patch("processors.homes._ACCOUNTS_MAX", 10):
        for n in range(40):
            found = homes.of([f"a{n}"])
            assert found.dtype == np.int64
            assert found.tolist() == [partition_of(f"a{n}".encode(), 5)]
            sizes.append(len(homes))
    assert max(sizes) == 11


def test_a_record_that_says_it_has_more_rows_than_bytes_is_refused_before_room_is_made_for_them() -> None:
    value = values(rows())[0]
    with pytest.raises(UnknownFormatError, match="4294967295 rows"):
        Taken([value[:4] + b"\xff" * 4 + value[8:]])


def test_an_account_that_is_the_subject_itself_is_not_written_twice() -> None:
    plain = WindowRow(
        "m", 1, "subject-and-account", [], "subject-and-account", 0, "T", 2, 0, 1, 1, 0, 0, 0, 0, 0, 0, b""
    )
    [block] = WindowRows.of([plain]).blocks
    block.account = None
    [(partition, _, value)] = packed(block, Homes(50))
    assert partition == partition_of(b"subject-and-account", 50)
    assert value.count(b"subject-and-account") == 1
    assert list(Taken([value])) == [plain]


def test_messages_are_taken_together_by_the_rows_in_them() -> None:
    many, one = values(rows(), homes=1)[0], next(iter(rows().messages()))[2]
    assert (rows_in(many), rows_in(one)) == (len(Taken([many])), 1)
    assert rows_in(many) > 1
    sent = [SimpleNamespace(value=value) for value in (one, None, one, many, one, None, one, one)]
    found = [[message.value for message in some] for some in _of_rows(sent, 3)]
    assert found == [[one, one, many], [one, one, one]]
    assert list(_of_rows([], 3)) == []
    assert [len(some) for some in _of_rows(sent, 1)] == [1] * 6
