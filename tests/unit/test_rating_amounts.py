"""Amounts as written in files: which are taken, which are refused, and that none loses a digit on the way."""

import tomllib
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating.checks import Checked
from rating.numbers import Quantity, canonical, settled, shown, text, to_amount
from rating.plans import Plan
from rating.prices import Amount, BlockVolume, Flat, Graduated, PerUnit, Price, Tier

PRO = """
id = "pro"
version = 1
currency = "USD"
[[price]]
id = "base"
model = "flat"
amount = 5
[[price]]
id = "requests"
meter = "http_requests"
model = "graduated"
tiers = [{ up_to = "10000000", unit_amount = "0" }, { unit_amount = "0.00000030", flat_amount = "0" }]
[[price]]
id = "builds"
meter = "builds"
model = "package"
package_size = 1000
amount = "1.50"
[[price]]
id = "seats"
meter = "seats"
model = "per_unit"
unit_amount = "-0.10"
[[price]]
id = "egress"
meter = "egress"
model = "volume"
tiers = [{ up_to = 10, unit_amount = "0.05", flat_amount = "1" }, { unit_amount = "0.04" }]
"""


def plan(**changes: object) -> Plan:
    return msgspec.convert({**tomllib.loads(PRO), **changes}, type=Plan)


def test_a_plan_converts_from_toml_with_strings_or_integers_as_amounts() -> None:
    base, requests, builds, seats, egress = plan().price
    assert base == Flat("base", "5")
    assert (requests.model, builds.model, seats.model, egress.model) == ("graduated", "package", "per_unit", "volume")
    assert requests.tiers[1] == Tier(unit_amount="0.0000003")
    assert base.meter is None
    assert builds.meter == "builds"


def test_a_plan_survives_json_to_the_last_digit() -> None:
    written = msgspec.json.encode(plan())
    assert b'"0.0000003"' in written
    assert msgspec.json.decode(written, type=Plan) == plan()


def test_amounts_that_are_equal_make_equal_prices() -> None:
    assert Flat("base", "05.00") == Flat("base", 5) == Flat("base", Decimal("5.0"))
    assert hash(Flat("base", "5.0")) == hash(Flat("base", "5"))


def test_compiling_a_price_changes_neither_its_equality_nor_its_json() -> None:
    compiled, fresh = Flat("base", "5"), Flat("base", "5")
    assert compiled.kernel is compiled.kernel
    assert compiled == fresh
    assert msgspec.json.encode(compiled) == msgspec.json.encode(fresh)


@pytest.mark.parametrize(
    "written",
    [
        *("", "-", "+1", "1.", ".5", "1e3", "1_000", " 1", "1\n", "1,5", "NaN", "Infinity", "0x10", "٣"),
        *("1" * 31, "0." + "1" * 19, 10**30, 1.0, 0.1, True, None, Decimal("NaN"), Decimal("1E+40")),
    ],
)
def test_an_amount_that_is_not_a_plain_decimal_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is not a decimal; write a string"):
        PerUnit("id", "meter", written)  # type: ignore[arg-type]
    if not isinstance(written, Decimal):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"model": "flat", "id": "id", "amount": written}, type=Price)


def test_the_refusal_of_a_nested_amount_gives_its_path() -> None:
    tiers = [{"up_to": 10, "unit_amount": 0}, {"unit_amount": 0.5}]
    with pytest.raises(msgspec.ValidationError, match=r"got `float` - at `\$\.price\[0\]\.tiers\[1\]\.unit_amount`"):
        plan(price=[{"model": "volume", "id": "id", "meter": "m", "tiers": tiers}])


