"""A billing period of a contract, priced: pure, from totals, plans and what the period opens with."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from rating.calendar import BillingPeriod
from rating.changes import Piece, pieces
from rating.charges import ms, price_piece, span_of_piece, usage_of, window_charges
from rating.commitments import Charge
from rating.contracts import Contract
from rating.kernels import flat_step
from rating.money import round_lines, round_money
from rating.numbers import EXACT, ZERO, Quantity, shown
from rating.openings import Invoiced, Opening
from rating.pools import allocated, span_shares
from rating.prices import Flat, Price, Recurring, explain, meters_of, price_amount
from rating.proration import prorated
from rating.rated import RatedLine, RatedPeriod, UnratedRow
from rating.settlement import covers, settle
from rating.timeline import Catalogue, Span, clipped, spans, timeline
from rating.totals import Total
from rating.unrated import priced_times, unrated_rows
from rating.usage import Part, Priced


def rate_period(
    contract: Contract,
    totals: Sequence[Total],
    catalogue: Catalogue,
    opening: Opening,
    *,
    through: datetime | None = None,
    explained: bool = True,
) -> RatedPeriod:
    """What `contract` owes for the period that holds `opening.at`, for `totals` up to `through` (None: its end).

    `totals` are the account's, in any order; a window may be of any length that no change of price cuts, so additive
    meters may be summed first. Of other periods, those before serve a rollup that carries. Raises ValueError for a
    window that is cut, and decimal.Inexact for numbers beyond 200 digits.
    """
    period = contract.calendar.period_of(opening.at)
    through = period.end if through is None else min(through, period.end)
    stretches = timeline(contract, catalogue.versions)
    within = clipped(stretches, period)
    rating = _Rating(contract, period, totals, opening, through, explained)
    held = spans(within, period)
    for price_spans in held.values():
        rating.price(price_spans)
    currency = contract.currency or catalogue.versions[contract.plan][0].currency
    following = spans(stretches, contract.calendar.next(period))
    ahead = tuple(_billed_ahead(contract, following, contract.calendar.next(period), currency))
    gross = {id: _sum([owed.part.amount for owed in parts]) for id, parts in rating.owed.items()}
    settled = settle(contract, period, currency, gross, rating.charges, opening, ahead, projected=through < period.end)
    lines = tuple(_lines(rating.owed, currency))
    unrated = [*unrated_rows(rating.known, priced_times(s for of in held.values() for s in of), within, period)]
    subtotal = _sum([round_money(ZERO, currency), *(line.amount for line in lines)])
    return RatedPeriod(
        account=contract.account,
        contract=contract.name,
        currency=currency,
        start=period.start,
        end=period.end,
        through=through,
        lines=lines,
        terms=settled.terms,
        unrated=(*unrated, *rating.refused),
        subtotal=subtotal,
        total=_sum([subtotal, *(term.amount for term in settled.terms)]),
        closing=Opening(
            at=period.end if contract.to is None else min(contract.to, period.end),
            commitments=settled.commitments,
            credits=settled.credits,
            used=rating.handed_on(),
            invoiced=ahead,
        ),
    )


def rate_contract(
    contract: Contract,
    totals: Sequence[Total],
    catalogue: Catalogue,
    end: datetime,
    opening: Opening | None = None,
    *,
    now: datetime | None = None,
) -> Iterator[RatedPeriod]:
    """The periods of a contract that begin before `end`, each opening with what the one before hands on.

    `now` is the instant up to which usage is known (None: all of it); a period that is not over by then is rated with
    what there is.
    """
    opening = opening or Opening(contract.from_)
    while opening.at < end and (contract.to is None or opening.at < contract.to):
        period = contract.calendar.period_of(opening.at)
        through = None if now is None else max(min(now, period.end), period.start)
        rated = rate_period(contract, totals, catalogue, opening, through=through)
        yield rated
        opening = rated.closing


class _Owed(NamedTuple):
    piece: Piece
    part: Part
    shares: Mapping[str, Quantity] = {}


class _Rating:
    """The prices of one period, one after the other."""

    def __init__(
        self,
        contract: Contract,
        period: BillingPeriod,
        totals: Sequence[Total],
        opening: Opening,
        through: datetime,
        explained: bool,
    ) -> None:
        self.contract, self.period, self.explained = contract, period, explained
        through_ms = ms(through)
        self.known = [total for total in totals if total.start_ms < through_ms]
        self.owed: dict[str, list[_Owed]] = {}
        self.charges: list[Charge] = []
        self.refused: list[UnratedRow] = []
        self._used, self._through = opening.used, through
        self._by_meter: dict[str, list[Total]] = {}
        for total in (*opening.used, *self.known):
            self._by_meter.setdefault(total.meter, []).append(total)

    def price(self, held: list[Span]) -> None:
        """Price one price id, in all the spans in which it is held."""
        id = held[0].price.id
        drawn = any(covers(commitment, id) for commitment in self.contract.commitment)
        parts = self.owed.setdefault(id, [])
        for piece in pieces(self.contract, self.period, held, bool(self._used), self._through):
            if piece.price.meter is None:
                part = _fixed(self.contract, self.period, piece, self.explained)
                parts.append(_Owed(piece, part))
                if drawn:
                    self.charges.append(Charge(piece.start, piece.place, (), id, part.amount))
                continue
            usage = usage_of(piece, self._usage(piece.price, held))
            priced = price_piece(piece, usage, self.period, self.explained)
            parts += [_Owed(piece, part, self._shares(piece, part, usage)) for part in priced.parts]
            self._refuse(piece, priced)
            if drawn:
                self.charges += window_charges(piece, usage, self.period)

    def _usage(self, price: Price, held: list[Span]) -> list[Total]:
        meters = meters_of(price)
        found = [total for meter in sorted(meters) for total in self._by_meter.get(meter, ())]
        for before, after in pairwise(held):
            if before.end != after.start:  # usage of the time between is not this price's
                gap = (ms(before.end), ms(after.start))
                found = [total for total in found if not gap[0] <= total.start_ms < gap[1]]
        return found

    def _shares(self, piece: Piece, part: Part, usage: Sequence[Total]) -> Mapping[str, Quantity]:
        """Who used what of a part, where its price gives the cost back; of a matrix, whoever has the part's values."""
        if piece.price.allocate_by is None:
            return {}
        start, combinations = ms(piece.start), set(part.combinations)
        mine = [
            total
            for total in usage
            if total.start_ms >= start and tuple((name, total.label(name)) for name in part.values) in combinations
        ]
        return span_shares(piece.price, mine, span_of_piece(piece, self.period))

    def _refuse(self, piece: Piece, priced: Priced) -> None:
        meter = piece.price.meter
        assert meter is not None
        self.refused += [
            UnratedRow(meter, shown(one.quantity), one.reason, piece.start, piece.end, one.values)
            for one in priced.refused
        ]

    def handed_on(self) -> tuple[Total, ...]:
        """The period's usage, where the contract ends within the period, for the one that follows it."""
        if self.contract.to is None or self.contract.to >= self.period.end:
            return ()
        return (*self._used, *(total for total in self.known if total.start_ms >= ms(self.period.start)))


