"""Everything that a rated period says of its lines, and which usage it takes for its own."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from rating.billing import rate_contract, rate_period
from rating.contracts import AddOn, Change, Contract, TiersOnChange
from rating.openings import Invoiced, Opening
from rating.plans import Plan
from rating.prices import Flat, Graduated, PerUnit, Price, Tier, read_price
from rating.rate import Tariff
from rating.rated import RatedLine, RatedPeriod
from rating.timeline import Catalogue
from tests.unit.rating_contracts import HOUR, NOVEMBER, ONE, OPENING, START, contract, terms_of, used

DAY = 24 * HOUR
SEATS = read_price(
    {"id": "s", "model": "recurring", "quantity": 3, "price": {"model": "per_unit", "unit_amount": "10"}}
)
TIERS = (Tier(up_to=10, unit_amount="1"), Tier(unit_amount="3"))
CELL = {"when": {"zone": ["x"]}, "price": {"model": "per_unit", "unit_amount": "2"}}
MATRIX = {"id": "p", "model": "matrix", "meter": "m", "dimensions": ["zone"], "cell": [CELL]}


def of(made: Contract, *plans: Plan) -> Catalogue:
    return Tariff(None, plans, (made,))


def test_a_line_says_where_it_comes_from_and_how_it_came_about() -> None:
    start = START + 20 * DAY
    made = Contract("acme", "pro", start, proration="day")
    plan = Plan("pro", 4, "USD", price=(PerUnit("p", "m", "0.333"), Flat("base", "20"), SEATS))
    rated = rate_period(made, [used(20 * 24 + 1, 5)], of(made, plan), Opening(start))
    usage, base, seats = rated.lines
    about: dict[str, Any] = {"plan": "pro", "plan_version": 4, "values": {}, "start": start, "end": NOVEMBER.end}
    assert usage == RatedLine(
        price="p", model="per_unit", meter="m", quantity=Decimal(5), amount=Decimal("1.67"),
        amount_unrounded=Decimal("1.665000000000"), explanation=usage.explanation, **about,
    )  # fmt: skip
    assert base == RatedLine(
        price="base", model="flat", meter=None, quantity=Decimal(0), amount=Decimal("6.67"),
        amount_unrounded=Decimal("6.666666666667"), explanation=base.explanation, **about,
    )  # fmt: skip
    assert seats == RatedLine(
        price="s", model="recurring", meter=None, quantity=Decimal(3), amount=Decimal("10.00"),
        amount_unrounded=Decimal("10.000000000000"), explanation=seats.explanation, **about,
    )  # fmt: skip
    for line in rated.lines:
        assert sum(step.amount for step in line.explanation) == line.amount_unrounded
    assert [len(line.explanation) for line in rated.lines] == [1, 2, 2]
    assert base.explanation[-1].amount == Decimal("-13.333333333333")
    assert base.explanation[-1].step == "prorated by day"
    plain = rate_period(made, [used(20 * 24 + 1, 5)], of(made, plan), Opening(start), explained=False)
    assert [(line.explanation, line.values) for line in plain.lines] == [((), {})] * 3
    assert [line.amount for line in plain.lines] == [line.amount for line in rated.lines]
    late = Contract("acme", "pro", start)
    owed = [line.amount for line in rate_period(late, [], of(late, plan), Opening(start)).lines]
    assert owed == [0, 20, 30], "where nothing is prorated all is owed"
    whole, tariff = contract(Flat("base", "20"))
    (line,) = rate_period(whole, [], tariff, OPENING).lines
    assert [step.amount for step in line.explanation] == [20], "nothing is taken off what is owed in full"
    assert line.values == {}


def test_a_period_says_how_far_it_is_known_and_where_the_next_begins() -> None:
    made, tariff = contract(ONE, minimum="50", to=START + 40 * DAY)
    now = START + 10 * HOUR
    rated = rate_period(made, [used(9, 1), used(10, 2), used(10, 3, "unpriced")], tariff, OPENING, through=now)
    assert rated.unrated == ()
    assert (rated.start, rated.end, rated.through, str(rated.subtotal)) == (*NOVEMBER, now, "1.00")
    assert [(term.kind, term.projected) for term in rated.terms] == [("minimum", True)]
    for through in (None, NOVEMBER.end, NOVEMBER.end + HOUR):
        over = rate_period(made, [used(9, 1)], tariff, OPENING, through=through)
        assert (over.through, over.closing.at) == (NOVEMBER.end, NOVEMBER.end)
        assert [term.projected for term in over.terms] == [False]
    ends = rate_period(made, [], tariff, Opening(NOVEMBER.end))
    assert ends.closing.at == START + 40 * DAY


def through(made: Contract, tariff: Catalogue, now: datetime | None, **given: Any) -> list[tuple[datetime, str]]:
    windows = [used(1, 1), used(31 * 24, 2), used(65 * 24, 4)]
    end = START + 90 * DAY
    return [(one.through, str(one.total)) for one in rate_contract(made, windows, tariff, end, now=now, **given)]


def test_periods_are_known_up_to_now_and_not_at_all_after_it() -> None:
    made, tariff = contract(ONE)
    december, january, february = START + 30 * DAY, START + 61 * DAY, START + 92 * DAY
    assert through(made, tariff, None) == [(december, "1.00"), (january, "2.00"), (february, "4.00")]
    now = december + DAY + HOUR
    assert through(made, tariff, now) == [(december, "1.00"), (now, "2.00"), (january, "0.00")]
    opening = Opening(december, invoiced=(Invoiced("pro", "p", Decimal("1.00")),))
    assert through(made, tariff, now, opening=opening) == [(now, "1.00"), (january, "0.00")]


@pytest.mark.parametrize("policy", ["continue", "reprice", "restart"])
def test_usage_of_the_time_in_which_a_price_is_not_held_is_not_its_own(policy: TiersOnChange) -> None:
    """Of an add-on that ends and comes back, with a window at each end of the time between."""
    add_ons = (AddOn("extra", to=START + 10 * HOUR), AddOn("extra", from_=START + 20 * HOUR))
    made = Contract("acme", "pro", START, add_on=add_ons, tiers_on_change=policy)
    plans = (Plan("pro", 1, "USD"), Plan("extra", 1, "USD", price=(Graduated("x", "o", TIERS),)))
    rated = rate_period(made, [used(hour, 1, "o") for hour in range(29)], of(made, *plans), OPENING)
    quantities = [str(line.quantity) for line in rated.lines]
    assert quantities == {"continue": ["10", "9"], "reprice": ["19"], "restart": ["10", "9"]}[policy]
    assert str(rated.total) == ("19.00" if policy == "restart" else "37.00")  # 10 at 1, and 9 at 3 where it goes on
    assert [(row.meter, row.quantity) for row in rated.unrated] == [("o", 10)]


def test_a_contract_that_ends_within_a_period_hands_on_the_usage_of_it() -> None:
    before, first, last = used(-1, 1), used(0, 1), used(9, 1)
    earlier = Opening(START, used=(used(0, 5),))
    for to, handed in ((START + 10 * HOUR, (*earlier.used, first, last)), (NOVEMBER.end, ()), (None, ())):
        made, tariff = contract(ONE, to=to)
        assert rate_period(made, [before, first, last], tariff, earlier).closing.used == handed


def test_everything_that_a_matrix_refuses_is_in_the_period_with_its_time() -> None:
    plans = [Plan(id, 1, "USD", price=(read_price(MATRIX),)) for id in ("old", "new")]
    made = Contract("acme", "old", START, change=(Change(START + 10 * HOUR, "new"),), tiers_on_change="restart")
    rated = rate_period(made, [used(1, 2, zone="y"), used(12, 3, zone="z")], of(made, *plans), OPENING)
    assert [(row.meter, row.quantity, row.values, row.start, row.end) for row in rated.unrated] == [
        ("m", 2, {"zone": "y"}, START, START + 10 * HOUR),
        ("m", 3, {"zone": "z"}, START + 10 * HOUR, NOVEMBER.end),
    ]
    assert [row.reason for row in rated.unrated] == ["no matrix row for zone 'y'", "no matrix row for zone 'z'"]


def test_a_pool_is_shared_among_those_who_used_it_from_the_first_instant_on() -> None:
    pool = read_price({"id": "p", "model": "per_unit", "meter": "m", "unit_amount": "1", "allocate_by": "zone"})
    made = Contract("acme", "pro", START + 10 * HOUR)
    usage = [used(9, 5, zone="early"), used(10, 1, zone="a"), used(11, 2, zone="b")]
    (line,) = rate_period(made, usage, of(made, Plan("pro", 1, "USD", price=(pool,))), Opening(made.from_)).lines
    assert line.allocated == {"a": 1, "b": 2}


def rated_ahead(*prices: Price, **terms: Any) -> RatedPeriod:
    made = Contract("acme", "pro", START, proration="day", **terms)
    plans = (Plan("pro", 1, "USD", price=()), Plan("extra", 1, "USD", price=prices))
    return rate_period(made, [], of(made, *plans), OPENING)


def test_what_is_billed_ahead_is_summed_by_price_and_plan() -> None:
    december = START + 30 * DAY
    twice = (
        AddOn("extra", from_=december, to=december + 10 * DAY),
        AddOn("extra", from_=december + 20 * DAY, to=december + 25 * DAY),
    )
    rated = rated_ahead(Flat("base", "31", billed="advance"), Flat("other", "9"), SEATS, add_on=twice)
    assert rated.closing.invoiced == (
        Invoiced("extra", "base", Decimal("15.00")),
        Invoiced("extra", "s", Decimal("14.52")),
    )
    assert terms_of(rated) == [("billed_ahead", "15.00"), ("billed_ahead", "14.52")]
    assert (str(rated.subtotal), str(rated.total)) == ("0.00", "29.52")
