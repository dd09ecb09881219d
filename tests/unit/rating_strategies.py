"""Prices and usage of every kind, for property tests of rating."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import strategies as st

from rating.prices import (
    BlockGraduated,
    BlockVolume,
    Capacity,
    Cell,
    Combine,
    Convert,
    Discount,
    Dynamic,
    Flat,
    Graduated,
    Matrix,
    Package,
    Percentage,
    PercentTier,
    PerUnit,
    Price,
    Recurring,
    Rollup,
    Tier,
    TieredPercentage,
    Volume,
    When,
)
from rating.states import Sum
from rating.totals import Total
from tests.unit.rating_usage import HOUR_MS, NOVEMBER, used

amounts = st.decimals(-(10**6), 10**6, places=4) | st.decimals(0, 1, places=12) | st.decimals(0, 10**29, places=18)
charges = st.decimals(0, 10**4, places=4)
positive = st.decimals(Decimal("0.0001"), 10**9, places=4)
percents = st.decimals(0, 100, places=2)
decimal_quantities = st.decimals(0, 10**9, places=0) | st.decimals(-(10**4), 10**15, places=12)
fractions = st.fractions(-(10**4), 10**9)
quantities = decimal_quantities | fractions


@st.composite
def tiers(draw: st.DrawFn, unit: st.SearchStrategy[Decimal] = amounts, size: int = 0) -> tuple[Tier, ...]:
    """Up to five tiers; with a size, bounds are multiples of it."""
    bound = st.integers(1, 10**6).map(lambda blocks: Decimal(blocks * size)) if size else positive
    bounds = sorted(draw(st.sets(bound, max_size=4)))
    return tuple(Tier(up_to=bound, unit_amount=draw(unit), flat_amount=draw(unit)) for bound in [*bounds, None])


@st.composite
def percent_tiers(draw: st.DrawFn) -> tuple[PercentTier, ...]:
    ends = [*sorted(draw(st.sets(positive, max_size=3))), None]
    return tuple(PercentTier(up_to=end, percent=draw(percents), flat_amount=draw(charges)) for end in ends)


@st.composite
def amount_terms(draw: st.DrawFn) -> dict[str, Any]:
    """A discount, a maximum and a minimum, each or none."""
    bounds = sorted(draw(st.lists(charges, min_size=2, max_size=2)))
    given = {"discount_percent": draw(percents), "minimum_amount": bounds[0], "maximum_amount": bounds[1]}
    return {name: value for name, value in given.items() if draw(st.booleans())}


@st.composite
def quantity_terms(draw: st.DrawFn) -> dict[str, Any]:
    given = {
        "convert": Convert(draw(positive), draw(st.sampled_from(["up", "down", "half_up", None]))),
        "free_quantity": draw(st.decimals(0, 10**6, places=3)),
        "usage_discount": draw(percents),
    }
    return {name: value for name, value in given.items() if draw(st.booleans())}


def metered(unit: st.SearchStrategy[Decimal]) -> st.SearchStrategy[Price]:
    """Every kernel over one meter, with any terms around it, its amounts drawn from `unit`."""
    id, meter = st.just("p"), st.just("m")
    kernels: Sequence[st.SearchStrategy[Price]] = (
        st.builds(PerUnit, id, meter, unit),
        st.builds(Graduated, id, meter, tiers(unit), st.booleans()),
        st.builds(Volume, id, meter, tiers(unit), st.booleans()),
        st.builds(Dynamic, id, meter, unit),
        st.builds(Percentage, id, meter, percents),
        st.builds(Percentage, id, meter, st.none(), percent_tiers()),
        st.builds(TieredPercentage, id, meter, percent_tiers(), st.sampled_from(["graduated", "volume"])),
        st.builds(Package, id, meter, positive, unit),
        st.builds(BlockGraduated, id, meter, tiers(unit, 250), st.booleans(), block_size=st.just(250)),
        st.builds(BlockVolume, id, meter, tiers(unit, 250), st.booleans(), block_size=st.just(250)),
        st.builds(Capacity, id, meter, positive, unit, unit),
    )
    return st.one_of(*(with_terms(kernel) for kernel in kernels))


@st.composite
def with_terms(draw: st.DrawFn, kernel: st.SearchStrategy[Price]) -> Price:
    return msgspec.structs.replace(draw(kernel), **draw(quantity_terms()), **draw(amount_terms()))


fixed = st.builds(Flat, st.just("p"), amounts) | st.builds(Recurring, st.just("p"), charges, metered(charges))
one_number = metered(amounts) | fixed  # what `price_amount` prices by itself

rollups = st.sampled_from(
    [
        Rollup("1d", "mean", "max", divisor=30),
        Rollup("1d", "mean", "merge"),
        Rollup("1d", "mean", "min", missing="skip"),
        Rollup("1d", "mean", "last", missing="carry"),
        Rollup("1h", "percentile", percentile=95),
        Rollup("1d", "percentile", "sum", percentile="99.9"),
        Rollup("1d", "sum", "max"),
        Rollup("1d", "min", "mean", "max"),
        Rollup("1h", "max", series="merge", rate=True),
    ]
)
combines = st.builds(Combine, st.sampled_from(["sum", "difference", "ratio"]), st.just(("n",)))
discounts = st.builds(Discount, percents, st.builds(When, st.just("m"), st.none() | combines, at_least=charges))


@st.composite
def from_totals(draw: st.DrawFn) -> Price:
    """Prices of every kind, of meter m: matrices, per zone, rolled up, combined with n, discounted on a condition."""
    price: Price = draw(one_number)
    if not isinstance(price, Flat | Recurring) and draw(st.booleans()):
        cell = msgspec.structs.replace(price, id="cell")
        default = draw(st.none() | metered(amounts))
        price = Matrix("p", "m", ("region",), (Cell({"region": ("eu", "na")}, cell),), default, **draw(amount_terms()))
    options: dict[str, Any] = {"discount": draw(st.none() | discounts)}
    if not isinstance(price, Flat | Recurring):
        options["rollup"] = draw(st.none() | rollups)
        options["per"] = draw(st.sampled_from([(), ("zone",), ("zone", "subject")]))
        if not isinstance(price, Matrix):
            options["combine"] = draw(st.none() | combines)
    return msgspec.structs.replace(price, **options)


@st.composite
def totals(draw: st.DrawFn) -> list[Total]:
    """Hourly windows of two sum meters, in some zones and regions, each series and window once."""
    place = st.tuples(
        st.sampled_from(["m", "m", "n"]),
        st.integers(0, 29),
        st.integers(0, 23),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["eu", "na", "moon"]),
    )
    found = draw(st.dictionaries(place, st.decimals(-100, 10**7, places=2), max_size=12))
    return [
        used(meter, Sum(value), day=day, at_ms=hour * HOUR_MS, subject=f"s-{zone}", zone=zone, region=region)
        for (meter, day, hour, zone, region), value in found.items()
    ]


ALL_DAYS = [NOVEMBER.start + timedelta(days=place) for place in range(30)]
