"""What becomes of a price that is held for part of a period, or that changes within one."""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import msgspec

from rating.calendar import BillingPeriod
from rating.contracts import Contract
from rating.kernels import Step, flat_step
from rating.numbers import EXACT, ZERO, Quantity, to_amount
from rating.pipeline import Pipeline
from rating.plans import Plan
from rating.prices import Dynamic, Flat, Matrix, Percentage, PerUnit, Price, Recurring, needs_totals
from rating.proration import share
from rating.timeline import Span


class Piece(NamedTuple):
    """A line to be: what `price` owes for [since, end) less what it owes for [since, start).

    Usage is known up to `through`, which is not after `end`: no value is carried beyond it.
    """

    price: Price
    plan: Plan
    place: int
    since: datetime
    start: datetime
    end: datetime
    through: datetime


def is_tiered(price: Price) -> bool:
    """Whether usage priced in two parts may owe something else than in one: tiers, allowances, bounds, rounding."""
    if isinstance(price, Flat | Recurring):
        return False
    straight = isinstance(price, PerUnit | Dynamic) or (isinstance(price, Percentage) and not price.tiers)
    if isinstance(price, Matrix) or not straight or needs_totals(price):
        return True
    bounded = price.minimum_amount is not None or price.maximum_amount is not None
    rounded = price.convert is not None and price.convert.round is not None
    return bounded or rounded or Decimal(price.free_quantity) != 0


def pieces(
    contract: Contract, period: BillingPeriod, spans: list[Span], used_before: bool, through: datetime
) -> list[Piece]:
    """The pieces of one price id that is held in `spans`, by `tiers_on_change`; restart where nothing is said.

    `used_before`: the period has usage from before the contract, which `continue` counts.
    """
    policy = contract.tiers_on_change
    if spans[0].price.meter is None:
        return [_piece(span, span.price, span.start, through) for span in spans]
    if policy == "reprice":
        whole = spans[-1]._replace(start=spans[0].start)
        return [_piece(whole, whole.price, whole.start, through)]
    if policy == "continue":
        since = period.start if used_before else spans[0].start
        return [_piece(span, span.price, since, through) for span in spans]
    if policy == "prorate":
        return [_piece(span, scaled(span.price, _part(contract, period, span)), span.start, through) for span in spans]
    return [_piece(span, span.price, span.start, through) for span in spans]


def _piece(span: Span, price: Price, since: datetime, through: datetime) -> Piece:
    return Piece(price, span.plan, span.place, since, span.start, span.end, min(span.end, through))


def _part(contract: Contract, period: BillingPeriod, span: Span) -> Fraction:
    """The share of tiers: by day where the contract prorates by day, but for a span within one day."""
    by_day = contract.proration == "day" and share(contract.calendar, period, span.start, span.end, "day")
    return by_day or share(contract.calendar, period, span.start, span.end, "second")


def scaled(price: Price, part: Fraction) -> Price:
    """The price for a share of a period: it owes part * price(quantity / part).

    So bounds of tiers, allowances, flat amounts of tiers, minimum and maximum are those of the period times `part`, and
    amounts for a unit stay. A flat price is shared out by `rating.proration` instead.
    """
    if part == 1:
        return price
    copy = msgspec.structs.replace(price)
    room = copy.__dict__  # where prices keep what is compiled
    room["pipeline"] = _Scaled(price.pipeline, part)
    if isinstance(price, Matrix):
        made: dict[int, Price] = {}  # combinations of one cell share its tiers, so they must share the scaled cell
        room["cells"] = {key: made.setdefault(id(cell), scaled(cell, part)) for key, cell in price.cells.items()}
        room["fallback"] = None if price.fallback is None else scaled(price.fallback, part)
    return copy


class _Scaled(Pipeline):
    """A pipeline for a share of a period."""

    def __init__(self, whole: Pipeline, part: Fraction) -> None:
        self._whole, self._part = whole, part

    def amount(self, quantity: Quantity, met: bool) -> Decimal:
        """At 12 decimals; an amount that has no more of them is not rounded, as the share is below one."""
        return self._shared(self._whole.amount(self._more(quantity), met))

    def terms(self, amount: Decimal, met: bool) -> Decimal:
        """The terms alone, of an amount for the share."""
        return self._shared(to_amount(self._whole._owed(self._more(amount), met)))

    def steps(self, quantity: Quantity, met: bool) -> list[Step]:
        """Those of a whole period, and then the share of it."""
        return self._with_share(self._whole.steps(self._more(quantity), met), self.amount(quantity, met))

    def term_steps(self, charged: Decimal, final: Decimal, met: bool) -> list[Step]:
        """What the terms do, in one step."""
        return [flat_step(f"terms, for {self._part} of the period", EXACT.subtract(final, charged))]

    def _more(self, value: Quantity) -> Fraction:
        return Fraction(value) / self._part

    def _shared(self, amount: Decimal) -> Decimal:
        return to_amount(Fraction(amount) * self._part)

    def _with_share(self, steps: list[Step], amount: Decimal) -> list[Step]:
        whole = ZERO
        for step in steps:
            whole = EXACT.add(whole, step.amount)
        rest = EXACT.subtract(amount, whole)
        return [*steps, flat_step(f"{self._part} of the period", rest)] if rest else steps
