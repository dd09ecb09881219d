"""Which budgets are passed, pure: absolute rated totals in any order in, an alert for each crossing out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import msgspec

from config.settings import Budget
from processors.rate import RatedRow
from rating.numbers import EXACT, ZERO, text
from rating.periods import month_of


class Alert(msgspec.Struct, frozen=True):
    """One message of `usage.alerts`: an account's total of a period has passed a budget."""

    account: str
    period_start: date  # days in [period_start, period_end), UTC
    period_end: date
    currency: str
    budget: str  # plain decimal in major units of the currency, not rounded; so is the total
    total: str
    generation: int  # generation and version of the rated row that took the total past the budget
    version: int

    def key(self) -> bytes:
        """What the alert is about: a JSON array. Two alerts with one key announce the same crossing."""
        return msgspec.json.encode((self.account, self.period_start, self.currency, self.budget))


class Budgets:
    """The rated rows of the accounts that have a budget, and what was announced.

    A total is the sum of `amount_total` over the newest row of each (segment, price, meter, part) of the account's
    period. A key that a newer generation does not produce any more counts until its zero row comes.
    """

    def __init__(self, budgets: Iterable[Budget], announced: Iterable[bytes]) -> None:
        """`announced`: keys of the alerts that are on the topic already."""
        self._budgets: dict[str, list[Budget]] = {}
        for budget in budgets:
            self._budgets.setdefault(budget.account, []).append(budget)
        self._announced = set(announced)
        self._rows: dict[tuple[str, date], dict[tuple[date, str, str, str], RatedRow]] = {}

    def crossed(self, row: RatedRow) -> list[Alert]:
        """Take a row; the crossings of its account and period that are not announced, until `announce` says they are.

        Rows may come in any order and any number of times. A budget is passed by more than its amount.
        """
        budgets = self._budgets.get(row.account)
        if budgets is None:
            return []
        rows = self._rows.setdefault((row.account, row.period_start), {})
        key = (row.segment_start, row.price, row.meter, row.part)
        known = rows.get(key)
        if known is None or (row.generation, row.version) > (known.generation, known.version):
            rows[key] = row
        alerts = []
        for budget in budgets:
            total = _total(rows.values(), budget.currency)
            if total > budget.amount:
                alert = _alert(row, budget, total)
                if alert.key() not in self._announced:
                    alerts.append(alert)
        return alerts

    def announce(self, alert: Alert) -> None:
        """The alert is durable on the topic: it never comes again, even if the total falls and rises."""
        self._announced.add(alert.key())


def _total(rows: Iterable[RatedRow], currency: str) -> Decimal:
    total = ZERO
    for row in rows:
        if row.amount_total is not None and row.currency == currency:
            total = EXACT.add(total, row.amount_total)
    return total


def _alert(row: RatedRow, budget: Budget, total: Decimal) -> Alert:
    return Alert(
        account=row.account,
        period_start=row.period_start,
        period_end=month_of(row.period_start).end,
        currency=budget.currency,
        budget=text(budget.amount),
        total=text(total),
        generation=row.generation,
        version=row.version,
    )
