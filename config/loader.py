"""Reads a directory of TOML files, and the environment on top, into typed settings and a catalogue.

The only place that looks at environment variables, which the caller hands in. Every fault is reported at once.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from config.billing_checks import account_faults, contract_faults, currency_faults, midnight_faults, plan_faults
from config.catalogue import Catalogue, EventType, Meter
from config.faults import ConfigError, Fault, Place, quote, suggestion
from config.meter_checks import duration_ms, event_faults, meter_faults
from config.overrides import read_overrides
from config.settings import Alerts, ClickHouse, Kafka, Limits, Processing, Redis, Settings
from config.tables import BAD, Row, read_table
from rating.contracts import Account, Contract
from rating.plans import Plan

ARRAYS = ("event", "meter", "plan", "account", "contract")
SECTIONS = {field.name: field.type for field in msgspec.structs.fields(Settings)}


class Config(msgspec.Struct, frozen=True):
    settings: Settings
    catalogue: Catalogue


class EventTable(msgspec.Struct):
    """An [[event]] as written."""

    type: str
    lateness: str


class Document(msgspec.Struct):
    """All that one file may hold; every file may hold any part of it."""

    default_plan: str | None = None
    event: tuple[EventTable, ...] = ()
    meter: tuple[Meter, ...] = ()
    plan: tuple[Plan, ...] = ()
    account: tuple[Account, ...] = ()
    contract: tuple[Contract, ...] = ()
    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    clickhouse: ClickHouse = ClickHouse()
    processing: Processing = Processing()
    limits: Limits = Limits()
    alerts: Alerts = Alerts()


def load(directory: Path, environ: Mapping[str, str], services: Mapping[str, str] = {}) -> Config:
    """Settings and catalogue (generation 0) of all *.toml in `directory`, which are read in the order of their names.

    TOLLSTREAM_SECTION__KEY in `environ` wins over the same name in `services` (from a running embedded stack), which
    wins over the files. Raises ConfigError with every fault.
    """
    faults: list[Fault] = []
    documents = [read_table(Document, raw, Place(name), faults) for name, raw in _read_files(directory, faults)]
    sections = _merge_settings(documents, faults)
    for section, values in read_overrides({**services, **environ}, faults).items():
        sections[section].given.update(values)
    faults.extend(_settings_faults(sections))
    parts = {name: [row for document in documents for row in document.rows(name)] for name in ARRAYS}
    faults.extend(event_faults(parts["event"]))
    faults.extend(meter_faults(parts["meter"], parts["event"]))
    faults.extend(plan_faults(parts["plan"], parts["meter"]))
    subject_bytes_max = sections["limits"]["subject_bytes_max"]
    if subject_bytes_max is BAD:
        subject_bytes_max = Limits().subject_bytes_max
    faults.extend(account_faults(parts["account"], subject_bytes_max))
    faults.extend(contract_faults(parts["contract"], parts["plan"], parts["meter"]))
    default_plan = _default_plan(documents, parts["plan"], faults)
    _refuse(faults, directory)
    built = {name: tuple(row.build(faults) for row in rows) for name, rows in parts.items() if name != "event"}
    settings = Settings(**{name: row.build(faults) for name, row in sections.items()})
    _refuse(faults, directory)
    events = tuple(EventType(row["type"], duration_ms(row["lateness"])) for row in parts["event"])
    catalogue = Catalogue(
        default_plan=default_plan,
        events=events,
        meters=built["meter"],
        plans=built["plan"],
        accounts=built["account"],
        contracts=built["contract"],
    )
    return Config(settings, catalogue)


def _refuse(faults: list[Fault], directory: Path) -> None:
    if faults:
        raise ConfigError(sorted(set(faults), key=reading_order), f"the configuration in {directory}")


def reading_order(fault: Fault) -> tuple[str, list[tuple[int, str]], str]:
    """By file and path, meter[9] before meter[10]."""
    path = [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", fault.path)]
    return fault.file, path, fault.message


def _read_files(directory: Path, faults: list[Fault]) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        files = sorted(path for path in directory.iterdir() if path.suffix == ".toml")
    except OSError as error:
        faults.append(Fault("", f"cannot be read: {error.strerror}; name a directory that holds *.toml files"))
        return
    if not files:
        faults.append(Fault("", "holds no *.toml file; write one, or name another directory"))
    for path in files:
        try:
            yield path.name, tomllib.loads(path.read_bytes().decode())
        except OSError as error:
            faults.append(Fault("", f"cannot be read: {error.strerror}", path.name))
        except UnicodeDecodeError as error:
            faults.append(Fault("", f"is not UTF-8 (byte {error.start}); save it as UTF-8", path.name))
        except ValueError as error:
            faults.append(Fault("", f"is not TOML: {error}", path.name))
        except RecursionError:
            faults.append(Fault("", "is nested too deeply", path.name))


def _merge_settings(documents: list[Row], faults: list[Fault]) -> dict[str, Row]:
    """Section -> one row of what all files give; a setting may stand in one file only, arrays add up."""
    merged = {name: Row(struct, Place("", name)) for name, struct in SECTIONS.items()}
    places: dict[tuple[str, str], Place] = {}
    for document in documents:
        for name, into in merged.items():
            section = document.given.get(name, BAD)
            for key, value in section.given.items() if isinstance(section, Row) else ():
                place = section.place_of(key)
                if isinstance(value, tuple):
                    into.given[key] = into.given.get(key, ()) + value
                elif (name, key) in places:
                    faults.append(place.fault(f"is already set in {places[name, key].file}; keep one"))
                else:
                    places[name, key] = place
                    into.given[key] = value
    return merged


def _settings_faults(sections: dict[str, Row]) -> Iterator[Fault]:
    kafka = sections["kafka"]
    topics: dict[str, str] = {}
    for name in (field.name for field in msgspec.structs.fields(Kafka) if field.name.endswith("_topic")):
        if kafka.good(name) and topics.setdefault(kafka[name], name) != name:
            yield kafka.place_of(name).fault(f"must differ from {topics[kafka[name]]}; each topic has one use")
    seen: dict[tuple[str, str], Row] = {}
    for budget in sections["alerts"].rows("budgets"):
        yield from currency_faults(budget)
        if budget.good("amount") and budget["amount"] <= 0:
            yield budget.place_of("amount").fault("must be above 0")
        if budget.good("account", "currency"):
            first = seen.setdefault((budget["account"], budget["currency"]), budget)
            if first is not budget:
                yield budget.place.fault(f"is the same account and currency as {first.place}; keep one")


def _default_plan(documents: list[Row], plans: list[Row], faults: list[Fault]) -> str | None:
    given = [document for document in documents if document.good("default_plan") and document["default_plan"]]
    for document in given[1:]:
        faults.append(document.place_of("default_plan").fault(f"is already set in {given[0].place.file}; keep one"))
    if not given:
        return None
    plan: str = given[0]["default_plan"]
    known = {row["id"] for row in plans if row.good("id")}
    if plan not in known:
        message = f"no [[plan]] has the id {quote(plan)}{suggestion(plan, known)}"
        faults.append(given[0].place_of("default_plan").fault(message))
    for row in plans:
        if row.good("id") and row["id"] == plan:
            faults.extend(midnight_faults(row, "from_", "the default plan is priced by days"))
    return plan
