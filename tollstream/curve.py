"""Draws what a price comes to, from no usage (or a credit) to twice a quantity: a small SVG that stands alone."""

from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from rating.numbers import shown, text
from rating.quotes import Context, exact_number, quote

if TYPE_CHECKING:
    from rating.prices import Price

_SAMPLES = 240  # a point for every other unit of the drawing's width
_WIDTH, _HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 20, 24, 44
_HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
    'font-family="sans-serif" font-size="12">\n'
    f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>\n'
)
_NICE = (1, 2, 5, 10)
_STRAIGHT = 0.02  # pixels: a bend smaller than that is not seen


class _Axis(NamedTuple):
    """Numbers laid out on pixels; the only place where an amount becomes a float, as a drawing has no cents."""

    low: Decimal
    high: Decimal
    start: float
    end: float

    def at(self, value: Decimal) -> float:
        return self.start + float((value - self.low) / (self.high - self.low)) * (self.end - self.start)

    def ticks(self) -> list[Decimal]:
        """Three to eight round numbers."""
        rough = (self.high - self.low) / 7
        unit = Decimal(10) ** rough.adjusted()
        step = next(nice * unit for nice in _NICE if nice * unit >= rough)
        first = -(-self.low // step)
        return [(first + place) * step for place in range(12) if (first + place) * step <= self.high]


def curve(price: "Price", quantity: str, currency: str, context: Context) -> str:
    """The SVG text; the quoted quantity is the dot. ValueError where the price refuses."""
    quoted = shown(exact_number(quantity))
    end = 2 * abs(quoted) or Decimal(10)
    begin = min(Decimal(0), quoted)
    places = [begin + (end - begin) * n / _SAMPLES for n in range(_SAMPLES + 1)]
    points = [(place, quote(price, place, currency=currency, context=context).amount) for place in places]
    dot = quote(price, quoted, currency=currency, context=context).amount
    amounts = [amount for _, amount in points]
    low, high = min(Decimal(0), *amounts, dot), max(*amounts, dot)
    x = _Axis(begin, end, _LEFT, _WIDTH - _RIGHT)
    y = _Axis(low, high if high > low else low + 1, _HEIGHT - _BOTTOM, _TOP)
    parts = [_HEAD, _grid(x, y, currency), f'<path d="{_path(points, x, y)}" fill="none" stroke="#1f6feb" ']
    parts.append('stroke-width="2" stroke-linejoin="round"/>\n')
    parts.append(f'<circle cx="{x.at(quoted):.1f}" cy="{y.at(dot):.1f}" r="4" fill="#d1242f"/>\n')
    label = escape(f"{text(quoted)}: {text(dot)} {currency}")
    parts.append(f'<text x="{_LEFT + 10}" y="{_TOP + 6}" fill="#d1242f">{label}</text>\n</svg>\n')
    return "".join(parts)


def _grid(x: _Axis, y: _Axis, currency: str) -> str:
    parts = []
    for tick in x.ticks():
        at = f"{x.at(tick):.1f}"
        parts.append(f'<path d="M{at} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{at}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{_short(tick)}</text>\n')
    for tick in y.ticks():
        at = f"{y.at(tick):.1f}"
        parts.append(f'<path d="M{_LEFT} {at}H{_WIDTH - _RIGHT}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at}" dy="4" text-anchor="end">{_short(tick)}</text>\n')
    middle = (_LEFT + _WIDTH - _RIGHT) // 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">quantity of the period</text>\n')
    parts.append(
        f'<text x="14" y="{(_TOP + _HEIGHT - _BOTTOM) // 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {(_TOP + _HEIGHT - _BOTTOM) // 2})">{escape(currency)}</text>\n'
    )
    return "".join(parts)


def _short(tick: Decimal) -> str:
    for power, letter in ((9, "G"), (6, "M"), (3, "k")):
        if abs(tick) >= Decimal(10) ** (power + (power == 3)):
            return text(tick.scaleb(-power)) + letter
    return text(tick)


def _path(points: list[tuple[Decimal, Decimal]], x: _Axis, y: _Axis) -> str:
    """One line through the points, without those that lie on the line between their neighbours."""
    placed = [(x.at(place), y.at(amount)) for place, amount in points]
    inner = [
        (across, down)
        for (_, before), (across, down), (_, after) in zip(placed, placed[1:], placed[2:], strict=False)
        if abs(before - 2 * down + after) > _STRAIGHT
    ]
    drawn = " ".join(f"L{across:.1f} {down:.1f}" for across, down in [placed[0], *inner, placed[-1]])
    return f"M{drawn[1:]}"
