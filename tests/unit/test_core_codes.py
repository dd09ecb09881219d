"""Texts, keys and series as small integers, against dictionaries of Python."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
from events_samples import CATALOGUE, SKEW_MS, decode, event, to_json
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Limits
from processors.combinations import Combinations
from processors.events import Decoder
from processors.int_codes import IntCodes
from processors.vocabulary import Codes, Vocabulary

KEYS = st.lists(st.lists(st.one_of(st.integers(0, 20), st.integers(0, 2**62)), max_size=80), max_size=6)
TEXT = st.sampled_from(["", "a", "b", "é", "a b"])


@given(KEYS)
def test_keys_get_codes_in_order_of_first_sight(batches: list[list[int]]) -> None:
    codes, naive = IntCodes(), Codes()
    for batch in batches:
        keys = np.array(batch, np.int64)
        known = [naive.get(key, -1) for key in batch]
        assert codes.find(keys).tolist() == known
        assert codes.codes(keys).tolist() == naive.codes(batch, len(batch)).tolist()
        assert codes.keys.tolist() == naive.seen
        assert len(codes) == len(naive)


def test_codes_are_whole_numbers_of_64_bits_whoever_finds_them() -> None:
    codes = IntCodes()
    for keys in (np.array([5, 7, 5]), np.array([7, 7]), np.array([9, 5]), np.array([], np.int64)):
        assert (
            codes.find(keys).dtype == codes.codes(keys).dtype == codes.find(keys).dtype == codes.keys.dtype == np.int64
        )


@given(KEYS)
def test_keys_that_all_want_one_slot_are_told_apart(batches: list[list[int]]) -> None:
    """The worst a source could do: every search looks at every slot."""
    with mock.patch("processors.int_codes._MIX", np.uint64(0)):
        codes, naive = IntCodes(), Codes()
        for batch in batches:
            assert codes.codes(np.array(batch, np.int64)).tolist() == naive.codes(batch, len(batch)).tolist()


@given(st.integers(0, 3), st.data())
def test_a_series_has_one_code_and_gives_its_texts_back(dimensions: int, data: Any) -> None:
    named = Combinations(Vocabulary(), dimensions)
    events = data.draw(st.lists(st.tuples(*[TEXT] * (dimensions + 1)), min_size=1, max_size=40))
    subject, *others = (named.vocabulary.codes(column, len(events)) for column in zip(*events, strict=True))
    codes = named.codes(subject, others)
    assert named.series(codes) == events
    assert len(set(codes.tolist())) == len(set(events))
    assert max(codes.tolist()) < len(named)
    assert named.dimension_sets == (len({event[1:] for event in events}) if dimensions else 1)


def test_the_empty_text_has_code_zero() -> None:
    codes = Vocabulary().codes(["", "a", ""], 3)
    assert (codes.tolist(), codes.dtype) == ([0, 1, 0], np.int64)


def test_i7_a_decoder_begins_a_new_vocabulary_when_it_has_grown_past_its_limit() -> None:
    decoder = Decoder(CATALOGUE, Limits(vocabulary_texts_max=3), SKEW_MS)
    first = decode(to_json(event(subject="a")), decoder=decoder).vocabulary
    again = decode(to_json(event(subject="b")), to_json(event(subject="c")), decoder=decoder).vocabulary
    assert again is first
    assert decode(to_json(event(subject="d")), decoder=decoder).vocabulary is not first


def test_a_vocabulary_may_have_as_many_texts_more_as_there_are_series() -> None:
    decoder = Decoder(CATALOGUE, Limits(vocabulary_texts_max=3), SKEW_MS)
    decoder.series_open = 2
    first = decode(*(to_json(event(subject=name)) for name in "abc"), decoder=decoder).vocabulary
    assert len(first) == 5
    assert decode(to_json(event(subject="d")), decoder=decoder).vocabulary is first
    assert decode(to_json(event(subject="e")), decoder=decoder).vocabulary is not first


@given(st.lists(st.lists(st.integers(0, 20), unique=True, max_size=12), max_size=6))
def test_values_that_are_all_different_get_the_same_codes_together(batches: list[list[int]]) -> None:
    together, alone = Codes(), Codes()
    for batch in batches:
        assert together.of_distinct(batch) == alone.codes(batch, len(batch)).tolist()
    assert (together.seen, dict(together)) == (alone.seen, dict(alone))
