"""Credits and grants: money that pays invoices, in a stated order, before or after the minimum is looked at."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal, NamedTuple

from rating.checks import UNKNOWN, Limit, PathFault, Read
from rating.instants import Dated, Instant
from rating.numbers import EXACT
from rating.prices import Amount, Id

_CATEGORIES = ("promotional", "paid")  # in the order of use: what was given goes before what was bought


class Credit(Dated, frozen=True, kw_only=True):
    """`amount`, to pay invoices whose last instant lies in [effective, expires); None is no bound.

    `counts` says whether it lowers the spend that is compared with the minimum ("before_minimum") or what is owed
    after that ("after_minimum").
    """

    limits: ClassVar[Mapping[str, Limit]] = {"amount": "above 0"}
    id: Id
    amount: Amount
    counts: Literal["before_minimum", "after_minimum"]
    priority: int = 0
    expires: Instant | None = None
    category: Literal["promotional", "paid"] = "promotional"
    effective: Instant | None = None
    created: Instant | None = None

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """An expiry that does not come after it takes effect, too."""
        yield from super().faults_in(item, read)
        effective, expires = read(item, "effective"), read(item, "expires")
        if UNKNOWN not in (effective, expires) and None not in (effective, expires) and expires <= effective:
            yield ("expires",), "must be after `effective`"

    def pays(self, period_end: datetime) -> bool:
        """Whether it is in effect at the last instant before `period_end`."""
        return (self.effective is None or self.effective < period_end) and (
            self.expires is None or period_end <= self.expires
        )


class Payment(NamedTuple):
    """What one credit pays of an invoice, above zero."""

    credit: Credit
    amount: Decimal


def in_order_of_use(credits: Iterable[Credit]) -> list[Credit]:
    """By priority (lowest first), expiry (soonest first), category, effective, created (oldest first), then id."""

    def text(instant: datetime | None) -> str:
        return instant.isoformat() if instant else ""  # before any other

    return sorted(
        credits,
        key=lambda credit: (
            credit.priority,
            credit.expires is None,
            text(credit.expires),
            _CATEGORIES.index(credit.category),
            text(credit.effective),
            text(credit.created),
            credit.id,
        ),
    )


def pay(due: Decimal, credits: Iterable[Credit], left: Mapping[str, Decimal], period_end: datetime) -> list[Payment]:
    """What the credits in effect pay of `due`, in their order; nothing where nothing is due.

    `left` holds what is left of each credit by id; one that is missing is whole.
    """
    payments = []
    for credit in in_order_of_use(credits):
        amount = min(due, left.get(credit.id, Decimal(credit.amount)))
        if amount > 0 and credit.pays(period_end):
            due = EXACT.subtract(due, amount)
            payments.append(Payment(credit, amount))
    return payments
