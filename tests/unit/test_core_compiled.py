"""Where the kernel is built, the fold's tables are looked up by it: a stand-in in Python tells who asks it, and how."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.settings import Limits
from processors import events, int_codes
from processors.compiled import INTERFACE
from processors.events import Decoder
from processors.identity import HOUR_US, DigestSet, Identities
from processors.int_codes import IntCodes
from processors.meter import PartitionState
from processors.partials import PartialTable
from tests.simulation.logs import CATALOGUE, SKEW_MS, batch_of, make_log
from tests.unit.test_core_windows import selection

KEYS = st.integers(-3, 40) | st.sampled_from([2**63 - 1, -(2**63), 2**32, -(2**32)])
DIGESTS = st.tuples(st.sampled_from([0, 1, 16, 2**63, 2**64 - 1]) | st.integers(0, 99), st.integers(0, 3))
few = settings(max_examples=30, deadline=None)


class PlainModule:
    """What `kernel/src/probe.rs` does, a key after the other; this too takes contiguous arrays of these types alone."""

    INTERFACE = INTERFACE
    Kernel: Any = None

    def __init__(self) -> None:
        self.asked = Counter[str]()

    def find(self, keys: Any, codes: Any, sought: Any, mix: int) -> NDArray[np.int64]:
        self.asked["find"] += 1
        return np.array([codes[slot] for slot, _ in self._slots(keys, codes, sought, mix)], np.int64)

    def codes(self, keys: Any, codes: Any, sought: Any, mix: int, count: int) -> tuple[NDArray[np.int64], int]:
        self.asked["codes"] += 1
        found: list[int] = []
        for slot, key in self._slots(keys, codes, sought, mix):
            if codes[slot] < 0:
                if count == len(keys):
                    break
                keys[count], codes[slot] = key, count
                count += 1
            found.append(codes[slot])
        return np.array(found, np.int64), count

    def tally(self, rows: Any, offset: Any, events: Any, last: Any, touched: Any) -> None:
        self.asked["tally"] += 1
        assert {one.dtype for one in (rows, offset, events, last)} == {np.dtype(np.int64)}
        assert rows.flags.c_contiguous
        assert offset.flags.c_contiguous
        for row, at in zip(rows.tolist(), offset.tolist(), strict=True):
            events[row], last[row], touched[row] = events[row] + 1, at, True

    def sums(self, rows: Any, values: Any, hi: Any, lo: Any) -> None:
        self.asked["sums"] += 1
        assert {one.dtype for one in (rows, values, hi, lo)} == {np.dtype(np.int64)}
        assert values.flags.c_contiguous
        for row, value in zip(rows.tolist(), values.tolist(), strict=True):
            total = int(hi[row]) * 2**32 + int(lo[row]) + value
            hi[row], lo[row] = total >> 32, total & 0xFFFFFFFF

    @staticmethod
    def _slots(keys: Any, codes: Any, sought: Any, mix: int) -> Iterator[tuple[int, int]]:
        assert sought.flags.c_contiguous
        assert (keys.dtype, codes.dtype, sought.dtype) == (np.int64, np.int32, np.int64)
        assert type(mix) is int
        shift = 65 - len(codes).bit_length()
        for key in sought.tolist():
            slot = ((key * mix) % 2**64) >> shift
            while codes[slot] >= 0 and keys[codes[slot]] != key:
                slot = (slot + 1) % len(codes)
            yield slot, key

    def add(self, keys: Any, table: Any, digests: Any, count: int) -> tuple[NDArray[np.bool_], int]:
        self.asked["add"] += 1
        assert digests.flags.c_contiguous
        assert (keys.dtype, table.dtype, digests.dtype) == (np.uint64, np.int32, np.uint64)
        assert keys.flags.c_contiguous
        new = np.zeros(len(digests), np.bool_)
        for at, digest in enumerate(digests):
            slot = int(digest[0]) % len(table)
            while table[slot] >= 0 and (keys[table[slot]] != digest).any():
                slot = (slot + 1) % len(table)
            if table[slot] < 0:
                keys[count], table[slot], new[at] = digest, count, True
                count += 1
        return new, count


@given(st.lists(st.lists(KEYS, max_size=60), max_size=6))
@few
def test_keys_get_the_same_codes(batches: list[list[int]]) -> None:
    module = PlainModule()
    pure, compiled = IntCodes(), IntCodes(module)
    for batch in batches:
        keys = np.array([batch, batch], np.int64).T[:, 0]  # not contiguous
        assert compiled.find(keys).tolist() == pure.find(keys).tolist()
        assert compiled.codes(keys).tolist() == pure.codes(keys).tolist()
    assert module.asked["find"] == len(batches)
    assert module.asked["codes"] >= len(batches)


@given(st.lists(st.lists(DIGESTS, max_size=60), max_size=6))
@few
def test_the_same_identities_are_new(batches: list[list[tuple[int, int]]]) -> None:
    module, pure, compiled = PlainModule(), DigestSet(), DigestSet()
    for place, batch in enumerate(batches):
        digests = np.array([batch, batch], np.uint64).reshape(2, -1, 2).transpose(1, 2, 0)[:, :, 0]  # not contiguous
        new = compiled.add(digests) if place % 3 == 2 else compiled.add_compiled(digests, module)
        assert new.tolist() == pure.add(digests).tolist(), "whoever added those before"
    assert compiled.keys.tolist() == pure.keys.tolist()


def test_identities_of_one_hour_and_of_many_are_added_by_it() -> None:
    module = PlainModule()
    pure, compiled = Identities(), Identities(compiled=module)
    for hours in ([0, 0], [2, 0, 1, 2]):
        times = np.array(hours) * HOUR_US
        digests = np.array([(hour, at % 2) for at, hour in enumerate(hours)], np.uint64)
        assert compiled.add(times, digests).tolist() == pure.add(times, digests).tolist()
    assert module.asked == {"add": 4}


def test_all_of_a_partition_is_looked_up_by_it() -> None:
    """Codes of series, rows of tables and their counts, also of a table that was compacted."""
    module, looked, log = PlainModule(), Counter[str](), make_log(random.Random(3), 60)
    code = IntCodes.codes

    def coded(codes: IntCodes, keys: Any) -> Any:
        looked["codes"] += 1
        return code(codes, keys)

    states = [PartitionState(CATALOGUE, Limits(), Decoder(CATALOGUE, Limits(), SKEW_MS))]
    decoder = Decoder(CATALOGUE, Limits(), SKEW_MS)
    decoder.compiled = module
    states.append(PartitionState(CATALOGUE, Limits(), decoder))
    for state in states:
        with mock.patch.object(IntCodes, "codes", coded), mock.patch.object(int_codes, "_SLOTS_MIN", 4096):
            looked.clear()
            for part in (log[:30], log[30:]):
                for key, table in state.tables.items():
                    state.tables[key] = table.without(np.zeros(len(table), np.bool_))
                state.fold(batch_of(part))
    plain, ours = states
    assert module.asked["codes"] == looked["codes"] > 0, "none of these tables has to grow"
    assert min(module.asked[name] for name in ("add", "tally", "sums")) > 0
    assert (ours.open_digest(), ours.ledger) == (plain.open_digest(), plain.ledger)


def test_a_table_and_what_is_kept_of_it_ask_it_for_rows_and_counts() -> None:
    module, looked, find = PlainModule(), Counter[str](), IntCodes.find

    def finds(codes: IntCodes, keys: Any) -> Any:
        looked["find"] += 1
        return find(codes, keys)

    chosen = selection("count", [(("a", "x"), 0, 0, (1, 1), 1, 1), (("a", "y"), 0, 0, (2, 1), 1, 1)], 0)
    with mock.patch.object(IntCodes, "find", finds):
        table = PartialTable("count", 3_600_000, module)
        table.fold(chosen)
        for one in (table, table.without(np.array([True, False]))):
            asked = module.asked["find"]
            assert one.find(chosen).tolist() == ([0, 1] if one is table else [-1, 0])
            assert one.counts.of(["a"], np.array([0])).tolist() == [len(one)]
            assert module.asked["find"] == asked + 2
    assert module.asked["find"] == looked["find"]


def test_a_state_gives_it_to_all_that_look_up() -> None:
    decoder = Decoder(CATALOGUE, Limits(), SKEW_MS)
    module = decoder.compiled = PlainModule()
    state = PartitionState(CATALOGUE, Limits(), decoder)
    chosen = selection("count", [(("a", "x"), 0, 0, (1, 1), 1, 1)], 0)
    assert state.identities.add(np.zeros(1, np.int64), np.zeros((1, 2), np.uint64)).tolist() == [True]
    assert module.asked == {"add": 1}
    assert state.table(CATALOGUE.meters[0]).find(chosen).tolist() == [-1]
    assert module.asked == {"add": 1, "find": 1}
    assert state._named(decoder.vocabulary, 1).codes(np.zeros(1, np.int64), [np.zeros(1, np.int64)]).tolist() == [0]
    assert module.asked == {"add": 1, "find": 1, "codes": 2}


def test_a_key_that_was_found_is_found_in_a_grown_table() -> None:
    codes = IntCodes(PlainModule())
    keys = np.arange(int_codes._SLOTS_MIN * 3, dtype=np.int64) << 32
    assert codes.codes(keys).tolist() == list(range(len(keys)))
    assert codes.find(keys[::-1]).tolist() == list(range(len(keys)))[::-1]


@pytest.mark.parametrize("wanted", [False, True])
def test_a_decoder_uses_it_where_it_is_wanted(wanted: bool) -> None:
    kernel = mock.Mock()
    kernel.decode.return_value = "read by the kernel"
    module = mock.Mock()
    with mock.patch.object(events, "built", return_value=module), mock.patch.object(events, "KernelDecoder") as made:
        made.return_value = kernel
        decoder = Decoder(CATALOGUE, Limits(), SKEW_MS, kernel=wanted)
        stamps = np.array([5], np.int64)
        found = decoder.decode([b"{}"], stamps)
    assert decoder.compiled is (module if wanted else None)
    if not wanted:
        assert not made.called
        return
    assert found == "read by the kernel"
    assert made.call_args.args == (module, decoder._shapes, Limits(), SKEW_MS)
    values, given_stamps, vocabulary, rest = kernel.decode.call_args.args
    assert (values, given_stamps, vocabulary) == ([b"{}"], stamps, decoder.vocabulary)
    assert [one.row for one in rest(values, stamps).refusals] == [0]


def test_a_decoder_reads_everything_itself_unless_told_otherwise() -> None:
    with mock.patch.object(events, "built", side_effect=AssertionError("nobody asked for it")):
        assert Decoder(CATALOGUE, Limits(), SKEW_MS).compiled is None
