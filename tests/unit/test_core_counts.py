"""How many series a subject has in a window, and the codes of texts, against dictionaries of Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from processors.series_counts import SeriesCounts
from processors.vocabulary import Codes

PARTIAL = st.tuples(st.sampled_from("abcdef"), st.integers(0, 40), st.integers(0, 5))  # subject, dimension, window
BATCHES = st.lists(st.lists(PARTIAL, min_size=1, max_size=60), max_size=4)
PLACES = [(subject, window) for subject in "abcdefg" for window in range(7)]


@given(BATCHES)
def test_series_of_a_subject_and_window_are_counted_as_they_begin(batches: list[list[tuple[str, int, int]]]) -> None:
    counts, known, begun = SeriesCounts(), Codes(), set[tuple[str, int, int]]()
    for batch in batches:
        fresh = [one for one in dict.fromkeys(batch) if one not in begun]
        begun.update(fresh)
        codes = known.codes([(subject, str(value)) for subject, value, _ in fresh], len(fresh))
        if fresh:
            counts.add(known.seen, codes, np.array([window for *_, window in fresh], np.int64))
        naive = Counter((subject, window) for subject, _, window in begun)
        assert counts.most == max(naive.values(), default=0)
        subjects, windows = zip(*PLACES, strict=True)
        assert counts.of(subjects, np.array(windows, np.int64)).tolist() == [naive[place] for place in PLACES]


def test_counts_of_two_batches_add_up_by_subject_and_window() -> None:
    counts, nobody = SeriesCounts(), np.array([0, 3])
    assert (counts.of(["a", "b"], nobody).tolist(), counts.of(["a"], nobody[:1]).dtype) == ([0, 0], np.int64)
    series = [("b", "x"), ("a", "x"), ("a", "y")]
    counts.add(series, np.array([0, 1, 2, 0]), np.array([3, 3, 3, 4]))
    asked = list("abab"), np.array([3, 3, 4, 4])
    assert (counts.of(*asked).tolist(), counts.most) == ([2, 1, 0, 1], 2)
    series += [("b", "y"), ("c", "y"), ("b", "z")]
    counts.add(series, np.array([3, 5, 4, 1]), np.array([4, 4, 4, 4]))
    assert (counts.of(*asked).tolist(), counts.most) == ([2, 1, 1, 3], 3)
    assert counts.of(["c", "d", "c"], np.array([4, 4, 3])).tolist() == [1, 0, 0]
    counts.add(series, np.array([5]), np.array([9]))
    assert counts.most == 3, "the highest of any, not of the last"


def test_a_subject_without_dimensions_is_one_series_in_each_window() -> None:
    counts = SeriesCounts()
    assert counts.most == 0
    counts.add([("a",), ("b",)], np.array([0, 1, 0]), np.array([1, 1, 2]))
    assert counts.most == 1


def test_values_that_come_twice_or_were_there_do_not_begin() -> None:
    assert [Codes().begin(values) for values in (["a", "b"], ["a", "a"], [])] == [True, False, True]
    codes = Codes()
    assert codes.begin(["a", "b"])
    assert codes.begin(["c"])
    assert codes.codes(["c", "d", "a"], 3).tolist() == [2, 3, 0]
    assert codes.seen == ["a", "b", "c", "d"]
    assert not codes.begin(["e", "b"])
