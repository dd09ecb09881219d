"""What must hold between a contract, the plans it names and the windows of their meters, as (path, message)."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise

from rating.calendar import Anchor, Calendar, zone
from rating.changes import is_tiered
from rating.contracts import Contract
from rating.instants import instant_text, within
from rating.money import currency_fault, minor_digits
from rating.prices import Price, meters_of
from rating.terms import EVERY_MS
from rating.timeline import Stretch, Versions, clipped, timeline

Fault = tuple[str, str]
Windows = Mapping[str, Set[int]]  # of each meter, the lengths of the windows of its versions, in milliseconds
_TICK = timedelta.resolution
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = {length_ms: name for name, length_ms in EVERY_MS.items()}
_LAST_YEAR = 2100  # time zones repeat their rules yearly by then, so an offset that never came up will not


def contract_faults(contract: Contract, versions: Versions, windows: Windows | None = None) -> Iterator[Fault]:
    """Every fault of one contract. Without `windows` nothing is said about windows that an instant would cut."""
    yield from _plan_faults(contract, versions)
    yield from _currency_faults(contract, versions)
    yield from _bounds_faults(contract)
    yield from _name_faults(contract, versions)
    try:
        zone(contract.time_zone)
    except ValueError as error:
        yield "time_zone", str(error)
        return
    stretches = timeline(contract, versions)
    yield from _clash_faults(stretches)
    yield from _change_faults(contract, stretches)
    if windows is not None:
        yield from _cut_faults(contract, stretches, windows)


def meeting_fault(one: Contract, other: Contract, versions: Versions) -> str | None:
    """Why `other` cannot begin where it does, behind `one` of the same account: of rated days neither could be told.

    A rated day is known by the first days of its period and of the piece of it in which the price holds.
    """
    if one.to is None:
        return None
    period, following = one.calendar.period_of(one.to - _TICK), other.calendar.period_of(other.from_)
    begins = {stretch.start.date() for stretch in clipped(timeline(one, versions), period)}
    if other.from_.date() not in begins or period.start.date() != following.start.date():
        return None
    return (
        f"is on {other.from_.date()}, UTC, when prices of the contract before it begin as well, and in the same period:"
        " rated days could not be told apart; let the contracts meet on another day"
    )


def _plan_faults(contract: Contract, versions: Versions) -> Iterator[Fault]:
    named = [("", contract.plan, contract.version)]
    named += [(f"change[{place}].", part.plan, part.version) for place, part in enumerate(contract.change)]
    named += [(f"add_on[{place}].", part.plan, part.version) for place, part in enumerate(contract.add_on)]
    for path, id, version in named:
        if id not in versions:
            near = get_close_matches(id, versions, n=1)
            yield f"{path}plan", f"there is no plan {id!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        elif version is not None and version not in {plan.version for plan in versions[id]}:
            yield f"{path}version", f"plan {id!r} has no version {version}"


def _currency_faults(contract: Contract, versions: Versions) -> Iterator[Fault]:
    held = {id: versions[id][0].currency for id in contract.plans if versions.get(id)}
    currency = contract.currency or held.get(contract.plan)
    fault = "" if currency is None else currency_fault(currency)
    if fault and contract.currency is not None:
        yield "currency", fault
    for id, found in held.items():
        if currency is not None and found != currency:
            yield "currency", f"is {currency}, but plan {id!r} is in {found}; a contract has one currency"
    if currency is not None and not fault:
        digits = minor_digits(currency)
        amounts = [(f"credit[{place}].amount", credit.amount) for place, credit in enumerate(contract.credit)]
        for path, amount in [("minimum", contract.minimum or "0"), *amounts]:
            if Decimal(amount) != round(Decimal(amount), digits):
                yield path, f"must have at most {digits} decimals, as {currency} has"


def _bounds_faults(contract: Contract) -> Iterator[Fault]:
    for path, instant in contract.instants():
        first_of_all = path.startswith("change") and instant == contract.from_
        ends = path.endswith("to") and instant == contract.to
        if not ends and not within(instant, contract.from_, contract.to):
            yield path, f"{instant_text(instant)} is outside the contract; leave it out for the contract's own bounds"
        elif first_of_all:
            yield path, "must be after the contract begins; put that plan into `plan`"
    for place, (before, change) in enumerate(pairwise(contract.change), start=1):
        if change.at <= before.at:
            yield f"change[{place}].at", "must be after the change before it"


def _name_faults(contract: Contract, versions: Versions) -> Iterator[Fault]:
    known = {price.id for id in contract.plans for plan in versions.get(id, ()) for price in plan.price}
    complete = all(id in versions for id in contract.plans)
    for place, override in enumerate(contract.override):
        if complete and override.price.id not in known:
            yield f"override[{place}].price.id", f"no plan of the contract has a price {override.price.id!r}"
    for name in ("commitment", "coupon"):
        for place, part in enumerate(getattr(contract, name)):
            for index, id in enumerate(part.prices):
                if complete and id not in known:
                    yield f"{name}[{place}].prices[{index}]", f"no plan of the contract has a price {id!r}"
    for name in ("commitment", "credit", "coupon"):
        ids: set[str] = set()
        for place, part in enumerate(getattr(contract, name)):
            if part.id in ids:
                yield f"{name}[{place}].id", f"{part.id!r} is there twice"
            ids.add(part.id)


def _clash_faults(stretches: Sequence[Stretch]) -> Iterator[Fault]:
    """A price id is the name of a line, and what tiers go on by when plans change: one at a time."""
    said: dict[str, None] = {}
    for stretch in stretches:
        plans: dict[str, str] = {}
        for price, plan in stretch.held:
            other = plans.get(price.id)
            plans[price.id] = other or plan.id
            if other == plan.id:
                said[f"plan {other!r} is held twice at one time; leave one out"] = None
            elif other is not None:
                said[f"plans {other!r} and {plan.id!r} both have a price {price.id!r} at one time; rename one"] = None
    yield from (("add_on", message) for message in said)


def _change_faults(contract: Contract, stretches: Sequence[Stretch]) -> Iterator[Fault]:
    if contract.tiers_on_change is not None:
        return
    for before, after in pairwise(stretches):
        if contract.calendar.period_of(after.start).start == after.start:
            continue
        was: dict[str, Price] = {price.id: price for price, _ in before.held}
        for price, plan in after.held:
            old = was.get(price.id)
            if old is not None and old != price and (is_tiered(old) or is_tiered(price)):
                message = (
                    f"is required: price {price.id!r} of plan {plan.id!r} has tiers or an allowance, and changes at"
                    f" {instant_text(after.start)}, within a period; say restart, prorate, continue or reprice"
                )
                yield "tiers_on_change", message
                return


def _cut_faults(contract: Contract, stretches: Sequence[Stretch], windows: Windows) -> Iterator[Fault]:
    """Instants at which what is owed changes, and that lie inside a window of a meter that is priced."""
    meters = {meter for stretch in stretches for price, _ in stretch.held for meter in meters_of(price)}
    longest: dict[int, str] = {}
    for meter in sorted(meters):
        for window_ms in windows.get(meter, ()):
            longest.setdefault(window_ms, meter)
    written = contract.instants()
    known = {instant for _, instant in written}
    written += [("plan", stretch.start) for stretch in stretches if stretch.start not in known]
    for window_ms, meter in sorted(longest.items()):
        for path, instant in written:
            if _cuts(instant, window_ms):
                yield path, f"is {_cut_message(instant, window_ms, meter)}"
        first = _first_cut(contract.anchor, contract.time_zone, window_ms)(contract.from_)
        if first is not None and (contract.to is None or first < contract.to):
            yield "anchor", f"a period begins at {_cut_message(first, window_ms, meter)}"


def _cuts(instant: datetime, window_ms: int) -> bool:
    return bool((instant - _EPOCH) % timedelta(milliseconds=window_ms))


def _cut_message(instant: datetime, window_ms: int, meter: str) -> str:
    return f"{instant_text(instant)}, which cuts a window of {_NAMES[window_ms]} of meter {meter!r}"


@lru_cache(maxsize=4096)
def _first_cut(anchor: Anchor, time_zone: str, window_ms: int) -> Callable[[datetime], datetime | None]:
    """The first beginning of a period after an instant that cuts a window, up to the year 2100, if any."""
    calendar = Calendar(anchor, time_zone)
    cuts = []
    period = calendar.period_of(_EPOCH)
    while period.start.year < _LAST_YEAR:
        period = calendar.next(period)
        if _cuts(period.start, window_ms):
            cuts.append(period.start)

    def first(after: datetime) -> datetime | None:
        return next((cut for cut in cuts if cut > after), None)

    return first
