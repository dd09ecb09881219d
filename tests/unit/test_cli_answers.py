"""The shapes that scripts rely on, from fake answers of ClickHouse, and the exit codes of what they say."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest

import sinks.clickhouse
import sinks.queries
import sinks.totals
import tollstream.invoices
from config.catalogue import Catalogue
from rating.contracts import Contract
from rating.plans import Plan
from sinks.queries import Ledger, Letter, Partition, UsageRecord
from sinks.totals import DayTotal
from tollstream.__main__ import main

HOUR = datetime(2026, 11, 1, 10, tzinfo=UTC)
Answer = Callable[..., None]


class Client:
    """Stands for ClickHouse; what is asked of it comes from the patched queries."""

    def close(self) -> None:
        pass


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """`answer(module, name, value)`: that query answers with value, or with what it makes of its arguments."""
    monkeypatch.setattr(sinks.clickhouse, "reader", lambda settings: Client())

    def patch(module: Any, name: str, value: Any) -> None:
        monkeypatch.setattr(module, name, value if callable(value) else lambda *arguments: value)

    return patch


def record(**changed: Any) -> UsageRecord:
    made = UsageRecord(
        meter="http_requests",
        aggregation="sum",
        window_start=HOUR,
        window_end=HOUR + timedelta(hours=1),
        subject=None,
        account=None,
        dimensions={},
        quantity=Decimal("1234567.5"),
        events=3,
    )
    return msgspec.structs.replace(made, **changed)


def ledger_of(*partitions: tuple[int, int]) -> Ledger:
    """Partitions as (consumed, accepted), nothing else having happened."""
    parts = [
        Partition("id", number, consumed, consumed, accepted, 0, 0, 0, 0, consumed == accepted, HOUR)
        for number, (consumed, accepted) in enumerate(partitions)
    ]
    consumed, accepted = (sum(column) for column in zip(*partitions, strict=True))
    return Ledger(consumed, accepted, 0, 0, 0, 0, all(part.balanced for part in parts), parts)


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_usage_has_the_shape_that_scripts_rely_on(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    answer(sinks.queries, "usage", [record()])
    assert run_json(capsys, "usage", "--meter", "http_requests") == [
        {
            "meter": "http_requests",
            "window_start": "2026-11-01T10:00:00Z",
            "window_end": "2026-11-01T11:00:00Z",
            "dimensions": {},
            "quantity": "1234567.5",
            "events": 3,
        }
    ]


def test_usage_names_subject_and_account_where_it_is_grouped_by_them(
    answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(sinks.queries, "usage", [record(subject="zone-1", account="acme", dimensions={"region": "eu"})])
    grouped = ("usage", "--meter", "http_requests", "--group-by", "subject, account,region")
    (found,) = run_json(capsys, *grouped)
    assert (found["subject"], found["account"], found["dimensions"]) == ("zone-1", "acme", {"region": "eu"})
    assert main([*grouped, "--format", "csv"]) == 0
    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (line["subject"], line["account"], line["dimensions.region"]) == ("zone-1", "acme", "eu")


def test_usage_names_the_aggregation_only_where_versions_differ_in_it(
    answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(sinks.queries, "usage", [record(), record(aggregation="max")])
    found = run_json(capsys, "usage", "--meter", "http_requests")
    assert [one["aggregation"] for one in found] == ["sum", "max"]


def test_usage_asks_for_what_was_said(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []
    answer(sinks.queries, "usage", lambda client, *arguments: asked.append(arguments) or [])
    command = "usage --meter http_requests --subject s --account a --window month --group-by region"
    assert main([*command.split(), "--from", "2026-11-01", "--to", "2026-12-01T01:00:00+01:00"]) == 0
    start, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    assert asked == [("http_requests", "s", "a", start, end, "month", ["region"])]


def test_an_unknown_meter_without_usage_is_told_with_those_that_there_are(
    answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(sinks.queries, "usage", [])
    assert main(["usage", "--meter", "typo"]) == 0
    assert "the configuration has egress_bytes, http_requests" in capsys.readouterr().err


def test_the_ledger_has_the_shape_that_scripts_rely_on(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    answer(sinks.queries, "ledger", ledger_of((2, 2), (3, 3)))
    found = run_json(capsys, "ledger")
    counts = {"accepted": 5, "duplicate": 0, "late": 0, "invalid": 0, "unmetered": 0, "admitted": 0}
    waiting = {"waiting_late": 0, "waiting_refused": 0}
    assert {name: value for name, value in found.items() if name != "partitions"} == {
        "consumed": 5,
        **counts,
        **waiting,
        "balanced": True,
    }
    assert [partition["consumed"] for partition in found["partitions"]] == [2, 3]
    assert found["partitions"][0]["clock"] == "2026-11-01T10:00:00Z"


@pytest.mark.parametrize("format", ["table", "json", "csv"])
def test_a_ledger_out_of_balance_exits_with_1_in_every_format(
    format: str, answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(sinks.queries, "ledger", ledger_of((2, 2), (3, 2)))
    assert main(["ledger", "--format", format]) == 1
    assert "out of balance" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "query"), [("dead-letter", "dead_letters"), ("late", "late_events")])
def test_letters_keep_their_exact_bytes(
    command: str, query: str, answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = Letter("id", 1, 2, 0, "json: cannot be parsed; send one", b"\xff\x1b[31m", HOUR, "", "")
    answer(sinks.queries, query, lambda client, limit, chosen: [letter] * limit)
    found = run_json(capsys, command, "list", "--limit", "2")
    assert [one["raw_base64"] for one in found] == ["/xtbMzFt"] * 2
    assert (found[0]["raw"], found[0]["index"]) == ("\ufffd\x1b[31m", 0)
    assert main([command, "list", "--limit", "1"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def plan(id: str, *price: dict[str, Any]) -> Plan:
    return msgspec.convert({"id": id, "version": 2, "currency": "USD", "price": price}, Plan)


def day_total(quantity: str, events: int, exact: Fraction | None = None) -> DayTotal:
    return DayTotal(date(2026, 11, 1), Decimal(quantity), events, exact or Decimal(quantity))


@pytest.fixture
def tariff(answer: Answer) -> None:
    """Account acme is on `pro` from the 11th on, and on the default plan `free` before."""
    per_unit = {"id": "reads", "model": "per_unit", "meter": "reads", "unit_amount": "0.5"}
    catalogue = Catalogue(
        generation=1,
        default_plan="free",
        plans=(plan("free", per_unit), plan("pro", {"id": "base", "model": "flat", "amount": "20"}, per_unit)),
        contracts=(Contract("acme", "pro", datetime(2026, 11, 11, tzinfo=UTC)),),
    )
    answer(tollstream.invoices, "published_catalogue", catalogue)


def test_an_invoice_has_the_shape_that_scripts_rely_on(
    answer: Answer, tariff: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def totals(client: Client, account: str, start: date, end: date) -> dict[str, DayTotal]:
        assert account == "acme"
        if start == date(2026, 11, 1):
            return {"reads": day_total("3", 3)}
        return {"reads": day_total("1000001", 7), "other": day_total("1.5", 1)}

    answer(sinks.totals, "period_totals", totals)
    found = run_json(capsys, "invoice", "preview", "--account", "acme", "--period", "2026-11")
    assert (found["account"], found["currency"], found["total"]) == ("acme", "USD", "500022.00")
    assert (found["period_start"], found["period_end"]) == ("2026-11-01", "2026-12-01")
    keys = ("price", "plan", "plan_version", "meter", "quantity", "amount")
    assert [tuple(line[key] for key in keys) for line in found["lines"]] == [
        ("reads", "free", 2, "reads", "3", "1.50"),
        ("base", "pro", 2, None, "0", "20.00"),
        ("reads", "pro", 2, "reads", "1000001", "500000.50"),
    ]
    assert [(line["meter"], line["quantity"]) for line in found["unrated"]] == [("other", "1.5")]


def test_an_average_is_priced_before_it_is_rounded(
    answer: Answer, tariff: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the rounded quantity the amount would end in 4."""
    answer(sinks.totals, "period_totals", {"reads": day_total("0.666666666667", 3, Fraction(2, 3))})
    found = run_json(capsys, "invoice", "preview", "--account", "other", "--period", "2026-11")
    (line,) = found["lines"]
    assert (line["quantity"], line["amount_unrounded"]) == ("0.666666666667", "0.333333333333")


def test_an_invoice_as_csv_has_a_line_for_each_price(
    answer: Answer, tariff: None, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(sinks.totals, "period_totals", {})
    assert main(["invoice", "preview", "--account", "acme", "--period", "2026-11", "--format", "csv"]) == 0
    shown = capsys.readouterr()
    lines = list(csv.DictReader(io.StringIO(shown.out)))
    assert [(line["price"], line["amount"]) for line in lines] == [
        ("reads", "0.00"),
        ("base", "20.00"),
        ("reads", "0.00"),
    ]
    assert "no usage of account acme is known for 2026-11" in shown.err


def test_an_invoice_for_people_ends_with_its_total_and_shows_what_is_not_rated(
    answer: Answer, tariff: None, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(sinks.totals, "period_totals", {"reads": day_total("2000000", 1), "other": day_total("1", 1)})
    assert main(["invoice", "preview", "--account", "someone", "--period", "2026-11"]) == 0
    shown = capsys.readouterr().out
    assert "1,000,000.00" in shown and "total USD" in shown
    assert "has no price for this meter" in shown
