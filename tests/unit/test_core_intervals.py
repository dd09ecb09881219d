"""Intervals of numbers: the fewest that hold the same, and fewer at a price."""

from __future__ import annotations

import pytest

from processors.intervals import HOLES, MEMBERS, Span, fewer, united


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([(5, 6), (1, 2)], [(1, 2), (5, 6)]),
        ([(1, 2), (3, 4)], [(1, 4)]),
        ([(1, 2), (4, 4)], [(1, 2), (4, 4)]),
        ([(8, 9), (3, 7), (1, 1)], [(1, 1), (3, 9)]),
    ],
)
def test_neighbours_become_one_and_a_gap_of_one_number_stays(given: list[Span], expected: list[Span]) -> None:
    assert united(given) == expected


def test_the_smallest_gap_is_closed_where_that_leaves_fewer_numbers_to_keep() -> None:
    spans = [(0, 9), (20, 29), (31, 40), (60, 69)]
    assert fewer(spans, 1) == ([(0, 9), (20, 40), (60, 69)], HOLES, [(30, 1)])
    assert fewer(spans, 2) == ([(0, 40), (60, 69)], HOLES, [(30, 1), (10, 10)])


def test_the_shortest_intervals_end_where_the_gaps_are_larger() -> None:
    spans = [(0, 9), (100, 102), (200, 209), (300, 301)]
    assert fewer(spans, 1) == ([(0, 9), (100, 102), (200, 209)], MEMBERS, [(300, 2)])
    assert fewer(spans, 2) == ([(0, 9), (200, 209)], MEMBERS, [(300, 2), (100, 3)])


def test_at_the_same_price_the_gap_is_closed() -> None:
    assert fewer([(0, 0), (2, 2)], 1) == ([(0, 2)], HOLES, [(1, 1)])


def test_where_there_are_too_few_gaps_intervals_end() -> None:
    assert fewer([(0, 5), (7, 9)], 2) == ([], MEMBERS, [(7, 3), (0, 6)])
