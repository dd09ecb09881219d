"""What is owed of contracts that no day in UTC can express: the price of a period with its usage up to each day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from rating.billing import rate_period
from rating.calendar import Anchor, BillingPeriod
from rating.charges import ms
from rating.contracts import Contract
from rating.numbers import EXACT, ZERO, shown
from rating.openings import Opening
from rating.periods import Period
from rating.rate import Tariff, whole_reason
from rating.states import State, merged
from rating.timeline import clipped, timeline
from rating.totals import Total
from reconcile.owed import Owed, RatedKey, part_text, said

_DAY: Final = timedelta(days=1)
_TICK: Final = timedelta.resolution
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_Line = tuple[date, str, str, str]  # start of the piece, price, meter, part


def whole_periods(tariff: Tariff, account: str, month: Period) -> Iterator[tuple[Contract, BillingPeriod]]:
    """The billing periods that begin in a month, UTC, of the contracts that are priced whole in it."""
    within = BillingPeriod(_midnight(month.start), _midnight(month.end))
    for contract in tariff.contracts_of(account):
        if (contract.anchor, contract.time_zone) == (Anchor(), "UTC"):
            held = clipped(timeline(contract, tariff.versions), within)
            if held and whole_reason(contract, held, within):
                yield contract, within
            continue
        period = contract.calendar.period_of(within.start)
        while period.start < within.end:
            held_on = period.end > contract.from_ and (contract.to is None or period.start < contract.to)
            if period.start >= within.start and held_on:
                yield contract, period
            period = contract.calendar.next(period)


def days_held(contract: Contract, period: BillingPeriod) -> tuple[date, date]:
    """The first and the last day, UTC, with a moment of the contract in the period."""
    end = period.end if contract.to is None else min(period.end, contract.to)
    return max(contract.from_, period.start).date(), (end - _TICK).date()


def contract_rows(
    tariff: Tariff, contract: Contract, period: BillingPeriod, totals: Sequence[Total], days: Sequence[date]
) -> Iterator[tuple[RatedKey, dict[str, Any]]]:
    """The opening rows, and of every line a row for each of `days`, ascending. `totals` are those of the account."""
    start, begin, end = ms(period.start), ms(contract.from_), None if contract.to is None else ms(contract.to)
    held = [
        one for one in totals if one.start_ms < start or (one.start_ms >= begin and (end is None or one.start_ms < end))
    ]

    def owed(through: datetime, used: Sequence[Total]) -> dict[_Line, Owed]:
        opening = Opening(max(period.start, contract.from_))
        rated = rate_period(contract, used, tariff, opening, through=through, explained=False)
        found: dict[_Line, Owed] = {}
        for one in rated.lines:
            names = tariff.taken_apart_by[one.price]
            part = part_text({name: value for name, value in one.values.items() if name in names})
            line = (one.start.date(), one.price, one.meter or "", part)
            quantity, amount = found.get(line, (ZERO, ZERO))
            found[line] = (EXACT.add(quantity, one.quantity), EXACT.add(amount or ZERO, one.amount_unrounded))
        told: set[tuple[_Line, datetime]] = set()
        for row in rated.unrated:
            line = (row.start.date(), "", row.meter, part_text(row.values))
            if (line, row.start) not in told:  # of one piece two prices refuse the same usage
                quantity, _ = found.get(line, (ZERO, None))
                found[line] = (EXACT.add(quantity, row.quantity), None)
            told.add((line, row.start))
        return found

    def key(line: _Line, opening: bool, day: date) -> RatedKey:
        return RatedKey(period.start.date(), *line[:3], opening, day, line[3])

    before = owed(period.start, [])
    for line, now in before.items():
        yield key(line, True, line[0]), said((ZERO, ZERO), now)
    for day in days:
        after = owed(_midnight(day + _DAY), held)
        for line in before.keys() | after.keys():
            was = before.get(line, (ZERO, ZERO))
            none: Owed = (ZERO, None if was[1] is None else ZERO)
            yield key(line, False, day), said(was, after.get(line, none))
        before = after


def unheld_rows(
    tariff: Tariff, account: str, month: Period, totals: Sequence[Total], days: Set[date]
) -> Iterator[tuple[RatedKey, dict[str, Any]]]:
    """Of those of `days` within which a contract begins or ends: what was used while none held, not rated."""
    contracts = tariff.contracts_of(account)
    bounds = [bound for one in contracts for bound in (one.from_, one.to) if bound is not None]
    for day in sorted({bound.date() for bound in bounds if bound != _midnight(bound.date())} & days):
        if not month.start <= day < month.end:
            continue
        used: dict[str, list[State]] = {}
        for one in totals:
            at = _EPOCH + timedelta(milliseconds=one.start_ms)
            if at.date() == day and all(at < c.from_ or (c.to is not None and at >= c.to) for c in contracts):
                used.setdefault(one.meter, []).append(one.state)
        for meter, states in used.items():
            quantity = shown(merged(states).quantity())  # type: ignore[union-attr] # there is one at least
            yield RatedKey(day, day - _DAY, "", meter, False, day, ""), said((ZERO, ZERO), (quantity, None))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
