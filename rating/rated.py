"""A rated period: its lines, its terms in the order in which they were applied, and what it hands on."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from rating.kernels import Step
from rating.openings import Opening

TermKind = Literal[
    "prepaid",
    "overage_premium",
    "coupon",
    "true_up",
    "already_invoiced",
    "credit_before_minimum",
    "minimum",
    "billed_ahead",
    "credit_after_minimum",
]


class RatedLine(msgspec.Struct, frozen=True):
    """What one price owes for [start, end): of one accumulator, told apart by `values`.

    `amount` is in minor units' digits; the amounts of one price of an invoice are rounded together, once, and split by
    largest remainder. `amount_unrounded` (12 decimals) is what the steps of `explanation` add up to. `allocated`: the
    amount given back to those who used it, for a price with `allocate_by`.
    """

    price: str
    plan: str
    plan_version: int
    model: str
    meter: str | None
    values: Mapping[str, str]
    quantity: Decimal
    amount: Decimal
    amount_unrounded: Decimal
    start: datetime
    end: datetime
    explanation: tuple[Step, ...] = ()
    allocated: Mapping[str, Decimal] = {}


class TermLine(msgspec.Struct, frozen=True):
    """What a term of the contract adds to or takes from what is owed, in minor units' digits.

    `id` names the commitment, coupon or credit; `price` the price it is about, if one. `projected`: the period is not
    over, and this is what would be owed if it ended with the usage so far.
    """

    kind: TermKind
    amount: Decimal
    id: str = ""
    price: str | None = None
    plan: str | None = None
    projected: bool = False


class UnratedRow(msgspec.Struct, frozen=True):
    """Usage of the period that nothing prices, and why: never dropped and never billed as zero."""

    meter: str
    quantity: Decimal
    reason: str
    start: datetime
    end: datetime
    values: Mapping[str, str] = {}


class RatedPeriod(msgspec.Struct, frozen=True):
    """`subtotal` is the sum of the lines, `total` that of lines and terms: what this invoice asks for.

    `through` is the instant up to which usage is known; it is `end` once the period is over. `closing` is the opening
    of the next period.
    """

    account: str
    contract: str
    currency: str
    start: datetime
    end: datetime
    through: datetime
    lines: tuple[RatedLine, ...]
    terms: tuple[TermLine, ...]
    unrated: tuple[UnratedRow, ...]
    subtotal: Decimal
    total: Decimal
    closing: Opening
