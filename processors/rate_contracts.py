"""The days of a contract whose periods, changes or proration no day in UTC can express: differences of whole periods.

`rating.rate_period` prices the period with its usage up to the end of each day, so the days and the opening row add up
to the lines of the invoice (I6). A day that two periods share has a row in each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

import msgspec

from processors.rate_parts import PartDay, part_text
from rating.billing import rate_period
from rating.calendar import BillingPeriod
from rating.charges import ms
from rating.contracts import Contract
from rating.numbers import EXACT, ZERO
from rating.openings import Opening
from rating.rate import Segment, Tariff
from rating.totals import Total

_DAY = timedelta(days=1)


class Line(msgspec.Struct, frozen=True):
    """What a row is about, apart from its day. `price` is empty for usage that nothing prices."""

    price: str
    meter: str
    part: str
    start: date  # of the piece of the period in which the price holds
    plan: str
    plan_version: int
    model: str
    currency: str

    @property
    def key(self) -> tuple[str, str, str, date]:
        """What tells the line from others of its period; the plan's version and the model may change."""
        return self.price, self.meter, self.part, self.start


class _Owed(NamedTuple):
    line: Line
    quantity: Decimal
    amount: Decimal | None
    reason: str


def periods_of(contract: Contract, start: date, end: date) -> Iterator[BillingPeriod]:
    """The billing periods that share a moment with the days [start, end), ascending, none before the contract."""
    until = _midnight(end) if contract.to is None else min(_midnight(end), contract.to)
    at = max(_midnight(start), contract.from_)
    while at < until:
        period = contract.calendar.period_of(at)
        yield period
        at = period.end


def days_of(period: BillingPeriod) -> tuple[date, date]:
    """The UTC days [start, end) that a period touches."""
    return period.start.date(), (period.end - timedelta(microseconds=1)).date() + _DAY


def days_held(contract: Contract, period: BillingPeriod) -> tuple[date, date]:
    """The UTC days [start, end) with a moment of the contract in the period."""
    start, end = days_of(period)
    if contract.to is not None:
        end = min(end, (contract.to - timedelta(microseconds=1)).date() + _DAY)
    return max(start, contract.from_.date()), end


def held_by(contract: Contract, period: BillingPeriod, totals: Sequence[Total]) -> list[Total]:
    """Without the usage of the period before and after the contract, which others price."""
    start, begin, end = ms(period.start), ms(contract.from_), None if contract.to is None else ms(contract.to)
    return [
        total
        for total in totals
        if (total.start_ms < start or total.start_ms >= begin) and (end is None or total.start_ms < end)
    ]


def contract_days(
    contract: Contract,
    tariff: Tariff,
    period: BillingPeriod,
    totals: Sequence[Total],
    days: Sequence[date],
    first: date,
) -> Iterator[tuple[Line, PartDay]]:
    """The opening rows of a period and, of every line, a row for each of `days` (ascending) from `first` on."""
    per = tariff.taken_apart_by
    before = _owed(contract, tariff, period, [], period.start, per)
    for owed in before.values():
        yield owed.line, PartDay(None, owed.line.part, ZERO, ZERO, owed.amount, owed.amount, owed.reason)
    earlier = [day for day in days if day < first]
    if earlier:
        before = _owed(contract, tariff, period, totals, _midnight(earlier[-1] + _DAY), per)
    for day in days[len(earlier) :]:
        now = _owed(contract, tariff, period, totals, _midnight(day + _DAY), per)
        for key in sorted(before.keys() | now.keys()):
            known = now.get(key) or before[key]
            owed = now.get(key, _Owed(known.line, ZERO, None if known.amount is None else ZERO, known.reason))
            was = before.get(key, _Owed(known.line, ZERO, ZERO, ""))
            yield (
                known.line,
                PartDay(
                    day,
                    known.line.part,
                    EXACT.subtract(owed.quantity, was.quantity),
                    owed.quantity,
                    None if owed.amount is None else EXACT.subtract(owed.amount, was.amount or ZERO),
                    owed.amount,
                    owed.reason,
                ),
            )
        before = now


def _owed(
    contract: Contract,
    tariff: Tariff,
    period: BillingPeriod,
    totals: Sequence[Total],
    through: datetime,
    per: Mapping[str, frozenset[str]],
) -> dict[tuple[str, str, str, date], _Owed]:
    """Lines that stand under one key are added: two changes of a price in one day, and the cells of a matrix. So is
    what has no price before and after a change; what two prices refuse of one piece is the same usage, and stays once.
    """
    opening = Opening(max(period.start, contract.from_))
    rated = rate_period(contract, totals, tariff, opening, through=through, explained=False)
    found: dict[tuple[str, str, str, date], _Owed] = {}
    for line in rated.lines:
        about = Line(
            *(line.price, line.meter or "", _part(line.values, per[line.price]), line.start.date()),
            *(line.plan, line.plan_version, line.model, rated.currency),
        )
        was = found.get(about.key)
        quantity, amount = line.quantity, line.amount_unrounded
        if was is not None:
            quantity, amount = EXACT.add(quantity, was.quantity), EXACT.add(amount, was.amount or ZERO)
        found[about.key] = _Owed(about, quantity, amount, "")
    told: set[tuple[tuple[str, str, str, date], datetime]] = set()
    for row in rated.unrated:
        about = Line("", row.meter, part_text(row.values), row.start.date(), "", 0, "", "")
        if (about.key, row.start) in told:
            continue
        told.add((about.key, row.start))
        was = found.get(about.key, _Owed(about, ZERO, None, row.reason))
        reason = row.reason if row.reason == was.reason else f"{was.reason}; {row.reason}"
        found[about.key] = _Owed(about, EXACT.add(was.quantity, row.quantity), None, reason)
    return found


def _part(values: Mapping[str, str], names: frozenset[str]) -> str:
    return part_text({name: value for name, value in values.items() if name in names})


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


class WholeDue(NamedTuple):
    """What is due of a contract: the days [start, end), of which those from `first` on changed (None: none)."""

    contract: Contract
    start: date
    end: date
    first: date | None


def join(due: dict[tuple[str, datetime], WholeDue], segment: Segment, opens: bool, meters: dict[str, date]) -> None:
    """Add a segment, and the first day changed of each of its meters, to what is due of its contract."""
    contract = segment.contract
    assert contract is not None
    first = min(meters.values(), default=None)
    start = segment.start if opens or first is None else max(segment.start, first)
    place = (contract.account, contract.from_)
    was = due.get(place)
    if was is not None:
        firsts = [one for one in (was.first, first) if one is not None]
        due[place] = WholeDue(contract, min(was.start, start), max(was.end, segment.end), min(firsts, default=None))
    else:
        due[place] = WholeDue(contract, start, segment.end, first)
