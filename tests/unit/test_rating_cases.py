"""Bills as published or agreed, worked by hand: each must come out to the cent."""

from datetime import timedelta
from decimal import Decimal

import pytest

from rating import marginal
from rating.days import usage_days
from rating.money import round_lines, round_money
from rating.pools import allocated, shares
from rating.prices import Flat, Price, read_price
from rating.totals import Total
from rating.usage import price_usage
from tests.unit.rating_usage import NOVEMBER, OCTOBER, daily_peaks, five_minutes, used


def rounded(price: Price, totals: list[Total], **options: object) -> str:
    amount = price_usage(price, totals, NOVEMBER, **options).amount  # type: ignore[arg-type]
    return str(round_money(amount, "USD"))


def test_workers_paid_has_a_base_and_two_meters_with_allowances() -> None:
    """developers.cloudflare.com/workers/platform/pricing: 10M requests and 30M CPU ms included."""
    requests = read_price(
        {
            "model": "per_unit",
            "meter": "requests",
            "convert": {"divide_by": 1_000_000},
            "free_quantity": 10,
            "unit_amount": "0.30",
        }
    )
    cpu = read_price(
        {
            "model": "graduated",
            "meter": "cpu_ms",
            "tiers": [{"up_to": 30_000_000, "unit_amount": 0}, {"unit_amount": "0.00000002"}],
        }
    )
    totals = [
        used("requests", 9_000_000, day=2),
        used("requests", 6_234_567, day=20),
        used("cpu_ms", 107_641_969, day=20),
    ]
    assert price_usage(requests, totals, NOVEMBER).amount == Decimal("1.5703701")
    assert price_usage(cpu, totals, NOVEMBER).amount == Decimal("1.55283938")
    lines = [rounded(price, totals) for price in (Flat("base", "5.00"), requests, cpu)]
    assert lines == ["5.00", "1.57", "1.55"]
    assert sum(map(Decimal, lines)) == Decimal("8.12")


@pytest.mark.parametrize(("divisor", "amount"), [(30, "34.74"), (None, "33.62")])
def test_r2_storage_is_the_mean_of_daily_peaks_rounded_up_to_a_gb_month(divisor: int | None, amount: str) -> None:
    """69,760.25 GB-days: /30 = 2,325.34, up to 2,326, less 10; /31 = 2,250.33, up to 2,251, less 10."""
    rollup = {"every": "1d", "each": "max", "over": "mean"} | ({} if divisor is None else {"divisor": divisor})
    price = read_price(
        {
            "model": "per_unit",
            "meter": "storage",
            "rollup": rollup,
            "convert": {"divide_by": 1, "round": "up"},
            "free_quantity": 10,
            "unit_amount": "0.015",
        }
    )
    totals = daily_peaks("storage", ["1200.5"] * 10 + ["2750.25"] * 21, OCTOBER)
    assert str(round_money(price_usage(price, totals, OCTOBER).amount, "USD")) == amount


def test_r2_operations_are_rounded_up_to_a_million_on_the_total_of_the_period() -> None:
    """Rounding each hour up instead would bill up to 720 million."""
    terms = {"model": "per_unit", "convert": {"divide_by": 1_000_000, "round": "up"}}
    class_a = read_price({**terms, "meter": "a", "free_quantity": 1, "unit_amount": "4.50"})
    class_b = read_price({**terms, "meter": "b", "free_quantity": 10, "unit_amount": "0.36"})
    totals = [used("a", 1_000_000), used("a", 1_000_001, day=29), used("b", 13_450_000)]
    assert rounded(class_a, totals) == "9.00"
    assert rounded(class_b, totals) == "1.44"
    exact = read_price({**terms, "meter": "a", "convert": {"divide_by": 1_000_000}, "free_quantity": 1,
                        "unit_amount": "4.50"})  # fmt: skip
    assert rounded(exact, totals) == "4.50"


BURST = {
    "model": "graduated",
    "meter": "mbps",
    "tiers": [{"up_to": 500, "unit_amount": "1.20"}, {"unit_amount": "1.50"}],
}


def test_bandwidth_is_billed_at_the_95th_percentile_of_five_minutes() -> None:
    """8,640 samples, 432 of them bursts: the 8,208th ascending is 812.4. Samples of two zones are added first."""
    price = read_price({**BURST, "rollup": {"every": "5m", "over": "percentile", "percentile": 95}})
    burst = {20 * place for place in range(432)}
    samples = ["9400" if place in burst else "812.4" for place in range(8640)]
    assert rounded(price, five_minutes("mbps", samples)) == "1068.60"
    half = ["4700" if place in burst else "406.2" for place in range(8640)]
    two_zones = five_minutes("mbps", half, subject="a") + five_minutes("mbps", half, subject="b")
    assert rounded(price, two_zones) == "1068.60"


