"""Meters as files have them: what is refused, each with its path, and what goes together."""

from pathlib import Path
from typing import Any

import pytest

from config.catalogue import Meter
from config.faults import ConfigError
from config.loader import load
from config.meter_checks import duration_ms

EVENT = '[[event]]\ntype = "{}"\nlateness = "24h"\n'


def meter(id: Any = '"m"', version: Any = 1, event_type: str = '"e"', aggregation: str = "sum", **more: str) -> str:
    written = {"id": id, "version": version, "event_type": event_type, "aggregation": f'"{aggregation}"', **more}
    return "[[meter]]\n" + "".join(f"{name} = {value}\n" for name, value in written.items())


def faults_of(directory: Path, *meters: str) -> list[str]:
    (directory / "a.toml").write_text(EVENT.format("e") + EVENT.format("f") + "".join(meters))
    try:
        load(directory, {})
    except ConfigError as error:
        return [str(fault).removeprefix("a.toml: ") for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("meters", "faults"),
    [
        # formulas
        ([meter(value='{ product = ["a", "b"] }')], []),
        ([meter(aggregation="unique", value='{ product = ["a"] }')], ["meter[0].value: must be a path for unique"]),
        (
            [meter(value='{ product = ["a", "b..c"] }')],
            ["meter[0].value.product[1]: must be a dotted path of at most 8 names"],
        ),
        (
            [meter(value='{ product = ["a"], fee = "0.001" }', precision="2")],
            ["meter[0].value.fee: has more decimals than the meter's precision, 2"],
        ),
        ([meter(value='{ product = ["a"], fee = "0.01" }', precision="2")], []),
        ([meter(value='{ product = ["a"], fee = "0.001" }', precision="13")], ["meter[0].precision: Expected"]),
        ([meter(value='{ product = ["a..b"], fee = 0.5 }')], ["meter[0].value.fee: is a TOML float"]),
        ([meter(value="{ product = 3 }")], ["meter[0].value.product: must be an array"]),
        ([meter(aggregation="unique", value='"a"', precision="2")], ["meter[0].precision: must be 0 for unique"]),
        ([meter(aggregation="count", precision="2")], ["meter[0].precision: must be 0 for count"]),
        # paths
        (
            [meter(value='"a.b"'), meter('"n"', value='{ product = ["x", "a.b.c"] }')],
            ['meter[1]: "a.b.c" lies below "a.b", which a.toml: meter[0] takes as a value'],
        ),
        ([meter(value='"a"'), meter('"n"', event_type='"f"', value='"a.b"')], []),
        ([meter(event_type="3", value='"a"'), meter('"n"', event_type="3", value='"a.b"')],
         ["meter[0].event_type: Expected `str`", "meter[1].event_type: Expected `str`"]),
        ([meter(value="3")], ["meter[0].value: Expected"]),
        ([meter(value='"a"', dimensions=str([f"d{n}" for n in range(32)]))], []),
        ([meter(value='"a"', dimensions=str([f"d{n}" for n in range(33)]))],
         ["meter[0].dimensions: has 33 dimensions"]),
        ([meter(value='"a"', filter='{ b = ["x"], c = ' + str([str(n) for n in range(1000)]) + " }")], []),
        ([meter(value='"a"', filter='{ b = [], c = ' + str([str(n) for n in range(1001)]) + " }")],
         ["meter[0].filter.b: must hold 1 to 1000 texts", "meter[0].filter.c: must hold 1 to 1000 texts"]),
        # versions
        ([meter("5", value='"a"'), meter("5", value='"a"')],
         ["meter[0].id: Expected `str`", "meter[1].id: Expected `str`"]),
        ([meter(version='"x"', value='"a"'), meter(version='"x"', value='"a"')],
         ["meter[0].version: Expected `int`", "meter[1].version: Expected `int`"]),
    ],
)  # fmt: skip
def test_each_fault_of_a_meter_is_said_with_its_path_and_no_other(
    tmp_path: Path, meters: list[str], faults: list[str]
) -> None:
    found = faults_of(tmp_path, *meters)
    assert len(found) == len(faults), found
    assert all(any(said.startswith(fault) for said in found) for fault in faults), found


def test_lateness_is_at_most_a_century() -> None:
    assert duration_ms("36500d") == 36_500 * 86_400_000
    for written in ("36501d", "0s", "1", "24 h"):
        with pytest.raises(ValueError, match="at most"):
            duration_ms(written)


def test_the_value_of_a_meter_comes_from_its_path_if_it_has_one() -> None:
    assert Meter("m", 1, "e", "sum", value="a.b").value_paths == ("a.b",)
    assert Meter("m", 1, "e", "count").value_paths == ()
