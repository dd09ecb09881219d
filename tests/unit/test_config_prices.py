"""Bad prices are refused at load: every fault at once, each with its path."""

from pathlib import Path

import pytest

from config.faults import ConfigError
from config.loader import load
from config.price_file import read_price_file
from rating.prices import Matrix, PerUnit, Tier, Volume

HEAD = """
[[event]]
type = "e"
lateness = "24h"
[[meter]]
id = "gb"
version = 1
event_type = "e"
aggregation = "sum"
value = "gb"
dimensions = ["region", "zone"]
[[meter]]
id = "paid"
version = 1
event_type = "e"
aggregation = "sum"
value = "paid"
precision = 2
[[plan]]
id = "p"
version = 1
currency = "USD"
[[plan.price]]
id = "x"
"""
UNIT = 'model = "per_unit"\nmeter = "gb"\nunit_amount = 1\n'
TIERED = 'model = "graduated"\nmeter = "gb"\ntiers = '
MATRIX = 'model = "matrix"\nmeter = "gb"\ndimensions = ["region"]\ncell = '
EU = '{ when = { region = ["eu"] }, price = { model = "per_unit", unit_amount = 1 } }'


def faults_of(directory: Path, price: str) -> list[str]:
    (directory / "a.toml").write_text(HEAD + price)
    try:
        load(directory, {})
    except ConfigError as error:
        return [str(fault).removeprefix("a.toml: plan[0].price[0].") for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("price", "faults"),
    [
        # tiers
        (TIERED + "[{ up_to = 9, unit_amount = 1 }, { up_to = 5, unit_amount = 1 }, { unit_amount = 1 }]",
         ["tiers[1].up_to: must be above 9, where the tier begins; tiers ascend"]),
        (TIERED + "[{ up_to = 9, unit_amount = 1 }, { above = 8, unit_amount = 1 }]",
         ["tiers[1].above: overlaps the tier before: this tier begins above 9; write that, or leave it out"]),
        (TIERED + "[{ up_to = 9, unit_amount = 1 }, { above = 10, unit_amount = 1 }]",
         ["tiers[1].above: leaves a gap: this tier begins above 9; write that, or leave it out"]),
        (TIERED + "[{ above = 1, up_to = 9, unit_amount = 1 }, { unit_amount = 1 }]", ["tiers[0].above: leaves a gap"]),
        (TIERED + "[{ unit_amount = 1 }, { unit_amount = 1 }]",
         ["tiers[0].up_to: is required in every tier but the last, which is open"]),
        (TIERED + "[{ up_to = -5, unit_amount = 0.1 }, { up_to = 5 }]",
         ["tiers[0].unit_amount: is a TOML float", "tiers[0].up_to: must be above 0", "tiers[1].unit_amount: is requ",
          "tiers[1].up_to: must be left out in the last tier"]),
        (TIERED + "[{ up_to = 0.5, unit_amount = 1 }, { above = 2, up_to = 5, unit_amount = 1 }, "
         "{ up_to = 3, unit_amount = 1 }, { unit_amount = 1 }]",
         ["tiers[0].up_to: is a TOML float", "tiers[2].up_to: must be above 5"]),
        ('model = "tiered_percentage"\nmeter = "paid"\ntiers = [{ up_to = 5, percent = 1 }]',
         ["tiers[0].up_to: must be left out"]),
        # sizes and shares
        ('model = "package"\nmeter = "gb"\npackage_size = 0\namount = 1\nfree_units = -1',
         ["free_units: must not be negative", "package_size: must be above 0"]),
        ('model = "package"\nmeter = "gb"\npackage_size = 1\namount = 1\nfree_units = 1\nfree_quantity = 1',
         ["free_units: is free_quantity by another name; keep one"]),
        ('model = "block_volume"\nmeter = "gb"\nblock_size = 10\ntiers = [{ up_to = 25, unit_amount = 1 }, '
         "{ unit_amount = 1 }]", ["tiers[0].up_to: must be a multiple of block_size, 10: no block is cut"]),
        ('model = "block_volume"\nmeter = "gb"\nblock_size = 0.5\ntiers = [{ up_to = 25, unit_amount = 1 }, '
         "{ unit_amount = 1 }]", ["block_size: is a TOML float"]),
        ('model = "block_volume"\nmeter = "gb"\nblock_size = 10\ntiers = 3', ["tiers: "]),
        ('model = "capacity"\nmeter = "gb"\nincluded = 0\namount = 1\nunit_amount = 1', ["included: must be above 0"]),
        (UNIT + 'discount_percent = 101\nusage_discount = -1\nfree_quantity = "-0.5"\nconvert = { divide_by = 0 }',
         ["convert.divide_by: must be above 0", "discount_percent: must be a percentage from 0 to 100",
          "free_quantity: must not be negative", "usage_discount: must be a percentage"]),
        (UNIT + "minimum_amount = 5\nmaximum_amount = 4", ["maximum_amount: must be at least minimum_amount, 5"]),
        (UNIT + 'convert = { divide_by = 10, round = "upp" }', ['convert.round: "upp" is unknown; did you mean "up"?']),
        ('model = "percentage"\nmeter = "paid"', ["percent: give either percent or tiers"]),
        ('model = "percentage"\nmeter = "paid"\npercent = 1\ntiers = [{ percent = 1 }]', ["percent: give either"]),
        ('model = "percentage"\nmeter = "paid"\npercent = 1\ncurrency = "EUR"',
         ["currency: must be USD, that of the plan; amounts are not converted"]),
        ('model = "dynamic"\nmeter = "paid"\ncurrency = "XXQ"', ["currency: must be USD", "currency: 'XXQ' is not an"]),
        ('model = "recurring"\nquantity = -1\nprice = { model = "per_unit", unit_amount = 1, per = ["zone"] }',
         ["price.per: belongs to the outer price", "quantity: must not be negative"]),
        # rollups and derived quantities
        (UNIT + 'rollup = { every = "1d", over = "percentile" }', ["rollup.percentile: is required for a percentile"]),
        (UNIT + 'rollup = { every = "1d", over = "percentile", percentile = 0 }',
         ["rollup.percentile: must be above 0"]),
        (UNIT + 'rollup = { every = "1d", over = "sum", percentile = 95, divisor = 0 }',
         ["rollup.divisor: is not for sum", "rollup.divisor: must be above 0", "rollup.percentile: is not for sum"]),
        (UNIT + 'rollup = { every = "5m", over = "sum" }', ["rollup.every: is shorter than the meter's window of 1h"]),
        (UNIT + 'rollup = { every = "2h", over = "sum" }', ['rollup.every: "2h" is unknown']),
        (UNIT.replace('"gb"', '"gbs"') + 'rollup = { every = "1d", over = "sum" }', ['meter: no [[meter]] has the id']),
        (UNIT + 'rollup = { every = "1d", over = "sum", each = "max", series = "merge" }',
         ['rollup.series: can merge states only where each = "merge" keeps them']),
        (UNIT + 'rollup = { every = "1d", over = "mean", divisor = 30, missing = "skip" }',
         ["rollup.missing: cannot skip slots that the divisor counts"]),
        (UNIT + 'combine = { how = "ratio", meters = ["paid", "gbs"] }',
         ['combine.meters[1]: no [[meter]] has the id "gbs"; did you mean "gb"?', "combine.meters: must be one meter"]),
        (UNIT + 'combine = { how = "sum", meters = [] }', ["combine.meters: must name at least one meter"]),
        (UNIT + 'discount = { percent = 200, when = { meter = "hits" } }',
         ["discount.percent: must be a percentage", 'discount.when.meter: no [[meter]] has the id "hits"',
          "discount.when: must have one bound: at_least, above, at_most or below"]),
        # dimensions and matrices
        (UNIT + 'per = ["zoen", "subject", "subject"]\nallocate_by = "acount"',
         ['allocate_by: meter "gb" has no dimension "acount"; did you mean "account"?',
          'per[0]: meter "gb" has no dimension "zoen"; did you mean "zone"?', "per: names a dimension twice"]),
        (MATRIX + "[]", ["cell: must hold at least one cell"]),
        (MATRIX + f'[{EU}, {EU.replace("eu", "eu")}]', ["cell[1].when: 'eu' is already taken by cell[0]"]),
        (MATRIX.replace("region", "colour") + f"[{EU.replace('region', 'colour')}]",
         ['dimensions[0]: meter "gb" has no dimension "colour"']),
        (MATRIX.replace("region", "colour") + f"[{EU.replace('region', 'colour')}]" + '\nper = ["zoen"]',
         ['dimensions[0]: meter "gb" has no dimension "colour"', 'per[0]: meter "gb" has no dimension "zoen"']),
        (MATRIX + '[{ when = { zone = ["eu"] }, price = { model = "package", package_size = -1, amount = 0.1 } }]',
         ["cell[0].price.amount: is a TOML float", "cell[0].price.package_size: must be above 0",
          "cell[0].when: must give texts for each dimension: region"]),
        (MATRIX + '[{ when = { region = ["eu"] }, price = { model = "per_unit", meter = "paid", unit_amount = 1 } }]',
         ["cell[0].price.meter: must be gb, as that of the matrix, or left out"]),
        (MATRIX + f'[{EU}]\ndefault = {{ model = "volume", tiers = [] }}',
         ["default.tiers: must hold at least one tier"]),
        (UNIT + "unit = 1", ["unit: unknown field"]),
    ],
)  # fmt: skip
def test_each_bad_price_is_refused_with_all_its_faults(tmp_path: Path, price: str, faults: list[str]) -> None:
    found = faults_of(tmp_path, price)
    assert len(found) == len(faults), found
    assert all(any(said.startswith(fault) for said in found) for fault in faults), found


