"""Every rule of the catalogue files: what breaks it, and the fault that says so."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from config.faults import ConfigError
from config.loader import load

EVENT = '[[event]]\ntype = "http.request"\nlateness = "24h"\n'
METER = (
    '[[meter]]\nid = "requests"\nversion = 1\nevent_type = "http.request"\naggregation = "sum"\nvalue = "requests"\n'
)
COUNT = METER.replace('"sum"\nvalue = "requests"', '"count"')
PLAN = '[[plan]]\nid = "pro"\nversion = 1\ncurrency = "USD"\n'
PRICE = '[[plan.price]]\nid = "p"\nmeter = "requests"\n'
FLAT = '[[plan.price]]\nid = "base"\nmodel = "flat"\namount = '
PER_UNIT = PRICE + 'model = "per_unit"\nunit_amount = "1"\n'
TIERS = PRICE + 'model = "graduated"\ntiers = '
ACCOUNT = '[[account]]\nid = "acme"\n'
CONTRACT = '[[contract]]\naccount = "acme"\nplan = "pro"\nfrom = 2026-01-01T00:00:00Z\n'


def faults_of(directory: Path, text: str) -> list[str]:
    (directory / "a.toml").write_text(text)
    try:
        load(directory, {})
    except ConfigError as error:
        return [str(fault).removeprefix("a.toml: ") for fault in error.faults]
    return []


def second(meter: str, extra: str) -> str:
    return EVENT + METER + meter.replace("version = 1", "version = 2") + extra


def tiers(*bounds: str) -> str:
    written = (f"{{ {bound}{', ' if bound else ''}unit_amount = 1 }}" for bound in bounds)
    return EVENT + METER + PLAN + TIERS + f"[{', '.join(written)}]"


CASES: Iterable[tuple[str, str]] = [
    # tables and types
    ("metre = 1", 'metre: unknown field; did you mean "meter"?'),
    ("meter = 1", "meter: must be an array of tables, even of one"),
    ("meter = [1]", "meter[0]: must be a table"),
    ("kafka = 1", "kafka: must be a table"),
    ("[kafka]\npartitions = 4.0", "kafka.partitions: must not be a float"),
    ("[kafka]\npartitions = true", "kafka.partitions: Expected `int`, got `bool`"),
    ("[limits]\nunique_max = 0", "limits.unique_max: Expected `int` >= 1"),
    ('[kafka]\nlate_topic = "usage.events"', "kafka.late_topic: must differ from events_topic; each topic has one use"),
    (EVENT + METER + 'dimensions = "zone"', "meter[0].dimensions: must be an array of texts, even of one"),
    (EVENT + METER + "dimensions = [1]", "meter[0].dimensions[0]: Expected `str`, got `int`"),
    (EVENT + METER + 'filter = ["eu"]', 'meter[0].filter: must be a table, such as { region = ["eu"] }'),
    (EVENT + METER + 'filter = { region = "eu" }', "meter[0].filter.region: must be an array of texts, even of one"),
    ('default_plan = ""', "default_plan: must not be empty"),
    ("default_plan = 1", "default_plan: Expected `str`, got `int`"),
    # ids
    (EVENT.replace("http.request", ""), "event[0].type: must not be empty"),
    (EVENT.replace("http.request", r"a\u0007b"), "event[0].type: holds control or other unprintable characters"),
    (EVENT.replace("http.request", "a" * 4097), "event[0].type: is longer than 4096 bytes"),
    (ACCOUNT + 'subjects = [""]', "account[0].subjects[0]: Expected `str` of length >= 1"),
    (ACCOUNT + f'subjects = ["{"é" * 129}"]', "account[0].subjects[0]: is longer than 256 bytes, "),
    (ACCOUNT.replace("acme", "a" * 257), "account[0].id: Expected `str` of length <= 256"),
    # events
    (EVENT.replace("24h", "0h"), "event[0].lateness: must be above zero with its unit s, m, h or d, "),
    (EVENT.replace("24h", "36501d"), "event[0].lateness: must be above zero"),
    (EVENT.replace('"24h"', "24"), "event[0].lateness: Expected `str`, got `int`"),
    (EVENT + EVENT, 'event[1].type: "http.request" is already at a.toml: event[0]'),
    (EVENT + "latenes = 1", "event[0].latenes: unknown field"),
    # meters
    (METER, 'meter[0].event_type: no [[event]] has the type "http.request"'),
    (
        EVENT + METER.replace("http.request", "http.requests"),
        'meter[0].event_type: no [[event]] has the type "http.requests"; did you mean "http.request"?',
    ),
    (EVENT + METER.replace('"sum"', '"total"'), 'meter[0].aggregation: "total" is unknown; there is "avg", "count", '),
    (EVENT + METER.replace('"sum"', '"uniqe"'), 'meter[0].aggregation: "uniqe" is unknown; did you mean "unique"?'),
    (EVENT + METER.replace('value = "requests"', ""), "meter[0].value: is required for sum: a dotted path in data"),
    (EVENT + COUNT + 'value = "x"', "meter[0].value: is not for count, which counts events; leave it out"),
    (EVENT + COUNT + "precision = 1", "meter[0].precision: must be 0 for count, which is a whole number"),
    (EVENT + METER + "precision = 13", "meter[0].precision: Expected `int` <= 12"),
    (EVENT + METER + "precision = -1", "meter[0].precision: Expected `int` >= 0"),
    (EVENT + METER + 'window = "2h"', 'meter[0].window: "2h" is unknown; there is "15m", "1d", "1h", "1m", "5m"'),
    (EVENT + METER.replace('"requests"\n', '"a..b"\n', 2), "meter[0].value: must be a dotted path"),
    (EVENT + METER + 'dimensions = ["a", ".b", "a"]', "meter[0].dimensions[1]: must be a dotted path"),
    (EVENT + METER + 'dimensions = ["a", "a"]', 'meter[0].dimensions[1]: "a" is there twice'),
    (
        EVENT + METER + f"dimensions = {[f'd{n}' for n in range(33)]}",
        "meter[0].dimensions: has 33 dimensions; at most 32",
    ),
    (EVENT + METER + "filter = { region = [] }", "meter[0].filter.region: must hold 1 to 1000 texts"),
    (EVENT + METER + 'filter = { "a." = ["x"] }', "meter[0].filter.a.: must be a dotted path in quotes"),
    (
        EVENT + METER + 'dimensions = ["requests.kind"]',
        'meter[0]: "requests.kind" lies below "requests", which a.toml: meter[0] takes as a value',
    ),
    (EVENT + METER + METER, 'meter[1].version: 1 of "requests" is already at a.toml: meter[0]'),
    (second(METER, ""), "meter[1].from: is required from the second version on: the instant at which it replaces "),
    (second(METER, "from = 2026-01-01T00:30:00Z"), "meter[1].from: 2026-01-01T00:30:00Z cuts a window of 1h; "),
    (
        second(METER.replace('"sum"', '"max"'), "from = 2026-01-01T00:00:00Z"),
        "meter[1].aggregation: must stay sum: a price adds up all versions; give the meter a new id",
    ),
    (
        second(METER, 'from = 2026-01-01T01:00:00Z\nwindow = "1d"'),
        "meter[1].from: 2026-01-01T01:00:00Z cuts a window of 1d",
    ),
    (
        second(METER, 'from = 2026-01-01T00:01:00Z\nwindow = "1m"'),
        "meter[1].from: 2026-01-01T00:01:00Z cuts a window of 1h",
    ),
    (
        EVENT + METER + "from = 2026-01-01T00:00:00.000001Z",
        "meter[0].from: 2026-01-01T00:00:00.000001Z cuts a window of",
    ),
    (
        EVENT + METER + "from = 2026-01-02T00:00:00Z\n" + second(METER, "from = 2026-01-02T00:00:00Z").split(METER)[1],
        "meter[1].from: must be after 2026-01-02T00:00:00Z, where version 1 begins",
    ),
    (EVENT + METER + "from = 2026-01-01", "meter[0].from: must be an instant with its zone from 1970 on"),
    (EVENT + METER + "from = 2026-01-01T00:00:00", "meter[0].from: must be an instant with its zone"),
    (EVENT + METER + 'from = "0001-01-01T00:00:00+10:00"', "meter[0].from: must be an instant with its zone from 1970"),
    # plans and prices
    (PLAN + PLAN, 'plan[1].version: 1 of "pro" is already at a.toml: plan[0]; give this one the next'),
    (PLAN.replace("USD", "usd"), 'plan[0].currency: must be an ISO 4217 code in capitals, such as "USD"'),
    (
        PLAN + PLAN.replace("1", "2").replace("USD", "EUR"),
        "plan[1].currency: must be USD as at a.toml: plan[0]: a plan has",
    ),
    (PLAN + 'period = "year"', 'plan[0].period: "year" is unknown; there is "month"'),
    (PLAN + PER_UNIT, 'plan[0].price[0].meter: no [[meter]] has the id "requests"'),
    (EVENT + METER + PLAN + PER_UNIT + PER_UNIT, 'plan[0].price[1].id: "p" is already at a.toml: plan[0].price[0]'),
    (
        PLAN + PRICE,
        'plan[0].price[0].model: is required; there is "block_graduated", "block_volume", "capacity", "dynamic", ',
    ),
    (PLAN + PRICE + 'model = "volumes"', 'plan[0].price[0].model: is unknown; did you mean "volume"?'),
    (
        PLAN + FLAT + "0.1",
        'plan[0].price[0].amount: is a TOML float, which loses digits; put it in quotes, such as "0.1"',
    ),
    (PLAN + FLAT + "nan", "plan[0].price[0].amount: is a TOML float"),
    (PLAN + FLAT + '"NaN"', "plan[0].price[0].amount: 'NaN' is not a decimal"),
    (PLAN + FLAT + '"1_000"', "plan[0].price[0].amount: '1_000' is not a decimal"),
    (PLAN + FLAT + '" 1"', "plan[0].price[0].amount: ' 1' is not a decimal"),
    (PLAN + FLAT + '"١"', "plan[0].price[0].amount: '١' is not a decimal"),
    (PLAN + FLAT + '"1e400"', "plan[0].price[0].amount: '1e400' is not a decimal"),
    (PLAN + FLAT + "true", "plan[0].price[0].amount: True is not a decimal"),
    (PLAN + FLAT + "1" + "0" * 30, "plan[0].price[0].amount: 1000000000000000000000000000000 is not a decimal"),
    (
        EVENT + METER + PLAN + PRICE + 'model = "package"\npackage_size = 0\namount = 1',
        "plan[0].price[0].package_size: must be above 0",
    ),
    (tiers(), "plan[0].price[0].tiers: must hold at least one tier"),
    (tiers("up_to = 5"), "plan[0].price[0].tiers[0].up_to: must be left out in the last tier"),
    (tiers("", ""), "plan[0].price[0].tiers[0].up_to: is required in every tier but the last"),
    (tiers("up_to = 5", "up_to = 5", ""), "plan[0].price[0].tiers[1].up_to: must be above 5, where the tier begins"),
    (tiers('up_to = "0"', ""), "plan[0].price[0].tiers[0].up_to: must be above 0"),
    (tiers("up_to = 5.5", ""), "plan[0].price[0].tiers[0].up_to: is a TOML float"),
    ('default_plan = "por"\n' + PLAN, 'default_plan: no [[plan]] has the id "por"; did you mean "pro"?'),
    (
        'default_plan = "pro"\n' + PLAN + "from = 2026-01-01T05:00:00Z",
        "plan[0].from: must be midnight UTC, since the default plan is priced by days",
    ),
    # accounts and contracts
    (ACCOUNT + ACCOUNT, 'account[1].id: "acme" is already at a.toml: account[0] with the same `from`'),
    (
        ACCOUNT + "from = 2026-01-01T01:00:00Z",
        "account[0].from: must be midnight UTC, since each window has one account",
    ),
    (
        ACCOUNT + 'subjects = ["z"]\n' + ACCOUNT.replace("acme", "umbra") + 'subjects = ["z"]',
        'account[1].subjects[0]: "z" is already mapped by a.toml: account[0] from the same instant',
    ),
    (ACCOUNT + 'subjects = ["z", "z"]', 'account[0].subjects[1]: "z" is already mapped by a.toml: account[0] from'),
    (CONTRACT, "contract[0].plan: there is no plan 'pro'"),
    (PLAN + CONTRACT.replace('"pro"', '"por"'), "contract[0].plan: there is no plan 'por'; did you mean 'pro'?"),
    (PLAN + CONTRACT + "to = 2026-01-01T00:00:00Z", "contract[0].to: must be after `from`, 2026-01-01T00:00:00Z"),
    (
        PLAN + CONTRACT + CONTRACT.replace("2026-01", "2026-03"),
        "contract[1].from: overlaps a.toml: contract[0] of the same account, which has one contract at a time; "
        'end that one with to = "2026-03-01T00:00:00Z" or earlier',
    ),
    # budgets
    ('[[alerts.budgets]]\naccount = "a"\ncurrency = "USD"\namount = 0', "alerts.budgets[0].amount: must be above 0"),
    (
        '[[alerts.budgets]]\naccount = "a"\ncurrency = "XXQ"\namount = 1',
        "alerts.budgets[0].currency: must be an ISO 4217",
    ),
    (
        '[[alerts.budgets]]\naccount = "a"\ncurrency = "USD"\namount = 1\n' * 2,
        "alerts.budgets[1]: is the same account and currency as a.toml: alerts.budgets[0]; keep one",
    ),
]


@pytest.mark.parametrize(("text", "fault"), CASES)
def test_each_broken_rule_is_a_fault_with_its_path(tmp_path: Path, text: str, fault: str) -> None:
    found = faults_of(tmp_path, text)
    assert [line for line in found if line.startswith(fault)], found


@pytest.mark.parametrize(
    "text",
    [
        "",
        EVENT + METER + PLAN + PER_UNIT,
        EVENT + METER + METER.replace("version = 1", "version = 3") + 'from = "2026-01-01T00:00:00Z"\nwindow = "1d"',
        EVENT + METER + 'filter = { region = ["", "eu"] }',
        EVENT + COUNT + PLAN + FLAT + '"-5.00"',
        tiers("up_to = 5", 'up_to = "5.5"', ""),
        PLAN + CONTRACT + "to = 2026-03-01T00:00:00Z\n" + CONTRACT.replace("2026-01", "2026-03"),
        ACCOUNT
        + 'subjects = ["z"]\n'
        + ACCOUNT.replace("acme", "umbra")
        + 'subjects = ["z"]\nfrom = 2026-01-01T00:00:00Z',
    ],
)
def test_what_keeps_the_rules_is_accepted(tmp_path: Path, text: str) -> None:
    assert faults_of(tmp_path, text) == []


def test_a_fault_does_not_hide_the_others_of_its_table(tmp_path: Path) -> None:
    text = EVENT + METER.replace('value = "requests"', "valeu = 1") + 'precision = 99\nfrom = "2026-01-01T00:30:00Z"'
    assert [fault.split(":")[0] for fault in faults_of(tmp_path, text)] == [
        "meter[0].from",
        "meter[0].precision",
        "meter[0].valeu",
        "meter[0].value",
    ]


def test_a_fault_in_a_table_does_not_make_its_id_unknown(tmp_path: Path) -> None:
    text = EVENT.replace("24h", "never") + METER + "precision = 99\n" + PLAN + PER_UNIT + "wrong = 1"
    assert [fault.split(":")[0] for fault in faults_of(tmp_path, text)] == [
        "event[0].lateness",
        "meter[0].precision",
        "plan[0].price[0].wrong",
    ]
