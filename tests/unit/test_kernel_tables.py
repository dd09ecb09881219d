"""The fold's tables give the same codes and verdicts whether the kernel looks them up or numpy does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.compiled import built
from processors.identity import DigestSet, Identities
from processors.int_codes import IntCodes
from processors.partials import PartialTable
from tests.unit.test_core_windows import HOUR_MS, selection

pytestmark = pytest.mark.skipif(built() is None, reason="the kernel is not built (`make kernel`)")
KEYS = st.integers(-3, 40) | st.sampled_from([2**63 - 1, -(2**63), 2**32, -(2**32)])
DIGESTS = st.tuples(st.sampled_from([0, 1, 16, 2**63, 2**64 - 1]) | st.integers(0, 99), st.integers(0, 3))


@given(st.lists(st.lists(KEYS, max_size=60), max_size=8))
@settings(deadline=None)
def test_keys_get_the_same_codes(batches: list[list[int]]) -> None:
    pure, compiled = IntCodes(), IntCodes(built())
    for batch in batches:
        keys = np.array(batch, np.int64)
        assert compiled.find(keys).tolist() == pure.find(keys).tolist()
        assert compiled.codes(keys).tolist() == pure.codes(keys).tolist()
    assert compiled.keys.tolist() == pure.keys.tolist()


@given(st.lists(st.lists(DIGESTS, max_size=60), max_size=8))
@settings(deadline=None)
def test_the_same_identities_are_new(batches: list[list[tuple[int, int]]]) -> None:
    module = built()
    assert module is not None
    pure, compiled = DigestSet(), DigestSet()
    for place, batch in enumerate(batches):
        digests = np.array(batch, np.uint64).reshape(-1, 2)
        new = compiled.add(digests) if place % 3 == 2 else compiled.add_compiled(digests, module)
        assert new.tolist() == pure.add(digests).tolist(), "whoever added those before"
        assert compiled.contains(digests).all()
    assert compiled.keys.tolist() == pure.keys.tolist()


def test_large_tables_grow_alike() -> None:
    rng = np.random.default_rng(1)
    pure, compiled = Identities(), Identities(compiled=built())
    codes, compiled_codes = IntCodes(), IntCodes(built())
    for _ in range(20):
        digests = rng.integers(0, 2**17, (10_000, 2), np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        digests[:, 1] = 0
        times = rng.integers(0, 3, 10_000) * 3_600_000_000
        assert (compiled.add(times, digests) == pure.add(times, digests)).all()
        keys = digests[::2, 0].view(np.int64)  # not contiguous
        assert (compiled_codes.codes(keys) == codes.codes(keys)).all()
    assert len(compiled) == len(pure)


VALUES = st.sampled_from([0, 1, -1, 2**32 - 1, -(2**32), 2**32, 10**18, -(10**18)]) | st.integers(-(10**18), 10**18)
EVENTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), VALUES), min_size=1, max_size=40)


@pytest.mark.parametrize("aggregation", ["sum", "count", "max"])
@given(batches=st.lists(EVENTS, max_size=6))
@settings(deadline=None, max_examples=50)
def test_tables_hold_the_same_whoever_adds(aggregation: str, batches: list[list[tuple[str, int, int]]]) -> None:
    """Values as large as they may be, also below zero: a limb is never left full."""
    pure, compiled = PartialTable(aggregation, HOUR_MS), PartialTable(aggregation, HOUR_MS, built())
    for place, batch in enumerate(batches):
        events = [((subject, "x"), window, 0, (1, 1), value, 1) for subject, window, value in batch]
        for table in (pure, compiled):
            table.fold(selection(aggregation, events, place * 40))
        assert compiled.changed().tolist() == pure.changed().tolist()
        for name in pure.dtype.names or ():
            assert compiled.column(name).tolist() == pure.column(name).tolist()
        if place % 2:
            pure.settle()
            compiled.settle()
