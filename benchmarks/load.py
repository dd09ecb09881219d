"""The seeded load of a benchmark, and the comparison of what came of it with the truth."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client

import sinks.queries as queries
from config.loader import Config, load
from config.publish import changes
from demo.truth import compare_ledger, compare_usage
from edge.emitter import Emitter
from edge.generate import Shape, Traffic
from edge.truth import rows

SEED = 1
_CATALOGUE = Path(__file__).parent.parent / "demo" / "config"
_NO_ENVIRONMENT: dict[str, str] = {}  # a benchmark measures the settings as they come


def configuration(services: Mapping[str, str] = _NO_ENVIRONMENT) -> Config:
    """The demo's settings and catalogue, as its first publish makes it."""
    config = load(_CATALOGUE, _NO_ENVIRONMENT, services)
    return Config(config.settings, changes(None, config.catalogue, 0).catalogue)


def emit(config: Config, events: int, say: Callable[[str], None], seed: int = SEED) -> dict[str, Any]:
    """Put single-event JSON messages on the events topic, all acknowledged; the truth about them."""
    say(f"emitting {events:,} events")
    traffic = Traffic(Shape(seed=seed, events=events, base_time=datetime.now(UTC)))
    kafka = config.settings.kafka
    with Emitter(kafka.bootstrap, kafka.events_topic) as emitter:
        emitter.emit_lines(chain.from_iterable(traffic.blocks()))
    return traffic.truth()


def differences(client: Client, truth: Mapping[str, Any]) -> list[str]:
    """Where the ledger, any hourly total, or the quantity rated of a meter is not what the truth says, in words."""
    found = compare_ledger(truth, msgspec.to_builtins(queries.ledger(client)))
    query = "SELECT meter, sum(toDecimal256(quantity, 12)) FROM rated_usage GROUP BY meter"
    rated: dict[str, Decimal] = dict(map(tuple, client.query(query).result_rows))
    for meter, table in truth["meters"].items():
        records = queries.usage(client, meter, group_by=("subject", *table["dimensions"]))
        found += map(str, compare_usage(truth, meter, [msgspec.to_builtins(record) for record in records]))
        total = sum((row.quantity for row in rows(truth, meter)), Decimal(0))
        if rated.get(meter) != total:
            found.append(f"{meter}: {total} used, {rated.get(meter)} rated")
    return found
