"""The rules that a price keeps, written once: for structs as they are made, and for tables as a loader reads them.

A rule yields (path, message) for what it finds. It looks at fields through `read(item, name)`, which is `getattr` for a
struct; a loader passes its own, giving UNKNOWN for a value that it has refused already, so that no fault hides others.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar, Literal, get_args

import msgspec
from msgspec.structs import force_setattr

from rating.numbers import canonical

UNKNOWN: Any = type("Unknown", (), {"__repr__": lambda _: "UNKNOWN"})()

Read = Callable[[Any, str], Any]
PathFault = tuple[tuple[str | int, ...], str]
Limit = Literal["above 0", "not negative", "percent"]


class Checked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a price. Its decimals are brought to one canonical form; ValueError names every fault and its path."""

    limits: ClassVar[Mapping[str, Limit]] = {}

    def __post_init__(self) -> None:
        faults: list[PathFault] = []
        refused = set()
        for field in decimal_fields(type(self)):
            written = getattr(self, field)
            if written is None and field in optional_fields(type(self)):
                continue
            try:
                force_setattr(self, field, canonical(written))
            except ValueError as fault:
                faults.append(((field,), str(fault)))
                refused.add(field)

        def read(item: Any, name: str) -> Any:
            return UNKNOWN if item is self and name in refused else getattr(item, name)

        faults += self.faults_in(self, read)
        if faults:
            raise ValueError("; ".join(f"{path_text(path)}: {message}" for path, message in faults))

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """What is wrong with `item`, a struct of this class or a table of its fields."""
        for name, limit in cls.limits.items():
            value = read(item, name)
            if value is not UNKNOWN and value is not None:
                message = limit_fault(Decimal(value), limit)
                if message:
                    yield (name,), message


def limit_fault(value: Decimal, limit: Limit) -> str:
    """What is wrong with a number, or nothing."""
    if limit == "above 0":
        return "" if value > 0 else "must be above 0"
    if limit == "not negative":
        return "" if value >= 0 else "must not be negative"
    return "" if 0 <= value <= 100 else "must be a percentage from 0 to 100"


@cache
def decimal_fields(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields that hold a decimal, which are written as `str | int`."""
    return tuple(
        field.name for field in msgspec.structs.fields(struct) if set(get_args(field.type)) - {type(None)} == {str, int}
    )


@cache
def optional_fields(struct: type[msgspec.Struct]) -> frozenset[str]:
    """The fields that may be None."""
    return frozenset(field.name for field in msgspec.structs.fields(struct) if type(None) in get_args(field.type))


def path_text(path: tuple[str | int, ...]) -> str:
    """A path as people read it, such as tiers[1].up_to."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def tier_faults(tiers: Any, read: Read) -> Iterator[PathFault]:
    """Bounds above zero, strictly ascending without overlap or gap, the last tier and only it open."""
    if tiers is UNKNOWN:
        return
    if not tiers:
        yield ("tiers",), "must hold at least one tier"
    below: Decimal | None = Decimal(0)  # None: not known
    for place, tier in enumerate(tiers):
        last = place == len(tiers) - 1
        above, up_to = read(tier, "above"), read(tier, "up_to")
        at = ("tiers", place)
        if above is not UNKNOWN and above is not None and below is not None and Decimal(above) != below:
            trouble = "leaves a gap" if Decimal(above) > below else "overlaps the tier before"
            yield (*at, "above"), f"{trouble}: this tier begins above {below}; write that, or leave it out"
        if up_to is UNKNOWN:
            below = None
        elif up_to is None:
            if not last:
                yield (*at, "up_to"), "is required in every tier but the last, which is open"
                below = None
        elif last:
            message = "must be left out in the last tier, which is open, so that every quantity has a price"
            yield (*at, "up_to"), message
        else:
            if below is not None and Decimal(up_to) <= below:
                yield (*at, "up_to"), f"must be above {below}, where the tier begins; tiers ascend"
            below = max(below, Decimal(up_to)) if below is not None else Decimal(up_to)
