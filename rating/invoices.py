"""The invoice of an account for a period, as it would be now: pure, from totals and segments."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace

from rating.kernels import Step
from rating.money import MixedCurrencyError, round_money
from rating.numbers import EXACT, ZERO, Quantity, shown, text
from rating.periods import Period
from rating.plans import Plan
from rating.prices import Price, explain, price_amount
from rating.rate import Segment
from rating.rated import RatedPeriod


class MeterTotal(msgspec.Struct, frozen=True):
    """What a meter counted in a segment: the quantity in its units, and the events behind it."""

    quantity: Quantity
    events: int


class SegmentUsage(msgspec.Struct, frozen=True):
    """A segment and the totals of its days, by meter id; a meter that is missing had no usage."""

    segment: Segment
    totals: Mapping[str, MeterTotal]


class InvoiceLine(msgspec.Struct, frozen=True):
    """One price of one segment: `amount` in minor units' digits, `amount_unrounded` at 12 decimals.

    `amount_unrounded` is what the rated day rows add up to, and what the steps of `explanation` add up to.
    """

    price: str
    plan: str
    plan_version: int
    model: str
    meter: str | None
    quantity: Decimal
    events: int
    amount: Decimal
    amount_unrounded: Decimal
    segment_start: date
    segment_end: date
    explanation: tuple[Step, ...]


class UnratedLine(msgspec.Struct, frozen=True):
    """Usage that nothing prices, and why: reported, never dropped and never billed as zero."""

    meter: str
    quantity: Decimal
    events: int
    reason: str
    segment_start: date
    segment_end: date


class Invoice(msgspec.Struct, frozen=True):
    """The lines add up to `total`. `currency` is None when no segment has a plan; then there are no lines."""

    account: str
    currency: str | None
    period_start: date
    period_end: date
    lines: tuple[InvoiceLine, ...]
    unrated: tuple[UnratedLine, ...]
    total: Decimal


def preview(account: str, period: Period, segments: Sequence[SegmentUsage]) -> Invoice:
    """What `account` owes for `period`: a line for every price of each segment's plan, also without usage.

    Rounds once a line. Raises MixedCurrencyError if the plans of the segments are in different currencies.
    """
    currencies = {usage.segment.plan.currency for usage in segments if usage.segment.plan is not None}
    if len(currencies) > 1:
        raise MixedCurrencyError(
            f"account {account!r} has plans in {', '.join(sorted(currencies))} in one period, {period.start} to "
            f"{period.end}; an invoice has one currency, so let such contracts change at the start of a month"
        )
    lines: list[InvoiceLine] = []
    unrated: list[UnratedLine] = []
    for usage in segments:
        plan = usage.segment.plan
        if plan is not None:
            lines += [_line(plan, price, usage) for price in plan.price]
        unrated += _unrated(usage)
    currency = next(iter(currencies), None)
    total = ZERO if currency is None else round_money(ZERO, currency)
    for line in lines:
        total = EXACT.add(total, line.amount)
    return Invoice(
        account=account,
        currency=currency,
        period_start=period.start,
        period_end=period.end,
        lines=tuple(lines),
        unrated=tuple(unrated),
        total=total,
    )


def document(invoice: Invoice) -> dict[str, Any]:
    """The invoice as plain JSON values: dates in ISO form, quantities and amounts as decimal strings.

    What is owed has the digits of its currency ("5.00"); everything else has as few digits as it needs.
    """
    plain: dict[str, Any] = _plain(msgspec.to_builtins(invoice, builtin_types=(Decimal,)))
    plain["total"] = format(invoice.total, "f")
    for line, written in zip(invoice.lines, plain["lines"], strict=True):
        written["amount"] = format(line.amount, "f")
    return plain


def period_document(rated: RatedPeriod) -> dict[str, Any]:
    """A rated period as plain JSON values, without what it hands on: instants in RFC 3339, the rest as `document`."""
    plain: dict[str, Any] = _plain(msgspec.to_builtins(replace(rated, closing=None), builtin_types=(Decimal,)))
    del plain["closing"]
    for name in ("subtotal", "total"):
        plain[name] = format(getattr(rated, name), "f")
    for name in ("lines", "terms"):
        for part, written in zip(getattr(rated, name), plain[name], strict=True):
            written["amount"] = format(part.amount, "f")
    for line, written in zip(rated.lines, plain["lines"], strict=True):
        written["allocated"] = {label: format(amount, "f") for label, amount in line.allocated.items()}
    return plain


def _line(plan: Plan, price: Price, usage: SegmentUsage) -> InvoiceLine:
    total = usage.totals.get(price.meter) if price.meter is not None else None
    quantity, events = (total.quantity, total.events) if total is not None else (ZERO, 0)
    unrounded = price_amount(price, quantity)
    return InvoiceLine(
        price=price.id,
        plan=plan.id,
        plan_version=plan.version,
        model=price.model,
        meter=price.meter,
        quantity=shown(quantity),
        events=events,
        amount=round_money(unrounded, plan.currency),
        amount_unrounded=unrounded,
        segment_start=usage.segment.start,
        segment_end=usage.segment.end,
        explanation=explain(price, quantity),
    )


def _unrated(usage: SegmentUsage) -> list[UnratedLine]:
    segment = usage.segment
    priced = set() if segment.plan is None else {price.meter for price in segment.plan.price}
    return [
        UnratedLine(meter, shown(total.quantity), total.events, _reason(segment), segment.start, segment.end)
        for meter, total in sorted(usage.totals.items())
        if meter not in priced and (total.events or total.quantity)
    ]


def _reason(segment: Segment) -> str:
    if segment.plan is None:
        return segment.reason
    return f"plan {segment.plan.id!r} version {segment.plan.version} has no price for this meter"


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return text(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
