"""`python -m benchmarks.rating`: what pricing costs on one core. Figures and no pass mark."""

import gc
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table as RichTable

from rating import quote
from rating.days import usage_days
from rating.periods import Period
from rating.prices import Price, price_amount, read_price
from rating.states import Sum
from rating.totals import DAY_MS, Total, day_ms
from rating.usage import price_usage

_QUANTITIES = [Decimal(place * 37 % 2_000_003) for place in range(100_000)]  # over all tiers
_ROUNDS = 5  # the best is taken: what others on the machine take away is not ours
_NOVEMBER = Period(date(2026, 11, 1), date(2026, 12, 1))

_TIERS = [
    {"up_to": 1_000, "unit_amount": "0.5"},
    {"up_to": 10_000, "unit_amount": "0.4", "flat_amount": "1"},
    {"up_to": 100_000, "unit_amount": "0.3"},
    {"up_to": 1_000_000, "unit_amount": "0.2"},
    {"unit_amount": "0.1"},
]
_COMPILED: dict[str, dict[str, Any]] = {
    "graduated, 5 tiers": {"model": "graduated", "tiers": _TIERS},
    "volume, 5 tiers": {"model": "volume", "tiers": _TIERS},
    "per_unit": {"model": "per_unit", "unit_amount": "0.0000003"},
    "package": {"model": "package", "package_size": 1000, "amount": "2", "free_units": 500},
    "graduated, every term": {
        "model": "graduated",
        "tiers": _TIERS,
        "convert": {"divide_by": 1000, "round": "up"},
        "free_quantity": 10,
        "usage_discount": 5,
        "discount_percent": 10,
        "maximum_amount": 1000,
        "minimum_amount": 5,
    },
    "per_unit, a quotient without end": {"model": "per_unit", "unit_amount": "0.01", "convert": {"divide_by": 7}},
}


class Figure(msgspec.Struct):
    """CPU seconds of the best round, for so many of what is counted."""

    name: str
    unit: str
    count: int
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.count / self.cpu_s


def measure(rounds: int = _ROUNDS) -> list[Figure]:
    """Every figure, in one process on one core."""
    figures = []
    for name, written in _COMPILED.items():
        price = read_price(written)
        figures.append(_best(f"price_amount: {name}", "quotes", len(_QUANTITIES), rounds, partial(_amounts, price)))
    tiers = _COMPILED["graduated, 5 tiers"]
    some = _QUANTITIES[:2_000]
    figures.append(
        _best("quote, with its lines", "quotes", len(some), rounds, lambda: _quotes(read_price(tiers), some))
    )
    month = _five_minutes()
    p95 = read_price({**tiers, "rollup": {"every": "5m", "over": "percentile", "percentile": 95}})
    zones = read_price({**tiers, "per": ["zone"]})
    days = [date(2026, 11, day) for day in range(1, 31)]
    figures += [
        _best(
            "price_usage: merged",
            "windows",
            len(month),
            rounds,
            lambda: price_usage(read_price(tiers), month, _NOVEMBER),
        ),
        _best(
            "price_usage: 95th percentile", "windows", len(month), rounds, lambda: price_usage(p95, month, _NOVEMBER)
        ),
        _best("price_usage: per zone", "windows", len(month), rounds, lambda: price_usage(zones, month, _NOVEMBER)),
        _best("usage_days: 95th percentile", "days", 30, 1, lambda: usage_days(p95, month, _NOVEMBER, days)),
    ]
    return figures


def _best(name: str, unit: str, count: int, rounds: int, work: Callable[[], object]) -> Figure:
    work()  # compiles the price
    gc.collect()
    taken = []
    for _ in range(rounds):
        began_s = time.process_time()
        work()
        taken.append(time.process_time() - began_s)
    return Figure(name, unit, count, min(taken))


def _amounts(price: Price) -> None:
    for quantity in _QUANTITIES:
        price_amount(price, quantity)


def _quotes(price: Price, quantities: Sequence[Decimal]) -> None:
    for quantity in quantities:
        quote(price, quantity)


def _five_minutes() -> list[Total]:
    """A month of five-minute windows of two zones."""
    start_ms, size_ms = day_ms(_NOVEMBER.start), 300_000
    return [
        Total("quantity", at_ms, at_ms + size_ms, Sum(Decimal(at_ms % 9_973)), dimensions={"zone": zone})
        for zone in ("a", "b")
        for at_ms in range(start_ms, start_ms + 30 * DAY_MS, size_ms)
    ]


def main() -> int:
    table = RichTable(title="rating, one core", title_justify="left")
    for name in ("", "a second", "us each"):
        table.add_column(name, justify="right" if name else "left")
    for figure in measure():
        table.add_row(figure.name, f"{figure.per_s:,.0f} {figure.unit}", f"{1e6 / figure.per_s:,.2f}")
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
