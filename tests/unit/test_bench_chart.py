"""Charts."""

from xml.etree import ElementTree

import pytest

from benchmarks.chart import Line, Panel, picture, short, ticks

_SVG = "{http://www.w3.org/2000/svg}"


def test_ticks_are_round_and_reach_the_highest_value() -> None:
    assert ticks(0.9) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(1_000) == [0, 200, 400, 600, 800, 1000]
    assert ticks(7) == [0, 2, 4, 6, 8]
    for highest in (0.003, 1, 3.3, 12, 99, 101, 123_456, 4e9):
        marks = ticks(highest)
        assert marks[-1] >= highest > marks[-2] and 3 <= len(marks) <= 8


def test_large_numbers_are_written_short() -> None:
    assert [short(value) for value in (0.25, 12, 1_000, 1_500_000, 100_000_000)] == ["0.25", "12", "1k", "1.5M", "100M"]


def test_a_picture_is_xml_that_knows_both_schemes_and_escapes_what_it_is_told() -> None:
    lines = [Line("a < b", [1.0, None, 3.0]), Line("c", [2.0, 2.0, 2.0])]
    text = picture([Panel("one", "x", "y & z", [1, 10, 100], lines)] * 2)
    root = ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert len(root.findall(f"{_SVG}g")) == 2
    assert len(root.findall(f"{_SVG}g/{_SVG}path[@class='line s0']")) == 2
    assert "prefers-color-scheme: dark" in text and "y &amp; z" in text


def test_a_panel_takes_as_many_lines_as_there_are_colours() -> None:
    with pytest.raises(ValueError, match="3 lines"):
        picture([Panel("one", "x", "y", [1], [Line("a", [1.0])] * 4)])
