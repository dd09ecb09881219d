"""What docs/rating.md shows is what the code does."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from config.price_file import read_price_file
from rating import quote
from tollstream.curve import curve

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "rating.md").read_text()
EXAMPLES = sorted((DOCS / "prices").glob("*.toml"))
CLAIM = re.compile(r"^# (\S+) owes (\S+)(?: in (\S+)=(\S+))?$", re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_owes_what_it_says_and_its_picture_is_its_curve(example: Path) -> None:
    text = example.read_text()
    claim = CLAIM.search(text)
    assert claim is not None
    context = {claim[3]: claim[4]} if claim[3] else {}
    price = read_price_file(example)
    assert quote(price, claim[1], context=context).amount == Decimal(claim[2])
    assert curve(price, claim[1], "USD", context) == (DOCS / "img" / f"{example.stem}.svg").read_text()
    shown = text.split("\n", 2)[2].strip()
    assert shown in PAGE
    assert f"](img/{example.stem}.svg)" in PAGE
    assert f"**{Decimal(claim[2]):,f}" in PAGE


def test_the_page_names_every_model_and_every_step() -> None:
    for model in ("flat", "per_unit", "graduated", "volume", "dynamic", "percentage", "matrix", "recurring", "package",
                  "block_graduated", "block_volume", "capacity", "tiered_percentage", "rollup", "combine", "convert",
                  "free_quantity", "usage_discount", "discount_percent", "maximum_amount", "minimum_amount", "per",
                  "allocate_by"):  # fmt: skip
        assert f"`{model}`" in PAGE, model
