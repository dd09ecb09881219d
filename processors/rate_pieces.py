"""The pieces that a month is priced in, compiled: what is the same for every account is worked out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from processors.rate_contracts import Line
from processors.rate_parts import PartDay
from rating.numbers import ZERO
from rating.periods import Period
from rating.prices import Price, meters_of
from rating.rate import Segment
from rating.usage import price_usage


class Priced(NamedTuple):
    """One price of a piece, or what stands for it where nothing prices a meter (`price` None, and the reason)."""

    line: Line
    price: Price | None
    meters: frozenset[str]
    opening: PartDay | None = None  # None: it has parts, and each opens with its first usage
    reason: str = ""


class Piece:
    """One segment of a month."""

    def __init__(self, segment: Segment, month: Period, looks_closer: Callable[[Price], bool]) -> None:
        """`looks_closer`: whether a price asks for more than the total of its meter."""
        self.segment = segment
        self.prices = [_priced(price, segment, month) for price in segment.plan.price] if segment.plan else []
        self.closer = [one for one in self.prices if one.price and looks_closer(one.price)]
        self._by_meter: dict[str, list[Priced]] = {}
        for one in self.prices:
            for meter in one.meters:
                self._by_meter.setdefault(meter, []).extend(() if one in self.closer else (one,))

    def plain(self, meter: str) -> list[Priced]:
        """The prices that the total of a meter is enough for; what stands for them where nothing prices it."""
        found = self._by_meter.get(meter)
        if found is None:
            found = self._by_meter[meter] = [self._unrated(meter)]
        return found

    def _unrated(self, meter: str) -> Priced:
        plan, start, reason = self.segment.plan, self.segment.start, self.segment.reason
        line = Line("", meter, "", start, "", 0, "", "")
        if plan:
            reason = f"plan {plan.id} version {plan.version} has no price for this meter"
            line = Line("", meter, "", start, plan.id, plan.version, "", plan.currency)
        return Priced(line, None, frozenset((meter,)), reason=reason)


def _priced(price: Price, segment: Segment, month: Period) -> Priced:
    plan = segment.plan
    assert plan is not None
    place = (price.id, price.meter or "", "", segment.start)
    line, opening = Line(*place, plan.id, plan.version, price.model, plan.currency), None
    if not price.per:
        owed = price_usage(price, [], Period(segment.start, segment.end), segment.start, whole=month).amount
        opening = PartDay(None, "", ZERO, ZERO, owed, owed, "")
    return Priced(line, price, meters_of(price), opening)
