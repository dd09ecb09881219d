"""Late usage after an invoice is final: a document of differences, never a changed invoice."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from rating.billing import rate_period
from rating.charges import ms
from rating.contracts import Contract
from rating.numbers import EXACT, ZERO
from rating.openings import Opening
from rating.prices import meters_of
from rating.rated import RatedPeriod
from rating.timeline import Catalogue
from rating.totals import Total

_Key = tuple[str, str, str | None, str | None]  # the fields of a CorrectionLine but its amount


class CorrectionLine(NamedTuple):
    """By how much a price or a term changes, in minor units' digits; `kind` is "price" or that of the term."""

    kind: str
    id: str
    price: str | None
    plan: str | None
    amount: Decimal


class Correction(msgspec.Struct, frozen=True):
    """What late usage of [start, end) changes; `lines` add up to `total`, which may be a credit.

    `closing` is what the period hands on now: the periods after it are to be rated again from there.
    """

    account: str
    contract: str
    currency: str
    start: datetime
    end: datetime
    lines: tuple[CorrectionLine, ...]
    total: Decimal
    closing: Opening


def correction(final: RatedPeriod, again: RatedPeriod) -> Correction:
    """The difference of a period as it was invoiced and as it is with the late usage.

    Both from the same contract, plans and opening, so that nothing but usage differs. Raises ValueError for two
    different periods.
    """
    if (final.contract, final.start, final.currency) != (again.contract, again.start, again.currency):
        raise ValueError(f"{final.contract} {final.start} and {again.contract} {again.start} are not one period")
    before, after = _amounts(final), _amounts(again)
    changed = {key: EXACT.subtract(after.get(key, ZERO), before.get(key, ZERO)) for key in before | after}
    return Correction(
        account=again.account,
        contract=again.contract,
        currency=again.currency,
        start=again.start,
        end=again.end,
        lines=tuple(CorrectionLine(*key, amount) for key, amount in changed.items() if amount),
        total=EXACT.subtract(again.total, final.total),
        closing=again.closing,
    )


class Books(NamedTuple):
    """What a period was rated from."""

    totals: Sequence[Total]
    opening: Opening


def late_correction(
    contract: Contract, late: Sequence[Total], original: Books, current: Books, catalogue: Catalogue
) -> Correction:
    """What late usage of an invoiced period changes, by the contract's `late_policy`.

    reprice_original: the original period is rated again with it; `catalogue` is then that of its invoice.
    marginal_in_current: it is priced in the current period, as if used at its last instant.
    Raises ValueError for the latter where a rollup would have to place it in time.
    """
    if contract.late_policy == "reprice_original":
        return _with(contract, original, late, catalogue)
    meters = {total.meter for total in late}
    prices = [price for id in contract.plans for plan in catalogue.versions[id] for price in plan.price]
    for price in (*prices, *(override.price for override in contract.override)):
        if price.rollup is not None and meters & meters_of(price):
            raise ValueError(f"price {price.id!r} has a rollup: late usage of it has a place in its own period alone")
    end_ms = ms(contract.calendar.period_of(current.opening.at).end)
    moved = [replace(total, start_ms=end_ms - 1, end_ms=end_ms) for total in late]
    return _with(contract, current, moved, catalogue)


def _with(contract: Contract, books: Books, late: Sequence[Total], catalogue: Catalogue) -> Correction:
    final = rate_period(contract, books.totals, catalogue, books.opening, explained=False)
    again = rate_period(contract, [*books.totals, *late], catalogue, books.opening, explained=False)
    return correction(final, again)


def _amounts(rated: RatedPeriod) -> dict[_Key, Decimal]:
    found: dict[_Key, Decimal] = {}
    for line in rated.lines:
        key: _Key = ("price", "", line.price, line.plan)
        found[key] = EXACT.add(found.get(key, ZERO), line.amount)
    for term in rated.terms:
        key = (str(term.kind), term.id, term.price, term.plan)
        found[key] = EXACT.add(found.get(key, ZERO), term.amount)
    return found
