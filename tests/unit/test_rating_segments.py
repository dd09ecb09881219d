"""Periods, contracts over time, and which plan prices which days."""

import ast
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rating
from rating.calendar import Anchor
from rating.commitments import Commitment
from rating.contracts import Account, AddOn, Change, Contract, Override
from rating.instants import Dated
from rating.periods import Period, month_of, parse_period, period_of
from rating.plans import Plan
from rating.prices import Flat
from rating.rate import Segment, Tariff

NOVEMBER = Period(date(2026, 11, 1), date(2026, 12, 1))
FREE = Plan("free", 1, "USD")
START = datetime(2026, 1, 1, tzinfo=UTC)
PRO_1, PRO_2 = Plan("pro", 1, "USD"), Plan("pro", 2, "USD")


def contract(plan: str, start: str, end: str | None = None, account: str = "acme") -> Contract:
    written = {"account": account, "plan": plan, "from": f"{start}T00:00:00Z"}
    return msgspec.convert(written | ({"to": f"{end}T00:00:00Z"} if end else {}), type=Contract)


def test_a_period_is_the_calendar_month_in_utc() -> None:
    assert month_of(date(2026, 12, 31)) == Period(date(2026, 12, 1), date(2027, 1, 1))
    assert month_of(date(2028, 2, 29)) == Period(date(2028, 2, 1), date(2028, 3, 1))
    assert period_of(datetime.fromisoformat("2026-12-01T00:30:00+01:00")) == NOVEMBER
    assert parse_period("2026-11") == NOVEMBER


def test_an_instant_without_a_zone_has_no_period() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        period_of(datetime(2026, 11, 1))
    with pytest.raises(TypeError, match="use period_of"):
        month_of(datetime(2026, 11, 1, tzinfo=UTC))


def test_the_last_month_of_the_calendar_says_that_it_has_no_end() -> None:
    with pytest.raises(ValueError, match="9999"):
        month_of(date(9999, 12, 1))
    assert month_of(date(9999, 11, 30)).end == date(9999, 12, 1)


@pytest.fixture
def machine_in_auckland(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("machine_in_auckland")
def test_the_zone_of_the_machine_moves_no_instant_into_another_month() -> None:
    assert period_of(datetime(2026, 11, 30, 23, tzinfo=UTC)) == NOVEMBER
    assert str(contract("pro", "2026-11-01").from_) == "2026-11-01 00:00:00+00:00"


def test_a_contract_names_every_instant_that_is_written_in_it_by_where_it_stands() -> None:
    first, second, third, fourth, fifth = (START + timedelta(days=day) for day in range(5))
    made = Contract(
        "acme",
        "pro",
        first,
        fifth,
        change=(Change(second, "free"),),
        add_on=(AddOn("support", from_=second), AddOn("support", from_=third, to=fourth)),
        override=(Override(Flat("base", "1"), to=third),),
        commitment=(Commitment(id="prepaid", kind="prepaid", amount="5", from_=third, to=fifth),),
    )
    assert made.instants() == [
        ("from", first),
        ("to", fifth),
        ("change[0].at", second),
        ("add_on[0].from", second),
        ("add_on[1].from", third),
        ("add_on[1].to", fourth),
        ("override[0].to", third),
        ("commitment[0].from", third),
        ("commitment[0].to", fifth),
    ]


@pytest.mark.parametrize("written", ["2026-13", "2026-00", "0000-01", "9999-12", "2026-1", "2026-11-01", "", "٢٠٢٦-11"])
def test_a_period_that_is_no_month_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="write it as 2026-11"):
        parse_period(written)


