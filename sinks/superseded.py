"""Rated rows of older catalogues, which a re-rate must take back where it no longer produces them."""

from datetime import date
from decimal import Decimal

import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from sinks.clickhouse import retryable
from sinks.reading import rows


class RatedKey(msgspec.Struct, frozen=True):
    """The key of a rated row, and what it said of the currency."""

    account: str
    period_start: date
    segment_start: date
    price: str
    meter: str
    opening: bool
    day: date
    part: str
    currency: str


def rated_before(client: Client, generation: int) -> list[RatedKey]:
    """Keys whose newest row is of an older generation and says anything but zero.

    Raises Retryable where the world is at fault, else the client's error.
    """
    query = """SELECT account, period_start, segment_start, price, meter, toBool(opening) AS opening, day, part,
            currency FROM rated_rows FINAL
        WHERE generation < {generation:UInt64} AND (amount IS NULL OR amount != {zero:Decimal(76, 30)})"""
    try:
        found = rows(client, query, {"generation": generation, "zero": Decimal(0)})
    except Error as error:
        raise retryable(error) or error from error
    return [RatedKey(**row) for row in found]