def _fixed(contract: Contract, period: BillingPeriod, piece: Piece, explained: bool) -> Part:
    """What a price without usage owes for a piece, shared out by the contract's proration."""
    whole = price_amount(piece.price, ZERO)
    amount = prorated(whole, contract.calendar, period, piece.start, piece.end, contract.proration)
    quantity = Decimal(piece.price.quantity) if isinstance(piece.price, Recurring) else ZERO
    if not explained:
        return Part({}, quantity, amount)
    steps = explain(piece.price, ZERO)
    rest = EXACT.subtract(amount, whole)
    return Part({}, quantity, amount, (*steps, flat_step(f"prorated by {contract.proration}", rest)) if rest else steps)


def _lines(owed: Mapping[str, list[_Owed]], currency: str) -> Iterator[RatedLine]:
    for price, parts in owed.items():
        amounts = round_lines([one.part.amount for one in parts], currency)
        for (piece, part, shares), amount in zip(parts, amounts, strict=True):
            yield RatedLine(
                price=price,
                plan=piece.plan.id,
                plan_version=piece.plan.version,
                model=piece.price.model,
                meter=piece.price.meter,
                values=part.values,
                quantity=shown(part.quantity),
                amount=amount,
                amount_unrounded=part.amount,
                start=piece.start,
                end=piece.end,
                explanation=part.steps,
                allocated=allocated(amount, currency, shares) if shares else {},
            )


def _billed_ahead(
    contract: Contract, held: Mapping[str, list[Span]], period: BillingPeriod, currency: str
) -> Iterator[Invoiced]:
    """What is billed in advance for the next period, as the contract is now; not what a commitment may cover."""
    for id, price_spans in held.items():
        if any(covers(commitment, id) for commitment in contract.commitment):
            continue
        due: dict[str, Decimal] = {}
        for piece in pieces(contract, period, price_spans, False, period.end):
            if isinstance(piece.price, Flat | Recurring) and piece.price.billed == "advance":
                amount = _fixed(contract, period, piece, False).amount
                due[piece.plan.id] = EXACT.add(due.get(piece.plan.id, ZERO), amount)
        yield from (Invoiced(plan, id, round_money(amount, currency)) for plan, amount in due.items())


def _sum(amounts: Sequence[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