def test_a_contract_is_written_with_from_and_to_and_survives_json() -> None:
    made = contract("pro", "2026-01-01", "2026-11-16")
    assert made.from_ == datetime(2026, 1, 1, tzinfo=UTC)
    assert b'"from":"2026-01-01T00:00:00Z"' in msgspec.json.encode(made)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Contract) == made
    account = msgspec.convert({"id": "acme", "subjects": ["zone-1"], "from": "2026-01-01T02:00:00+02:00"}, type=Account)
    assert account == Account("acme", ("zone-1",), datetime(2026, 1, 1, tzinfo=UTC))
    assert msgspec.json.decode(msgspec.json.encode(account), type=Account) == account


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"from": "2026-01-01T00:00:00"}, "timezone"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to: must be after `from`"),
        ({"from": "0001-01-01T00:00:00+01:00"}, "outside the years 1 to 9999"),
        ({"from": "2026-01-01T00:00:00Z", "until": "x"}, "unknown field"),
    ],
)
def test_a_wrong_contract_is_refused_saying_why(bounds: dict[str, str], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({"account": "acme", "plan": "pro", **bounds}, type=Contract)


class Term(Dated, frozen=True):
    from_: datetime | None = None
    to: datetime | None = None


def test_a_part_with_no_more_than_two_bounds_has_them_in_their_order() -> None:
    with pytest.raises(ValueError, match="to: must be after `from`"):
        Term(START, START)
    assert Term(START, START + timedelta(days=1)).to == START + timedelta(days=1)


def test_an_instant_without_a_zone_is_refused_by_its_name_in_files() -> None:
    naive = datetime(2026, 1, 1)
    for name, made in (
        ("from", lambda: Contract("acme", "pro", naive)),
        ("to", lambda: Contract("acme", "pro", START, naive)),
        ("from", lambda: Plan("pro", 1, "USD", from_=naive)),
    ):
        with pytest.raises(ValueError, match=f"^{name}: 2026-01-01T00:00:00 has no zone"):
            made()


def test_the_highest_version_of_the_contracts_plan_prices_the_whole_month() -> None:
    tariff = Tariff("free", (PRO_2, FREE, PRO_1), (contract("pro", "2026-01-01"),))
    assert tariff.segments("acme", NOVEMBER) == [Segment(PRO_2, NOVEMBER.start, NOVEMBER.end)]


def test_a_gap_between_contracts_falls_to_the_default_plan() -> None:
    dated = (contract("pro", "2026-11-21"), contract("pro", "2026-01-01", "2026-11-11"))
    tariff = Tariff("free", (FREE, PRO_1), dated)
    assert tariff.segments("acme", NOVEMBER) == [
        Segment(PRO_1, date(2026, 11, 1), date(2026, 11, 11)),
        Segment(FREE, date(2026, 11, 11), date(2026, 11, 21)),
        Segment(PRO_1, date(2026, 11, 21), date(2026, 12, 1)),
    ]
    assert tariff.plan_for("acme", date(2026, 11, 10)) == PRO_1
    assert tariff.plan_for("acme", date(2026, 11, 11)) == FREE


def test_a_contract_may_start_on_the_day_the_one_before_ends() -> None:
    dated = (contract("pro", "2026-01-01", "2026-11-16"), contract("free", "2026-11-16"))
    segments = Tariff(None, (FREE, PRO_1), dated).segments("acme", NOVEMBER)
    assert [(segment.plan, segment.start.day) for segment in segments] == [(PRO_1, 1), (FREE, 16)]


def test_an_account_without_contract_is_on_the_default_plan_or_unrated_with_a_reason() -> None:
    assert Tariff("free", (FREE,)).segments("other", NOVEMBER) == [Segment(FREE, NOVEMBER.start, NOVEMBER.end)]
    (unrated,) = Tariff(None, (FREE,)).segments("other", NOVEMBER)
    assert unrated.plan is None
    assert "no default_plan" in unrated.reason
    assert Tariff(None, (FREE,)).plan_for("other", NOVEMBER.start) is None


def test_a_tariff_names_every_fault_between_plans_and_contracts() -> None:
    dated = (contract("pro", "2026-01-01"), contract("gold", "2026-05-01"), contract("pro", "2026-01-01", account="b"))
    with pytest.raises(ValueError) as refused:
        Tariff("basic", (PRO_1, PRO_1), dated)
    assert str(refused.value).split("; ", 2) == [
        "default_plan: there is no plan 'basic'",
        "plan[1].version: 1 of plan 'pro' is taken, so raise it",
        "contract[1].plan: there is no plan 'gold'; contract[1].from: overlaps contract[0] of account 'acme', "
        "end that one with `to` first",
    ]


def test_add_ons_and_overrides_are_in_the_plan_of_a_segment() -> None:
    base, extra, cheap = Flat("base", "5"), Flat("extra", "2"), Flat("base", "1")
    plans = (Plan("pro", 1, "USD", price=(base,)), Plan("more", 1, "USD", price=(extra,)))
    agreed = Contract("acme", "pro", START, add_on=(AddOn("more"),), override=(Override(cheap),))
    (segment,) = Tariff(None, plans, (agreed,)).segments("acme", NOVEMBER)
    assert segment.plan is not None
    assert (segment.plan.id, segment.plan.price) == ("pro", (cheap, extra))


@pytest.mark.parametrize(
    ("terms", "days", "reason"),
    [
        ({"time_zone": "Europe/Berlin"}, (1, 30), "has periods of its own"),
        ({"anchor": Anchor(day=5)}, (1, 30), "has periods of its own"),
        ({"change": (Change(datetime(2026, 11, 9, tzinfo=UTC), "free"),)}, (1, 30), "changes within the month"),
        ({"to": datetime(2026, 11, 9, 5, tzinfo=UTC)}, (1, 9), "begins or ends within a day"),
        ({"to": datetime(2026, 11, 9, tzinfo=UTC), "proration": "day"}, (1, 8), "is prorated"),
    ],
)
def test_what_days_in_utc_cannot_express_is_left_to_the_contract_and_says_why(
    terms: dict[str, Any], days: tuple[int, int], reason: str
) -> None:
    agreed = Contract("acme", "pro", datetime(2026, 1, 1, tzinfo=UTC), **terms)
    found, *after = Tariff("free", (FREE, PRO_1), (agreed,)).segments("acme", NOVEMBER)
    assert (found.plan, found.start.day, (found.end - timedelta(days=1)).day) == (None, *days)
    assert reason in found.reason
    assert found.contract is agreed
    assert all(segment.plan == FREE for segment in after)


def test_a_plan_without_a_version_in_effect_is_a_segment_with_the_reason() -> None:
    later = Plan("pro", 1, "USD", from_=datetime(2027, 1, 1, tzinfo=UTC))
    (segment,) = Tariff("pro", (later,)).segments("other", NOVEMBER)
    assert (segment.plan, segment.reason) == (None, "plan 'pro' has no version at that time")


@settings(deadline=None)
@given(st.lists(st.dates(date(2026, 9, 1), date(2027, 1, 31)), unique=True, max_size=8).map(sorted), st.booleans())
def test_segments_cover_each_day_of_the_period_once(bounds: list[date], default: bool) -> None:
    dated = tuple(contract("pro", str(start), str(end)) for start, end in zip(bounds[::2], bounds[1::2], strict=False))
    segments = Tariff("free" if default else None, (FREE, PRO_1), dated).segments("acme", NOVEMBER)
    assert [segments[0].start, *(segment.end for segment in segments)] == [
        *(segment.start for segment in segments),
        NOVEMBER.end,
    ]
    assert segments[0].start == NOVEMBER.start
    assert all(segment.start < segment.end for segment in segments)


def test_rating_imports_nothing_but_itself_msgspec_and_the_standard_library() -> None:
    imported = set()
    for file in Path(rating.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"rating", "msgspec"}
    assert not imported & {"time", "os", "socket", "random", "asyncio", "threading"}
