"""What accounts have agreed to in a run: plain plans of months, prices that look closer than a day's total, contracts
with periods of their own and contracts that change within one. Drawn from a stream of its own."""

from __future__ import annotations

import random
from datetime import timedelta

import msgspec

from config.catalogue import Catalogue
from rating.calendar import Anchor
from rating.contracts import Change, Contract
from rating.plans import Plan
from rating.prices import Cell, Combine, Flat, Graduated, Matrix, PerUnit, Price, Rollup, Tier, Volume
from tests.simulation.logs import CATALOGUE, NOVEMBER

OCTOBER = NOVEMBER - timedelta(days=31)
_SECOND = NOVEMBER + timedelta(days=1)
_TIERS = (Tier(up_to="1.5", unit_amount="0.3", flat_amount="2"), Tier(unit_amount="0.07"))
_BY_ZONE = PerUnit("z", "requests", "0.02", per=("zone",))
_LEVEL = PerUnit("g", "level", "0.05")
_HIGHEST = PerUnit("top", "level", "1", rollup=Rollup("1d", "max", each="max"))
_BUSIEST = Graduated("peak", "requests", _TIERS, rollup=Rollup("1h", "max"))
_HELD = PerUnit("held", "disk", "0.1", rollup=Rollup("1d", "mean", each="last", missing="carry"))


def _matrix(eu: str, *more: str) -> Matrix:
    others = Volume("m/us", "high", (Tier(up_to="9", unit_amount="0.02"), Tier(unit_amount="0.01")))
    cells = (
        Cell({"zone": ("eu",)}, PerUnit("m/eu", "high", eu)),
        Cell({"zone": ("us", *more)}, others),
    )
    return Matrix("m", "high", ("zone",), cells)


def _pro(version: int, *prices: Price) -> Plan:
    return Plan("pro", version, "USD", price=(Flat("base", "5"), *prices))


def _with(catalogue: Catalogue, plans: tuple[Plan, ...], contracts: tuple[Contract, ...]) -> Catalogue:
    mended = [plan for plan in catalogue.plans if plan.id not in {one.id for one in plans}]
    return msgspec.structs.replace(catalogue, plans=(*mended, *plans), contracts=contracts)


_CLOSE = _pro(
    1, _BY_ZONE, _BUSIEST, _matrix("0.01"), _HELD, _LEVEL, PerUnit("n", "users", "1", combine=Combine("sum", ("hits",)))
)
_CLOSER = _pro(
    2,
    msgspec.structs.replace(_BY_ZONE, per=()),
    _matrix("0.03", "ap"),
    msgspec.structs.replace(_BUSIEST, rollup=Rollup("1d", "mean")),
    _HIGHEST,
)


def closer(place: int, catalogue: Catalogue) -> Catalogue:
    """Prices by part, cell, slot and level, for all that are on a plan."""
    plans = (_CLOSE, _CLOSER)[: 1 + min(place, 1)]
    return _with(catalogue, plans, (Contract("acme", "pro", OCTOBER), Contract("umbra", "pro", OCTOBER)))


_WEEKLY = _pro(1, _LEVEL, _HIGHEST, Graduated("r", "requests", _TIERS), PerUnit("h", "hits", "0.4"))
_LATER = Plan("max", 1, "USD", price=(Flat("base", "9"), Graduated("r", "requests", _TIERS[1:]), _LEVEL, _BY_ZONE))


def weekly(place: int, catalogue: Catalogue) -> Catalogue:
    """A contract of weeks that end on a Saturday, whose plan changes on a Monday. An older catalogue had months."""
    anchor = Anchor("week", 7) if place or catalogue.generation == 3 else Anchor()
    changing = Contract(
        *("acme", "pro", OCTOBER),
        anchor=anchor,
        change=(Change(_SECOND, "max"),),
        tiers_on_change=("continue", "restart")[place % 2],
    )
    return _with(catalogue, (_WEEKLY, _LATER), (changing, Contract("umbra", "pro", OCTOBER)))


_HOURLY = _pro(1, _BUSIEST, _BY_ZONE, PerUnit("l", "load", "0.3"))
_EVENING = Plan("max", 1, "USD", price=(Flat("base", "9"), PerUnit("l", "load", "0.1"), PerUnit("r", "requests", "1")))


def zoned(place: int, catalogue: Catalogue) -> Catalogue:
    """Months of Berlin, which begin in an evening of UTC, and a plan that changes some hours before, or at noon. With
    every other catalogue a contract that ends in an afternoon, and one that begins three hours later."""
    at = NOVEMBER - timedelta(hours=6) if place == 0 else NOVEMBER + timedelta(hours=12)
    prorated = Contract(
        *("acme", "pro", OCTOBER),
        time_zone="Europe/Berlin",
        change=(Change(at, "max"),),
        tiers_on_change="restart",
        proration="second",
    )
    until = NOVEMBER + timedelta(hours=36)
    umbra = (Contract("umbra", "pro", OCTOBER, until), Contract("umbra", "max", until))
    if catalogue.generation % 2 == 0:
        return _with(catalogue, (_HOURLY, _EVENING), (prorated, *umbra))
    over = NOVEMBER - timedelta(hours=10)
    ended = msgspec.structs.replace(prorated, to=over, change=())
    return _with(catalogue, (_HOURLY, _EVENING), (ended, Contract("acme", "max", over + timedelta(hours=3)), *umbra))


_KINDS = (None, None, None, closer, weekly, zoned)


def agreed(history: tuple[Catalogue, ...], rng: random.Random) -> tuple[Catalogue, ...]:
    """A history of catalogues with what this run's accounts agreed to."""
    kind = rng.choice(_KINDS)
    if kind is None:
        return history
    if not all(any(meter.id == "level" for meter in one.meters) for one in history):
        history = tuple(msgspec.structs.replace(one, meters=CATALOGUE.meters) for one in history)
    return tuple(kind(place, one) for place, one in enumerate(history))
