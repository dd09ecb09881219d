"""`tollstream quote`: a price explained, drawn, or refused with every fault."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tollstream.__main__ import main

PRICE = """
model = "graduated"
convert = { divide_by = 1000, round = "up" }
tiers = [{ up_to = 10, unit_amount = 0 }, { unit_amount = "0.3335" }]
"""
MATRIX = """
model = "matrix"
dimensions = ["region"]
cell = [{ when = { region = ["eu"] }, price = { model = "per_unit", unit_amount = 3 } }]
"""


@pytest.fixture
def price(tmp_path: Path) -> Path:
    path = tmp_path / "price.toml"
    path.write_text(PRICE)
    return path


def quoted(*arguments: object) -> int:
    return main(["quote", *map(str, arguments)])


def test_a_table_has_each_step_and_the_rounded_amount(price: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quoted("--price", price, "--quantity", "14001") == 0
    shown = [re.split(r"  +", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert ["divided by 1000, rounded up", "15", "0", "0"] in shown
    assert ["tier 2: above 10", "5", "0.3335", "1.6675"] in shown
    assert ["rounded, USD", "1.67"] in shown


def test_json_carries_decimal_strings(price: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quoted("--price", price, "--quantity", "14001", "--currency", "JPY", "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["amount"], document["rounded"], document["currency"]) == ("1.667500000000", "2", "JPY")
    assert document["lines"][-1]["unit_amount"] == "0.3335"


def test_csv_has_the_steps_alone(price: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quoted("--price", price, "--quantity", "0", "--format", "csv") == 0
    assert capsys.readouterr().out.splitlines() == [
        "step,quantity,unit_amount,amount",
        '"divided by 1000, rounded up",0,0,0',
        "tier 1: units,0,0,0",
    ]


def test_a_credit_may_be_quoted(price: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quoted("--price", price, "--quantity", "-5000") == 0
    assert "Quantity -5000" in capsys.readouterr().out


def test_the_context_chooses_the_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "matrix.toml"
    path.write_text(MATRIX)
    assert quoted("--price", path, "--quantity", "2", "--context", "region=eu") == 0
    assert "6.00" in capsys.readouterr().out
    assert quoted("--price", path, "--quantity", "2") == 2
    assert "give region in the context" in capsys.readouterr().err
    assert quoted("--price", path, "--quantity", "2", "--context", "eu") == 2
    assert "write it as name=value" in capsys.readouterr().err


@pytest.mark.parametrize("quantity", ["15000", "0", "-3000"])
def test_the_plot_is_a_small_picture_that_stands_alone(price: Path, tmp_path: Path, quantity: str) -> None:
    drawing = tmp_path / "curve.svg"
    assert quoted("--price", price, "--quantity", quantity, "--plot", drawing) == 0
    root = ElementTree.fromstring(drawing.read_text())  # noqa: S314 - we wrote it ourselves, a line ago
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names == {"svg", "rect", "path", "circle", "text"}
    assert drawing.stat().st_size < 10_000
    numbers = re.findall(r"-?[0-9]+\.[0-9]", " ".join(path.get("d", "") for path in root.iter() if path.get("d")))
    assert all(0 <= float(number) <= 560 for number in numbers)


def test_a_bad_price_is_refused_with_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('model = "package"\npackage_size = 0\namount = 0.5\nunits = 1')
    assert quoted("--price", path, "--quantity", "2") == 2
    said = capsys.readouterr().err
    assert "3 faults" in said
    for fault in ("amount: is a TOML float", "package_size: must be above 0", "units: unknown field"):
        assert fault in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--quantity", "1e3"], "'1e3' is not a decimal"),
        (["--quantity", "1", "--currency", "usd"], "'usd' is not an ISO 4217 code"),
        (["--quantity", "1", "--plot", "/no/such/directory/a.svg"], "/no/such/directory/a.svg: No such file"),
    ],
)
def test_what_cannot_be_quoted_says_why(
    price: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quoted("--price", price, *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_not_there_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quoted("--price", tmp_path / "none.toml", "--quantity", "1") == 2
    assert "No such file" in capsys.readouterr().err
