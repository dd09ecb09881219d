"""The kernels as they are written in a plan: flat, per unit, graduated, volume, dynamic, percentage."""

from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, Literal

from rating.bases import Metered, Terms
from rating.checks import UNKNOWN, PathFault, Read, tier_faults
from rating.kernels import FlatKernel, GraduatedKernel, Kernel, PerUnitKernel, TierTerms, VolumeKernel
from rating.money import currency_fault
from rating.terms import Amount, Id
from rating.tiers import PercentTier, Tier, percent_terms, share, tier_terms

Billed = Literal["arrears", "advance"]


class Flat(Terms, frozen=True, tag="flat"):
    """`amount`, owed whatever is used, also when nothing is; billed for the period ahead or the one past."""

    amount: Amount
    billed: Billed = "arrears"
    model: ClassVar[str] = "flat"
    meter: ClassVar[None] = None

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return FlatKernel(Decimal(self.amount))


class PerUnit(Metered, frozen=True, tag="per_unit"):
    """`unit_amount` for each unit; a negative quantity is credited at the same amount."""

    meter: Id
    unit_amount: Amount
    model: ClassVar[str] = "per_unit"

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return PerUnitKernel(Decimal(self.unit_amount))


class Tiered(Metered, frozen=True):
    meter: Id
    tiers: tuple[Tier, ...]
    zero_usage_owes_first_flat: bool = False

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """Tiers ascend without overlap or gap to one open end."""
        yield from super().faults_in(item, read)
        yield from tier_faults(read(item, "tiers"), read)

    def _tier_terms(self) -> list[TierTerms]:
        return tier_terms(self.tiers)


class Graduated(Tiered, frozen=True, tag="graduated"):
    """Each tier prices the units inside it. A tier's flat amount is owed once the quantity is above the tier before.

    Zero owes nothing, not even the first flat amount unless `zero_usage_owes_first_flat`; a negative quantity is
    credited at the first tier's unit amount.
    """

    model: ClassVar[str] = "graduated"

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return GraduatedKernel(self._tier_terms(), self.zero_usage_owes_first_flat)


class Volume(Tiered, frozen=True, tag="volume"):
    """The tier that holds the total prices all units, plus its flat amount. Zero and below as for `Graduated`."""

    model: ClassVar[str] = "volume"

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return VolumeKernel(self._tier_terms(), self.zero_usage_owes_first_flat)


class Dynamic(Metered, frozen=True, tag="dynamic"):
    """What the events themselves say is owed: the meter sums their amounts, times `multiplier` (a markup)."""

    meter: Id
    multiplier: Amount = "1"
    currency: str | None = None  # of the amounts; a quote in any other raises
    model: ClassVar[str] = "dynamic"

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """The currency is one."""
        yield from super().faults_in(item, read)
        yield from currency_faults(item, read)

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return PerUnitKernel(Decimal(self.multiplier))


class Percentage(Metered, frozen=True, tag="percentage"):
    """A percentage of a monetary meter, or graduated percentages, each of what lies in its tier."""

    meter: Id
    percent: Amount | None = None
    tiers: tuple[PercentTier, ...] = ()
    currency: str | None = None  # of the meter; a quote in any other raises
    model: ClassVar[str] = "percentage"

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """One percentage, or tiers of them."""
        yield from super().faults_in(item, read)
        yield from currency_faults(item, read)
        percent, tiers = read(item, "percent"), read(item, "tiers")
        if tiers is UNKNOWN or tiers:
            yield from tier_faults(tiers, read)
        if UNKNOWN not in (percent, tiers) and (percent is None) == (not tiers):
            yield ("percent",), "give either percent or tiers"

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return (
            GraduatedKernel(percent_terms(self.tiers), False) if self.tiers else PerUnitKernel(share(self.percent or 0))
        )


def currency_faults(item: Any, read: Read) -> Iterator[PathFault]:
    """A `currency`, where there is one, that is known."""
    currency = read(item, "currency")
    fault = "" if currency is UNKNOWN or currency is None else currency_fault(currency)
    if fault:
        yield ("currency",), fault
