"""What all prices share: their fields around a kernel, and how these compile."""

from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar

from rating.checks import UNKNOWN, Checked, PathFault, Read
from rating.kernels import Kernel
from rating.numbers import ZERO
from rating.pipeline import Divide, Pipeline
from rating.terms import Amount, Combine, Convert, Discount, Id, Rollup
from rating.tiers import share


# dict=True gives a price room for its compiled form; it takes no part in equality, hashing or encoding.
class _Price(Checked, frozen=True, tag_field="model", dict=True):
    id: Id


class Terms(_Price, frozen=True, kw_only=True):
    """What may follow any kernel, in this order: discounts (in percent of the amount), maximum, minimum."""

    discount_percent: Amount = "0"
    discount: Discount | None = None
    maximum_amount: Amount | None = None
    minimum_amount: Amount | None = None

    limits: ClassVar = {"discount_percent": "percent"}
    rollup: ClassVar[Rollup | None] = None
    combine: ClassVar[Combine | None] = None
    per: ClassVar[tuple[str, ...]] = ()
    allocate_by: ClassVar[str | None] = None

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """The maximum is not below the minimum."""
        yield from super().faults_in(item, read)
        minimum, maximum = read(item, "minimum_amount"), read(item, "maximum_amount")
        if None not in (minimum, maximum) and UNKNOWN not in (minimum, maximum) and Decimal(maximum) < Decimal(minimum):
            yield ("maximum_amount",), f"must be at least minimum_amount, {minimum}"

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic of the model alone."""
        raise NotImplementedError

    @cached_property
    def pipeline(self) -> Pipeline:
        """The whole price, compiled."""
        return Pipeline(self.kernel, **self._amount_terms())

    def _amount_terms(self) -> dict[str, Any]:
        return {
            "discount": share(self.discount_percent),
            "conditional": share(self.discount.percent) if self.discount else ZERO,
            "maximum": None if self.maximum_amount is None else Decimal(self.maximum_amount),
            "minimum": None if self.minimum_amount is None else Decimal(self.minimum_amount),
        }


class Rolled(Terms, frozen=True, kw_only=True):
    """How the quantity of a period comes about, and for whom there is one of its own.

    `per`: dimensions (or "subject", "account"); each combination of their values that has usage is priced by itself,
    with its own tiers, allowance, fee, maximum and minimum. `allocate_by`: a dimension, "subject" or "account" by whose
    usage the rounded cost of a pool is split.
    """

    rollup: Rollup | None = None  # type: ignore[misc]
    per: tuple[Id, ...] = ()  # type: ignore[misc]
    allocate_by: Id | None = None  # type: ignore[misc]

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """`per` names each dimension once."""
        yield from super().faults_in(item, read)
        per = read(item, "per")
        if per is not UNKNOWN and len(set(per)) < len(per):
            yield ("per",), "names a dimension twice"


class Metered(Rolled, frozen=True, kw_only=True):
    """What comes before the kernel, in order: rollup, combine, convert, free quantity, usage discount (percent)."""

    combine: Combine | None = None  # type: ignore[misc]
    convert: Convert | None = None
    free_quantity: Amount = "0"
    usage_discount: Amount = "0"

    limits: ClassVar = {**Terms.limits, "free_quantity": "not negative", "usage_discount": "percent"}

    @cached_property
    def pipeline(self) -> Pipeline:
        """The whole price, compiled."""
        divide = Divide(Decimal(self.convert.divide_by), self.convert.round) if self.convert else None
        terms = self._amount_terms()
        usage_discount = share(self.usage_discount)
        return Pipeline(self.kernel, divide=divide, free=self._free(), usage_discount=usage_discount, **terms)

    def _free(self) -> Decimal:
        return Decimal(self.free_quantity)
