"""What must hold between a contract, its plans and the windows of their meters."""

from datetime import UTC, datetime
from typing import Any

from rating.calendar import Anchor
from rating.contract_checks import contract_faults, meeting_fault
from rating.contracts import AddOn, Change, Contract
from rating.plans import Plan
from rating.prices import Flat, Graduated, PerUnit, Tier
from rating.timeline import versions_of

HOUR_MS = 3_600_000
TIERED = Graduated("p", "m", (Tier(up_to=5, unit_amount=0), Tier(unit_amount=1)))
PRO, MORE = Plan("pro", 1, "USD", price=(Flat("base", 1), TIERED)), Plan("more", 1, "USD", price=(Flat("x", 1),))
OTHER = Plan("other", 1, "USD", price=(Flat("base", 2), PerUnit("p", "m", 2)))


def at(month: int, day: int = 1, hour: int = 0, minute: int = 0, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


JANUARY = at(1)


def faults(
    *plans: Plan, windows: Any = None, from_: datetime = JANUARY, to: datetime | None = None, **terms: Any
) -> list[Any]:
    return list(contract_faults(Contract("acme", "pro", from_, to, **terms), versions_of((PRO, *plans)), windows))


def test_a_contract_may_name_the_currency_of_its_plan() -> None:
    assert faults(currency="USD") == []


def test_what_is_written_in_a_contract_lies_within_it() -> None:
    outside = "{} is outside the contract; leave it out for the contract's own bounds"
    late = (AddOn("more", from_=at(5), to=at(8)), AddOn("more", from_=at(8)))
    assert faults(MORE, to=at(7), add_on=late, change=(Change(at(7), "more"),)) == [
        ("change[0].at", outside.format("2026-07-01T00:00:00Z")),
        ("add_on[0].to", outside.format("2026-08-01T00:00:00Z")),
        ("add_on[1].from", outside.format("2026-08-01T00:00:00Z")),
    ]
    assert faults(MORE, to=at(7), add_on=(AddOn("more", from_=at(5), to=at(7)),)) == []


def test_two_changes_come_one_after_the_other() -> None:
    twice = (Change(at(3), "other"), Change(at(3), "pro"))
    assert ("change[1].at", "must be after the change before it") in faults(OTHER, change=twice)


def test_each_price_that_two_plans_have_is_said_once() -> None:
    both = "plans 'pro' and 'other' both have a price {!r} at one time; rename one"
    found = faults(OTHER, MORE, add_on=(AddOn("other"), AddOn("more", from_=at(2))))
    assert found == [("add_on", both.format("base")), ("add_on", both.format("p"))]


def test_a_plan_is_not_held_twice_at_one_time() -> None:
    for held, name in (((AddOn("pro"),), "pro"), ((AddOn("more"), AddOn("more", from_=at(3))), "more")):
        assert faults(MORE, add_on=held) == [("add_on", f"plan {name!r} is held twice at one time; leave one out")]
    assert faults(MORE, add_on=(AddOn("more", to=at(3)), AddOn("more", from_=at(3)))) == []


def test_a_change_within_a_period_is_found_behind_one_between_periods() -> None:
    ((path, message),) = faults(OTHER, change=(Change(at(2), "other"), Change(at(3, 16), "pro")))
    assert path == "tiers_on_change"
    assert "2026-03-16" in message
    assert faults(OTHER, change=(Change(at(2), "other"), Change(at(4), "pro"))) == []


def test_a_version_of_a_plan_that_begins_within_a_window_is_a_fault_of_the_plan() -> None:
    later = Plan("pro", 2, "USD", price=PRO.price, from_=at(3, 1, 0, 30))
    assert faults(later, windows={"m": {HOUR_MS}}) == [
        ("plan", "is 2026-03-01T00:30:00Z, which cuts a window of 1h of meter 'm'")
    ]
    whole = Plan("pro", 2, "USD", price=PRO.price, from_=at(3))
    assert faults(whole, windows={"m": {HOUR_MS}}) == []


def test_a_period_that_begins_within_a_window_is_a_fault_while_the_contract_holds() -> None:
    kolkata: dict[str, Any] = {"time_zone": "Asia/Kolkata", "windows": {"m": {HOUR_MS}}}
    cut = "{} which cuts a window of 1h of meter 'm'"
    january, february = (cut.format(f"2026-{day}T18:30:00Z,") for day in ("01-31", "02-28"))
    assert faults(**kolkata) == [("anchor", f"a period begins at {january}")]
    assert faults(**kolkata, to=at(1, 31, 18, 30)) == [("to", f"is {january}")]
    assert faults(**kolkata, from_=at(1, 31, 18, 30)) == [
        ("from", f"is {january}"),
        ("anchor", f"a period begins at {february}"),
    ]
    assert faults(**kolkata, from_=at(2, year=2100)) == []  # nobody looks so far ahead


def test_contracts_meet_where_their_rated_days_can_be_told_apart() -> None:
    """A period of New York ends on the UTC day on which its last prices began."""
    new_york: Any = {"time_zone": "America/New_York"}
    end = at(12, 1, 5)
    one = Contract("acme", "pro", at(1), end, change=(Change(at(12, 1, 2), "other"),), **new_york)
    versions = versions_of((PRO, OTHER))
    quarter = Contract("acme", "pro", end, anchor=Anchor("quarter", 1, 2), **new_york)  # which began with November, too
    assert "is on 2026-12-01, UTC" in str(meeting_fault(one, quarter, versions))
    assert meeting_fault(one, Contract("acme", "pro", end, **new_york), versions) is None
