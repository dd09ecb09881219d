"""Plans: immutable, versioned lists of prices in one currency."""

from typing import Annotated, Literal

import msgspec
from msgspec.structs import force_setattr

from rating.instants import Instant, utc
from rating.money import currency_fault
from rating.prices import Id, Price


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename={"from_": "from"}):
    """One version of a plan. `price` keeps the order of the file, which is the order of invoice lines.

    The version is in effect from `from_` on (None: always); of those in effect at an instant the highest holds.
    """

    id: Id
    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    currency: str
    period: Literal["month"] = "month"
    price: tuple[Price, ...] = ()
    from_: Instant | None = None

    def __post_init__(self) -> None:
        if self.from_ is not None:
            force_setattr(self, "from_", utc(self.from_, "from"))
        faults = []
        if fault := currency_fault(self.currency):
            faults.append(f"currency: {fault}")
        ids = [price.id for price in self.price]
        repeated = sorted({id for id in ids if ids.count(id) > 1})
        faults += [f"price: the id {id!r} is used twice; each price of a plan needs its own" for id in repeated]
        if faults:
            raise ValueError("; ".join(faults))