@pytest.mark.parametrize(
    "price",
    [
        UNIT + 'per = ["zone"]\nallocate_by = "account"\nrollup = { every = "1d", over = "mean", divisor = 30 }',
        TIERED + "[{ above = 0, up_to = 9, unit_amount = 1 }, { above = 9, unit_amount = 1 }]",
        MATRIX + f"[{EU}]\ndefault = {{ model = \"flat\", amount = 1 }}",
        'model = "recurring"\nquantity = 5\nprice = { model = "volume", tiers = [{ unit_amount = 1 }] }',
        UNIT + 'discount = { percent = 5, when = { meter = "gb", below = 1, '
        'combine = { how = "ratio", meters = ["paid"] } } }',
    ],
)  # fmt: skip
def test_a_good_price_of_each_shape_is_taken(tmp_path: Path, price: str) -> None:
    assert faults_of(tmp_path, price) == []


def test_structs_keep_the_same_rules_as_tables() -> None:
    with pytest.raises(ValueError, match=r"tiers\[1\].above: leaves a gap"):
        Volume("x", "gb", (Tier(up_to=1, unit_amount=1), Tier(above=2, unit_amount=1)))
    with pytest.raises(ValueError, match=r"discount_percent: must be a percentage .*; free_quantity: must not be"):
        PerUnit("x", "gb", "1", discount_percent=200, free_quantity=-1)


