"""What a price owes for the usage of a period, up to any day: the one function for prices of every kind.

The result is a function of the cumulative totals, so the differences between days, and the opening row for no usage,
add up to the whole (I6).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from rating.kernels import Step
from rating.numbers import EXACT, ZERO, Quantity, shown
from rating.periods import Period
from rating.prices import Matrix, Price, Recurring, explain, meters_of, price_amount
from rating.rollups import Counted, period_quantity
from rating.totals import DAY_MS, Total, day_ms

Values = Mapping[str, str]
Combination = tuple[tuple[str, str], ...]
BEGIN_MS = -(10**15)  # before any window


class Part(msgspec.Struct, frozen=True):
    """What one accumulator of a price owes; `values` are the dimensions that tell it apart, empty for all pooled.

    `quantity` is the rolled up one, before `convert`; `amount` is at 12 decimals; `steps` only where asked for.
    `joined`: of a matrix cell the combinations with usage, which `values` shows as one.
    """

    values: Values
    quantity: Quantity
    amount: Decimal
    steps: tuple[Step, ...] = ()
    joined: tuple[Values, ...] = ()

    @property
    def combinations(self) -> list[Combination]:
        """The values of its usage, one by one. Two cells of a matrix have none in common."""
        return [
            tuple((name, one.get(name, value)) for name, value in self.values.items()) for one in self.joined or ({},)
        ]


class Refused(msgspec.Struct, frozen=True):
    """Usage that no cell of a matrix takes: reported, never dropped and never billed as zero."""

    values: Values
    quantity: Quantity
    reason: str


class Priced(msgspec.Struct, frozen=True):
    """The parts of one price, by their values, and what it refused."""

    parts: tuple[Part, ...]
    refused: tuple[Refused, ...] = ()

    @property
    def amount(self) -> Decimal:
        """The sum of the parts, exact."""
        total = ZERO
        for part in self.parts:
            total = EXACT.add(total, part.amount)
        return total

    @property
    def quantity(self) -> Decimal:
        """The sum of the parts' quantities, each as rows show it."""
        total = ZERO
        for part in self.parts:
            total = EXACT.add(total, shown(part.quantity))
        return total


class Span(msgspec.Struct, frozen=True):
    """The days that are priced, in milliseconds since 1970; see `price_usage`."""

    start_ms: int
    through_ms: int
    end_ms: int
    divisor_ms: int

    def quantity(self, counted: Counted, totals: Iterable[Total]) -> Quantity:
        """The quantity that a price, or the condition of a discount, has of these totals."""
        return period_quantity(
            counted,
            totals,
            self.start_ms,
            self.through_ms,
            period_end_ms=self.end_ms,
            divisor_ms=self.divisor_ms,
        )


def price_usage(
    price: Price,
    totals: Sequence[Total],
    period: Period,
    through: date | None = None,
    *,
    whole: Period | None = None,
    steps: bool = False,
) -> Priced:
    """What `price` owes for `totals` on the days of `period` before `through` (None: all of them).

    Totals of other meters and other days are ignored, so one list serves all prices of a plan; those before the period
    matter to a rollup that carries. A price that is pooled has one part even without usage; with `per` there is a part
    for each combination of values that has totals. `whole`: the billing period of which `period` is a segment, whose
    length divides a mean. Raises ValueError for a window that a rollup cannot place.
    """
    return price_span(price, totals, span_of(period, through, whole), steps=steps)


def price_span(price: Price, totals: Sequence[Total], span: Span, *, steps: bool = False) -> Priced:
    """`price_usage` between instants that need not be days in UTC."""
    meters = meters_of(price)
    first_ms = BEGIN_MS if carries(price) else span.start_ms
    mine = [total for total in totals if total.meter in meters and first_ms <= total.start_ms < span.through_ms]
    if not price.per:
        return _priced(price, {}, mine, span, steps)
    groups: dict[tuple[str, ...], list[Total]] = {}
    for total in mine:
        groups.setdefault(tuple(total.label(name) for name in price.per), []).append(total)
    found = []
    for key, group in sorted(groups.items()):
        found.append(_priced(price, dict(zip(price.per, key, strict=True)), group, span, steps))
    return Priced(
        tuple(part for one in found for part in one.parts),
        tuple(refused for one in found for refused in one.refused),
    )


