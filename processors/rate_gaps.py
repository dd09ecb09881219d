"""Usage outside of a contract on the day within which it begins or ends: no price takes it, so a row says so.

It stands under a period that begins on the day and a segment that begins on the day before, which no price ever has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time, timedelta

from processors.rate_contracts import Line
from processors.rate_parts import PartDay
from rating.charges import ms
from rating.contracts import Contract
from rating.numbers import ZERO, shown
from rating.states import State, merged
from rating.totals import Total, day_ms

_DAY = timedelta(days=1)
NO_CONTRACT = "no contract at that time of the day"
BY_DEFAULT = "no contract at that time of the day; an invoice prices it by the default plan"


def gap_days(contracts: Iterable[Contract]) -> list[date]:
    """The UTC days within which one of the contracts begins or ends, ascending."""
    bounds = [bound for one in contracts for bound in (one.from_, one.to) if bound is not None]
    return sorted({bound.date() for bound in bounds if bound.time() != time()})


def gap_rows(
    day: date, contracts: Sequence[Contract], totals: Iterable[Total], reason: str
) -> Iterator[tuple[Line, PartDay]]:
    """A row for each meter of which `totals` has usage on the day that none of the account's contracts holds."""
    held = [(ms(one.from_), None if one.to is None else ms(one.to)) for one in contracts]
    found: dict[str, list[State]] = {}
    for total in totals:
        at = total.start_ms
        if day_ms(day) <= at < day_ms(day + _DAY) and not any(
            begin <= at and (end is None or at < end) for begin, end in held
        ):
            found.setdefault(total.meter, []).append(total.state)
    for meter, states in sorted(found.items()):
        state = merged(states)
        quantity = ZERO if state is None else shown(state.quantity())
        line = Line("", meter, "", day - _DAY, "", 0, "", "")
        yield line, PartDay(day, "", quantity, quantity, None, None, reason)
