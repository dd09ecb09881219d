"""The days of a price that looks closer than at its meter's total: rollups, matrices, `per`, conditions, gauges.

Each day is the difference of two cumulative amounts, so the days of a part add up to what the part comes to (I6). A
part that begins in mid-period owes its base fee on its first day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

import msgspec

from rating.numbers import EXACT, ZERO, shown
from rating.periods import Period
from rating.prices import Price
from rating.totals import Total
from rating.usage import Priced, price_usage

_DAY = timedelta(days=1)


class PartDay(NamedTuple):
    """One day of one part of a price, or its opening row (`day` None). Both amounts None: refused, and why."""

    day: date | None
    part: str
    quantity: Decimal
    quantity_total: Decimal
    amount: Decimal | None
    amount_total: Decimal | None
    reason: str


class _Owed(NamedTuple):
    quantity: Decimal
    amount: Decimal | None
    reason: str


def part_days(
    price: Price, totals: Sequence[Total], segment: Period, whole: Period, days: Sequence[date], first: date
) -> Iterator[PartDay]:
    """The opening row and, of every part, a row for each of `days` (ascending) from `first` on.

    `totals`: those of the account and of all meters of the price, the whole segment's and, for what is carried, those
    before it. `whole`: the billing period that `segment` is a part of.
    """
    before = _parts(price, price_usage(price, [], segment, segment.start, whole=whole))
    for part, owed in before.items():
        yield PartDay(None, part, ZERO, ZERO, owed.amount, owed.amount, owed.reason)
    earlier = [day for day in days if day < first]
    if earlier:
        before = _parts(price, price_usage(price, totals, segment, earlier[-1] + _DAY, whole=whole))
    for day in days[len(earlier) :]:
        now = _parts(price, price_usage(price, totals, segment, day + _DAY, whole=whole))
        for part in sorted(before.keys() | now.keys()):
            owed, was = now.get(part, _NOTHING), before.get(part, _NOTHING)
            yield PartDay(
                day,
                part,
                EXACT.subtract(owed.quantity, was.quantity),
                owed.quantity,
                None if owed.amount is None else EXACT.subtract(owed.amount, was.amount or ZERO),
                owed.amount,
                owed.reason,
            )
        before = now


_NOTHING = _Owed(ZERO, ZERO, "")


def _parts(price: Price, priced: Priced) -> dict[str, _Owed]:
    """By the values of the price's own dimensions: the cells of a matrix have no row each, as usage may join them."""
    found: dict[str, _Owed] = {}
    for one in priced.parts:
        part = part_text({name: one.values[name] for name in price.per})
        quantity, amount = shown(one.quantity), one.amount
        if part in found:
            quantity = EXACT.add(quantity, found[part].quantity)
            amount = EXACT.add(amount, found[part].amount or ZERO)
        found[part] = _Owed(quantity, amount, "")
    for refused in priced.refused:
        found[part_text(refused.values)] = _Owed(shown(refused.quantity), None, refused.reason)
    return found


def part_text(values: Mapping[str, str]) -> str:
    """Canonical JSON of a part's values, as it stands in a row's key; "" for all pooled."""
    return msgspec.json.encode(dict(sorted(values.items()))).decode() if values else ""
