"""Prices as they are written in a plan, told apart by `model`: a quantity pipeline, a kernel, then terms.

Convert without a hook: `msgspec.convert(mapping, type=Price)` (or `Plan`, which holds prices), in the default strict
mode. Amounts, sizes and bounds are decimal strings or integers; a float, an exponent, NaN or "1_000" is refused as
msgspec.ValidationError with its path. After that each amount is a string in one canonical form ("0.30" becomes "0.3"),
so equal prices compare equal and `msgspec.json.encode` and decode give the same price back, to the last digit.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from itertools import product
from typing import Any, ClassVar, Union

import msgspec

from rating.bases import Rolled, Terms
from rating.checks import UNKNOWN, Checked, PathFault, Read
from rating.kernels import FlatKernel, Kernel, MatrixKernel, Step
from rating.models import Billed, Dynamic, Flat, Graduated, Percentage, PerUnit, Volume
from rating.numbers import Quantity
from rating.sugar import BlockGraduated, BlockVolume, Capacity, Package, TieredPercentage
from rating.terms import Amount, Combine, Convert, Discount, Id, Rollup, When
from rating.tiers import PercentTier, Tier

__all__ = [
    "Amount", "BlockGraduated", "BlockVolume", "Capacity", "Cell", "Combine", "Convert", "Discount", "Dynamic", "Flat",
    "Graduated", "Id", "Matrix", "Package", "PerUnit", "PercentTier", "Percentage", "Price", "Recurring", "Rollup",
    "Tier", "TieredPercentage", "Volume", "When", "explain", "meters_of", "needs_totals", "price_amount", "read_price",
]  # fmt: skip


class Cell(Checked, frozen=True):
    """A cell of a matrix: the texts of each dimension that it takes, and the price of what it takes, pooled."""

    when: dict[str, tuple[str, ...]]
    price: "Price"


class Matrix(Rolled, frozen=True, tag="matrix"):
    """A price for each combination of dimensions. What no cell takes goes to `default`, or is refused without one.

    Each cell is priced by itself, once it has usage; a cell without a rollup has that of the matrix. The terms of the
    matrix apply to the sum of its cells. In files the price of a cell may leave out `id` and `meter`.
    """

    meter: Id
    dimensions: tuple[Id, ...]
    cell: tuple[Cell, ...]
    default: Union["Price", None] = None
    model: ClassVar[str] = "matrix"

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """Each cell names all dimensions, no two cells overlap, and all price the matrix's own meter."""
        yield from super().faults_in(item, read)
        meter, dimensions, cells = read(item, "meter"), read(item, "dimensions"), read(item, "cell")
        if UNKNOWN in (meter, dimensions, cells):
            return
        if not dimensions or len(set(dimensions)) < len(dimensions):
            yield ("dimensions",), "must name at least one dimension, each once"
        if not cells:
            yield ("cell",), "must hold at least one cell"
        taken: dict[tuple[str, ...], int] = {}
        for place, cell in enumerate(cells):
            yield from _inner_faults(read(cell, "price"), ("cell", place, "price"), meter, read)
            when = read(cell, "when")
            if when is UNKNOWN:
                continue
            if set(when) != set(dimensions) or not all(when.values()):
                yield ("cell", place, "when"), f"must give texts for each dimension: {', '.join(dimensions)}"
                continue
            for values in product(*(when[name] for name in dimensions)):
                if taken.setdefault(values, place) != place:
                    yield ("cell", place, "when"), f"{' '.join(values)!r} is already taken by cell[{taken[values]}]"
        yield from _inner_faults(read(item, "default"), ("default",), meter, read)

    @cached_property
    def kernel(self) -> Kernel:
        """Prices nothing but zero, as the cell is not known."""
        return MatrixKernel(self.id)

    @cached_property
    def cells(self) -> "dict[tuple[str, ...], Price]":
        """The price of each combination of dimensions."""
        found = {}
        for cell in self.cell:
            inner = _with_rollup(cell.price, self.rollup)  # one object, by which its combinations are pooled
            found.update(dict.fromkeys(product(*(cell.when[name] for name in self.dimensions)), inner))
        return found

    @staticmethod
    def completed(written: Mapping[str, Any]) -> dict[str, Any]:
        """See `completed`, for loaders."""
        return completed(written)

    @cached_property
    def fallback(self) -> "Price | None":
        """`default`, with the rollup of the matrix."""
        return None if self.default is None else _with_rollup(self.default, self.rollup)


