"""A billing period as a whole: what adds up, whatever the usage, the changes and the terms."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating.billing import rate_contract, rate_period
from rating.calendar import Anchor, BillingPeriod
from rating.changes import pieces, scaled
from rating.charges import ms, price_piece, usage_of, window_charges
from rating.commitments import Charge, Commitment, Drawdown, Left, Term, draw
from rating.contracts import AddOn, Change, Contract, Override
from rating.coupons import Coupon
from rating.credits import Credit, in_order_of_use, pay
from rating.invoices import period_document
from rating.money import round_money
from rating.openings import Opening
from rating.plans import Plan
from rating.prices import Flat, Graduated, Package, PerUnit, Price, Tier, Volume, price_amount, read_price
from rating.rate import Tariff
from rating.rated import RatedPeriod
from rating.states import Sum
from rating.timeline import spans, timeline
from rating.totals import Total

START = datetime(2026, 11, 1, tzinfo=UTC)
NOVEMBER = BillingPeriod(START, datetime(2026, 12, 1, tzinfo=UTC))
HOUR = timedelta(hours=1)
OPENING = Opening(START)

money = st.decimals(0, 1000, places=4)
bounds = st.lists(st.integers(1, 500), max_size=3, unique=True).map(sorted)


@st.composite
def usage_prices(draw: st.DrawFn, id: str, meter: str) -> Price:
    tiers = tuple(Tier(up_to=to, unit_amount=draw(money), flat_amount=draw(money)) for to in [*draw(bounds), None])
    per = draw(st.sampled_from([(), ("zone",)]))
    return draw(
        st.sampled_from(
            [
                PerUnit(id, meter, draw(money), per=per),
                PerUnit(id, meter, draw(money), minimum_amount=draw(money), per=per),
                Graduated(id, meter, tiers, per=per),
                Volume(id, meter, tiers, per=per),
                Package(id, meter, draw(st.integers(1, 50)), draw(money), per=per),
            ]
        )
    )


@st.composite
def plans(draw: st.DrawFn, id: str) -> Plan:
    prices = (Flat("base", draw(money)), draw(usage_prices("a", "m")), draw(usage_prices("b", "n")))
    return Plan(id, 1, "USD", price=prices)


hours = st.integers(0, 30 * 24 - 1)
quantities = st.decimals(-20, 300, places=1)


@st.composite
def totals(draw: st.DrawFn) -> list[Total]:
    found = {}
    for _ in range(draw(st.integers(0, 8))):
        meter, hour = draw(st.sampled_from(["m", "n", "unpriced"])), draw(hours)
        zone = draw(st.sampled_from(["x", "y"]))
        start = ms(START) + hour * 3_600_000
        state = Sum(draw(quantities))
        found[meter, hour, zone] = Total(meter, start, start + 3_600_000, state, dimensions={"zone": zone})
    return list(found.values())


@st.composite
def contracts(draw: st.DrawFn) -> tuple[Contract, Tariff]:
    cuts = sorted(draw(st.lists(st.integers(1, 30 * 24 - 1), max_size=2, unique=True)))
    chosen = st.sampled_from(["old", "new"])
    priced: Any = st.lists(st.sampled_from(["a", "b", "base"]), max_size=2, unique=True).map(tuple)
    commitment = st.builds(
        Commitment,
        id=st.just("c"),
        kind=st.sampled_from(["prepaid", "committed"]),
        amount=st.integers(1, 5000),
        prices=priced,
        every=st.sampled_from(["term", "period"]),
        overage_premium_percent=st.integers(0, 30),
        rollover_max=st.integers(0, 100),
    )
    credit = st.builds(
        Credit,
        id=st.sampled_from(["k", "l"]),
        amount=st.integers(1, 300),
        counts=st.sampled_from(["before_minimum", "after_minimum"]),
        priority=st.integers(0, 1),
    )
    coupon = st.builds(Coupon, id=st.just("off"), amount_off=st.integers(1, 100), prices=priced) | st.builds(
        Coupon, id=st.just("off"), percent_off=st.integers(1, 100), prices=priced
    )
    made = Contract(
        "acme",
        "old",
        START + draw(st.sampled_from([0, 0, 48])) * HOUR,
        draw(st.sampled_from([None, None, START + 29 * 24 * HOUR])),
        tiers_on_change=draw(st.sampled_from(["restart", "prorate", "continue", "reprice"])),
        proration=draw(st.sampled_from(["none", "second", "day"])),
        minimum=draw(st.none() | st.integers(0, 2000)),
        change=tuple(Change(START + 49 * HOUR + cut * HOUR, draw(chosen)) for cut in cuts if cut < 600),
        commitment=draw(st.lists(commitment, max_size=1).map(tuple)),
        credit=draw(st.lists(credit, max_size=2, unique_by=lambda credit: credit.id).map(tuple)),
        coupon=draw(st.lists(coupon, max_size=1).map(tuple)),
    )
    return made, Tariff(None, (draw(plans("old")), draw(plans("new"))), (made,))


def exact(amounts: Sequence[Decimal]) -> Fraction:
    return sum((Fraction(amount) for amount in amounts), Fraction(0))


@settings(deadline=None, max_examples=100)
@given(contracts(), totals(), st.randoms())
def test_lines_and_terms_add_up_and_each_price_is_rounded_once(
    agreed: tuple[Contract, Tariff], used: list[Total], rng: random.Random
) -> None:
    made, tariff = agreed
    rated = rate_period(made, used, tariff, OPENING)
    assert exact([line.amount for line in rated.lines]) == Fraction(rated.subtotal)
    assert Fraction(rated.subtotal) + exact([term.amount for term in rated.terms]) == Fraction(rated.total)
    for price in {line.price for line in rated.lines}:
        lines = [line for line in rated.lines if line.price == price]
        whole = exact([line.amount_unrounded for line in lines])
        unrounded = Decimal(whole.numerator) / Decimal(whole.denominator)
        assert exact([line.amount for line in lines]) == Fraction(round_money(unrounded, "USD"))
        for line in lines:
            assert abs(line.amount - line.amount_unrounded) < Decimal("0.01")
            assert exact([step.amount for step in line.explanation]) == Fraction(line.amount_unrounded)
    shuffled = rng.sample(used, len(used))
    assert period_document(rate_period(made, shuffled, tariff, OPENING)) == period_document(rated)


@settings(deadline=None, max_examples=100)
@given(contracts(), totals())
def test_no_usage_is_lost_it_is_on_a_line_or_in_a_row_that_says_why(
    agreed: tuple[Contract, Tariff], used: list[Total]
) -> None:
    made, tariff = agreed
    rated = rate_period(made, used, tariff, OPENING)
    for meter in ("m", "n", "unpriced"):
        seen = exact([line.quantity for line in rated.lines if line.meter == meter])
        seen += exact([row.quantity for row in rated.unrated if row.meter == meter])
        assert seen == exact([total.state.quantity() for total in used if total.meter == meter])  # type: ignore[misc]
    assert all(row.reason for row in rated.unrated)


@settings(deadline=None, max_examples=100)
@given(contracts(), totals())
def test_i6_the_charges_of_windows_and_the_opening_add_up_to_the_price(
    agreed: tuple[Contract, Tariff], used: list[Total]
) -> None:
    made, tariff = agreed
    for held in spans(timeline(made, tariff.versions), NOVEMBER).values():
        for piece in pieces(made, NOVEMBER, held, used_before=False, through=NOVEMBER.end):
            if piece.price.meter is not None:
                mine = usage_of(piece, used)
                charges = list(window_charges(piece, mine, NOVEMBER))
                priced = price_piece(piece, mine, NOVEMBER, steps=False)
                assert exact([charge.amount for charge in charges]) == Fraction(priced.amount)
                assert all(piece.start <= charge.at < piece.end for charge in charges)


def test_i6_catches_windows_without_their_opening() -> None:
    made, tariff = contract(PerUnit("p", "m", "1", minimum_amount="100"))
    (held,) = spans(timeline(made, tariff.versions), NOVEMBER).values()
    (piece,) = pieces(made, NOVEMBER, held, used_before=False, through=NOVEMBER.end)
    mine = [used(1, 20), used(2, 40)]
    opening, *rest = window_charges(piece, mine, NOVEMBER)
    assert price_piece(piece, mine, NOVEMBER, steps=False).amount == opening.amount == 100
    assert exact([charge.amount for charge in rest]) == 0


@given(st.lists(st.integers(1, 50), max_size=5), st.decimals(-50, 300, places=2), st.data())
def test_credits_never_pay_more_than_is_due_nor_more_than_they_hold(
    amounts: list[int], due: Decimal, data: st.DataObject
) -> None:
    credits = [Credit(id=str(n), amount=amount, counts="after_minimum") for n, amount in enumerate(amounts)]
    left = {c.id: data.draw(st.decimals(0, Decimal(c.amount), places=2)) for c in credits[::2]}
    paid = pay(due, credits, left, NOVEMBER.end)
    assert all(0 < amount <= left.get(credit.id, Decimal(credit.amount)) for credit, amount in paid)
    held = exact([left.get(credit.id, Decimal(credit.amount)) for credit in credits])
    assert exact([amount for _, amount in paid]) == min(max(Fraction(due), Fraction(0)), held)


@settings(deadline=None, max_examples=60)
@given(contracts(), totals())
def test_additive_meters_may_be_summed_first(agreed: tuple[Contract, Tariff], used: list[Total]) -> None:
    made, tariff = agreed
    if made.commitment:
        return  # a drawdown is in time order, so it looks at windows
    cuts = [ms(NOVEMBER.start), *(ms(s.start) for s in timeline(made, tariff.versions)), ms(NOVEMBER.end)]
    bounds = sorted({cut for cut in [*cuts, ms(made.to or NOVEMBER.end)] if cut <= ms(NOVEMBER.end)})
    summed: dict[Any, Total] = {}
    for total in used:
        start = max(bound for bound in bounds if bound <= total.start_ms)
        end = min(bound for bound in bounds if bound > total.start_ms)
        key = (total.series, start)
        state = Sum(total.state.quantity() + (summed[key].state.quantity() if key in summed else 0))  # type: ignore
        summed[key] = Total(total.meter, start, end, state, dimensions=total.dimensions)
    one = period_document(rate_period(made, used, tariff, OPENING))
    assert period_document(rate_period(made, list(summed.values()), tariff, OPENING)) == one


charges = st.lists(
    st.builds(
        lambda hour, place, amount: Charge(START + hour * HOUR, place, (), "ab"[place], amount),
        st.integers(0, 20),
        st.integers(0, 1),
        st.decimals(0, 100, places=2),
    ),
    max_size=12,
)
POOL = Commitment(id="pool", kind="prepaid", amount="300", overage_premium_percent="10")
Draw = Callable[[Sequence[Charge]], Drawdown]


def drawn(given_charges: Sequence[Charge]) -> Drawdown:
    return draw([Term(POOL, START, None, False)], {}, given_charges)


def assert_time_order(drawing: Draw, given_charges: Sequence[Charge]) -> None:
    """A cent at a time, in time order."""
    left, over = 30_000, {"a": 0, "b": 0}
    for charge in sorted(given_charges):
        cents = int(charge.amount * 100)
        over[charge.price] += max(cents - left, 0)
        left = max(left - cents, 0)
    found = drawing(given_charges)
    assert {price: int(amount * 100) for price, amount in found.overage.items()} == {p: o for p, o in over.items() if o}
    assert found.left["pool"].term * 100 == left
    assert {price: amount / 10 for price, amount in found.overage.items()} == found.premium


@given(charges)
def test_a_drawdown_equals_one_made_cent_by_cent_in_time_order(given_charges: list[Charge]) -> None:
    assert_time_order(drawn, given_charges)


def test_the_check_of_a_drawdown_catches_one_by_price_and_one_that_forgets_the_premium() -> None:
    late_b_first = [Charge(START + HOUR, 1, (), "b", Decimal(250)), Charge(START + 2 * HOUR, 0, (), "a", Decimal(100))]

    def by_price(given_charges: Sequence[Charge]) -> Drawdown:
        return drawn([charge._replace(at=START + charge.place * HOUR) for charge in given_charges])

    def without_premium(given_charges: Sequence[Charge]) -> Drawdown:
        found = drawn(given_charges)
        found.premium.clear()
        return found

    assert_time_order(drawn, late_b_first)
    for broken in (by_price, without_premium):
        with pytest.raises(AssertionError):
            assert_time_order(broken, late_b_first)


@given(charges, charges)
def test_what_is_taken_back_leaves_a_commitment_as_if_it_had_never_been_charged(
    kept: list[Charge], taken: list[Charge]
) -> None:
    later = [charge._replace(at=START + (40 + place) * HOUR) for place, charge in enumerate(taken)]
    back = [
        charge._replace(at=START + (99 - place) * HOUR, amount=-charge.amount) for place, charge in enumerate(later)
    ]
    one, other = drawn(kept), drawn([*kept, *later, *back])
    assert other.left == one.left
    assert {key: amount for key, amount in other.overage.items() if amount} == one.overage


def contract(*prices: Price, **terms: Any) -> tuple[Contract, Tariff]:
    made = Contract("acme", "pro", START, **terms)
    return made, Tariff(None, (Plan("pro", 1, "USD", price=prices),), (made,))


def used(hour: int, quantity: int | str, meter: str = "m", **dimensions: str) -> Total:
    start = ms(START + hour * HOUR)
    return Total(meter, start, start + 3_600_000, Sum(Decimal(quantity)), dimensions=dimensions)


def terms_of(rated: RatedPeriod) -> list[tuple[str, str]]:
    return [(term.kind, str(term.amount)) for term in rated.terms]


ONE = PerUnit("p", "m", "1")


def test_terms_come_in_their_order_and_each_shows_what_it_changed() -> None:
    made, tariff = contract(
        ONE,
        Flat("base", "20", billed="advance"),
        commitment=(
            Commitment(id="paid", kind="prepaid", amount="50", prices=("p",), overage_premium_percent="20"),
            Commitment(id="promise", kind="committed", amount="90", prices=("base",), every="period"),
        ),
        coupon=(Coupon(id="ten", percent_off="10", prices=("p",)),),
        credit=(
            Credit(id="early", amount="5", counts="before_minimum"),
            Credit(id="late", amount="7", counts="after_minimum"),
        ),
        minimum="300",
    )
    rated = rate_period(made, [used(1, 100)], tariff, OPENING)
    assert [(line.price, str(line.amount)) for line in rated.lines] == [("p", "100.00"), ("base", "20.00")]
    assert terms_of(rated) == [
        ("prepaid", "-50.00"),
        ("overage_premium", "10.00"),
        ("coupon", "-6.00"),
        ("true_up", "70.00"),
        ("credit_before_minimum", "-5.00"),
        ("minimum", "111.00"),  # 300 - (54 + 20 + 70 - 5 + the 50 that were prepaid)
        ("credit_after_minimum", "-7.00"),
    ]
    assert str(rated.total) == "243.00"


def test_a_flat_price_in_advance_is_billed_once_for_each_period() -> None:
    made, tariff = contract(Flat("base", "20", billed="advance"), to=START + 89 * 24 * HOUR, proration="day")
    rated = list(rate_contract(made, [], tariff, START + 200 * 24 * HOUR))
    assert [terms_of(period) for period in rated] == [
        [("billed_ahead", "20.00")],
        [("already_invoiced", "-20.00"), ("billed_ahead", "18.06")],  # 28 of 31 days
        [("already_invoiced", "-18.06")],
    ]
    assert [str(period.total) for period in rated] == ["40.00", "18.06", "0.00"]


def test_a_commitment_of_each_period_rolls_over_up_to_its_cap_and_is_trued_up() -> None:
    terms = {"every": "period", "rollover_max": "30", "amount": "100"}
    for kind, totals_ in (("prepaid", ["0.00", "0.00", "20.00"]), ("committed", ["100.00", "100.00", "120.00"])):
        made, tariff = contract(ONE, commitment=(Commitment(id="c", kind=kind, **terms),))  # type: ignore[arg-type]
        months = [used(1, 60), used(31 * 24, 120), used(62 * 24, 130)]
        rated = list(rate_contract(made, months, tariff, datetime(2027, 2, 1, tzinfo=UTC)))
        assert [period.closing.commitments["c"].rolled for period in rated] == [30, 10, 0]
        assert [str(period.total) for period in rated] == totals_
    assert [term.kind for period in rated for term in period.terms] == ["true_up", "prepaid", "true_up", "prepaid"]


def test_a_term_that_ends_within_a_period_covers_what_came_before_it_and_leaves_its_rollover() -> None:
    commitment = Commitment(id="c", kind="prepaid", amount="100", rollover_max="30", to=START + 10 * HOUR,
                            overage_premium_percent="50")  # fmt: skip
    made, tariff = contract(ONE, commitment=(commitment,))
    rated = rate_period(made, [used(5, 40), used(15, 50)], tariff, OPENING)
    assert terms_of(rated) == [("prepaid", "-70.00")]
    assert str(rated.total) == "20.00"
    assert rated.closing.commitments["c"] == Left(Decimal(0), Decimal(0))


def test_credits_are_used_by_priority_expiry_category_effective_and_created() -> None:
    def credit(id: str, **given: Any) -> Credit:
        return Credit(id=id, amount="10", counts="after_minimum", **given)

    at = [START - n * HOUR for n in range(3)]
    ordered = [
        credit("z", priority=-1),
        credit("y", expires=NOVEMBER.end),
        credit("x", effective=None, category="promotional"),
        credit("w", effective=at[1]),
        credit("v", effective=at[0], created=at[1]),
        credit("u", effective=at[0], created=at[0]),
        credit("t", category="paid"),
    ]
    assert in_order_of_use(reversed(ordered)) == ordered
    expired = credit("a", expires=NOVEMBER.end - HOUR, priority=-9)
    not_yet = credit("b", effective=NOVEMBER.end, priority=-9)
    made, tariff = contract(ONE, credit=(expired, *reversed(ordered), not_yet))
    rated = rate_period(made, [used(1, 25)], tariff, OPENING)
    assert [(term.id, str(term.amount)) for term in rated.terms] == [("z", "-10.00"), ("y", "-10.00"), ("x", "-5.00")]
    assert rated.closing.credits == {"z": 0, "y": 0, "x": 5}


def test_add_ons_and_overrides_hold_in_their_own_time_and_do_not_restart_other_prices() -> None:
    tiers = (Tier(up_to=10, unit_amount="0"), Tier(unit_amount="1"))
    main = Plan("pro", 1, "USD", price=(Graduated("p", "m", tiers), PerUnit("q", "n", "2")))
    extra = Plan("extra", 1, "USD", price=(PerUnit("x", "o", "5"),))
    made = Contract(
        "acme",
        "pro",
        START,
        add_on=(AddOn("extra", from_=START + 10 * HOUR, to=START + 20 * HOUR),),
        override=(Override(PerUnit("q", "n", "1"), START + 15 * HOUR),),
    )
    tariff = Tariff(None, (main, extra), (made,))
    windows = [used(hour, 8, meter) for hour in (5, 12, 17, 25) for meter in "mno"]
    rated = rate_period(made, windows, tariff, OPENING)
    assert [(line.price, line.plan, str(line.quantity), str(line.amount)) for line in rated.lines] == [
        ("p", "pro", "32", "22.00"),
        ("q", "pro", "16", "32.00"),
        ("q", "pro", "16", "16.00"),
        ("x", "extra", "16", "80.00"),
    ]
    reason = "plan 'pro' version 1 has no price for this meter"
    assert [(row.meter, row.quantity, row.reason) for row in rated.unrated] == [("o", 8, reason), ("o", 8, reason)]


def test_a_plan_version_holds_from_its_instant_and_before_it_usage_is_unrated_with_the_reason() -> None:
    first = Plan("pro", 1, "USD", price=(PerUnit("p", "m", "1"),), from_=START + 10 * HOUR)
    second = Plan("pro", 2, "USD", price=(PerUnit("p", "m", "3"),), from_=START + 20 * HOUR)
    made = Contract("acme", "pro", START)
    rated = rate_period(made, [used(5, 1), used(15, 1), used(25, 1)], Tariff(None, (second, first), (made,)), OPENING)
    assert [(line.plan_version, str(line.amount)) for line in rated.lines] == [(1, "1.00"), (2, "3.00")]
    assert [(row.quantity, row.reason) for row in rated.unrated] == [(1, "plan 'pro' has no version at that time")]


def test_usage_before_the_contract_is_unrated_and_a_window_that_a_change_cuts_raises() -> None:
    _, tariff = contract(ONE)
    late = Contract("acme", "pro", START + 10 * HOUR, tiers_on_change="continue")
    rated = rate_period(late, [used(5, 1), used(15, 2)], tariff, OPENING)
    assert [(row.reason, row.quantity) for row in rated.unrated] == [("no contract at that time", 1)]
    day = Total("m", ms(START), ms(START + 24 * HOUR), Sum(Decimal(1)))
    with pytest.raises(ValueError, match="is cut where price 'p' begins or ends"):
        rate_period(late, [day], tariff, OPENING)


def test_a_contract_that_follows_within_a_period_may_continue_its_tiers() -> None:
    tiers = (Tier(up_to=10, unit_amount="1"), Tier(unit_amount="0.5"))
    plan = Plan("pro", 1, "USD", price=(Graduated("p", "m", tiers),))
    change = START + 10 * HOUR
    old = Contract("acme", "pro", START, change)
    for policy, owed in (("continue", "4.00"), ("restart", "8.00")):
        new = Contract("acme", "pro", change, tiers_on_change=policy)  # type: ignore[arg-type]
        tariff = Tariff(None, (plan,), (old, new))
        before = rate_period(old, [used(5, 12)], tariff, OPENING)
        opening = Opening(change, used=before.closing.used)
        assert str(rate_period(new, [used(15, 8)], tariff, opening).total) == owed


@given(usage_prices("p", "m"), st.decimals(0, 1000, places=2), st.fractions(Fraction(1, 31), 1))
def test_a_scaled_price_is_the_share_of_the_price_of_a_whole_period(
    price: Price, quantity: Decimal, part: Fraction
) -> None:
    owed = Fraction(price_amount(scaled(price, part), quantity))
    whole = Fraction(price_amount(price, Fraction(quantity) / part))
    assert abs(owed - part * whole) <= Fraction(1, 2 * 10**12)
    assert price_amount(scaled(price, Fraction(1)), quantity) == price_amount(price, quantity)


def test_a_matrix_is_drawn_down_and_prorated_like_any_price_and_its_gaps_are_unrated() -> None:
    tiers = [{"up_to": 10, "unit_amount": "1"}, {"unit_amount": "2"}]
    cell = {"when": {"zone": ["x"]}, "price": {"model": "graduated", "tiers": tiers}}
    price = read_price({"id": "p", "model": "matrix", "meter": "m", "dimensions": ["zone"], "cell": [cell]})
    commitment = Commitment(id="c", kind="prepaid", amount="8", overage_premium_percent="10")
    made = Contract("acme", "pro", START + 15 * 24 * HOUR, tiers_on_change="prorate", commitment=(commitment,))
    tariff = Tariff(None, (Plan("pro", 1, "USD", price=(price,)),), (made,))
    hour = 16 * 24
    rated = rate_period(made, [used(hour, 9, zone="x"), used(hour, 3, zone="y")], tariff, OPENING)
    (line,) = rated.lines
    assert (line.values, str(line.amount)) == ({"zone": "x"}, "13.00")  # 5 at 1 and 4 at 2, as half a period is left
    assert terms_of(rated) == [("prepaid", "-8.00"), ("overage_premium", "0.50")]
    assert [(row.values, row.quantity) for row in rated.unrated] == [({"zone": "y"}, 3)]


def test_the_cost_of_a_pool_is_given_back_by_usage_to_the_cent() -> None:
    tiers = [{"up_to": 100, "unit_amount": "0"}, {"unit_amount": "40"}]
    pool = read_price({"id": "p", "model": "graduated", "meter": "m", "tiers": tiers, "allocate_by": "zone"})
    made, tariff = contract(pool)
    usage = [used(1, "62.5", zone="a"), used(2, "41.25", zone="b"), used(3, "11.25", zone="c")]
    (line,) = period_document(rate_period(made, usage, tariff, OPENING))["lines"]
    assert line["allocated"] == {"a": "326.09", "b": "215.22", "c": "58.69"}


def test_nothing_is_carried_beyond_the_instant_up_to_which_usage_is_known() -> None:
    rollup = {"every": "1h", "over": "sum", "missing": "carry"}
    price = read_price({"id": "p", "model": "per_unit", "meter": "m", "unit_amount": "1", "rollup": rollup})
    made, tariff = contract(price)
    for hours, owed in ((10, "27.00"), (720, "2157.00")):  # 3 in each hour from the second on
        rated = rate_period(made, [used(1, 3)], tariff, OPENING, through=START + hours * HOUR)
        assert str(rated.total) == owed


def test_a_rollup_is_drawn_when_it_is_known_at_the_end() -> None:
    rollup = {"every": "1h", "over": "max"}
    price = read_price({"id": "peak", "model": "per_unit", "meter": "m", "unit_amount": "1", "rollup": rollup})
    commitment = Commitment(id="c", kind="prepaid", amount="12")
    made, tariff = contract(price, PerUnit("q", "n", "1"), commitment=(commitment,))
    rated = rate_period(made, [used(1, 9), used(2, 3), used(700, 10, "n")], tariff, OPENING)
    assert [(term.price, str(term.amount)) for term in rated.terms] == [("q", "-10.00"), ("peak", "-2.00")]


def test_periods_follow_the_anchor_and_time_zone_of_the_contract() -> None:
    made, tariff = contract(ONE, anchor=Anchor(day=31), time_zone="America/New_York")
    rated = list(rate_contract(made, [used(24 * 30 - 21, 1), used(24 * 30 + 5, 2)], tariff, START + 50 * 24 * HOUR))
    assert [period.start.isoformat() for period in rated] == [
        "2026-10-31T04:00:00+00:00",
        "2026-11-30T05:00:00+00:00",
    ]
    assert [str(period.total) for period in rated] == ["1.00", "2.00"]
