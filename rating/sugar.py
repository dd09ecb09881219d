"""Names that the trade knows, compiled to the kernels of `rating.models`."""

from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, Literal

from rating.bases import Metered
from rating.checks import UNKNOWN, PathFault, Read, tier_faults
from rating.kernels import BlockKernel, GraduatedKernel, Kernel, PerUnitKernel, TierTerms, VolumeKernel
from rating.models import Tiered, currency_faults
from rating.numbers import EXACT, ZERO
from rating.terms import Amount, Id
from rating.tiers import PercentTier, percent_terms, tier_terms


class Package(Metered, frozen=True, tag="package"):
    """`amount` for each begun package of `package_size` units beyond `free_units`; credits count whole packages only.

    Compiles to `per_unit` of packages; `free_units` is `free_quantity` under the name that goes with packages.
    """

    meter: Id
    package_size: Amount
    amount: Amount
    free_units: Amount = "0"
    model: ClassVar[str] = "package"
    limits: ClassVar = {**Metered.limits, "package_size": "above 0", "free_units": "not negative"}

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """One name for the free units."""
        yield from super().faults_in(item, read)
        names = (read(item, "free_units"), read(item, "free_quantity"))
        if UNKNOWN not in names and "0" not in names:
            yield ("free_units",), "is free_quantity by another name; keep one"

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return BlockKernel(Decimal(self.package_size), PerUnitKernel(Decimal(self.amount)))

    def _free(self) -> Decimal:
        return max(Decimal(self.free_units), Decimal(self.free_quantity))


class _Block(Tiered, frozen=True, kw_only=True):
    block_size: Amount
    limits: ClassVar = {**Metered.limits, "block_size": "above 0"}

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """Tiers end where a block ends."""
        yield from super().faults_in(item, read)
        size, tiers = read(item, "block_size"), read(item, "tiers")
        if UNKNOWN in (size, tiers) or Decimal(size) <= 0:
            return
        for place, tier in enumerate(tiers):
            up_to = read(tier, "up_to")
            if up_to is not UNKNOWN and up_to is not None and EXACT.remainder(Decimal(up_to), Decimal(size)):
                yield ("tiers", place, "up_to"), f"must be a multiple of block_size, {size}: no block is cut"

    def _tier_terms(self) -> list[TierTerms]:
        size = Decimal(self.block_size)
        return [
            TierTerms(None if tier.up_to is None else EXACT.divide(tier.up_to, size), tier.unit, tier.flat)
            for tier in tier_terms(self.tiers)
        ]


class BlockGraduated(_Block, frozen=True, tag="block_graduated"):
    """`graduated` in begun blocks of `block_size` units: `up_to` is in units, `unit_amount` is that of one block."""

    model: ClassVar[str] = "block_graduated"

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        inner = GraduatedKernel(self._tier_terms(), self.zero_usage_owes_first_flat)
        return BlockKernel(Decimal(self.block_size), inner)


class BlockVolume(_Block, frozen=True, tag="block_volume"):
    """`volume` in begun blocks of `block_size` units: `up_to` is in units, `unit_amount` is that of one block."""

    model: ClassVar[str] = "block_volume"

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        return BlockKernel(Decimal(self.block_size), VolumeKernel(self._tier_terms(), self.zero_usage_owes_first_flat))


class Capacity(Metered, frozen=True, tag="capacity"):
    """`amount` for a capacity of `included` units, owed also without usage; each unit beyond at `unit_amount`.

    Compiles to `graduated`: a first tier that costs its flat amount alone, and an open one.
    """

    meter: Id
    included: Amount
    amount: Amount
    unit_amount: Amount
    model: ClassVar[str] = "capacity"
    limits: ClassVar = {**Metered.limits, "included": "above 0"}

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        first = TierTerms(Decimal(self.included), ZERO, Decimal(self.amount))
        return GraduatedKernel([first, TierTerms(None, Decimal(self.unit_amount), ZERO)], True)


class TieredPercentage(Metered, frozen=True, tag="tiered_percentage"):
    """Percentages by tier of a monetary meter: each of what lies in its tier, or with `mode` volume of all of it."""

    meter: Id
    tiers: tuple[PercentTier, ...]
    mode: Literal["graduated", "volume"] = "graduated"
    currency: str | None = None  # of the meter; a quote in any other raises
    model: ClassVar[str] = "tiered_percentage"

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """Tiers ascend without overlap or gap to one open end."""
        yield from super().faults_in(item, read)
        yield from tier_faults(read(item, "tiers"), read)
        yield from currency_faults(item, read)

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic."""
        made = GraduatedKernel if self.mode == "graduated" else VolumeKernel
        return made(percent_terms(self.tiers), False)
