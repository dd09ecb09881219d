"""The terms of a whole contract, applied to what its prices owe, in one stated order (docs/contracts.md).

Commitments and coupons work on the exact amount of each price, which is rounded once; what a term takes is shown as the
difference of two rounded amounts, so lines and terms add up. Credits and the minimum work on the rounded sums.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from rating.calendar import BillingPeriod
from rating.commitments import Charge, Commitment, Left, Term, draw
from rating.contracts import Contract
from rating.coupons import take_off
from rating.credits import pay
from rating.money import round_money
from rating.numbers import EXACT, ZERO
from rating.openings import Invoiced, Opening
from rating.proration import prorated
from rating.rated import TermKind, TermLine


class Settlement(msgspec.Struct, frozen=True):
    """The terms in order, and what is left of commitments and credits after them."""

    terms: tuple[TermLine, ...]
    commitments: Mapping[str, Left]
    credits: Mapping[str, Decimal]


class _Settling:
    """What is owed while terms are applied."""

    def __init__(self, gross: Mapping[str, Decimal], currency: str, projected: bool) -> None:
        self.owed = dict(gross)
        self.terms: list[TermLine] = []
        self._currency, self._projected = currency, projected
        self._shown = {price: round_money(amount, currency) for price, amount in gross.items()}
        self.due = _sum(self._shown.values())
        self.spent = self.due  # with what commitments cover, as that money was spent before

    def on_price(self, kind: TermKind, id: str, price: str, change: Decimal) -> None:
        """A term that changes what a price owes, exactly."""
        self.owed[price] = EXACT.add(self.owed[price], change)
        now = round_money(self.owed[price], self._currency)
        moved = EXACT.subtract(now, self._shown[price])
        self._shown[price] = now
        self.due = EXACT.add(self.due, moved)
        if kind != "prepaid":
            self.spent = EXACT.add(self.spent, moved)
        self._note(TermLine(kind, moved, id, price))

    def on_whole(self, term: TermLine, counts_as_spent: bool) -> None:
        """A term of the invoice, in whole minor units."""
        self.due = EXACT.add(self.due, term.amount)
        if counts_as_spent:
            self.spent = EXACT.add(self.spent, term.amount)
        self._note(term)

    def at_the_end(self, kind: TermKind, amount: Decimal, id: str = "") -> None:
        """What is only known when the period is over."""
        self.on_whole(TermLine(kind, round_money(amount, self._currency), id, projected=self._projected), True)

    def _note(self, term: TermLine) -> None:
        if term.amount:
            self.terms.append(term)


def settle(
    contract: Contract,
    period: BillingPeriod,
    currency: str,
    gross: Mapping[str, Decimal],
    charges: Iterable[Charge],
    opening: Opening,
    ahead: Sequence[Invoiced],
    projected: bool,
) -> Settlement:
    """Apply every term. `gross` is what each price owes (12 decimals), `charges` the same window by window for the
    prices that commitments choose, `ahead` what is billed in advance for the next period."""
    now = _Settling(gross, currency, projected)
    drawn = draw(_terms(contract, period), _left(contract, opening), charges)
    for (id, price), amount in drawn.covered.items():
        now.on_price("prepaid", id, price, EXACT.minus(amount))
    for price, amount in drawn.premium.items():
        now.on_price("overage_premium", "", price, amount)
    for coupon in contract.coupon:
        for price, off in take_off(coupon, now.owed, period.start).items():
            now.on_price("coupon", coupon.id, price, EXACT.minus(off))
    for id, amount in drawn.true_up.items():
        now.at_the_end("true_up", amount, id)
    for item in opening.invoiced:
        now.on_whole(TermLine("already_invoiced", EXACT.minus(item.amount), "", item.price, item.plan), False)
    credits = dict(opening.credits)
    _pay(contract, "before_minimum", now, credits, period, currency)
    missing = EXACT.subtract(_minimum(contract, period), now.spent)
    if missing > 0:
        now.at_the_end("minimum", missing)
    for item in ahead:
        now.on_whole(TermLine("billed_ahead", item.amount, "", item.price, item.plan, projected), False)
    _pay(contract, "after_minimum", now, credits, period, currency)
    return Settlement(tuple(now.terms), drawn.left, credits)


def covers(commitment: Commitment, price: str) -> bool:
    """Whether charges of a price count towards a commitment."""
    return not commitment.prices or price in commitment.prices


def _terms(contract: Contract, period: BillingPeriod) -> Iterator[Term]:
    for commitment in contract.commitment:
        start = commitment.from_ or contract.from_
        end = commitment.to or contract.to  # within the contract's own bounds, as is checked
        if start >= period.end:
            continue
        over = end is not None and end <= period.start
        if commitment.every == "period" and not over:
            end = period.end if end is None else min(end, period.end)
        yield Term(commitment, start, None if over or end is None or end > period.end else end, over)


def _left(contract: Contract, opening: Opening) -> dict[str, Left]:
    """What is left at the start of a period, in which a commitment of each period is whole again."""
    found = dict(opening.commitments)
    for commitment in contract.commitment:
        if commitment.every == "period" and commitment.id in found:
            found[commitment.id] = Left(Decimal(commitment.amount), found[commitment.id].rolled)
    return found


def _minimum(contract: Contract, period: BillingPeriod) -> Decimal:
    if contract.minimum is None:
        return ZERO
    start = max(contract.from_, period.start)
    end = period.end if contract.to is None else min(contract.to, period.end)
    return prorated(Decimal(contract.minimum), contract.calendar, period, start, end, contract.proration)


def _pay(
    contract: Contract, counts: str, now: _Settling, left: dict[str, Decimal], period: BillingPeriod, currency: str
) -> None:
    chosen = [credit for credit in contract.credit if credit.counts == counts]
    kind: TermKind = "credit_before_minimum" if counts == "before_minimum" else "credit_after_minimum"
    for credit, amount in pay(now.due, chosen, left, period.end):
        left[credit.id] = EXACT.subtract(left.get(credit.id, Decimal(credit.amount)), amount)
        paid = round_money(EXACT.minus(amount), currency)  # whole minor units already; this gives it their digits
        now.on_whole(TermLine(kind, paid, credit.id), counts == "before_minimum")


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