def span_of(period: Period, through: date | None, whole: Period | None) -> Span:
    """The days of `period` before `through`, as a part of the billing period `whole`."""
    length = whole or period
    return Span(
        start_ms=day_ms(period.start),
        through_ms=day_ms(period.end if through is None else min(through, period.end)),
        end_ms=day_ms(period.end),
        divisor_ms=day_ms(length.end) - day_ms(length.start),
    )


def _priced(price: Price, values: Values, totals: list[Total], span: Span, steps: bool) -> Priced:
    met = False
    if price.discount is not None:
        met = price.discount.when.holds(span.quantity(price.discount.when, totals))
    if isinstance(price, Matrix):
        return _matrix(price, values, totals, span, met, steps)
    quantity = Decimal(price.quantity) if isinstance(price, Recurring) else span.quantity(price, totals)
    amount = price_amount(price, quantity, met)
    return Priced((Part(values, quantity, amount, explain(price, quantity, met) if steps else ()),))


def _matrix(price: Matrix, values: Values, totals: list[Total], span: Span, met: bool, steps: bool) -> Priced:
    by_key: dict[tuple[str, ...], list[Total]] = {}
    for total in totals:
        by_key.setdefault(tuple(total.label(name) for name in price.dimensions), []).append(total)
    pooled: dict[int, tuple[Price, list[Values], list[Total]]] = {}  # combinations of one cell share its tiers
    refused: list[Refused] = []
    for key, found in sorted(by_key.items()):
        if not any(total.meter == price.meter for total in found):
            continue  # usage of a meter that only a condition looks at
        inner = price.cells.get(key, price.fallback)
        where = dict(zip(price.dimensions, key, strict=True))
        if inner is None:
            quantity = span.quantity(price, found)
            refused.append(Refused({**values, **where}, quantity, f"no matrix row for {_spoken(where)}"))
            continue
        _, places, together = pooled.setdefault(id(inner), (inner, [], []))
        places.append(where)
        together += found
    parts: list[Part] = []
    for inner, places, together in pooled.values():
        priced = _priced(inner, {**values, **_joined(places)}, together, span, steps)
        parts += [replace(part, joined=tuple(places)) for part in priced.parts]
        refused += priced.refused
    return Priced((*parts, *_of_the_whole(price, values, parts, met, steps)), tuple(refused))


def _of_the_whole(price: Matrix, values: Values, parts: list[Part], met: bool, steps: bool) -> list[Part]:
    """What the terms of the matrix itself add to or take from the sum of its cells; nothing where they do not bite."""
    charged = Priced(tuple(parts)).amount
    final = price.pipeline.terms(charged, met)
    if final == charged:
        return []
    explained = tuple(price.pipeline.term_steps(charged, final, met)) if steps else ()
    return [Part(values, ZERO, EXACT.subtract(final, charged), explained)]


def rolled_up_within_a_day(price: Price) -> bool:
    """Whether it looks at less than whole days."""
    inner = [*price.cells.values(), price.fallback] if isinstance(price, Matrix) else []
    own = price.rollup is not None and price.rollup.every_ms < DAY_MS
    return own or any(rolled_up_within_a_day(one) for one in inner if one is not None)


def carries(price: Price) -> bool:
    """Whether a value from before the period may count in it."""
    inner = [*price.cells.values(), price.fallback] if isinstance(price, Matrix) else []
    own = price.rollup is not None and price.rollup.missing == "carry"
    return own or any(carries(one) for one in inner if one is not None)


def _joined(places: list[Values]) -> dict[str, str]:
    """The combinations that a cell took, as one: {"region": "eu+na"}."""
    names = places[0].keys()
    return {name: "+".join(sorted({place[name] for place in places})) for name in names}


def _spoken(where: Values) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in where.items())
