"""Which price a contract holds at an instant: of which plan, which version, in which place."""

from datetime import datetime
from typing import Any

from rating.calendar import BillingPeriod
from rating.contracts import AddOn, Change, Contract, Override
from rating.plans import Plan
from rating.prices import PerUnit
from rating.timeline import clipped, spans, timeline, version_at, versions_of
from tests.unit.rating_contracts import HOUR, NOVEMBER, START


def plan(id: str, version: int = 1, *prices: str, **given: Any) -> Plan:
    return Plan(id, version, "USD", price=tuple(PerUnit(price, "m", str(version)) for price in prices), **given)


def agreed(**terms: Any) -> Contract:
    return Contract("acme", "pro", **({"from_": START} | terms))


def at(hour: int) -> datetime:
    return START + hour * HOUR


def laid_out(contract: Contract, *plans: Plan) -> list[tuple[int, int | None, list[tuple[str, str, int, str]]]]:
    """(start, end in hours, [(price, plan, its version, its amount)]) of each stretch."""
    found = timeline(contract, versions_of(plans))
    return [
        (
            (one.start - START) // HOUR,
            None if one.end is None else (one.end - START) // HOUR,
            [(price.id, plan.id, plan.version, str(price.unit_amount)) for price, plan in one.held],  # type: ignore[union-attr]
        )
        for one in found
    ]


def test_versions_ascend_whatever_the_order_they_come_in() -> None:
    plans = [plan("pro", 3), plan("pro", 1), plan("other"), plan("pro", 2)]
    found = versions_of(plans)
    assert {id: [one.version for one in of] for id, of in found.items()} == {"pro": [1, 2, 3], "other": [1]}


def test_the_highest_version_in_effect_holds_or_the_pinned_one_once_it_is() -> None:
    versions = [plan("pro", 1), plan("pro", 2, from_=at(5)), plan("pro", 3, from_=at(9))]

    def version(pinned: int | None, hour: int) -> int | None:
        found = version_at(versions, pinned, at(hour))
        return None if found is None else found.version

    assert [version(None, hour) for hour in (4, 5, 8, 9)] == [1, 2, 2, 3]
    assert [version(2, hour) for hour in (4, 5, 9)] == [None, 2, 2]
    assert version(4, 9) is None
    assert version_at((), None, START) is None


def test_a_contract_is_cut_where_anything_in_it_begins_or_ends() -> None:
    contract = agreed(
        to=at(50),
        change=(Change(at(10), "max"), Change(at(40), "pro")),
        add_on=(AddOn("extra", from_=at(20), to=at(30)),),
        override=(Override(PerUnit("p", "m", "9"), at(5), at(15)),),
    )
    plans = (plan("pro", 1, "p"), plan("pro", 2, "p", from_=at(45)), plan("max", 7, "p", "q"), plan("extra", 1, "x"))
    most = [("p", "max", 7, "7"), ("q", "max", 7, "7")]
    assert laid_out(contract, *plans) == [
        (0, 5, [("p", "pro", 1, "1")]),
        (5, 10, [("p", "pro", 1, "9")]),
        (10, 15, [("p", "max", 7, "9"), ("q", "max", 7, "7")]),
        (15, 20, most),
        (20, 30, [*most, ("x", "extra", 1, "1")]),
        (30, 40, most),
        (40, 45, [("p", "pro", 1, "1")]),
        (45, 50, [("p", "pro", 2, "2")]),
    ]
    assert [one.plan and one.plan.id for one in timeline(contract, versions_of(plans))][::7] == ["pro", "pro"]


def test_what_begins_with_the_contract_or_beyond_it_makes_no_stretch_of_its_own() -> None:
    later, earlier = plan("pro", 2, "p", from_=at(10)), plan("pro", 1, "p", from_=at(-10))
    assert laid_out(agreed(to=at(10)), earlier, later) == [(0, 10, [("p", "pro", 1, "1")])]
    assert laid_out(agreed(add_on=(AddOn("extra", from_=START),)), earlier, plan("extra", 1, "x")) == [
        (0, None, [("p", "pro", 1, "1"), ("x", "extra", 1, "1")])
    ]


