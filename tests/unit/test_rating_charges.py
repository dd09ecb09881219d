"""A piece of a price: which usage is its own, what it owes beyond what came before, and what each window adds."""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from rating.billing import rate_period
from rating.changes import Piece
from rating.charges import instant_of, ms, price_piece, span_of_piece, usage_of, window_charges
from rating.commitments import Charge
from rating.contracts import Change, Contract
from rating.plans import Plan
from rating.prices import Price, read_price
from rating.rate import Tariff
from rating.states import High, Mean, State, Sum
from rating.totals import Total
from tests.unit.rating_contracts import HOUR, NOVEMBER, OPENING, START, used

PLAN = Plan("pro", 1, "USD")
HOUR_MS = 3_600_000
TIERS = [{"up_to": 10, "unit_amount": "1", "flat_amount": "4"}, {"unit_amount": "3"}]
FEE = {"id": "p", "model": "graduated", "meter": "m", "tiers": TIERS}
MATRIX = {"id": "p", "model": "matrix", "meter": "m", "dimensions": ["zone"]}
CELL = {"when": {"zone": ["x"]}, "price": {"model": "per_unit", "unit_amount": "2"}}


def at(hour: int) -> datetime:
    return START + hour * HOUR


def piece(
    price: dict[str, Any] | Price, start: int = 0, end: int = 720, since: int | None = None, through: int = 720
) -> Piece:
    made = read_price(price) if isinstance(price, dict) else price
    return Piece(made, PLAN, 3, at(start if since is None else since), at(start), at(end), at(min(end, through)))


def window(hour: int, hours: int, state: State, meter: str = "m", **dimensions: str) -> Total:
    return Total(meter, ms(at(hour)), ms(at(hour + hours)), state, dimensions=dimensions)