def test_a_missing_five_minutes_counts_as_zero_and_one_burst_more_moves_the_rank() -> None:
    price = read_price({**BURST, "rollup": {"every": "5m", "over": "percentile", "percentile": 95}})
    assert rounded(price, five_minutes("mbps", ["9400"] * 432)) == "0.00"
    assert rounded(price, five_minutes("mbps", ["9400"] * 433)) == "13950.00"


ARGO = {
    "model": "graduated",
    "meter": "gb",
    "tiers": [{"up_to": 1, "unit_amount": 0, "flat_amount": "5.00"}, {"unit_amount": "0.10"}],
}
ZONES = [used("gb", gb, zone=zone) for zone, gb in (("a", "723"), ("b", "0.4"), ("c", "12.35"))]


def test_argo_has_a_fee_and_an_allowance_for_each_zone() -> None:
    """support.cloudflare.com, billing for Argo. Pooled it would be 78.475, or 88.48 with three fees."""
    priced = price_usage(read_price({**ARGO, "per": ["zone"]}), ZONES, NOVEMBER)
    assert [part.values for part in priced.parts] == [{"zone": "a"}, {"zone": "b"}, {"zone": "c"}]
    assert round_lines([part.amount for part in priced.parts], "USD") == list(map(Decimal, ("77.20", "5.00", "6.14")))
    assert round_money(priced.amount, "USD") == Decimal("88.34")
    assert price_usage(read_price(ARGO), ZONES, NOVEMBER).amount == Decimal("78.475")


def test_each_region_has_its_own_tiers_and_an_unknown_one_is_refused_not_free() -> None:
    price = read_price(
        {
            "model": "matrix",
            "id": "egress",
            "meter": "gb",
            "dimensions": ["region"],
            "cell": [
                {
                    "when": {"region": ["na", "eu"]},
                    "price": {
                        "model": "graduated",
                        "tiers": [{"up_to": 10_000, "unit_amount": "0.12"}, {"unit_amount": "0.08"}],
                    },
                },
                {"when": {"region": ["asia"]}, "price": {"model": "per_unit", "unit_amount": "0.19"}},
            ],
        }
    )
    regions = (("na", 10_250), ("eu", 4_000), ("asia", 3_100), ("africa", 50))
    priced = price_usage(price, [used("gb", gb, region=region) for region, gb in regions], NOVEMBER)
    assert {part.values["region"]: part.amount for part in priced.parts} == {"eu+na": 1540, "asia": 589}
    assert priced.amount == 2129
    (refused,) = priced.refused
    assert (refused.values, refused.quantity) == ({"region": "africa"}, 50)
    assert refused.reason == "no matrix row for region 'africa'"


def test_a_pooled_allowance_is_allocated_back_to_its_accounts_to_the_cent() -> None:
    """100 TB for three accounts, 40.00 a TB beyond: 600.00, where rounding each share would bill 600.01."""
    price = read_price(
        {
            "model": "per_unit",
            "meter": "tb",
            "free_quantity": 100,
            "unit_amount": "40.00",
            "allocate_by": "account",
        }
    )
    totals = [used("tb", tb, account=account) for account, tb in (("a", "62.5"), ("b", "41.25"), ("c", "11.25"))]
    owed = round_money(price_usage(price, totals, NOVEMBER).amount, "USD")
    assert owed == Decimal("600.00")
    parts = allocated(owed, "USD", shares(price, totals, NOVEMBER))
    assert parts == {"a": Decimal("326.09"), "b": Decimal("215.22"), "c": Decimal("58.69")}


def test_a_minimum_is_owed_by_the_opening_row_so_that_the_days_add_up() -> None:
    """1.00 a unit, 100.00 at least: 20 and 40 units on two days owe nothing more."""
    price = read_price({"model": "per_unit", "meter": "m", "unit_amount": "1.00", "minimum_amount": "100.00"})
    totals = [used("m", 20, day=0), used("m", 40, day=1)]
    days = [NOVEMBER.start, NOVEMBER.start + timedelta(days=1)]
    assert [row.amount for row, _ in usage_days(price, totals, NOVEMBER, days)] == [100, 0, 0]
    assert price_usage(price, totals, NOVEMBER).amount == 100
    assert price_usage(price, [], NOVEMBER).amount == 100


def test_late_usage_is_the_difference_that_it_makes_and_may_be_a_credit() -> None:
    graduated = {"model": "graduated", "tiers": [{"up_to": 10_000_000, "unit_amount": 0}, {"unit_amount": "0.0000003"}]}
    assert marginal(graduated, 9_900_000, 10_400_000) == Decimal("0.12")
    assert marginal(graduated, 20_000_000, 20_500_000) == Decimal("0.15")
    volume = {"model": "volume", "tiers": [{"up_to": 1_000_000, "unit_amount": "0.05"}, {"unit_amount": "0.04"}]}
    assert marginal(volume, 990_000, 1_010_000) == -9100