def test_the_later_of_two_changes_holds_and_each_pins_its_own_version() -> None:
    contract = agreed(version=1, change=(Change(at(10), "pro", 2), Change(at(20), "pro")))
    plans = [plan("pro", version, "p") for version in (1, 2, 3)]
    assert [held[0][2] for _, _, held in laid_out(contract, *plans)] == [1, 2, 3]


def test_a_plan_without_a_version_is_named_and_the_others_still_hold() -> None:
    (found,) = timeline(agreed(add_on=(AddOn("extra"), AddOn("gone"))), versions_of([plan("extra", 1, "x")]))
    assert found.plan is None
    assert [(holding.price.id, holding.plan.id) for holding in found.held] == [("x", "extra")]
    assert found.missing == ("plan 'pro' has no version at that time", "plan 'gone' has no version at that time")


def test_stretches_are_cut_to_a_period_and_those_outside_it_are_left_out() -> None:
    contract = agreed(from_=at(-20), to=at(800), change=(Change(START, "pro"), Change(at(720), "pro")))
    found = clipped(timeline(contract, versions_of([plan("pro", 1, "p")])), NOVEMBER)
    assert [(one.start, one.end) for one in found] == [tuple(NOVEMBER)]
    short = BillingPeriod(at(-10), at(730))
    found = clipped(timeline(contract, versions_of([plan("pro", 1, "p")])), short)
    assert [(one.start, one.end) for one in found] == [(at(-10), START), (START, at(720)), (at(720), at(730))]
    endless = clipped(timeline(agreed(from_=at(30)), versions_of([plan("pro", 1, "p")])), NOVEMBER)
    assert [(one.start, one.end) for one in endless] == [(at(30), NOVEMBER.end)]


def held(contract: Contract, *plans: Plan) -> dict[str, list[tuple[int, int, str, int, int]]]:
    """(start, end in hours, plan, its version, place) of each span."""
    found = spans(timeline(contract, versions_of(plans)), NOVEMBER)
    return {
        id: [
            ((one.start - START) // HOUR, (one.end - START) // HOUR, one.plan.id, one.plan.version, one.place)
            for one in of
        ]
        for id, of in found.items()
    }


def test_a_price_goes_on_through_what_does_not_change_it_and_begins_anew_where_it_does() -> None:
    quarter = (AddOn("extra", from_=at(100), to=at(200)), AddOn("extra", from_=at(300), to=at(400)))
    contract = agreed(add_on=quarter, change=(Change(at(150), "pro"), Change(at(350), "max")))
    found = held(contract, plan("pro", 1, "p", "q"), plan("max", 1, "q", "p"), plan("extra", 1, "x"))
    assert found == {
        "p": [(0, 350, "pro", 1, 0), (350, 720, "max", 1, 0)],
        "q": [(0, 350, "pro", 1, 1), (350, 720, "max", 1, 1)],
        "x": [(100, 200, "extra", 1, 2), (300, 400, "extra", 1, 2)],
    }


def test_a_new_version_begins_a_span_though_its_price_is_the_same_and_an_override_as_well() -> None:
    first = plan("pro", 1, "p")
    second = Plan("pro", 2, "USD", price=first.price, from_=at(10))
    assert held(agreed(), first, second) == {"p": [(0, 10, "pro", 1, 0), (10, 720, "pro", 2, 0)]}
    same = Override(PerUnit("p", "m", "1"), at(20), at(30))
    assert held(agreed(override=(same,)), first) == {"p": [(0, 720, "pro", 1, 0)]}
    other = Override(PerUnit("p", "m", "2"), at(20), at(30))
    assert [one[:2] for one in held(agreed(override=(other,)), first)["p"]] == [(0, 20), (20, 30), (30, 720)]
