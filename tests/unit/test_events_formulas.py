"""What one event counts by a formula: against fractions, on both paths of the decoder, and refused with a reason."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalogue import Catalogue, EventType, Meter
from config.faults import ConfigError
from config.formulas import Formula
from config.loader import load
from config.settings import Limits
from processors.events import INVALID, Decoded, Decoder
from processors.formulas import column, result
from processors.numbers import NumberError

AMOUNTS = st.none() | st.decimals(-50, 50, places=2).map(str)
FORMULAS = st.builds(
    Formula,
    product=st.sampled_from([("a",), ("a", "b"), ("a", "b", "c")]),
    round_to=st.none() | st.sampled_from(["0.01", "0.25", "1", "60"]),
    round=st.sampled_from(["up", "down", "half_up"]),
    minimum=AMOUNTS,
    maximum=AMOUNTS,
    fee=st.decimals(-5, 5, places=2).map(str),
)


def naive(formula: Formula, factors: list[int]) -> Fraction:
    """Each factor has two digits, as the meter."""
    product = Fraction(1)
    for factor in factors:
        product *= Fraction(factor, 100)
    step = Fraction(formula.round_to or "0.01")
    steps = product / step
    whole = {"up": ceil(steps), "down": floor(steps)}.get(formula.round)
    if whole is None:
        whole = floor(abs(steps) + Fraction(1, 2)) * (-1 if steps < 0 else 1)
    found = whole * step
    found = found if formula.minimum is None else max(found, Fraction(formula.minimum))
    found = found if formula.maximum is None else min(found, Fraction(formula.maximum))
    return found + Fraction(formula.fee)


@given(FORMULAS, st.lists(st.integers(-(10**8), 10**8), min_size=3, max_size=3))
def test_a_formula_is_what_fractions_say(formula: Formula, values: list[int]) -> None:
    factors = values[: len(formula.product)]
    wanted = naive(formula, factors) * 100
    if abs(wanted) > 10**18:
        with pytest.raises(NumberError):
            result(formula, 2, factors)
    else:
        assert result(formula, 2, factors) == wanted
    columns = [(np.array([factor, 1]), np.array([True, False])) for factor in factors]
    scaled, present = column(formula, 2, columns)
    assert present.tolist() == [abs(wanted) <= 10**18, False]
    assert scaled[0] == (wanted if present[0] else 0)


@pytest.mark.parametrize(
    ("digits", "precision", "factors", "wanted"),
    [
        ((), 0, (7, 3), 21),
        ((0, 0), 3, (7, 3), 21_000),
        ((1, 0), 3, (75, 3), 22_500),
        ((2, 1), 3, (755, 31), 23_405),
        ((2, 2), 3, (755, 313), 23_632),  # 23.6315
        ((6, 6), 0, (1_500_000, 1_000_000), 2),
        ((6, 6), 0, (1_499_999, 1_000_000), 1),
        ((6, 6), 0, (-1_500_000, 1_000_000), -2),
        ((6, 6), 0, (-1_499_999, 1_000_000), -1),
    ],
)
def test_factors_may_have_more_decimals_than_the_meter_keeps_or_fewer(
    digits: tuple[int, ...], precision: int, factors: tuple[int, ...], wanted: int
) -> None:
    assert result(Formula(("a", "b"), digits), precision, factors) == wanted


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_result_is_taken_and_the_next_one_is_not(sign: int) -> None:
    """With the fee: it is what counts that has to fit."""
    assert result(Formula(("a",), fee=sign), 0, [sign * (10**18 - 1)]) == sign * 10**18
    with pytest.raises(NumberError, match="too large"):
        result(Formula(("a",), fee=sign), 0, [sign * 10**18])
    there = np.array([True, True])
    values, present = column(Formula(("a",), fee=sign), 0, [(np.array([sign * 10**18, 5]), there)])
    assert (values.tolist(), present.tolist()) == ([0, 5 + sign], [False, True])
    assert there.all(), "what the caller gave is not changed"


GIGABYTE_SECONDS = Formula(("memory_gb", "seconds"), digits=(3, 3), round_to="0.001", round="up", minimum="0.01")
CATALOGUE = Catalogue(
    generation=1,
    events=(EventType("call", 3_600_000),),
    meters=(Meter("gb_s", 1, "call", "sum", value=GIGABYTE_SECONDS, precision=3),),
)


def decode(*data: dict[str, Any]) -> Decoded:
    attributes = {"specversion": "1.0", "source": "s", "type": "call", "subject": "f", "time": "2026-11-01T00:00:00Z"}
    values = [msgspec.json.encode({**attributes, "id": str(n), "data": one}) for n, one in enumerate(data)]
    clock = np.full(len(values), 1_793_491_200_000)
    return Decoder(CATALOGUE, Limits(), 300_000).decode(values, clock)


def test_events_count_by_the_formula_whatever_form_their_numbers_have() -> None:
    """1.5 GB for 0.25 s are 0.375; 0.001 GB for 0.001 s are a millionth, which the minimum lifts to 0.01."""
    found = decode(
        {"memory_gb": 1.5, "seconds": 0.25},
        {"memory_gb": "1.500", "seconds": "25e-2"},
        {"memory_gb": "0.001", "seconds": "0.001"},
        {"memory_gb": 2, "seconds": 3},
    )
    scaled, present = found.types[0].number[GIGABYTE_SECONDS, 3]
    assert scaled.tolist() == [375, 375, 10, 6000]
    assert present.all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"memory_gb": 1}, " cannot be told: data.seconds is missing"),
        ({"memory_gb": 1, "seconds": "0.0001"}, " cannot be told: data.seconds has more decimals"),
        ({"memory_gb": -1, "seconds": 9}, ""),
        ({"memory_gb": 10**15, "seconds": 10**15}, " is too large"),
    ],
)
def test_an_event_without_what_the_formula_needs_is_refused(data: dict[str, Any], reason: str) -> None:
    """A negative product is lifted by the minimum, so it is none."""
    found = decode(data)
    if reason:
        assert found.kind.tolist() == [INVALID]
        assert found.refusals[0].reason.startswith(f"value: data.memory_gb * seconds{reason}")
    else:
        assert found.types[0].number[GIGABYTE_SECONDS, 3][0].tolist() == [10]


METER = """
[[event]]
type = "call"
lateness = "1h"
[[meter]]
id = "gb_s"
version = 1
event_type = "call"
aggregation = "sum"
precision = 2
value = {}
"""


def faults(folder: Path, value: str) -> list[str]:
    (folder / "catalogue.toml").write_text(METER.format(value))
    try:
        load(folder, {})
    except ConfigError as error:
        return [f"{fault.path}: {fault.message}" for fault in error.faults]
    return []


def test_a_formula_is_read_from_a_file_and_every_fault_of_it_is_told(tmp_path: Path) -> None:
    assert faults(tmp_path, '{ product = ["memory_gb", "seconds"], round_to = "0.05", fee = "0.30" }') == []
    found = load(tmp_path, {}).catalogue.meters[0].value
    assert isinstance(found, Formula)
    assert (found.product, found.round_to, Decimal(found.fee)) == (("memory_gb", "seconds"), "0.05", Decimal("0.3"))
    wrong = '{ product = ["a..b"], digits = [1, 2], minimum = "2", maximum = "1", fee = "0.001" }'
    assert faults(tmp_path, wrong) == [
        "meter[0].value.digits: must be one number for each factor, or left out",
        "meter[0].value.fee: has more decimals than the meter's precision, 2",
        "meter[0].value.minimum: must not be above maximum",
        "meter[0].value.product[0]: must be a dotted path of at most 8 names",
    ]
    assert faults(tmp_path, '{ product = ["a"], rounding = "up" }') == [
        'meter[0].value.rounding: unknown field; did you mean "round"?'
    ]
