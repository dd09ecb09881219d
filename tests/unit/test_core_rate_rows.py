"""Rated rows, field by field: opening rows, days, what nothing prices, what is gone, and when a month is opened."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from config.catalogue import Catalogue, EventType, Meter
from processors.rate import RatedRow, Rater, taken_back
from processors.window_rows import WindowRow, WindowRows
from rating.contracts import Account, Contract
from rating.plans import Plan
from rating.prices import Flat, Graduated, Tier
from rating.totals import DAY_MS, day_ms
from sinks.superseded import RatedKey

NOVEMBER, DECEMBER = date(2026, 11, 1), date(2026, 12, 1)
TIERS = (Tier(up_to=10, unit_amount="1"), Tier(unit_amount="3"))
PLAN = Plan("pro", 4, "USD", price=(Flat("base", "5"), Graduated("g", "sums", TIERS, minimum_amount="2")))


def catalogue(*contracts: Contract, default: str | None = "pro", named: Iterable[str] = ()) -> Catalogue:
    return Catalogue(
        generation=7,
        default_plan=default,
        events=(EventType("t", 0),),
        meters=(Meter("sums", 1, "t", "sum", "v"), Meter("other", 1, "t", "count")),
        plans=(PLAN,),
        accounts=tuple(Account(id, ()) for id in named),
        contracts=contracts,
    )


def rows(*told: tuple[str, date, int, int], account: str = "acme") -> list[bytes]:
    """Of (meter, day, offset, value): a partial of a subject of its own for each offset."""
    found = [
        WindowRow(meter, 1, f"s{at}", [], account, day_ms(day), "T", 0, 0, at, 1, 0, value, 0, 0, 0, 0, b"")
        for meter, day, at, value in told
    ]
    return [value for _, _, value in WindowRows.of(found).messages()]


def rated(price: str, meter: str, model: str, day: date, **changed: object) -> RatedRow:
    plain = RatedRow(
        *("acme", "pro", 4, price, model, meter, "USD", NOVEMBER, NOVEMBER, day, False, ""),
        *(Decimal(0), Decimal(0), Decimal(0), Decimal(0), "", 7, 0),
    )
    return msgspec.structs.replace(plain, **changed)


def nowhere(account: str) -> bool:
    return False


def acme(account: str) -> bool:
    return account == "acme"


def test_the_first_rows_of_a_month_are_its_openings_and_its_days() -> None:
    rater = Rater(catalogue(), nowhere)
    day, later = date(2026, 11, 3), date(2026, 11, 5)
    rater.add(rows(("sums", day, 0, 8), ("sums", later, 1, 4), ("other", day, 2, 0)), day_ms(later))
    found = sorted(rater.rate(), key=lambda row: (row.price, row.day))
    reason = "plan pro version 4 has no price for this meter"
    assert found == [
        rated("", "other", "", day, quantity=Decimal(1), quantity_total=Decimal(1), amount=None, amount_total=None,
              unrated_reason=reason, version=3),
        rated("base", "", "flat", NOVEMBER, opening=True, amount=Decimal(5), amount_total=Decimal(5)),
        rated("g", "sums", "graduated", NOVEMBER, opening=True, amount=Decimal(2), amount_total=Decimal(2)),
        rated("g", "sums", "graduated", day, quantity=Decimal(8), quantity_total=Decimal(8), amount=Decimal(6),
              amount_total=Decimal(8), version=1),
        rated("g", "sums", "graduated", later, quantity=Decimal(4), quantity_total=Decimal(12), amount=Decimal(8),
              amount_total=Decimal(16), version=3),
    ]  # fmt: skip
    assert rater.rate() == []
    rater.add(rows(("sums", later, 5, 1)), day_ms(day))
    (again,) = rater.rate()
    assert again == msgspec.structs.replace(
        found[-1],
        quantity=Decimal(5),
        quantity_total=Decimal(13),
        amount=Decimal(11),
        amount_total=Decimal(19),
        version=9,
    )
    assert rater.usage.today == later, "the clock does not go back"


def test_usage_without_any_plan_is_in_a_row_that_says_so() -> None:
    rater = Rater(catalogue(default=None), nowhere)
    rater.add(rows(("sums", NOVEMBER, 0, 8)), day_ms(NOVEMBER))
    (row,) = rater.rate()
    assert (row.plan, row.plan_version, row.price, row.model, row.currency) == ("", 0, "", "", "")
    assert (row.meter, row.quantity, row.amount, row.amount_total, row.opening) == ("sums", 8, None, None, False)
    assert row.unrated_reason


def openings(found: list[RatedRow]) -> set[tuple[str, date, str]]:
    return {(row.account, row.period_start, row.price) for row in found if row.opening}


def test_a_named_account_opens_every_month_that_has_usage_of_anybody_once() -> None:
    rater = Rater(catalogue(named=("acme", "other")), lambda account: account != "other")
    rater.add(rows(("sums", NOVEMBER, 0, 8), account="else"), day_ms(NOVEMBER))
    both = {("acme", NOVEMBER, "base"), ("acme", NOVEMBER, "g"), ("else", NOVEMBER, "base"), ("else", NOVEMBER, "g")}
    assert openings(rater.rate()) == both
    rater.add(rows(("sums", NOVEMBER, 1, 8), account="else"), day_ms(DECEMBER))
    assert openings(rater.rate()) == set(), "nobody used anything in December"
    rater.add(rows(("sums", DECEMBER, 2, 8), account="else"), day_ms(DECEMBER))
    assert {(account, month) for account, month, _ in openings(rater.rate())} == {
        ("acme", DECEMBER),
        ("else", DECEMBER),
    }


def opened(contract: Contract, day: date, mine: bool = True) -> list[list[date]]:
    """The months opened by a clock of this day, and by one a month later."""
    rater, found = Rater(catalogue(contract), acme if mine else nowhere), []
    for at_ms in (day_ms(day), day_ms(day) + DAY_MS, day_ms(day) + 31 * DAY_MS):
        rater.add([], at_ms)
        found.append(sorted({row.period_start for row in rater.rate() if row.opening and row.price == "base"}))
    return found


def test_an_account_with_a_contract_opens_every_month_in_which_it_holds() -> None:
    def agreed(from_: date, to: date | None = None) -> Contract:
        start, end = (
            None if one is None else datetime(one.year, one.month, one.day, tzinfo=UTC) for one in (from_, to)
        )
        assert start is not None
        return Contract("acme", "pro", start, end)

    october = date(2026, 10, 1)
    assert opened(agreed(october), date(2026, 11, 20)) == [[october, NOVEMBER], [], [DECEMBER]]
    assert opened(agreed(date(2026, 10, 7)), date(2026, 11, 1)) == [[october, NOVEMBER], [], [DECEMBER]]
    assert opened(agreed(october, NOVEMBER), date(2026, 11, 20)) == [[october], [], []]
    assert opened(agreed(october, date(2026, 11, 2)), date(2026, 11, 20)) == [[october, NOVEMBER], [], []]
    assert opened(agreed(DECEMBER), date(2026, 11, 20)) == [[], [], [DECEMBER]]
    assert opened(agreed(october), date(2026, 11, 20), mine=False) == [[], [], []]


def test_what_is_gone_is_a_row_of_zeros_at_its_own_place() -> None:
    old = RatedKey("acme", DECEMBER, NOVEMBER, "g", "sums", True, date(2026, 12, 3), '{"zone":"a"}', "EUR")
    zero = Decimal(0)
    assert taken_back(old, 9) == RatedRow(
        *("acme", "", 0, "g", "", "sums", "EUR", DECEMBER, NOVEMBER, date(2026, 12, 3), True, '{"zone":"a"}'),
        *(zero, zero, zero, zero, "", 9, 0),
    )


def test_each_price_of_a_segment_has_days_of_its_own_from_the_first_change_on() -> None:
    """Of a contract that begins within the month, and of usage before it by the default plan."""
    contract = Contract("acme", "pro", datetime(2026, 11, 10, tzinfo=UTC))
    rater = Rater(catalogue(contract), nowhere)
    days = [date(2026, 11, number) for number in (3, 12, 14)]
    rater.add(rows(*(("sums", day, at, 8) for at, day in enumerate(days))), day_ms(days[-1]))
    found = [row for row in rater.rate() if row.price == "g" and not row.opening]
    assert [(row.segment_start, row.day, row.amount, row.version) for row in found] == [
        (NOVEMBER, days[0], 6, 1),
        (date(2026, 11, 10), days[1], 6, 3),
        (date(2026, 11, 10), days[2], 20, 6),
    ]
    rater.add(rows(("sums", days[2], 7, 1)), day_ms(days[-1]))
    assert [(row.day, row.amount, row.version) for row in rater.rate()] == [(days[2], 23, 14)]