class Recurring(Terms, frozen=True, tag="recurring"):
    """A price of a fixed quantity in each period, such as seats: billed for the period ahead or the one past.

    Owed whatever is used. A contract may set another quantity. In files the inner price may leave out `id` and `meter`.
    """

    quantity: Amount
    price: "Price"
    billed: Billed = "advance"
    model: ClassVar[str] = "recurring"
    meter: ClassVar[None] = None
    limits: ClassVar = {**Terms.limits, "quantity": "not negative"}

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """The inner price is of one quantity."""
        yield from super().faults_in(item, read)
        yield from _inner_faults(read(item, "price"), ("price",), UNKNOWN, read)

    @staticmethod
    def completed(written: Mapping[str, Any]) -> dict[str, Any]:
        """See `completed`, for loaders."""
        return completed(written)

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled arithmetic: one amount, whatever is used."""
        return RecurringKernel(self.price, Decimal(self.quantity))


class RecurringKernel(FlatKernel):
    """The amount of another price at a fixed quantity."""

    def __init__(self, price: "Price", quantity: Decimal) -> None:
        super().__init__(price_amount(price, quantity))
        self._price, self._quantity = price, quantity

    def steps(self, quantity: Decimal) -> list[Step]:
        """Those of the other price, at the fixed quantity."""
        return list(explain(self._price, self._quantity))


Price = (
    Flat | PerUnit | Graduated | Volume | Dynamic | Percentage | Matrix | Recurring
    | Package | BlockGraduated | BlockVolume | Capacity | TieredPercentage
)  # fmt: skip


def price_amount(price: Price, quantity: Quantity, met: bool = False) -> Decimal:
    """The amount owed for a cumulative quantity of a period, in units of currency at AMOUNT_DIGITS decimals.

    From `convert` on: the quantity is that of the rollup. `met`: whether the condition of `discount` holds. Exact, and
    then brought to 12 decimals once, half away from zero; what does not fit them is a quotient that has no finite
    decimal form, or an amount and a quantity of very many decimals. Raises decimal.Inexact or InvalidOperation for a
    quantity beyond 200 digits, NaN or infinity, OneNumberIsNotEnoughError for a matrix.
    """
    return price.pipeline.amount(quantity, met)


def explain(price: Price, quantity: Quantity, met: bool = False) -> tuple[Step, ...]:
    """The steps to `price_amount(price, quantity, met)`; their amounts add up to it exactly."""
    return tuple(price.pipeline.steps(quantity, met))


def needs_totals(price: Price) -> bool:
    """Whether `price_amount` of the meter's merged quantity is not the whole truth: then use `usage.price_usage`."""
    apart = price.rollup is not None or price.combine is not None or price.discount is not None or bool(price.per)
    return apart or isinstance(price, Matrix)


def meters_of(price: Price) -> frozenset[str]:
    """Every meter whose totals the price looks at."""
    found = {price.meter} if price.meter is not None else set()
    found.update(price.combine.meters if price.combine else ())
    if price.discount is not None:
        when = price.discount.when
        found.update((when.meter, *(when.combine.meters if when.combine else ())))
    if isinstance(price, Matrix):
        inner = [cell.price for cell in price.cell] + ([price.default] if price.default else [])
        return frozenset(found).union(*(meters_of(one) for one in inner))
    return frozenset(found)


def read_price(written: Mapping[str, Any]) -> Price:
    """A price from plain values. `id` and `meter` may be left out. Raises msgspec.ValidationError with a path."""
    price: Price = msgspec.convert(completed({"id": "price", "meter": "quantity", **written}), type=Price)
    return price


def completed(written: Mapping[str, Any]) -> dict[str, Any]:
    """A price as written, with the ids and meters that its inner prices may leave out: those of the outer price.

    A cell's id says what it takes: "egress/eu". Whatever is not shaped as it should be is left for others to refuse.
    """
    price = dict(written)
    if price.get("model") in ("flat", "recurring") and price.get("meter") == "quantity":
        del price["meter"]
    if price.get("model") == "recurring" and isinstance(price.get("price"), Mapping):
        price["price"] = _inner(price["price"], price.get("id"), "quantity")
    if price.get("model") == "matrix":
        cells = price.get("cell")
        if isinstance(cells, list | tuple):
            price["cell"] = [_completed_cell(cell, price) for cell in cells]
        if isinstance(price.get("default"), Mapping):
            price["default"] = _inner(price["default"], f"{price.get('id')}/other", price.get("meter"))
    return price


def _completed_cell(cell: Any, matrix: Mapping[str, Any]) -> Any:
    if not isinstance(cell, Mapping) or not isinstance(cell.get("price"), Mapping):
        return cell
    when = cell.get("when")
    texts = when.values() if isinstance(when, Mapping) else ()
    taken = "/".join("+".join(map(str, values)) if isinstance(values, list | tuple) else "" for values in texts)
    return {**cell, "price": _inner(cell["price"], f"{matrix.get('id')}/{taken}", matrix.get("meter"))}


def _inner(written: Mapping[str, Any], id: Any, meter: Any) -> dict[str, Any]:
    given = {"id": id} if written.get("model") in ("flat", "recurring") else {"id": id, "meter": meter}
    return completed({**given, **written})


def _inner_faults(price: Any, path: tuple[str | int, ...], meter: Any, read: Read) -> Iterator[PathFault]:
    """An inner price is of its outer price's meter, and leaves to that one what needs more than a quantity."""
    if price is UNKNOWN or price is None:
        return
    if meter is not UNKNOWN and read(price, "meter") not in (None, UNKNOWN, meter):
        yield (*path, "meter"), f"must be {meter}, as that of the matrix, or left out"
    if meter is UNKNOWN and read(price, "model") == "matrix":
        yield path, "is of a fixed quantity, which has no dimensions that choose a cell"
    if meter is UNKNOWN and any(read(price, name) is not None for name in ("rollup", "combine", "discount")):
        yield path, "is of a fixed quantity, so leave rollup, combine and discount out"
    if read(price, "per"):
        yield (*path, "per"), "belongs to the outer price"


def _with_rollup(price: Price, rollup: Rollup | None) -> Price:
    if rollup is None or price.rollup is not None or not hasattr(type(price), "free_quantity"):
        return price
    return msgspec.structs.replace(price, rollup=rollup)
