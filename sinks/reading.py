"""How every read goes out: values as parameters, a bound on the answer."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

RECORDS_MAX = 1_000_000  # of one answer: what a laptop holds; beyond it ClickHouse refuses, so narrow the range
_LIMITS = {"max_result_rows": RECORDS_MAX, "result_overflow_mode": "throw"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def where(equal: Mapping[str, str | None], start: datetime | None, end: datetime | None) -> tuple[str, dict[str, Any]]:
    """A condition on usage_partials (alias p) and its parameters."""
    parameters: dict[str, Any] = {name: value for name, value in equal.items() if value is not None}
    conditions = [f"p.{name} = {{{name}:String}}" for name in parameters]
    for name, operator, instant in (("start_ms", ">=", start), ("end_ms", "<", end)):
        if instant is not None:
            conditions.append(f"p.window_start {operator} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
            parameters[name] = (instant - EPOCH) // timedelta(milliseconds=1)
    return " AND ".join(conditions), parameters


def rows(
    client: Client, query: str, parameters: Mapping[str, Any], formats: dict[str, str | dict[str, str]] | None = None
) -> list[dict[str, Any]]:
    """The answer's rows by column name; a column named *_ms becomes an aware datetime without the suffix."""
    answer = client.query(query, parameters=dict(parameters), settings=_LIMITS, column_formats=formats)
    return [dict(map(_field, row.items())) for row in answer.named_results()]


def _field(field: tuple[str, Any]) -> tuple[str, Any]:
    name, value = field
    return (name[:-3], EPOCH + timedelta(milliseconds=value)) if name.endswith("_ms") else field
