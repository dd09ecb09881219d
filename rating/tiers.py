"""Tiers as they are written, by unit amount or by percentage."""

from decimal import Decimal
from typing import Any

from rating.checks import Checked
from rating.kernels import TierTerms
from rating.numbers import EXACT
from rating.terms import Amount

_HUNDREDTH = Decimal("0.01")


class Tier(Checked, frozen=True, kw_only=True):
    """One tier: units up to and including `up_to` (None: no end), their unit amount, and an amount for entering it.

    A tier begins where the one before ends; `above` may say so once more, and is then checked.
    """

    above: Amount | None = None
    up_to: Amount | None = None
    unit_amount: Amount
    flat_amount: Amount = "0"


class PercentTier(Checked, frozen=True, kw_only=True):
    """One tier of money: `percent` of what lies in it, and an amount for entering it."""

    above: Amount | None = None
    up_to: Amount | None = None
    percent: Amount
    flat_amount: Amount = "0"


def tier_terms(tiers: tuple[Tier, ...]) -> list[TierTerms]:
    """The tiers in numbers."""
    return [TierTerms(_bound(tier.up_to), Decimal(tier.unit_amount), Decimal(tier.flat_amount)) for tier in tiers]


def percent_terms(tiers: tuple[PercentTier, ...]) -> list[TierTerms]:
    """The same, a percentage as a unit amount of money."""
    return [TierTerms(_bound(tier.up_to), share(tier.percent), Decimal(tier.flat_amount)) for tier in tiers]


def share(percent: Amount) -> Decimal:
    """A percentage as a fraction of one: "2.9" is 0.029."""
    return EXACT.multiply(Decimal(percent), _HUNDREDTH)


def _bound(up_to: Any) -> Decimal | None:
    return None if up_to is None else Decimal(up_to)
