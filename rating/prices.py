"""Prices as they are written in a plan: five models, told apart by `model`.

Convert without a hook: `msgspec.convert(mapping, type=Price)` (or `Plan`, which holds prices), in the default strict
mode. Amounts, sizes and bounds are decimal strings or integers; a float, an exponent, NaN or "1_000" is refused as
msgspec.ValidationError with its path. After that each amount is a string in one canonical form ("0.30" becomes "0.3"),
so equal prices compare equal and `msgspec.json.encode` and decode give the same price back, to the last digit.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Annotated, ClassVar

import msgspec
from msgspec.structs import force_setattr

from rating.kernels import (
    FlatKernel,
    GraduatedKernel,
    Kernel,
    PackageKernel,
    PerUnitKernel,
    Step,
    TierTerms,
    VolumeKernel,
)
from rating.numbers import EXACT, ZERO, Quantity, canonical, shown, to_amount

Amount = str | int  # as written; a canonical decimal string once the struct exists
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


def _keep_canonical(struct: msgspec.Struct, *fields: str) -> None:
    """Bring the named fields to their canonical form; raises ValueError naming every field that is not a decimal."""
    faults = []
    for field in fields:
        try:
            force_setattr(struct, field, canonical(getattr(struct, field)))
        except ValueError as fault:
            faults.append(f"{field}: {fault}")
    if faults:
        raise ValueError("; ".join(faults))


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tier: units up to and including `up_to` (None: no end), their unit amount, and an amount for entering it."""

    up_to: Amount | None = None
    unit_amount: Amount
    flat_amount: Amount = "0"

    def __post_init__(self) -> None:
        _keep_canonical(self, *(["up_to"] if self.up_to is not None else []), "unit_amount", "flat_amount")

    @property
    def terms(self) -> TierTerms:
        """The tier in numbers."""
        end = None if self.up_to is None else Decimal(self.up_to)
        return TierTerms(end, Decimal(self.unit_amount), Decimal(self.flat_amount))


# dict=True gives a price room for its compiled kernel; it takes no part in equality, hashing or encoding.
class _Price(msgspec.Struct, frozen=True, tag_field="model", forbid_unknown_fields=True, dict=True):
    id: Id


class Flat(_Price, frozen=True, tag="flat"):
    """`amount`, owed whatever is used, also when nothing is."""

    amount: Amount
    model: ClassVar[str] = "flat"
    meter: ClassVar[None] = None

    def __post_init__(self) -> None:
        _keep_canonical(self, "amount")

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return FlatKernel(Decimal(self.amount))


class PerUnit(_Price, frozen=True, tag="per_unit"):
    """`unit_amount` for each unit; a negative quantity is credited at the same amount."""

    meter: Id
    unit_amount: Amount
    model: ClassVar[str] = "per_unit"

    def __post_init__(self) -> None:
        _keep_canonical(self, "unit_amount")

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return PerUnitKernel(Decimal(self.unit_amount))


class Package(_Price, frozen=True, tag="package"):
    """`amount` for each begun package of `package_size` units; nothing for zero; credits count whole packages only."""

    meter: Id
    package_size: Amount
    amount: Amount
    model: ClassVar[str] = "package"

    def __post_init__(self) -> None:
        _keep_canonical(self, "package_size", "amount")
        if Decimal(self.package_size) <= 0:
            raise ValueError(f"package_size: {self.package_size} must be above zero")

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return PackageKernel(Decimal(self.package_size), Decimal(self.amount))


class _TieredPrice(_Price, frozen=True):
    meter: Id
    tiers: tuple[Tier, ...]
    zero_usage_owes_first_flat: bool = False

    def __post_init__(self) -> None:
        faults = _tier_faults(self.tiers)
        if faults:
            raise ValueError("; ".join(faults))

    def _terms(self) -> list[TierTerms]:
        return [tier.terms for tier in self.tiers]


class Graduated(_TieredPrice, frozen=True, tag="graduated"):
    """Each tier prices the units inside it. A tier's flat amount is owed once the quantity is above the tier before.

    Zero owes nothing, not even the first flat amount unless `zero_usage_owes_first_flat`; a negative quantity is
    credited at the first tier's unit amount.
    """

    model: ClassVar[str] = "graduated"

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return GraduatedKernel(self._terms(), self.zero_usage_owes_first_flat)


class Volume(_TieredPrice, frozen=True, tag="volume"):
    """The tier that holds the total prices all units, plus its flat amount. Zero and below as for `Graduated`."""

    model: ClassVar[str] = "volume"

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return VolumeKernel(self._terms(), self.zero_usage_owes_first_flat)


Price = Flat | PerUnit | Package | Graduated | Volume


def _tier_faults(tiers: Sequence[Tier]) -> list[str]:
    """What is wrong with the order of tiers: bounds above zero, strictly ascending, the last one and only it open."""
    if not tiers:
        return ["tiers: at least one is needed"]
    faults = []
    below = ZERO
    for place, tier in enumerate(tiers[:-1]):
        if tier.up_to is None:
            faults.append(f"tiers[{place}].up_to: is missing; only the last tier is open")
            continue
        bound = Decimal(tier.up_to)
        if bound <= below:
            faults.append(f"tiers[{place}].up_to: {tier.up_to} must be above {below}")
        below = bound
    if tiers[-1].up_to is not None:
        faults.append(f"tiers[{len(tiers) - 1}].up_to: leave it out; the last tier is open")
    return faults


def price_amount(price: Price, quantity: Quantity) -> Decimal:
    """The amount owed for a cumulative quantity of a period, in units of currency at AMOUNT_DIGITS decimals.

    Exact, and then brought to 12 decimals once, half away from zero; what does not fit them is a mean that has no
    finite decimal form, or an amount and a quantity of very many decimals. Raises decimal.Inexact or InvalidOperation
    for a quantity beyond 200 digits, NaN or infinity.
    """
    unit, offset = price.kernel.line(quantity)
    if not isinstance(quantity, Decimal):
        return to_amount(Fraction(unit) * quantity + Fraction(offset))
    return to_amount(EXACT.fma(unit, quantity, offset))


def explain(price: Price, quantity: Quantity) -> tuple[Step, ...]:
    """The steps to `price_amount(price, quantity)`; their amounts add up to it exactly."""
    steps = price.kernel.steps(shown(quantity))
    rest = price_amount(price, quantity)
    for step in steps:
        rest = EXACT.subtract(rest, step.amount)
    if rest:
        steps.append(Step("brought to 12 decimals", Decimal(1), rest, rest))
    return tuple(steps)