def charged(one: Piece, *totals: Total) -> list[tuple[int, str, str]]:
    """(hour, values, amount) of each charge, in the order in which they are drawn."""
    found = sorted(window_charges(one, totals, NOVEMBER))
    assert {(charge.place, charge.price) for charge in found} <= {(3, "p")}
    whole = price_piece(one, totals, NOVEMBER, False).amount
    assert sum((charge.amount for charge in found), Decimal(0)) == whole, "together they are the piece"
    return [((c.at - START) // HOUR, "/".join(value for _, value in c.key), f"{c.amount:f}") for c in found]


def test_an_instant_is_its_milliseconds_and_back() -> None:
    assert ms(instant_of(1_793_577_600_123)) == 1_793_577_600_123
    assert (ms(START + HOUR) - ms(START), instant_of(0).isoformat()) == (HOUR_MS, "1970-01-01T00:00:00+00:00")


def test_the_usage_of_a_piece_is_of_its_meters_and_up_to_its_end() -> None:
    one = piece({**FEE, "combine": {"how": "sum", "meters": ["n"]}}, 10, 20)
    before, first, last = used(9, 1), used(10, 1), used(19, 1, "n")
    others = [used(20, 1), used(15, 1, "unpriced")]
    assert usage_of(one, [before, *others, first, last]) == [before, first, last]
    for cut in (window(9, 2, Sum(Decimal(1))), window(19, 2, Sum(Decimal(1)))):
        with pytest.raises(ValueError, match="is cut where price 'p' begins or ends"):
            usage_of(one, [cut])
    kept = [window(8, 2, Sum(Decimal(1))), window(10, 10, Sum(Decimal(1)))]
    assert usage_of(one, kept) == kept
    assert usage_of(piece(FEE, 0, 20), [window(-2, 22, Sum(Decimal(1)), "n")]) == []


def test_the_span_of_a_piece_begins_where_it_cumulates_and_is_divided_by_the_period() -> None:
    found = span_of_piece(piece(FEE, 10, 20, since=5, through=15), NOVEMBER)
    assert (found.start_ms, found.through_ms, found.end_ms) == (ms(at(5)), ms(at(15)), ms(at(20)))
    assert found.divisor_ms == 720 * HOUR_MS


def test_a_piece_that_goes_on_owes_what_is_added_to_what_came_before() -> None:
    one = piece({**FEE, "per": ["zone"]}, 10, 20, since=0)
    totals = [used(5, 8, zone="x"), used(12, 5, zone="x"), used(13, 2, zone="y")]
    x, y = price_piece(one, totals, NOVEMBER, True).parts
    assert (x.values, x.quantity, x.amount) == ({"zone": "x"}, 5, 11)  # 2 at 1, and 3 at 3
    assert (y.values, y.quantity, y.amount) == ({"zone": "y"}, 2, 6)
    assert sum(step.amount for step in x.steps) == 11
    assert sum(step.amount for step in y.steps) == 6
    assert not any(part.steps for part in price_piece(one, totals, NOVEMBER, False).parts)


def test_of_a_piece_that_goes_on_nothing_is_taken_off_where_nothing_was_owed() -> None:
    free = {**FEE, "tiers": [{"up_to": 10, "unit_amount": "0"}, {"unit_amount": "3"}]}
    one = piece(free, 10, 20, since=0)
    (part,) = price_piece(one, [used(5, 8), used(12, 5)], NOVEMBER, True).parts
    alone = price_piece(piece(free, 0, 20), [used(5, 8), used(12, 5)], NOVEMBER, True).parts[0]
    assert (part.quantity, part.amount, part.steps) == (5, 9, alone.steps)


def test_means_of_two_pieces_are_taken_from_each_other_exactly() -> None:
    price = {"id": "p", "model": "per_unit", "meter": "m", "unit_amount": "6"}
    one = piece(price, 10, 20, since=0)
    totals = [window(5, 1, Mean(Decimal(10), 3)), window(12, 1, Mean(Decimal(5), 3))]
    (part,) = price_piece(one, totals, NOVEMBER, False).parts
    assert part.quantity == Fraction(15, 6) - Fraction(10, 3)
    assert part.amount == -5


def test_a_cell_goes_on_whatever_value_joins_it() -> None:
    """What it owed before the change is taken off though its values are shown as others now."""
    price = {**MATRIX, "cell": [{**CELL, "when": {"zone": ["x", "y", "x+y"]}}], "default": CELL["price"]}
    one = piece(price, 10, 20, since=0)
    totals = [used(5, 8, zone="x"), used(6, 1, zone="x+y"), used(7, 4, zone="z"), used(12, 5, zone="y")]
    found = price_piece(one, [*totals, used(13, 2, zone="a")], NOVEMBER, True).parts
    assert [(part.values, part.quantity, part.amount) for part in found] == [
        ({"zone": "a+z"}, 2, 4),
        ({"zone": "x+x+y+y"}, 5, 10),
    ]
    assert [sum(step.amount for step in part.steps) for part in found] == [4, 10]
    assert [found[1].steps[-1].step, found[1].steps[-1].amount] == ["less what was priced before the change", -18]


def test_what_the_minimum_of_a_matrix_added_is_taken_back_once_it_does_not_bite() -> None:
    totals = [used(5, 1, zone="x", region="r"), used(12, 4, zone="x", region="r")]
    each = {**MATRIX, "cell": [CELL], "minimum_amount": "3"}
    assert [part.amount for part in price_piece(piece(each, 10, 20, since=0), totals, NOVEMBER, False).parts] == [8, -1]
    same = piece({**each, "per": ["zone"]}, 10, 20, since=0)
    assert [part.amount for part in price_piece(same, totals, NOVEMBER, False).parts] == [8, -1]
    one = piece({**each, "per": ["region"]}, 10, 20, since=0)
    for steps in (True, False):
        cell, least = price_piece(one, totals, NOVEMBER, steps).parts
        assert (cell.values, cell.quantity, cell.amount) == ({"region": "r", "zone": "x"}, 4, 8)
        assert (least.values, least.quantity, least.amount) == ({"region": "r"}, 0, -1)
        assert [step.amount for step in least.steps] == ([-1] if steps else [])


def test_usage_that_a_matrix_refuses_is_said_once_for_what_is_new_of_it() -> None:
    one = piece({**MATRIX, "cell": [CELL]}, 10, 20, since=0)
    totals = [used(5, 8, zone="y"), used(6, 1, zone="z"), used(12, 5, zone="y"), used(13, 2, zone="w")]
    refused = price_piece(one, totals, NOVEMBER, False).refused
    assert [(part.values, part.quantity) for part in refused] == [({"zone": "w"}, 2), ({"zone": "y"}, 5)]
    assert refused[0].reason == "no matrix row for zone 'w'"


def test_each_window_adds_what_it_moves_the_price_by_and_the_opening_is_at_the_start() -> None:
    totals, price = (used(5, 8), used(2, 4), used(5, 1)), {**FEE, "minimum_amount": "6"}
    found = charged(piece(price), *totals)
    assert found == [(0, "", "6.000000000000"), (2, "", "2.000000000000"), (5, "", "15.000000000000")]
    assert charged(piece(price)) == [(0, "", "6.000000000000")]


def test_each_accumulator_has_windows_of_its_own_and_begins_with_the_first() -> None:
    one = piece({**FEE, "per": ["zone"]}, 2, 20)
    found = charged(one, used(5, 8, zone="x"), used(3, 12, zone="y"), used(4, 1, zone="y"))
    assert found == [(3, "y", "20.000000000000"), (4, "y", "3.000000000000"), (5, "x", "12.000000000000")]
    assert charged(one) == []


def test_a_piece_that_goes_on_has_no_opening_but_what_came_before_counts() -> None:
    one = piece(FEE, 10, 20, since=3)
    assert charged(one, used(2, 50), used(3, 6), used(9, 2), used(10, 1), used(12, 2)) == [
        (10, "", "1.000000000000"), (12, "", "4.000000000000"),
    ]  # fmt: skip
    assert charged(one) == []
    each = piece({**FEE, "per": ["zone"]}, 10, 20, since=3)
    found = charged(each, used(3, 6, zone="x"), used(12, 5, zone="x"), used(12, 1, zone="y"))
    assert found == [(12, "x", "7.000000000000"), (12, "y", "5.000000000000")]


def test_what_a_rollup_comes_to_is_charged_in_the_last_millisecond() -> None:
    peak = {"id": "p", "model": "per_unit", "meter": "m", "unit_amount": "1", "rollup": {"every": "1h", "over": "max"}}
    inside = {**MATRIX, "cell": [{**CELL, "price": {k: v for k, v in peak.items() if k not in ("id", "meter")}}]}
    other = {**MATRIX, "cell": [CELL], "default": inside["cell"][0]["price"]}  # type: ignore[index]
    for price, key in ((peak, ()), (inside, (("zone", "x"),)), (other, (("zone", "x"),))):
        (found,) = window_charges(piece(price, 0, 20), [used(1, 4, zone="x"), used(3, 6, zone="x")], NOVEMBER)
        amount = Decimal(20 if price is other else 6)
        assert found == Charge(at(20) - HOUR / HOUR_MS, 3, key, "p", amount)


@pytest.mark.parametrize("kind", ["combine", "discount", "matrix"])
def test_a_price_of_more_than_one_quantity_is_priced_again_after_each_window(kind: str) -> None:
    price: dict[str, Any] = {"id": "p", "model": "per_unit", "meter": "m", "unit_amount": "2", "minimum_amount": "3"}
    if kind == "combine":
        price["combine"] = {"how": "sum", "meters": ["n"]}
    elif kind == "discount":
        price["discount"] = {"percent": "50", "when": {"meter": "n", "above": 3}}
    else:
        price = {**MATRIX, "cell": [CELL], "minimum_amount": "3"}
    totals = [used(2, 1, zone="x"), used(4, 5, "n"), used(4, 4, zone="x"), used(4, 0, zone="x")]
    after = {"combine": "17", "discount": "2", "matrix": "7"}[kind]
    named = [(hour, f"{Decimal(amount):.2f}") for hour, _, amount in charged(piece(price, 1, 20), *totals)]
    assert named == [(1, "3.00"), (2, "0.00"), (4, f"{after}.00")]
    named = [(hour, f"{Decimal(amount):.2f}") for hour, _, amount in charged(piece(price, 2, 20), *totals)]
    assert named == [(2, "0.00"), (2, "3.00"), (4, f"{after}.00")], "a window may begin where the piece does"
    goes_on = charged(piece(price, 3, 20, since=1), *totals)
    assert [(hour, f"{Decimal(amount):.2f}") for hour, _, amount in goes_on] == [(4, f"{after}.00")]


def test_states_merge_window_by_window() -> None:
    price = {"id": "p", "model": "per_unit", "meter": "m", "unit_amount": "1"}
    found = charged(
        piece(price), window(1, 1, High(Decimal(4))), window(2, 1, High(Decimal(3))), window(3, 1, High(Decimal(9)))
    )
    assert [(hour, Decimal(amount)) for hour, _, amount in found] == [(0, 0), (1, 4), (2, 0), (3, 5)]


def test_the_cost_of_a_part_is_given_back_to_a_value_that_looks_like_several() -> None:
    price = {"id": "p", "model": "per_unit", "meter": "m", "unit_amount": "2", "allocate_by": "account"}
    each = {**price, "per": ["zone"]}
    cell = {**CELL, "when": {"zone": ["x", "x+y"]}}
    matrix = {**MATRIX, "cell": [cell], "allocate_by": "account"}
    usage = [
        Total("m", ms(at(hour)), ms(at(hour + 1)), Sum(Decimal(hour)), dimensions={"zone": zone}, account=f"of {zone}")
        for hour, zone in ((1, "x"), (2, "x+y"), (3, "y"))
    ]
    made = Contract("acme", "pro", START)
    for written, shared in (
        (each, [{"of x": 2}, {"of x+y": 4}, {"of y": 6}]),
        (matrix, [{"of x": 2, "of x+y": 4}]),
    ):
        tariff = Tariff(None, (Plan("pro", 1, "USD", price=(read_price(written),)),), (made,))
        lines = rate_period(made, usage, tariff, OPENING).lines
        assert [line.allocated for line in lines] == shared


def test_tiers_that_continue_owe_no_more_than_one_price_for_all_of_the_period() -> None:
    """Though a value joins a cell after the change, or the minimum bites before it alone."""
    for least, hours in (("0", (5, 12)), ("3", (1, 4))):
        written = {**MATRIX, "cell": [{**CELL, "when": {"zone": ["x", "y"]}}], "minimum_amount": least}
        plans = [Plan(id, 1, "USD", price=(read_price(written),)) for id in ("old", "new")]
        usage = [used(5, hours[0], zone="x"), used(12, hours[1], zone="y")]
        totals = {}
        for policy in ("continue", "reprice"):
            made = Contract("acme", "old", START, change=(Change(at(10), "new"),), tiers_on_change=policy)  # type: ignore[arg-type]
            totals[policy] = rate_period(made, usage, Tariff(None, tuple(plans), (made,)), OPENING).total
        assert totals["continue"] == totals["reprice"] == 2 * sum(hours)
