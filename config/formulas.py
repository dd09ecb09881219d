"""What one event counts where its data does not say so itself: a product of values, rounded, within bounds, plus a fee.

Arithmetic of a single event belongs in the meter: totals of memory and of seconds do not tell gigabyte-seconds, and
neither does a total of calls and minutes tell calls that are billed by the begun minute.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from rating.numbers import canonical

Amount = str | int
Digits = Annotated[int, Meta(ge=0, le=12)]
Path = Annotated[str, Meta(min_length=1, max_length=256)]
FACTORS_MAX = 4


class Formula(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """product of `product`, then rounded to a multiple of `round_to`, then at least `minimum` and at most `maximum`,
    then plus `fee`.

    `digits`: the decimals that each factor is read with (an event with more is refused), by default the meter's
    precision. `round_to`: by default the last digit of the meter's precision. All amounts are in the meter's unit and
    have at most as many decimals as its precision.
    """

    product: tuple[Path, ...]
    digits: tuple[Digits, ...] = ()
    round_to: Amount | None = None
    round: Literal["up", "down", "half_up"] = "half_up"  # up and down along the number line; half_up: away from zero
    minimum: Amount | None = None
    maximum: Amount | None = None
    fee: Amount = "0"

    def __post_init__(self) -> None:
        for name in ("round_to", "minimum", "maximum", "fee"):
            if getattr(self, name) is not None:
                force_setattr(self, name, canonical(getattr(self, name)))

    def factors(self, precision: int) -> tuple[tuple[str, int], ...]:
        """The path of each factor and the decimals it is read with."""
        digits = self.digits or (precision,) * len(self.product)
        return tuple(zip(self.product, digits, strict=True))

    def faults(self, precision: int) -> list[tuple[str, str]]:
        """What is wrong with it, as (field, message)."""
        found = []
        if not 1 <= len(self.product) <= FACTORS_MAX:
            found.append(("product", f"must name 1 to {FACTORS_MAX} paths"))
        if self.digits and len(self.digits) != len(self.product):
            found.append(("digits", "must be one number for each factor, or left out"))
        for name in ("round_to", "minimum", "maximum", "fee"):
            written = getattr(self, name)
            if written is not None and Decimal(written).as_tuple().exponent < -precision:  # type: ignore[operator]
                found.append((name, f"has more decimals than the meter's precision, {precision}"))
        if self.round_to is not None and Decimal(self.round_to) <= 0:
            found.append(("round_to", "must be above zero"))
        if None not in (self.minimum, self.maximum) and Decimal(self.minimum or 0) > Decimal(self.maximum or 0):
            found.append(("minimum", "must not be above maximum"))
        return found

    def __str__(self) -> str:
        return " * ".join(self.product)
