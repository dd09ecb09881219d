"""`catalogue`: from files, checked and published, to what is in force."""

from typing import TYPE_CHECKING, Any

import msgspec
from cyclopts import App, Group

from tollstream.failures import OK, UsageError
from tollstream.place import Where, now_ms, published_catalogue
from tollstream.show import Format, print_csv, print_document, print_table, say

if TYPE_CHECKING:
    from config.catalogue import Catalogue
    from config.loader import Config

GROUP = Group("What is measured, and what it costs", sort_key=2)
PARTS = ("events", "meters", "plans", "accounts", "contracts")
ROWS = ("generation", "kind", "id", "version", "body")


def register(app: App) -> None:
    group = App(name="catalogue", help="Meters, plans, accounts and contracts: check, publish, show.", group=GROUP)
    for command in (validate, publish, show):
        group.command(command)
    app.command(group)


def validate(*, place: Where) -> int:
    """Check the files of `--config`, and report every fault with its place. Needs no service.

    ```
    tollstream catalogue validate --config demo/flights
    ```
    """
    catalogue = place.load(services={}).catalogue
    say(f"{place.config} is valid: {_count(catalogue)}")
    return OK


def publish(*, place: Where) -> int:
    """Publish the files of `--config` as the next generation, once nothing forbids it.

    What has been counted stays as it was: published meters and plans never change, so a change is a new version, from
    a future window on. Without a difference to what is published, nothing is sent. Running workers take a new
    generation up within seconds.

    ```
    tollstream catalogue publish
    ```
    """
    from sinks.catalogue_topic import publish_catalogue
    from tollstream.services import prepare

    config = place.load()
    prepare(config)
    found = publish_catalogue(config.settings.kafka, config.catalogue, now_ms(), config.settings.processing.skew_ms)
    if found.faults:
        lines = "\n".join(f"  {fault}" for fault in found.faults)
        raise UsageError(f"this may not be published:\n{lines}\nMend {place.config} and try again.")
    for line in found.lines:
        say(f"  {line}")
    copy_catalogue(config, found.catalogue)
    generation = found.catalogue.generation
    if found.lines:
        say(f"published generation {generation}: {_count(found.catalogue)}")
    else:
        say(f"nothing differs from generation {generation}, which stays published")
    return OK


def show(*, format: Format = "table", place: Where) -> int:
    """Show what is published, which is what the processors and invoices go by.

    ```
    tollstream catalogue show
    tollstream catalogue show --format json | jq .plans
    ```

    Parameters
    ----------
    format
        How to print it; `csv` has a line for each published record.
    """
    catalogue = published_catalogue(place.load().settings.kafka)
    if format == "json":
        print_document(document(catalogue))
    elif format == "csv":
        from sinks.catalogue_topic import catalogue_rows

        columns = msgspec.structs.asdict(catalogue_rows(catalogue))
        print_csv([dict(zip(ROWS, row, strict=True)) for row in zip(*(columns[c] for c in ROWS), strict=True)], ROWS)
    else:
        _print_tables(catalogue)
    return OK


def document(catalogue: "Catalogue") -> dict[str, Any]:
    """generation, default_plan, and the parts as they are written in files; amounts are decimal strings."""
    plain: dict[str, Any] = msgspec.to_builtins(catalogue)
    return plain


def copy_catalogue(config: "Config", catalogue: "Catalogue") -> None:
    """For analysts. Repeated by every publish, so that one that was cut short is made good by the next."""
    from sinks.catalogue_topic import catalogue_rows
    from sinks.clickhouse import ClickHouseSink

    sink = ClickHouseSink(config.settings.clickhouse)
    try:
        sink.insert_catalogue(catalogue_rows(catalogue))
    finally:
        sink.close()


def _count(catalogue: "Catalogue") -> str:
    return ", ".join(f"{len(getattr(catalogue, part)):,} {part}" for part in PARTS)


def _print_tables(catalogue: "Catalogue") -> None:
    default = catalogue.default_plan or "none"
    say(f"generation {catalogue.generation}, default plan {default}: {_count(catalogue)}")
    meters = [
        {
            "meter": meter.id,
            "version": meter.version,
            "event type": meter.event_type,
            "lateness": _duration(catalogue.lateness_ms(meter.event_type)),
            "aggregation": meter.aggregation + (f" of {meter.value}" if meter.value is not None else ""),
            "dimensions": ", ".join(meter.dimensions),
            "window": meter.window,
            "from": meter.from_,
        }
        for meter in catalogue.meters
    ]
    prices = [
        {
            "plan": plan.id,
            "version": plan.version,
            "currency": plan.currency,
            "price": price.id,
            "model": price.model,
            "meter": price.meter,
        }
        for plan in catalogue.plans
        for price in plan.price
    ]
    accounts = [
        {"account": account.id, "subjects": len(account.subjects), "from": account.from_}
        for account in catalogue.accounts
    ]
    contracts = [
        {"account": contract.account, "plan": contract.plan, "from": contract.from_, "to": contract.to}
        for contract in catalogue.contracts
    ]
    for title, records in (("Meters", meters), ("Prices", prices), ("Accounts", accounts), ("Contracts", contracts)):
        if records:
            print_table(records, list(records[0]), title)


def _duration(ms: int) -> str:
    """The longest unit that divides it: "24h", "90m"."""
    for unit, length_ms in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if ms % length_ms == 0 and (unit != "d" or ms >= 2 * length_ms):
            return f"{ms // length_ms:,}{unit}"
    return f"{ms:,}ms"
