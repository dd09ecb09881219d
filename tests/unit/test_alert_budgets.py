"""Which budgets are passed: order, repeats, generations, exactness, and each crossing once."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Budget
from processors.budgets import Alert, Budgets
from processors.rate import RatedRow

NOVEMBER, DECEMBER = date(2026, 11, 1), date(2026, 12, 1)


def rated(
    amount: str | None,
    version: int = 1,
    *,
    generation: int = 1,
    account: str = "acme",
    price: str = "requests",
    currency: str = "USD",
    period: date = NOVEMBER,
    segment: date | None = None,
) -> RatedRow:
    total = None if amount is None else Decimal(amount)
    return RatedRow(
        account=account,
        plan="pro",
        plan_version=1,
        price=price,
        model="per_unit",
        meter="http_requests",
        currency=currency,
        period_start=period,
        segment_start=segment or period,
        day=period,
        opening=False,
        part="",
        quantity=Decimal(1),
        quantity_total=Decimal(1),
        amount=total,
        amount_total=total,
        unrated_reason="",
        generation=generation,
        version=version,
    )


def budget(amount: str, *, account: str = "acme", currency: str = "USD") -> Budget:
    return Budget(account, currency, Decimal(amount))


def announced(budgets: Budgets, rows: Sequence[RatedRow]) -> list[Alert]:
    """The alerts of the rows, each of them acknowledged at once."""
    alerts = []
    for row in rows:
        for alert in budgets.crossed(row):
            budgets.announce(alert)
            alerts.append(alert)
    return alerts


def test_an_alert_says_who_passed_what_by_how_much_and_which_row_did_it() -> None:
    budgets = Budgets([budget("100.00")], [])
    assert budgets.crossed(rated("60", price="base")) == []
    (alert,) = budgets.crossed(rated("40.000000000001", 7, generation=3))
    assert alert == Alert("acme", NOVEMBER, DECEMBER, "USD", "100", "100.000000000001", 3, 7)
    assert json.loads(alert.key()) == ["acme", "2026-11-01", "USD", "100"]
    assert json.loads(msgspec.json.encode(alert))["total"] == "100.000000000001"


def test_a_total_equal_to_the_budget_has_not_passed_it() -> None:
    assert Budgets([budget("100")], []).crossed(rated("100.000000000000")) == []


def test_totals_replace_each_other_and_never_add_up() -> None:
    rows = [rated(str(amount), amount) for amount in range(1, 101)]
    assert announced(Budgets([budget("100")], []), rows) == []


def test_digits_beyond_the_default_decimal_context_count() -> None:
    budgets = Budgets([budget("100000000000000000000000000000")], [])
    assert budgets.crossed(rated("100000000000000000000000000000", price="base")) == []
    (alert,) = budgets.crossed(rated("0.000000000001"))
    assert alert.total == "100000000000000000000000000000.000000000001"


def test_other_accounts_currencies_and_periods_do_not_count() -> None:
    others = [
        rated("99", account="globex"),
        rated("99", price="base", currency="EUR"),
        rated("99", period=DECEMBER),
        rated(None, price=""),
    ]
    assert announced(Budgets([budget("100")], []), [*others, rated("100")]) == []


def test_the_segments_of_a_period_count_together() -> None:
    rows = [rated("60"), rated("60", segment=date(2026, 11, 16))]
    assert len(announced(Budgets([budget("100")], []), rows)) == 1


def test_each_period_has_its_own_alert() -> None:
    rows = [rated("101"), rated("101", period=DECEMBER), rated("102", 2), rated("102", 2, period=DECEMBER)]
    assert [alert.period_start for alert in announced(Budgets([budget("100")], []), rows)] == [NOVEMBER, DECEMBER]


def test_budgets_in_two_currencies_are_passed_each_by_its_own() -> None:
    budgets = Budgets([budget("100"), budget("50", currency="EUR")], [])
    rows = [rated("101"), rated("51", price="base", currency="EUR")]
    assert [alert.currency for alert in announced(budgets, rows)] == ["USD", "EUR"]


def test_a_total_that_falls_and_rises_again_alerts_once() -> None:
    rows = [rated("101", 1), rated("99", 2), rated("105", 3)]
    assert [alert.total for alert in announced(Budgets([budget("100")], []), rows)] == ["101"]


def test_a_row_of_a_newer_generation_holds_however_low_its_version() -> None:
    budgets = Budgets([budget("100")], [])
    assert budgets.crossed(rated("0", 1, generation=2)) == []
    assert budgets.crossed(rated("101", 9, generation=1)) == []


def test_a_price_that_changes_its_currency_leaves_the_old_total() -> None:
    budgets = Budgets([budget("100")], [])
    rows = [rated("90"), rated("90", generation=2, currency="EUR"), rated("90", price="base")]
    assert announced(budgets, rows) == []


def test_a_crossing_that_was_not_acknowledged_comes_again() -> None:
    budgets = Budgets([budget("100")], [])
    first = budgets.crossed(rated("101"))
    assert [alert.key() for alert in budgets.crossed(rated("101"))] == [alert.key() for alert in first]


def test_what_was_announced_before_the_start_does_not_come_again_and_what_was_not_does() -> None:
    rows = [rated("101"), rated("102", 2)]
    (alert,) = announced(Budgets([budget("100")], []), rows)
    assert announced(Budgets([budget("100.00")], [alert.key()]), rows) == []
    assert announced(Budgets([budget("100")], []), rows) == [alert]


def test_a_raised_budget_is_another_crossing() -> None:
    (alert,) = announced(Budgets([budget("100")], []), [rated("101")])
    assert len(announced(Budgets([budget("101.5")], [alert.key()]), [rated("102", 2)])) == 1


@st.composite
def histories(draw: st.DrawFn) -> list[RatedRow]:
    """Rows of a few keys; as in the real topic, a key's (generation, version) determines its amount."""
    amounts = st.integers(0, 80_000_000_000_000).map(lambda units: str(Decimal(units).scaleb(-12)))
    places = st.tuples(st.sampled_from(["base", "requests", "egress"]), st.integers(1, 3), st.integers(1, 5))
    known = draw(st.dictionaries(places, amounts, min_size=1))
    rows = [rated(text, version, generation=era, price=price) for (price, era, version), text in known.items()]
    return draw(st.lists(st.sampled_from(rows), max_size=30)) + draw(st.permutations(rows))


