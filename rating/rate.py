"""Which plan prices an account on which days."""

from collections.abc import Iterable
from datetime import date
from functools import cached_property
from itertools import pairwise

import msgspec

from rating.contracts import Contract
from rating.periods import Period, month_of
from rating.plans import Plan


class Segment(msgspec.Struct, frozen=True):
    """The days [start, end) of a period under one contract; `plan` None means not rated, and `reason` says why."""

    plan: Plan | None
    start: date
    end: date
    reason: str = ""


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
    def _plan(self) -> dict[str, Plan]:
        return {plan.id: plan for plan in sorted(self.plans, key=lambda plan: plan.version)}

    @cached_property
    def _contracts(self) -> dict[str, list[Contract]]:
        return _by_account(self.contracts)

    def _gap(self, start: date, end: date) -> Segment:
        if self.default_plan is None:
            return Segment(None, start, end, "no contract on these days, and the catalogue has no default_plan")
        return Segment(self._plan[self.default_plan], start, end)

    def segments(self, account: str, period: Period) -> list[Segment]:
        """The period cut at the account's contracts, without gaps, ascending.

        A contract is priced by the highest version of its plan; days without one by the default plan, if there is one.
        Contracts that follow each other stay apart even on one plan: each starts its tiers anew.
        """
        found = []
        reached = period.start
        for contract in self._contracts.get(account, ()):
            start = max(contract.from_.date(), period.start)
            end = period.end if contract.to is None else min(contract.to.date(), period.end)
            if start >= end:
                continue
            if reached < start:
                found.append(self._gap(reached, start))
            found.append(Segment(self._plan[contract.plan], start, end))
            reached = end
        if reached < period.end:
            found.append(self._gap(reached, period.end))
        return found

    def plan_for(self, account: str, day: date) -> Plan | None:
        """The plan that prices `account` on `day`, if any."""
        return next(found.plan for found in self.segments(account, month_of(day)) if found.start <= day < found.end)


def tariff_faults(
    default_plan: str | None, plans: Iterable[Plan], contracts: Iterable[Contract]
) -> list[tuple[str, str]]:
    """Everything wrong between plans and contracts, as (path in the catalogue, message)."""
    plans, contracts = list(plans), list(contracts)
    known = {plan.id for plan in plans}
    faults = []
    if default_plan is not None and default_plan not in known:
        faults.append(("default_plan", f"there is no plan {default_plan!r}"))
    seen: set[tuple[str, int]] = set()
    for place, plan in enumerate(plans):
        if (plan.id, plan.version) in seen:
            faults.append((f"plan[{place}].version", f"{plan.version} of plan {plan.id!r} is taken, so raise it"))
        seen.add((plan.id, plan.version))
    for place, contract in enumerate(contracts):
        if contract.plan not in known:
            faults.append((f"contract[{place}].plan", f"there is no plan {contract.plan!r}"))
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
