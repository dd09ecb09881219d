"""Small charts as SVG that stand alone, read well on a light and on a dark page, and need no library.

A picture is one row of panels; a panel is a set of lines over the same few values, evenly spaced, from zero up.
"""

from collections.abc import Sequence
from html import escape
from math import floor, log10
from typing import NamedTuple

_WIDTH, _HEIGHT = 430, 300  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 18, 56, 52
_COLOURS = 3  # lines of one panel, at most
_TICKS = 6
_NICE = (1, 2, 2.5, 5, 10)
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_STYLE = """text { font: 12px system-ui, sans-serif; }
.title { font-size: 14px; font-weight: 600; }
.value { font-size: 11px; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
"""
# Text, softer text, the grid, and the lines.
_LIGHT = "#1f2328", "#59636e", "#d1d9e0", ("#0969da", "#bc4c00", "#1a7f37")
_DARK = "#f0f6fc", "#9198a1", "#3d444d", ("#4493f8", "#f0883e", "#3fb950")


def _scheme(ink: str, soft: str, grid: str, lines: Sequence[str]) -> str:
    strokes = "".join(f".s{n} {{ stroke: {one}; }} .d{n} {{ fill: {one}; }}\n" for n, one in enumerate(lines))
    return f"text {{ fill: {soft}; }} .title, .value {{ fill: {ink}; }} .grid {{ stroke: {grid}; }}\n{strokes}"


class Line(NamedTuple):
    """`values` one for each place of the panel; None where nothing was measured."""

    name: str
    values: Sequence[float | None]


class Panel(NamedTuple):
    title: str
    x_title: str
    y_title: str  # with its unit
    places: Sequence[float]  # what stands below, evenly spaced
    lines: Sequence[Line]


def picture(panels: Sequence[Panel]) -> str:
    """The SVG text. ValueError for a panel with more lines than there are colours."""
    if any(len(panel.lines) > _COLOURS for panel in panels):
        raise ValueError(f"a panel may have {_COLOURS} lines")
    width = _WIDTH * len(panels)
    # The page's scheme decides, also where the picture is an <img>; nothing is drawn behind it.
    style = f"{_STYLE}{_scheme(*_LIGHT)}@media (prefers-color-scheme: dark) {{\n{_scheme(*_DARK)}}}\n"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}">'
    )
    drawn = (f'<g transform="translate({n * _WIDTH} 0)">\n{"".join(_panel(one))}</g>\n' for n, one in enumerate(panels))
    return f"{head}\n<style>\n{style}</style>\n{''.join(drawn)}</svg>\n"


def short(value: float) -> str:
    """1500000 as 1.5M: at most three digits."""
    for size, unit in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def ticks(highest: float) -> list[float]:
    """From 0 by a round step up to the first that is not below the highest value; at most seven."""
    rough = max(highest, 1e-9) / (_TICKS - 1)
    unit = 10.0 ** floor(log10(rough))
    step = next(nice * unit for nice in _NICE if nice * unit >= rough)
    count = next(n for n in range(1, _TICKS + 2) if n * step >= highest)
    return [n * step for n in range(count + 1)]


def _panel(panel: Panel) -> list[str]:
    known = [value for line in panel.lines for value in line.values if value is not None]
    marks = ticks(max(known, default=1.0))
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def x(place: int) -> float:
        return _LEFT + (right - _LEFT) * (place + 0.5) / len(panel.places)

    def y(value: float) -> float:
        return bottom - (bottom - _TOP) * value / marks[-1]

    parts = [f'<text class="title" x="{_LEFT}" y="18">{escape(panel.title)}</text>\n']
    for mark in marks:
        parts.append(f'<path class="grid" d="M{_LEFT} {y(mark):.1f}H{right}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(mark) + 4:.1f}" text-anchor="end">{short(mark)}</text>\n')
    for number, place in enumerate(panel.places):
        parts.append(f'<text x="{x(number):.1f}" y="{bottom + 18}" text-anchor="middle">{short(place)}</text>\n')
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(panel.x_title)}</text>\n')
    at = (_TOP + bottom) / 2
    parts.append(
        f'<text transform="translate(14 {at}) rotate(-90)" text-anchor="middle">{escape(panel.y_title)}</text>'
    )
    parts.append("\n")
    for number, line in enumerate(panel.lines):
        parts += _line(line, number, [(x(n), y(v), v) for n, v in enumerate(line.values) if v is not None])
    if len(panel.lines) > 1:
        parts += _legend([line.name for line in panel.lines])
    return parts


def _line(line: Line, number: int, points: list[tuple[float, float, float]]) -> list[str]:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in points)
    parts = [f'<path class="line s{number}" d="M{path}"/>\n'] if points else []
    for x, y, value in points:
        told = f"<title>{escape(line.name)}: {value:,.6g}</title>"
        parts.append(f'<circle class="d{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">{told}</circle>')
        if not number:  # the numbers of one line are readable; those of three are not
            parts.append(f'<text class="value" x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{short(value)}</text>')
        parts.append("\n")
    return parts


def _legend(names: Sequence[str]) -> list[str]:
    parts, x = [], float(_LEFT)
    for number, name in enumerate(names):
        parts.append(f'<circle class="d{number}" cx="{x + 4:.0f}" cy="34" r="4"/>')
        parts.append(f'<text x="{x + 13:.0f}" y="38">{escape(name)}</text>\n')
        x += 28 + 6.6 * len(name)
    return parts
