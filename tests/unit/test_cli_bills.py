"""What `invoice preview` shows of a contract that is priced as a whole."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

import sinks.clickhouse
import sinks.window_totals
import tollstream.invoices
from config.catalogue import Catalogue, EventType, Meter
from rating.calendar import Anchor
from rating.charges import ms
from rating.commitments import Commitment
from rating.contracts import Contract
from rating.plans import Plan
from rating.prices import Flat, PerUnit
from rating.states import Sum
from rating.totals import Total
from tollstream.__main__ import main

BERLIN_WEEK = Anchor("week", 1)
START = datetime(2026, 10, 5, tzinfo=UTC)
PRO = Plan("pro", 1, "USD", price=(Flat("base", "7"), PerUnit("reads", "reads", "1")))


class Client:
    def close(self) -> None:
        pass


def used(day: int, quantity: int, month: int = 11) -> Total:
    start = ms(datetime(2026, month, day, tzinfo=UTC))
    return Total("reads", start, start + 3_600_000, Sum(Decimal(quantity)))


@pytest.fixture
def preview(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`preview(contract, totals, now, period)`: the JSON of the command, ClickHouse having these totals."""

    def windows(client: Client, account: str, start: datetime, end: datetime, apart: set[str]) -> list[Total]:
        assert (account, apart) == ("acme", set())
        return [total for total in asked["totals"] if ms(start) <= total.start_ms < ms(end)]

    asked: dict[str, Any] = {}
    monkeypatch.setattr(sinks.clickhouse, "reader", lambda settings: Client())
    monkeypatch.setattr(sinks.window_totals, "window_totals", windows)

    def ask(contract: Contract, totals: list[Total], now: datetime, period: str = "2026-11", *more: str) -> Any:
        meter = Meter("reads", 1, "read", "sum", "n")
        catalogue = Catalogue(1, None, (EventType("read", 1),), (meter,), (PRO,), contracts=(contract,))
        monkeypatch.setattr(tollstream.invoices, "published_catalogue", lambda settings: catalogue)
        monkeypatch.setattr(tollstream.invoices, "now_ms", lambda: ms(now))
        asked["totals"] = totals
        assert (
            main(["invoice", "preview", "--account", "acme", "--period", period, *(more or ("--format", "json"))]) == 0
        )
        shown = capsys.readouterr().out
        return shown if more else json.loads(shown)

    return ask


LATER = datetime(2027, 1, 1, tzinfo=UTC)


def test_a_period_that_is_over_shows_what_terms_took_and_one_that_is_not_projects_the_minimum(preview: Any) -> None:
    contract = Contract("acme", "pro", START, minimum="100")
    for now, projected in ((LATER, False), (datetime(2026, 11, 20, tzinfo=UTC), True)):
        (period,) = preview(contract, [used(3, 13)], now)["periods"]
        assert (period["start"], period["end"]) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
        assert [(line["price"], line["amount"]) for line in period["lines"]] == [("base", "7.00"), ("reads", "13.00")]
        (term,) = period["terms"]
        assert (term["kind"], term["amount"], term["projected"]) == ("minimum", "80.00", projected)
        assert (period["subtotal"], period["total"]) == ("20.00", "100.00")
        assert "closing" not in period


def test_the_weeks_that_begin_in_a_month_are_shown_each(preview: Any) -> None:
    contract = Contract("acme", "pro", START, anchor=BERLIN_WEEK, time_zone="Europe/Berlin")
    found = preview(contract, [used(2, 1), used(29, 2), used(30, 3)], LATER)["periods"]
    assert [period["start"] for period in found] == [f"2026-11-{day:02}T23:00:00Z" for day in (1, 8, 15, 22, 29)]
    assert [period["total"] for period in found] == ["8.00", "7.00", "7.00", "9.00", "10.00"]


def test_a_quarter_is_shown_in_each_of_its_months(preview: Any) -> None:
    contract = Contract("acme", "pro", START, anchor=Anchor("quarter"))
    (period,) = preview(contract, [used(8, 1, 10), used(2, 1)], LATER)["periods"]
    assert (period["start"], period["total"]) == ("2026-10-01T00:00:00Z", "9.00")


def test_a_balance_is_what_earlier_periods_left(preview: Any) -> None:
    commitment = Commitment(id="c", kind="prepaid", amount="30", prices=("reads",))
    contract = Contract("acme", "pro", START, commitment=(commitment,))
    (period,) = preview(contract, [used(6, 25, 10), used(2, 10)], LATER)["periods"]
    assert [(term["kind"], term["amount"]) for term in period["terms"]] == [("prepaid", "-5.00")]
    assert period["total"] == "12.00"


def test_tables_and_csv_of_a_contract(preview: Any) -> None:
    contract = Contract("acme", "pro", START, minimum="100")
    totals = [used(3, 13), Total("other", used(3, 1).start_ms, used(3, 1).end_ms, Sum(Decimal(4)))]
    table = preview(contract, totals, LATER, "2026-11", "--format", "table")
    assert "subtotal USD" in table and "minimum" in table and "has no price for this meter" in table
    assert preview(contract, totals, LATER, "2026-11", "--format", "csv").splitlines()[1].startswith("base,pro,1,flat")


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("Europe/Berlin", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z"),
        ("America/New_York", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
        ("Pacific/Auckland", "2026-10-31T11:00:00Z", "2026-11-30T11:00:00Z"),
    ],
)
def test_a_month_is_that_of_the_contract_and_not_the_next_one_that_begins_in_it(
    preview: Any, zone: str, start: str, end: str
) -> None:
    (period,) = preview(Contract("acme", "pro", START, time_zone=zone), [used(3, 13)], LATER)["periods"]
    assert (period["start"], period["end"]) == (start, end)
    assert [(line["price"], line["amount"]) for line in period["lines"]] == [("base", "7.00"), ("reads", "13.00")]


def test_a_contract_of_the_first_minutes_of_a_month_elsewhere_has_a_bill_in_it(preview: Any) -> None:
    """In UTC they are in the month before."""
    half_past = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    contract = Contract("acme", "pro", START, half_past, time_zone="Europe/Berlin")
    (period,) = preview(contract, [], LATER)["periods"]
    assert (period["start"], period["end"]) == ("2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z")
