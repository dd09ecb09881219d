"""`python -m benchmarks.rating_period`: a month of many accounts, priced from hourly windows."""

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np
from cyclopts import App
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.fresh import fresh
from benchmarks.machine import machine
from benchmarks.processes import peak_resident_bytes
from rating.billing import rate_period
from rating.calendar import BillingPeriod
from rating.charges import ms
from rating.contracts import Contract
from rating.numbers import EXACT, ZERO
from rating.openings import Opening
from rating.plans import Plan
from rating.prices import Flat, Graduated, Package, PerUnit, Price, Rollup, Tier, Volume
from rating.rate import Tariff
from rating.rated import RatedPeriod
from rating.states import Sum
from rating.totals import Total

NOVEMBER = BillingPeriod(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
HOURS = 30 * 24
HOUR_MS = 3_600_000
BATCH = 500  # accounts whose windows are held at once: 500 x 9 x 720 integers are 26 MB
PERCENTILE_EVERY = 100  # one account in so many pays for a 95th percentile
METERS = tuple(f"m{number}" for number in range(9))
_PEAK = Rollup(every="1h", over="percentile", percentile="95")
_TIERS = (Tier(up_to=100_000, unit_amount="0"), Tier(up_to=300_000, unit_amount="0.002"), Tier(unit_amount="0.001"))

COLUMNS = (
    "accounts", "windows", "lines", "CPU s summing", "CPU s pricing", "us an account", "peak MiB",
    "CPU s making windows", "total USD",
)  # fmt: skip

app = App(name="benchmarks.rating_period", help="A month of many accounts, priced. Figures and no pass mark.")


class Part(msgspec.Struct):
    """What one process did, in CPU seconds: others on the machine take none of them."""

    accounts: int
    windows: int
    made_s: float  # random windows, which is no part of pricing
    summed_s: float  # additive meters, by column
    priced_s: float
    peak_bytes: int
    lines: int
    total: str


class Plans(NamedTuple):
    """Ten prices each; one plan ranks the hours of a meter."""

    plain: Plan
    peak: Plan


def plans() -> Plans:
    """A flat price and nine of usage, of four models."""
    prices: list[Price] = [Flat("base", "20")]
    for number, meter in enumerate(METERS):
        made: list[Price] = [
            PerUnit(meter, meter, "0.0003"),
            Graduated(meter, meter, _TIERS),
            Volume(meter, meter, _TIERS),
            Package(meter, meter, "1000", "0.25"),
        ]
        prices.append(made[number % len(made)])
    peak = [PerUnit(METERS[0], METERS[0], "0.5", rollup=_PEAK) if price.id == METERS[0] else price for price in prices]
    return Plans(Plan("plain", 1, "USD", price=tuple(prices)), Plan("peak", 1, "USD", price=tuple(peak)))


def measure(first: int, count: int, explained: bool) -> Part:
    """Price the accounts numbered from `first`; the same ones for the same numbers."""
    both = plans()
    tariff = Tariff(None, tuple(both))
    found = Part(count, count * len(METERS) * HOURS, 0, 0, 0, 0, 0, "")
    whole = ZERO
    for begin in range(first, first + count, BATCH):
        clock = time.process_time()
        size = min(BATCH, first + count - begin)
        windows = np.random.default_rng(begin).integers(0, 1000, (size, len(METERS), HOURS))
        made = time.process_time()
        sums = windows.sum(axis=2)
        summed = time.process_time()
        for rated in _priced(begin, windows, sums, both, tariff, explained):
            found.lines += len(rated.lines)
            whole = EXACT.add(whole, rated.total)
        found.made_s += made - clock
        found.summed_s += summed - made
        found.priced_s += time.process_time() - summed
    found.peak_bytes, found.total = peak_resident_bytes(os.getpid()), str(whole)
    return found


def _priced(
    begin: int, windows: NDArray[np.int64], sums: NDArray[np.int64], both: Plans, tariff: Tariff, explained: bool
) -> Iterator[RatedPeriod]:
    start_ms, end_ms = ms(NOVEMBER.start), ms(NOVEMBER.end)
    opening = Opening(NOVEMBER.start)
    for place, row in enumerate(sums.tolist()):
        number = begin + place
        ranked = number % PERCENTILE_EVERY == 0
        plan = both.peak if ranked else both.plain
        contract = Contract(f"account-{number}", plan.id, NOVEMBER.start)
        totals = [Total(meter, start_ms, end_ms, Sum(Decimal(one))) for meter, one in zip(METERS, row, strict=True)]
        if ranked:
            hours = enumerate(windows[place, 0].tolist())
            totals[:1] = [
                Total(METERS[0], start_ms + hour * HOUR_MS, start_ms + (hour + 1) * HOUR_MS, Sum(Decimal(one)))
                for hour, one in hours
            ]
        yield rate_period(contract, totals, tariff, opening, explained=explained)


@app.default
def run(*, accounts: int = 10_000, explained: bool = True) -> int:
    """Price ACCOUNTS and a quarter of them, each in one new process, and say what it took.

    Parameters
    ----------
    accounts
        Of ten prices each; 100,000 is the size that the project promises a figure for.
    explained
        With the steps of each line, as a preview has them.
    """
    about = machine()
    table = Table(*COLUMNS, title="a month from hourly windows, ten prices an account, 1% with a 95th percentile")
    parts = [fresh(measure, 0, size, explained) for size in (accounts // 4, accounts)]
    for one in parts:
        one_account_us = (one.summed_s + one.priced_s) / one.accounts * 1e6
        table.add_row(
            f"{one.accounts:,}",
            f"{one.windows:,}",
            f"{one.lines:,}",
            f"{one.summed_s:.1f}",
            f"{one.priced_s:.1f}",
            f"{one_account_us:.0f}",
            f"{one.peak_bytes / 2**20:.0f}",
            f"{one.made_s:.1f}",
            one.total,
        )
    console = Console(width=140)
    console.print(f"{about.cpu}, one core; CPython {about.python}; commit {about.commit}", table, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