def test_a_struct_names_all_its_faults_at_once() -> None:
    with pytest.raises(ValueError, match=r"unit_amount: 'x' is not .*; flat_amount: 'y' is not"):
        Tier(unit_amount="x", flat_amount="y")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"currency": "UDS"}, "not an ISO 4217 code"),
        ({"period": "week"}, "Invalid enum value"),
        ({"version": 0}, "`int` >= 1"),
        ({"id": ""}, "length >= 1"),
        ({"price": [{"model": "flat", "id": "a", "amount": "1"}] * 2}, "'a' is used twice"),
        ({"price": [{"model": "flat", "id": "a", "amount": "1", "meter": "m"}]}, "unknown field `meter`"),
        ({"price": [{"model": "stairs", "id": "a"}]}, "Invalid value 'stairs'"),
        ({"price": [{"model": "package", "id": "a", "meter": "m", "package_size": 0, "amount": 1}]}, "above 0"),
        ({"price": [{"model": "package", "id": "a", "meter": "m", "package_size": "-5", "amount": 1}]}, "above 0"),
    ],
)
def test_a_wrong_plan_is_refused_saying_why(changes: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        plan(**changes)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ([], "at least one"),
        ([10], r"tiers\[0\].up_to: must be left out"),
        ([10, 10, None], r"tiers\[1\].up_to: must be above 10"),
        ([10, 5, None], r"tiers\[1\].up_to: must be above 10"),
        ([0, None], r"tiers\[0\].up_to: must be above 0"),
        ([-1, None], r"tiers\[0\].up_to: must be above 0"),
        ([10, 5, 7, None], r"tiers\[1\].up_to: must be above 10.*; tiers\[2\].up_to: must be above 10"),
        ([None, None], r"tiers\[0\].up_to: is required in every tier but the last"),
        ([None, 5], r"tiers\[0\].up_to: is required.*; tiers\[1\].up_to: must be left out"),
    ],
)
def test_tiers_that_do_not_ascend_to_one_open_end_are_refused(bounds: list[int | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Graduated("id", "meter", tuple(Tier(up_to=bound, unit_amount=1) for bound in bounds))


def test_a_tier_that_leaves_out_its_end_says_nothing_of_where_the_next_one_begins() -> None:
    tiers = (Tier(unit_amount=1), Tier(above=3, up_to=5, unit_amount=1), Tier(above=5, unit_amount=1))
    with pytest.raises(ValueError) as refused:
        Graduated("id", "meter", tiers)
    assert str(refused.value) == "tiers[0].up_to: is required in every tier but the last, which is open"


def test_blocks_of_one_and_of_nothing() -> None:
    tiers = (Tier(up_to="2.5", unit_amount=1), Tier(unit_amount=1))
    with pytest.raises(ValueError, match=r"^tiers\[0\].up_to: must be a multiple of block_size, 1: no block is cut$"):
        BlockVolume("id", "meter", tiers, block_size=1)
    with pytest.raises(ValueError, match=r"^block_size: must be above 0$"):
        BlockVolume("id", "meter", tiers, block_size=0)


def test_an_amount_that_is_refused_is_not_held_against_its_limit() -> None:
    with pytest.raises(
        ValueError, match=r"^free_quantity: 'x' is not a decimal; [^;]*; usage_discount: must be a perc"
    ):
        PerUnit("id", "meter", "1", free_quantity="x", usage_discount="-1")


def test_a_new_kind_of_price_has_its_amounts_in_one_form() -> None:
    class Fee(Checked, frozen=True):
        amount: Amount
        name: str = "05.0"

    assert (Fee("05.0").amount, Fee("05.0").name) == ("5", "05.0")


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**29), max_value=10**29))
def test_the_canonical_form_is_exact_and_its_own_canonical_form(value: Decimal) -> None:
    written = canonical(value)
    assert Decimal(written) == value
    assert canonical(written) == written == text(value)
    assert "E" not in written


def test_text_keeps_every_digit_and_no_exponent() -> None:
    assert text(Decimal("3E-7")) == "0.0000003"
    assert text(Decimal("1E+6")) == "1000000"
    assert text(Decimal("-0.000")) == "0"
    assert text(Decimal("1" * 60 + ".50")) == "1" * 60 + ".5"


def test_an_amount_is_brought_to_twelve_decimals_half_away_from_zero() -> None:
    half = Decimal("0.0000000000005")
    assert to_amount(half) == Decimal("0.000000000001")
    assert to_amount(-half) == Decimal("-0.000000000001")
    assert to_amount(Decimal("0.00000000000049")) == 0
    assert to_amount(Decimal("1" * 60 + ".5")) == Decimal("1" * 60 + ".5")


def test_a_fraction_is_brought_to_twelve_decimals_without_losing_a_digit_before_them() -> None:
    assert to_amount(Fraction(10**40, 3)) == Decimal("3" * 40 + "." + "3" * 12)
    assert to_amount(Fraction(-2, 3)) == Decimal("-0.666666666667")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (Fraction(7), Decimal(7)),
        (Fraction(1, 8), Decimal("0.125")),
        (Fraction(-1, 5), Decimal("-0.2")),
        (Fraction(3, 40), Decimal("0.075")),
        (Fraction(1, 5**30), Decimal(2**30).scaleb(-30)),
        (Fraction(1, 3), Fraction(1, 3)),
        (Fraction(1, 6), Fraction(1, 6)),
        (Fraction(1, 2**300), Fraction(1, 2**300)),  # has 210 digits
    ],
)
def test_a_fraction_is_a_decimal_where_it_has_a_form_of_two_hundred_digits(
    number: Fraction, expected: Quantity
) -> None:
    found = settled(number)
    assert (type(found), found) == (type(expected), expected)


def test_a_quantity_is_shown_with_all_its_digits_and_a_mean_with_twelve() -> None:
    assert str(shown(Decimal("0.00000000000000010"))) == "1.0E-16"
    assert shown(Fraction(1, 3)) == Decimal("0.333333333333")


def test_a_refused_amount_is_shown_up_to_sixty_characters() -> None:
    for digits, expected in ((58, "'" + "x" * 58 + "'"), (59, "'" + "x" * 56 + "...")):
        with pytest.raises(ValueError, match=r"is not a decimal") as refused:
            canonical("x" * digits)
        assert str(refused.value).split(" ")[0] == expected
