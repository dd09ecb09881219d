"""Which plan prices an account on which days, for what is rated as usage comes in."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise

import msgspec
from msgspec.structs import replace

from rating.calendar import Anchor, BillingPeriod
from rating.contract_checks import contract_faults
from rating.contracts import Contract
from rating.periods import Period, month_of
from rating.plans import Plan
from rating.prices import Price
from rating.timeline import Stretch, Versions, clipped, timeline, versions_of

_TERMS = ("minimum", "commitment", "credit", "coupon")
_DAY, _TICK = timedelta(days=1), timedelta(microseconds=1)


class Segment(msgspec.Struct, frozen=True):
    """The days [start, end) of a period under one contract; `plan` None means not rated, and `reason` says why.

    `plan.price` holds all prices of the contract, of add-ons and overrides too. `contract` is set, and `plan` is not,
    where days in UTC cannot express it and its periods must be priced whole, by `rate_period`.
    """

    plan: Plan | None
    start: date
    end: date
    reason: str = ""
    contract: Contract | None = None


class Tariff(msgspec.Struct, frozen=True, dict=True):
    """Plans and contracts, looked up by account and day. Raises ValueError with every fault of `tariff_faults`."""

    default_plan: str | None = None
    plans: tuple[Plan, ...] = ()
    contracts: tuple[Contract, ...] = ()

    def __post_init__(self) -> None:
        faults = tariff_faults(self.default_plan, self.plans, self.contracts)
        if faults:
            raise ValueError("; ".join(f"{path}: {message}" for path, message in faults))

    @cached_property
    def versions(self) -> Versions:
        """The versions of each plan, ascending."""
        return versions_of(self.plans)

    @cached_property
    def _contracts(self) -> dict[str, list[Contract]]:
        return _by_account(self.contracts)

    def accounts_priced_whole(self) -> frozenset[str]:
        """Accounts of which days in UTC may not express some month."""
        return frozenset(one.account for one in self.contracts if _may_be_whole(one, timeline(one, self.versions)))

    def prices(self) -> Iterator[Price]:
        """Every price of any plan and contract."""
        for plan in self.plans:
            yield from plan.price
        for contract in self.contracts:
            yield from (override.price for override in contract.override)

    @cached_property
    def taken_apart_by(self) -> dict[str, frozenset[str]]:
        """Of each price id the dimensions by which any version of it has parts."""
        found: dict[str, frozenset[str]] = {}
        for price in self.prices():
            found[price.id] = found.get(price.id, frozenset()).union(price.per)
        return found

    def contracts_of(self, account: str) -> list[Contract]:
        """The contracts of an account, ascending; the default plan is no contract."""
        return self._contracts.get(account, [])

    def default_contract(self, account: str, start: datetime, end: datetime) -> Contract | None:
        """The default plan as a contract of [start, end); None without a default plan."""
        return None if self.default_plan is None else Contract(account, self.default_plan, start, end)

    def agreements(self, account: str, start: datetime, end: datetime) -> list[Contract]:
        """What prices an account in [start, end), ascending: contracts, and the default plan where there is none."""
        found = []
        reached = start
        for contract in self.contracts_of(account):
            if contract.from_ >= end or (contract.to is not None and contract.to <= start):
                continue
            if reached < contract.from_:
                found.append(self.default_contract(account, reached, contract.from_))
            found.append(contract)
            reached = end if contract.to is None else contract.to
        if reached < end:
            found.append(self.default_contract(account, reached, end))
        return [contract for contract in found if contract is not None]

    def _gap(self, start: date, end: date) -> list[Segment]:
        contract = self.default_contract("", _midnight(start), _midnight(end))
        if contract is None:
            return [Segment(None, start, end, "no contract on these days, and the catalogue has no default_plan")]
        return [_segment(stretch) for stretch in timeline(contract, self.versions)]

    def segments(self, account: str, period: Period) -> list[Segment]:
        """The period cut at the account's contracts, without gaps, ascending.

        A contract is priced by the highest version of its plan; days without one by the default plan, if there is one.
        Contracts that follow each other stay apart even on one plan: each starts its tiers anew. What days in UTC
        cannot express (see `whole_reason`) has no plan but its contract, to be priced by `rate_period`.
        """
        found: list[Segment] = []
        reached = period.start
        for contract in self.contracts_of(account):
            start = max(contract.from_.date(), reached)
            end = period.end if contract.to is None else min((contract.to + _DAY - _TICK).date(), period.end)
            if start >= end:
                continue
            if reached < start:
                found += self._gap(reached, start)
            found.append(self._of_contract(contract, start, end, period))
            reached = end
        if reached < period.end:
            found += self._gap(reached, period.end)
        return found

    def _of_contract(self, contract: Contract, start: date, end: date, period: Period) -> Segment:
        bounds = BillingPeriod(_midnight(period.start), _midnight(period.end))
        stretches = clipped(timeline(contract, self.versions), bounds)
        reason = whole_reason(contract, stretches, bounds)
        if reason:
            return Segment(None, start, end, f"contract {contract.name!r} {reason}", contract)
        return _segment(stretches[0])

    def plan_for(self, account: str, day: date) -> Plan | None:
        """The plan that prices `account` on `day`, if any."""
        return next(found.plan for found in self.segments(account, month_of(day)) if found.start <= day < found.end)


def whole_reason(contract: Contract, stretches: list[Stretch], month: BillingPeriod) -> str:
    """Why the month of a contract can only be priced as a whole, with its contract; "" if days in UTC suffice."""
    if (contract.anchor, contract.time_zone) != (Anchor(), "UTC"):
        return "has periods of its own"
    if any(bound.time() != time() for stretch in stretches for bound in (stretch.start, stretch.end) if bound):
        return "begins or ends within a day"
    if len(stretches) > 1:
        return "changes within the month"
    partial = (stretches[0].start, stretches[0].end) != month
    if partial and (contract.proration != "none" or contract.tiers_on_change == "prorate"):
        return "holds for a part of the month, and is prorated"
    return ""


def _may_be_whole(contract: Contract, stretches: list[Stretch]) -> bool:
    """Whether `whole_reason` may find one in some month."""
    plain = (contract.anchor, contract.time_zone, contract.proration) == (Anchor(), "UTC", "none")
    bounds = [bound for stretch in stretches for bound in (stretch.start, stretch.end) if bound]
    at_midnight = all(bound.time() == time() for bound in bounds)
    return not (plain and at_midnight and len(stretches) == 1 and contract.tiers_on_change != "prorate")


def is_priced_by_day(contract: Contract, tariff: Tariff, month: BillingPeriod) -> bool:
    """Whether the prices of a month can be had from its segments, and no term of the contract adds to them."""
    stretches = clipped(timeline(contract, tariff.versions), month)
    ahead = any(getattr(price, "billed", "") == "advance" for stretch in stretches for price, _ in stretch.held)
    return not (ahead or whole_reason(contract, stretches, month) or any(getattr(contract, term) for term in _TERMS))


def _segment(stretch: Stretch) -> Segment:
    assert stretch.end is not None
    start, end = stretch.start.date(), stretch.end.date()
    if stretch.plan is None or stretch.missing:
        return Segment(None, start, end, "; ".join(stretch.missing))
    prices = tuple(price for price, _ in stretch.held)
    return Segment(stretch.plan if prices == stretch.plan.price else replace(stretch.plan, price=prices), start, end)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def tariff_faults(
    default_plan: str | None, plans: Iterable[Plan], contracts: Iterable[Contract]
) -> list[tuple[str, str]]:
    """Everything wrong between plans and contracts, as (path in the catalogue, message)."""
    plans, contracts = list(plans), list(contracts)
    versions = versions_of(plans)
    faults = []
    if default_plan is not None and default_plan not in versions:
        faults.append(("default_plan", f"there is no plan {default_plan!r}"))
    seen: set[tuple[str, int]] = set()
    for place, plan in enumerate(plans):
        if (plan.id, plan.version) in seen:
            faults.append((f"plan[{place}].version", f"{plan.version} of plan {plan.id!r} is taken, so raise it"))
        seen.add((plan.id, plan.version))
    for place, contract in enumerate(contracts):
        faults += [(f"contract[{place}].{path}", message) for path, message in contract_faults(contract, versions)]
    places = {id(contract): place for place, contract in enumerate(contracts)}
    for account, dated in _by_account(contracts).items():
        for one, other in pairwise(dated):
            if one.to is None or other.from_ < one.to:
                message = f"overlaps contract[{places[id(one)]}] of account {account!r}, end that one with `to` first"
                faults.append((f"contract[{places[id(other)]}].from", message))
    return faults


def _by_account(contracts: Iterable[Contract]) -> dict[str, list[Contract]]:
    found: dict[str, list[Contract]] = {}
    for contract in sorted(contracts, key=lambda contract: contract.from_):
        found.setdefault(contract.account, []).append(contract)
    return found
