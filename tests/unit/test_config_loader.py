"""Loading: merging files, the environment on top, and the report of what is wrong."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from config.faults import ConfigError
from config.loader import Config, load

ROOT = Path(__file__).parents[2]

EXAMPLE = """
default_plan = "free"
[[event]]
type = "http.request"
lateness = "90m"
[[meter]]
id = "http_requests"
version = 1
event_type = "http.request"
aggregation = "sum"
value = "requests"
dimensions = ["zone", "edge.region"]
filter = { region = ["eu", "us"] }
window = "1h"
precision = 0
allow_negative = false
[[plan]]
id = "free"
version = 1
currency = "USD"
period = "month"
[[plan.price]]
id = "requests"
meter = "http_requests"
model = "graduated"
tiers = [{ up_to = "10000000", unit_amount = 0 }, { unit_amount = "0.0000003", flat_amount = "0" }]
[[account]]
id = "acme"
subjects = ["zone-1", "zone-2"]
[[contract]]
account = "acme"
plan = "free"
from = "2026-01-01T01:00:00+01:00"
to = 2026-02-01T00:00:00Z
"""


def load_texts(
    directory: Path, *texts: str, environ: Mapping[str, str] = {}, services: Mapping[str, str] = {}
) -> Config:
    """Loads the texts as 0.toml, 1.toml, ...; variables lack their TOLLSTREAM_."""
    for index, text in enumerate(texts):
        (directory / f"{index}.toml").write_text(text)
    prefixed = [{f"TOLLSTREAM_{name}": value for name, value in given.items()} for given in (environ, services)]
    return load(directory, *prefixed)


def faults_of(directory: Path, *texts: str, environ: Mapping[str, str] = {}) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_texts(directory, *texts, environ=environ)
    return [str(fault) for fault in caught.value.faults]


def test_the_public_example_loads(tmp_path: Path) -> None:
    catalogue = load_texts(tmp_path, EXAMPLE).catalogue
    assert catalogue.generation == 0
    assert catalogue.lateness_ms("http.request") == 5_400_000
    assert catalogue.meters[0].dimensions == ("zone", "edge.region")
    assert catalogue.meters[0].filter == {"region": ("eu", "us")}
    assert catalogue.contracts[0].from_ == datetime(2026, 1, 1, tzinfo=UTC)
    assert catalogue.contracts[0].to == datetime(2026, 2, 1, tzinfo=UTC)
    assert catalogue.account_of("zone-2", 0) == "acme"


@pytest.mark.parametrize("demo", ["demo/config", "demo/flights"])
def test_the_demo_catalogues_load_and_price_every_meter(demo: str) -> None:
    catalogue = load(ROOT / demo, {}).catalogue
    plan = catalogue.tariff().plan_for("anyone", datetime(2026, 11, 1, tzinfo=UTC).date())
    assert plan is not None
    priced = {price.meter for price in plan.price}
    assert priced == ({meter.id for meter in catalogue.meters} if demo == "demo/config" else {"distance_flown"})


def test_files_add_up_in_the_order_of_their_names(tmp_path: Path) -> None:
    budget = '[[alerts.budgets]]\naccount = "a"\namount = "2.50"\ncurrency = '
    config = load_texts(
        tmp_path,
        f'[[event]]\ntype = "y"\nlateness = "1h"\n[kafka]\npartitions = 8\n{budget}"USD"',
        f'[[event]]\ntype = "x"\nlateness = "30s"\n[kafka]\ngroup = "g"\n{budget}"EUR"',
    )
    assert [event.type for event in config.catalogue.events] == ["y", "x"]
    assert (config.settings.kafka.partitions, config.settings.kafka.group) == (8, "g")
    assert [(budget.currency, budget.amount) for budget in config.settings.alerts.budgets] == [
        ("USD", Decimal("2.50")),
        ("EUR", Decimal("2.50")),
    ]


def test_a_setting_in_two_files_is_a_fault(tmp_path: Path) -> None:
    plan = '[[plan]]\nid = "x"\nversion = 1\ncurrency = "USD"'
    assert faults_of(
        tmp_path,
        f'default_plan = "x"\n[kafka]\ngroup = "one"\n{plan}',
        'default_plan = "x"\n[kafka]\ngroup = "two"',
    ) == [
        "1.toml: default_plan: is already set in 0.toml; keep one",
        "1.toml: kafka.group: is already set in 0.toml; keep one",
    ]


def test_the_environment_wins_over_services_which_win_over_files(tmp_path: Path) -> None:
    settings = load_texts(
        tmp_path,
        '[kafka]\nbootstrap = "file:1"\ngroup = "file"\n[redis]\nurl = "redis://file"',
        environ={"KAFKA__BOOTSTRAP": "environment:1"},
        services={"KAFKA__BOOTSTRAP": "service:1", "REDIS__URL": "redis://service"},
    ).settings
    assert settings.kafka.bootstrap == "environment:1"
    assert settings.redis.url == "redis://service"
    assert settings.kafka.group == "file"


def test_variables_are_typed_by_their_setting(tmp_path: Path) -> None:
    environ = {"PROCESSING__START_AT": "17", "KAFKA__PARTITIONS": "8", "CLICKHOUSE__PASSWORD": ""}
    settings = load_texts(tmp_path, "", environ=environ).settings
    assert (settings.processing.start_at, settings.kafka.partitions, settings.clickhouse.password) == (17, 8, "")


def test_names_that_are_no_settings_are_left_alone(tmp_path: Path) -> None:
    assert load_texts(tmp_path, "", environ={"CACHE": "x", "STATE": "y"}) == load_texts(tmp_path, "")


def test_every_wrong_variable_is_a_fault_and_no_value_is_shown(tmp_path: Path) -> None:
    environ = {
        "KAFKA__BOOTSTRAPS": "x",
        "KAFKA__GROUP": "",
        "KAFKA__PARTITIONS": "4.5",
        "KAFKA__REPLICATION": "0",
        "REDIS__URL": "s3cr3t:6379",
    }
    faults = faults_of(tmp_path, "", environ=environ)
    assert [fault.removeprefix("TOLLSTREAM_") for fault in faults] == [
        'KAFKA__BOOTSTRAPS: unknown setting; did you mean "TOLLSTREAM_KAFKA__BOOTSTRAP"?',
        "KAFKA__GROUP: must not be empty; unset it for the default",
        "KAFKA__PARTITIONS: must be a whole number",
        "KAFKA__REPLICATION: Expected `int` >= 1",
        "REDIS__URL: Expected `str` matching regex '^(rediss?|unix)://'",
    ]


def test_a_variable_does_not_excuse_a_fault_in_a_file(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, '[kafka]\npartitions = "4"', environ={"KAFKA__PARTITIONS": "4"})
    assert faults == ["0.toml: kafka.partitions: Expected `int`, got `str`"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"a = ", "0.toml: is not TOML: Invalid value (at end of document)"),
        (b"a = '\xff'", "0.toml: is not UTF-8 (byte 5); save it as UTF-8"),
        (b"a = " + b"[" * 50_000, "0.toml: is nested too deeply"),
        (b"a = 1" + b"0" * 5_000, "0.toml: is not TOML: Exceeds the limit (4300 digits)"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, text: bytes, fault: str) -> None:
    (tmp_path / "0.toml").write_bytes(text)
    (found,) = faults_of(tmp_path)
    assert found.startswith(fault)


def test_a_directory_without_files_says_what_to_do(tmp_path: Path) -> None:
    assert faults_of(tmp_path) == ["holds no *.toml file; write one, or name another directory"]
    assert faults_of(tmp_path / "missing") == [
        "cannot be read: No such file or directory; name a directory that holds *.toml files"
    ]


def test_the_report_has_one_fault_a_line_in_reading_order_and_says_what_to_do(tmp_path: Path) -> None:
    events = "\n".join(f'[[event]]\ntype = "a{n}"\nlateness = "0h"' for n in range(11))
    with pytest.raises(ConfigError) as caught:
        load_texts(tmp_path, events, 'wrong = "x"\n[kafka]\ngruop = "x"')
    lines = str(caught.value).splitlines()
    assert lines[0] == f"the configuration in {tmp_path} has 13 faults:"
    assert [line.split(": ")[1] for line in lines[1:-1]] == [
        *(f"event[{n}].lateness" for n in range(11)),
        "kafka.gruop",
        "wrong",
    ]
    assert lines[-1] == "Mend each of them and try again; nothing was read or changed."
