"""Prepaid and committed spend: charges draw it down in time order; overage, true-up, and rollover with a cap."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Literal, NamedTuple

import msgspec

from rating.checks import Limit
from rating.instants import Dated, Instant
from rating.numbers import EXACT, ZERO
from rating.prices import Amount, Id


class Commitment(Dated, frozen=True, kw_only=True):
    """`amount` of spend on `prices` (none: all of the contract) in [from, to), by default the contract's bounds.

    `prepaid` covers charges, as the money is there already; `committed` is a promise: charges are owed as they come,
    and what is missing at the end of the term is the true-up. Charges beyond it are overage and cost
    `overage_premium_percent` more. A term is [from, to) or, with every = "period", each billing period. At its end up
    to `rollover_max` of what is left stays, paid and without premium, until the contract ends.
    """

    limits: ClassVar[Mapping[str, Limit]] = {
        "amount": "above 0",
        "overage_premium_percent": "not negative",
        "rollover_max": "not negative",
    }
    id: Id
    kind: Literal["prepaid", "committed"]
    amount: Amount
    prices: tuple[Id, ...] = ()
    every: Literal["term", "period"] = "term"
    priority: int = 0
    overage_premium_percent: Amount = "0"
    rollover_max: Amount = "0"
    from_: Instant | None = None
    to: Instant | None = None


class Left(msgspec.Struct, frozen=True):
    """What is left of a commitment: of the present term, and rolled over from earlier ones. Exact amounts."""

    term: Decimal = ZERO
    rolled: Decimal = ZERO


class Charge(NamedTuple):
    """What a window adds to the amount of a price. Sorts in the order of drawdown: by the start of the window, then the
    price's place in the contract, then the dimension key; `at` is the start of the span for what is owed before usage.
    """

    at: datetime
    place: int
    key: tuple[tuple[str, str], ...]
    price: str
    amount: Decimal


class Term(NamedTuple):
    """A commitment with the instants in which it takes charges, and when its term ends (None: not in this period)."""

    commitment: Commitment
    start: datetime
    end: datetime | None
    rolls_only: bool  # its last term is over; only what was rolled over is left


class Drawdown(msgspec.Struct):
    """What drawing did: amounts by (commitment, price), by price, and by commitment; all exact."""

    covered: dict[tuple[str, str], Decimal]  # no longer owed
    overage: dict[str, Decimal]  # beyond every commitment, before the premium
    premium: dict[str, Decimal]
    true_up: dict[str, Decimal]
    rolled: dict[str, Decimal]  # carried past the end of a term
    expired: dict[str, Decimal]  # prepaid, neither used nor carried
    left: dict[str, Left]


class _Account:
    """One commitment while it is drawn."""

    def __init__(self, term: Term, left: Left) -> None:
        self.commitment, self.start, self.end = term.commitment, term.start, term.end
        self.open = not term.rolls_only
        self.term, self.rolled = left.term if self.open else ZERO, left.rolled
        self._chosen = frozenset(term.commitment.prices)
        self.premium = EXACT.divide(Decimal(term.commitment.overage_premium_percent), Decimal(100))

    def takes(self, charge: Charge) -> bool:
        """Whether this charge counts towards it."""
        return charge.at >= self.start and (not self._chosen or charge.price in self._chosen)

    def close(self, into: Drawdown) -> None:
        """The term ends: a promise that was not kept is trued up, up to the cap stays, what was prepaid expires."""
        commitment = self.commitment
        if commitment.kind == "committed" and self.term:
            into.true_up[commitment.id] = self.term
        left = EXACT.add(self.term, self.rolled)
        self.rolled = min(left, Decimal(commitment.rollover_max))
        into.rolled[commitment.id] = self.rolled
        into.expired[commitment.id] = EXACT.subtract(left, self.rolled)
        self.term, self.open = ZERO, False


class _Drawn(NamedTuple):
    """One draw, so that it can be taken back; `account` None is overage."""

    account: _Account | None
    rolled: bool
    amount: Decimal
    premium: Decimal


def draw(terms: Iterable[Term], left: Mapping[str, Left], charges: Iterable[Charge]) -> Drawdown:
    """Draw charges, in their order, from commitments: by priority, then the earlier end, then the id.

    A commitment without an entry in `left` is whole. A negative charge takes back what its price drew last, where that
    term is still open, and else stays owed as it is.
    """
    found = Drawdown({}, {}, {}, {}, {}, {}, {})
    accounts = [_Account(term, left.get(term.commitment.id, _whole(term.commitment))) for term in _ordered(terms)]
    drawn: dict[str, list[_Drawn]] = {}
    for charge in sorted(charges):
        for account in accounts:
            if account.open and account.end is not None and charge.at >= account.end:
                account.close(found)
        stack = drawn.setdefault(charge.price, [])
        if charge.amount < 0:
            _take_back(stack, EXACT.minus(charge.amount), charge.price, found)
        elif charge.amount:
            _spend(accounts, charge, stack, found)
    for account in accounts:
        if account.open and account.end is not None:
            account.close(found)
        found.left[account.commitment.id] = Left(account.term, account.rolled)
    return found


def _whole(commitment: Commitment) -> Left:
    return Left(Decimal(commitment.amount))


def _ordered(terms: Iterable[Term]) -> list[Term]:
    def order(term: Term) -> tuple[int, bool, str, str]:
        to = term.commitment.to
        return term.commitment.priority, to is None, to.isoformat() if to else "", term.commitment.id

    return sorted(terms, key=order)


def _spend(accounts: Sequence[_Account], charge: Charge, stack: list[_Drawn], found: Drawdown) -> None:
    rest, last = charge.amount, None
    for account in accounts:
        if not account.takes(charge):
            continue
        last = account if account.open else last
        for rolled in (True, False):
            taken = min(rest, account.rolled if rolled else account.term)
            if taken:
                rest = EXACT.subtract(rest, taken)
                _move(account, rolled, taken, charge.price, found)
                stack.append(_Drawn(account, rolled, taken, ZERO))
    if rest and last is not None:
        stack.append(_Drawn(None, False, rest, last.premium))
        _overage(charge.price, rest, last.premium, found)


def _take_back(stack: list[_Drawn], amount: Decimal, price: str, found: Drawdown) -> None:
    while amount and stack:
        account, rolled, taken, premium = stack.pop()
        back = min(amount, taken)
        if back < taken:
            stack.append(_Drawn(account, rolled, EXACT.subtract(taken, back), premium))
        if account is None:
            _overage(price, EXACT.minus(back), premium, found)
        elif rolled or account.open:
            _move(account, rolled, EXACT.minus(back), price, found)
        else:
            continue
        amount = EXACT.subtract(amount, back)


def _overage(price: str, amount: Decimal, premium: Decimal, found: Drawdown) -> None:
    found.overage[price] = EXACT.add(found.overage.get(price, ZERO), amount)
    found.premium[price] = EXACT.fma(amount, premium, found.premium.get(price, ZERO))


def _move(account: _Account, rolled: bool, amount: Decimal, price: str, found: Drawdown) -> None:
    if rolled:
        account.rolled = EXACT.subtract(account.rolled, amount)
    else:
        account.term = EXACT.subtract(account.term, amount)
    if rolled or account.commitment.kind == "prepaid":
        key = (account.commitment.id, price)
        found.covered[key] = EXACT.add(found.covered.get(key, ZERO), amount)