def test_a_file_of_one_price_needs_neither_id_nor_meter(tmp_path: Path) -> None:
    file = tmp_path / "egress.toml"
    file.write_text(f'model = "matrix"\ndimensions = ["region"]\ncell = [{EU}]')
    price = read_price_file(file)
    assert isinstance(price, Matrix)
    assert (price.id, price.meter, price.cell[0].price.id) == ("egress", "quantity", "egress/eu")
    json = tmp_path / "unit.json"
    json.write_text('{"model": "per_unit", "unit_amount": "0.30"}')
    assert read_price_file(json) == PerUnit("unit", "quantity", "0.3")


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.toml", "model =", "a.toml: is not TOML"),
        ("a.json", "{", "a.json: is not JSON"),
        ("a.json", "[]", "a.json: must hold one price"),
        ("a.json", '{"model": "per_unit", "unit_amount": 0.1, "x": 1}', "a.json: unit_amount: is a TOML float"),
        ("a.toml", 'model = "per_units"', 'a.toml: model: is unknown; did you mean "per_unit"?'),
        ("a.toml", 'model = "package"\npackage_size = 0\namount = 1', "a.toml: package_size: must be above 0"),
    ],
)
def test_a_bad_file_is_refused_with_its_faults(tmp_path: Path, name: str, text: str, fault: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_price_file(tmp_path / name)
    assert str(refused.value.faults[0]).startswith(fault)


AGAIN = """
[[meter]]
id = "gb"
version = 2
event_type = "e"
aggregation = "sum"
value = "gb"
dimensions = {}
from = 2026-03-01T00:00:00Z
"""


def test_a_price_is_by_the_dimensions_of_any_version_of_its_meter(tmp_path: Path) -> None:
    def per(zones: str, dimensions: str) -> list[str]:
        return faults_of(tmp_path, UNIT + f"per = {zones}\n" + AGAIN.format(dimensions))

    assert per('["region", "colour"]', '["colour"]') == []
    (fault,) = per('["colour"]', '["size"]')
    assert fault.startswith('per[0]: meter "gb" has no dimension "colour"')
    assert len(per('["colour"]', "3")) == 1  # of a version that cannot be read nobody knows the dimensions
    first_is_bad = HEAD.replace('["region", "zone"]', "3") + UNIT + 'per = ["colour"]\n' + AGAIN.format('["size"]')
    (tmp_path / "a.toml").write_text(first_is_bad)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, {})
    assert [fault.path for fault in refused.value.faults] == ["meter[0].dimensions"]


def test_a_price_file_says_its_name_and_its_faults_in_the_order_of_the_file(tmp_path: Path) -> None:
    tiers = "".join(f"{{ up_to = {n}, unit_amount = {'0.5' if n in (3, 11) else 1} }}, " for n in range(1, 12))
    (tmp_path / "x.toml").write_text(f'model = "volume"\ntiers = [{tiers}{{ unit_amount = 1 }}]')
    with pytest.raises(ConfigError, match=r"^the price in .*x\.toml has 2 faults") as refused:
        read_price_file(tmp_path / "x.toml")
    assert [fault.path for fault in refused.value.faults] == ["tiers[2].unit_amount", "tiers[10].unit_amount"]
