"""What is refused in contracts as files have them: each fault with its path, all of them at once."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from config.faults import ConfigError
from config.loader import load
from config.publish import decode, encode

METERS = """
[[event]]
type = "e"
lateness = "24h"
[[meter]]
id = "requests"
version = 1
event_type = "e"
aggregation = "count"
window = "{window}"
"""
PLANS = """
[[plan]]
id = "pro"
version = 1
currency = "USD"
[[plan.price]]
id = "p"
model = "graduated"
meter = "requests"
tiers = [{ up_to = 5, unit_amount = 0 }, { unit_amount = 1 }]
[[plan]]
id = "max"
version = 1
currency = "USD"
price = [{ id = "p", model = "per_unit", meter = "requests", unit_amount = 1 }]
[[plan]]
id = "extra"
version = 1
currency = "USD"
price = [{ id = "x", model = "per_unit", meter = "requests", unit_amount = 1 }]
[[plan]]
id = "euro"
version = 1
currency = "EUR"
"""
CONTRACT = '[[contract]]\naccount = "acme"\nplan = "pro"\nfrom = 2026-01-01T00:00:00Z\n'


def faults_of(directory: Path, terms: str, window: str = "1h") -> list[str]:
    (directory / "a.toml").write_text(METERS.format(window=window) + PLANS + CONTRACT + terms)
    try:
        load(directory, {})
    except ConfigError as error:
        return [str(fault).removeprefix("a.toml: contract[0].") for fault in error.faults]
    return []


CASES = [
    # plans, versions, currency
    ("version = 2", "version: plan 'pro' has no version 2"),
    ('add_on = [{ plan = "exta" }]', "add_on[0].plan: there is no plan 'exta'; did you mean 'extra'?"),
    ('add_on = [{ plan = "max" }]', "add_on: plans 'pro' and 'max' both have a price 'p' at one time; rename one"),
    ('add_on = [{ plan = "euro" }]', "currency: is USD, but plan 'euro' is in EUR; a contract has one currency"),
    ('currency = "EUR"', "currency: is EUR, but plan 'pro' is in USD; a contract has one currency"),
    ('currency = "usd"', "currency: 'usd' is not an ISO 4217 code"),
    # instants
    ('time_zone = "Mars"', "time_zone: 'Mars' is no time zone; write an IANA name such as Europe/Berlin"),
    ('anchor = { every = "week", day = 8 }', "anchor.day: must be 1 (Monday) to 7 (Sunday) for a week"),
    ("anchor = { day = 32 }", "anchor.day: Expected `int` <= 31"),
    ('change = [{ at = 2025-01-01T00:00:00Z, plan = "max" }]', "change[0].at: 2025-01-01T00:00:00Z is outside the con"),
    ('change = [{ at = 2026-01-01T00:00:00Z, plan = "max" }]', "change[0].at: must be after the contract begins"),
    (
        'change = [{ at = 2026-03-01T00:00:00Z, plan = "max" }, { at = 2026-02-01T00:00:00Z, plan = "max" }]',
        "change[1].at: must be after the change before it",
    ),
    (
        'add_on = [{ plan = "extra", from = 2026-03-01T00:00:00Z, to = 2026-02-01T00:00:00Z }]',
        "add_on[0].to: must be after `from`, 2026-03-01T00:00:00Z",
    ),
    # tiers
    (
        'change = [{ at = 2026-03-16T00:00:00Z, plan = "max" }]',
        "tiers_on_change: is required: price 'p' of plan 'max' has tiers or an allowance, and changes at"
        " 2026-03-16T00:00:00Z, within a period; say restart, prorate, continue or reprice",
    ),
    (
        'override = [{ from = 2026-03-16T00:00:00Z, price = { id = "p", model = "flat", amount = 1 } }]',
        "tiers_on_change: is required",
    ),
    ('tiers_on_change = "restarts"', 'tiers_on_change: "restarts" is unknown; did you mean "restart"?'),
    # overrides and terms
    ('override = [{ price = { id = "q", model = "flat", amount = 1 } }]', "override[0].price.id: no plan of the con"),
    (
        'override = [{ price = { id = "p", model = "per_unit", meter = "reqests", unit_amount = 1 } }]',
        'override[0].price.meter: no [[meter]] has the id "reqests"; did you mean "requests"?',
    ),
    ('commitment = [{ id = "c", kind = "prepaid", amount = 0 }]', "commitment[0].amount: must be above 0"),
    ('commitment = [{ id = "c", kind = "prepaid" }]', "commitment[0].amount: is required"),
    (
        'commitment = [{ id = "c", kind = "prepaid", amount = 1, prices = ["q"] }]',
        "commitment[0].prices[0]: no plan of the contract has a price 'q'",
    ),
    (
        'commitment = [{ id = "c", kind = "prepaid", amount = 1 }, { id = "c", kind = "committed", amount = 1 }]',
        "commitment[1].id: 'c' is there twice",
    ),
    ('credit = [{ id = "c", amount = 5 }]', "credit[0].counts: is required"),
    (
        'credit = [{ id = "c", amount = "5.001", counts = "after_minimum" }]',
        "credit[0].amount: must have at most 2 dec",
    ),
    (
        'credit = [{ id = "c", amount = 5, counts = "after_minimum", effective = 2026-03-01T00:00:00Z,'
        " expires = 2026-02-01T00:00:00Z }]",
        "credit[0].expires: must be after `effective`",
    ),
    ('coupon = [{ id = "c" }]', "coupon[0].percent_off: give either percent_off or amount_off"),
    ('coupon = [{ id = "c", percent_off = 101 }]', "coupon[0].percent_off: must be a percentage from 0 to 100"),
    ('minimum = "-1"', "minimum: must not be negative"),
    ('minimum = "1.001"', "minimum: must have at most 2 decimals, as USD has"),
]


@pytest.mark.parametrize(("terms", "fault"), CASES)
def test_each_broken_rule_of_a_contract_is_a_fault_with_its_path(tmp_path: Path, terms: str, fault: str) -> None:
    found = faults_of(tmp_path, terms)
    assert [line for line in found if line.startswith(fault)], found


@pytest.mark.parametrize(
    ("terms", "window", "fault"),
    [
        (
            'time_zone = "Asia/Kolkata"',
            "1h",
            "anchor: a period begins at 2026-01-31T18:30:00Z, which cuts a window of 1h of meter 'requests'",
        ),
        (
            'time_zone = "Europe/Berlin"',
            "1d",
            "anchor: a period begins at 2026-01-31T23:00:00Z, which cuts a window of 1d of meter 'requests'",
        ),
        (
            'time_zone = "Australia/Lord_Howe"\nanchor = { every = "year", month = 7 }',
            "1h",
            "anchor: a period begins at 2026-06-30T13:30:00Z, which cuts",
        ),
        (
            "to = 2026-03-01T00:30:00Z",
            "1h",
            "to: is 2026-03-01T00:30:00Z, which cuts a window of 1h of meter 'requests'",
        ),
        (
            'add_on = [{ plan = "extra", to = 2026-03-01T00:02:30Z }]',
            "1m",
            "add_on[0].to: is 2026-03-01T00:02:30Z, which cuts a window of 1m of meter 'requests'",
        ),
        (
            'commitment = [{ id = "c", kind = "prepaid", amount = 1, from = 2026-03-01T00:20:00Z }]',
            "15m",
            "commitment[0].from: is 2026-03-01T00:20:00Z, which cuts a window of 15m of meter 'requests'",
        ),
    ],
)
def test_an_instant_that_a_meters_windows_cannot_split_is_refused(
    tmp_path: Path, terms: str, window: str, fault: str
) -> None:
    found = faults_of(tmp_path, terms, window)
    assert [line for line in found if line.startswith(fault)], found


@pytest.mark.parametrize(
    ("terms", "window"),
    [
        ('time_zone = "Asia/Kolkata"', "15m"),
        ('time_zone = "Europe/Berlin"\nanchor = { day = 31 }', "1h"),
        ('change = [{ at = 2026-03-01T00:00:00Z, plan = "max" }]', "1h"),
        ('change = [{ at = 2026-03-16T05:00:00Z, plan = "max" }]\ntiers_on_change = "continue"', "1h"),
        ('add_on = [{ plan = "extra", from = 2026-03-16T05:00:00Z }]', "1h"),
        (
            'minimum = 5\nproration = "day"\ncommitment = [{ id = "c", kind = "committed", amount = 9,'
            ' every = "period", rollover_max = 3 }]\n'
            'credit = [{ id = "k", amount = "1.50", counts = "before_minimum" }]\n'
            'coupon = [{ id = "o", percent_off = "12.5", prices = ["p"] }]',
            "1h",
        ),
    ],
)
def test_a_contract_that_keeps_the_rules_loads_and_survives_publishing(tmp_path: Path, terms: str, window: str) -> None:
    assert faults_of(tmp_path, terms, window) == []
    catalogue = load(tmp_path, {}).catalogue
    published = decode(encode(replace(catalogue, generation=1)))
    assert published is not None and published.contracts == catalogue.contracts
    assert published.tariff().contracts_of("acme") == list(catalogue.contracts)


def test_all_faults_of_a_contract_come_at_once(tmp_path: Path) -> None:
    terms = 'minimum = "1.001"\ntime_zone = "Asia/Kolkata"\nadd_on = [{ plan = "max" }]\nto = 2026-03-01T00:30:00Z'
    assert [fault.split(":")[0] for fault in faults_of(tmp_path, terms)] == ["add_on", "anchor", "minimum", "to"]


def test_a_broken_plan_does_not_make_its_contract_say_more(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(METERS.format(window="1h") + PLANS.replace("up_to = 5", "up_to = -5") + CONTRACT)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, {})
    assert [fault.path for fault in refused.value.faults] == ["plan[0].price[0].tiers[0].up_to"]


def test_contracts_whose_rated_days_could_not_be_told_apart_are_refused(tmp_path: Path) -> None:
    """Both have prices that begin on the day in one period: at noon of its first day, but not of any other."""
    follows = 'to = {at}\n[[contract]]\naccount = "acme"\nplan = "max"\nfrom = {at}\n'
    (fault,) = faults_of(tmp_path, follows.format(at="2026-03-01T12:00:00Z"))
    assert fault.startswith("a.toml: contract[1].from: is on 2026-03-01, UTC, when prices of the contract before it")
    assert faults_of(tmp_path, follows.format(at="2026-03-02T12:00:00Z")) == []
    assert faults_of(tmp_path, follows.format(at="2026-03-01T00:00:00Z")) == []
