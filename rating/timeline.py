"""Which prices a contract holds from when to when: its plans, add-ons and overrides laid out in time."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from rating.calendar import BillingPeriod
from rating.contracts import AddOn, Change, Contract, Override
from rating.instants import within
from rating.plans import Plan
from rating.prices import Price

Versions = Mapping[str, Sequence[Plan]]  # of each plan id, ascending by version


class Catalogue(Protocol):
    """Whatever knows the plans: `rating.rate.Tariff`, or a catalogue that has one."""

    @property
    def versions(self) -> Versions:
        """The versions of each plan, ascending."""


class Holding(NamedTuple):
    """A price, in the plan that it comes from; the price may be the contract's own, in place of the plan's."""

    price: Price
    plan: Plan


class Stretch(NamedTuple):
    """[start, end) of a contract in which nothing changes; `end` None: for ever. `plan`: its own, without add-ons.

    `held` is in the order of drawdown and of lines: the contract's plan, then its add-ons as listed, each in the order
    of its file. `missing` says which plan has no version at that time.
    """

    start: datetime
    end: datetime | None
    plan: Plan | None
    held: tuple[Holding, ...]
    missing: tuple[str, ...]


class Span(NamedTuple):
    """A price as it is held in [start, end) of a period; `place` counts the prices of the contract in their order."""

    price: Price
    plan: Plan
    start: datetime
    end: datetime
    place: int


def versions_of(plans: Iterable[Plan]) -> Versions:
    """The versions of each plan, ascending."""
    found: dict[str, list[Plan]] = {}
    for plan in sorted(plans, key=lambda plan: plan.version):
        found.setdefault(plan.id, []).append(plan)
    return found


def timeline(contract: Contract, versions: Versions) -> list[Stretch]:
    """The whole contract, without gaps, ascending. A plan that is not in `versions` is missing all the time."""
    cuts = {contract.from_} | {change.at for change in contract.change}
    dated: list[AddOn | Override] = [*contract.add_on, *contract.override]
    for part in dated:
        cuts |= {instant for instant in (part.from_, part.to) if instant is not None}
    for id in contract.plans:
        cuts |= {plan.from_ for plan in versions.get(id, ()) if plan.from_ is not None}
    starts = sorted(cut for cut in cuts if within(cut, contract.from_, contract.to))
    return [
        _stretch(contract, versions, start, end) for start, end in zip(starts, [*starts[1:], contract.to], strict=True)
    ]


def _stretch(contract: Contract, versions: Versions, start: datetime, end: datetime | None) -> Stretch:
    own: Contract | Change = contract
    for change in sorted(contract.change, key=lambda change: change.at):
        own = change if change.at <= start else own
    parts: list[Contract | Change | AddOn] = [own]
    parts += [add_on for add_on in contract.add_on if within(start, add_on.from_, add_on.to)]
    replaced = {o.price.id: o.price for o in contract.override if within(start, o.from_, o.to)}
    held, missing = list[Holding](), list[str]()
    plans = [version_at(versions.get(part.plan, ()), part.version, start) for part in parts]
    for part, plan in zip(parts, plans, strict=True):
        if plan is None:
            missing.append(f"plan {part.plan!r} has no version at that time")
        else:
            held += [Holding(replaced.get(price.id, price), plan) for price in plan.price]
    return Stretch(start, end, plans[0], tuple(held), tuple(missing))


def version_at(versions: Sequence[Plan], pinned: int | None, instant: datetime) -> Plan | None:
    """The highest version in effect at an instant, or the pinned one if it is in effect."""
    fitting = (
        plan
        for plan in reversed(versions)
        if pinned in (None, plan.version) and (plan.from_ is None or plan.from_ <= instant)
    )
    return next(fitting, None)


def clipped(stretches: Sequence[Stretch], period: BillingPeriod) -> list[Stretch]:
    """The parts of stretches that lie in a period."""
    found = []
    for stretch in stretches:
        start = max(stretch.start, period.start)
        end = period.end if stretch.end is None else min(stretch.end, period.end)
        if start < end:
            found.append(stretch._replace(start=start, end=end))
    return found


def spans(stretches: Sequence[Stretch], period: BillingPeriod) -> dict[str, list[Span]]:
    """By price id, ascending, how each price is held in the period; a price that goes on unchanged is one span."""
    found: dict[str, list[Span]] = {}
    places: dict[str, int] = {}
    for stretch in clipped(stretches, period):
        assert stretch.end is not None
        for price, plan in stretch.held:
            place = places.setdefault(price.id, len(places))
            span = Span(price, plan, stretch.start, stretch.end, place)
            before = found.setdefault(price.id, [])
            if before and _goes_on(before[-1], span):
                before[-1] = before[-1]._replace(end=span.end)
            else:
                before.append(span)
    return found


def _goes_on(before: Span, span: Span) -> bool:
    return (
        before.end == span.start
        and (before.plan.id, before.plan.version) == (span.plan.id, span.plan.version)
        and (before.price is span.price or before.price == span.price)
    )