def newest_total(rows: Sequence[RatedRow]) -> Decimal:
    newest = {row.price: row for row in sorted(rows, key=lambda row: (row.generation, row.version))}
    return sum((row.amount_total or Decimal(0) for row in newest.values()), Decimal(0))


@given(histories())
def test_the_last_total_is_judged_alike_in_any_order_with_any_repeats(rows: list[RatedRow]) -> None:
    budgets = Budgets([budget("100")], [])
    last: list[Alert] = []
    for row in rows:
        last = budgets.crossed(row)
    total = newest_total(rows)
    assert [Decimal(alert.total) for alert in last] == ([total] if total > 100 else [])


@given(histories(), st.data())
def test_stopping_anywhere_and_reading_again_announces_each_crossing_once(
    rows: list[RatedRow], data: st.DataObject
) -> None:
    whole = announced(Budgets([budget("100")], []), rows)
    stop = data.draw(st.integers(0, len(rows)))
    before = announced(Budgets([budget("100")], []), rows[:stop])
    after = announced(Budgets([budget("100")], [alert.key() for alert in before]), rows)
    assert before + after == whole


@given(histories())
def test_no_crossing_is_announced_that_was_never_there(rows: list[RatedRow]) -> None:
    crossed = any(newest_total(rows[: end + 1]) > 100 for end in range(len(rows)))
    assert len(announced(Budgets([budget("100")], []), rows)) == crossed
