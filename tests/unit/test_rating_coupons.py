"""What a coupon takes off, of which prices, and in which periods."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.coupons import Coupon, take_off

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
OWED = {"a": Decimal("10"), "b": Decimal("30"), "c": Decimal("60")}


def taken(coupon: Coupon, owed: dict[str, Decimal], at: datetime = NOVEMBER) -> dict[str, str]:
    return {price: str(amount.normalize()) for price, amount in take_off(coupon, owed, at).items()}


def test_an_amount_is_shared_over_several_prices_in_proportion_to_what_is_owed() -> None:
    assert taken(Coupon(id="c", amount_off="5"), OWED) == {"a": "0.5", "b": "1.5", "c": "3"}


def test_an_amount_takes_no_more_than_what_is_owed() -> None:
    assert take_off(Coupon(id="c", amount_off="1000"), OWED, NOVEMBER) == OWED


def test_an_amount_that_no_share_divides_is_taken_whole_with_the_rest_on_a_later_price() -> None:
    found = taken(Coupon(id="c", amount_off="1"), dict.fromkeys("abc", Decimal(7)))
    assert found == {"a": "0.333333333333", "b": "0.333333333334", "c": "0.333333333333"}


@given(
    st.lists(st.decimals("0.01", "100000", places=2), min_size=1, max_size=6),
    st.decimals("0.01", "200000", places=2),
)
def test_the_parts_of_an_amount_add_up_to_it_or_to_all_that_is_owed(owed: list[Decimal], off: Decimal) -> None:
    parts = take_off(Coupon(id="c", amount_off=str(off)), dict(enumerate_ids(owed)), NOVEMBER)
    assert sum(map(Fraction, parts.values())) == min(Fraction(off), sum(map(Fraction, owed)))


def enumerate_ids(owed: list[Decimal]) -> list[tuple[str, Decimal]]:
    return [(f"p{place}", amount) for place, amount in enumerate(owed)]


def test_a_percentage_is_of_each_price_for_itself() -> None:
    assert taken(Coupon(id="c", percent_off="15"), OWED) == {"a": "1.5", "b": "4.5", "c": "9"}


def test_only_the_prices_that_a_coupon_names_are_made_cheaper() -> None:
    assert taken(Coupon(id="c", percent_off="50", prices=("b",)), OWED) == {"b": "15"}
    assert taken(Coupon(id="c", amount_off="9", prices=("a", "b")), OWED) == {"a": "2.25", "b": "6.75"}


@pytest.mark.parametrize("off", [{"percent_off": "10"}, {"amount_off": "0.05"}])
def test_a_price_of_which_nothing_is_owed_or_that_is_a_refund_is_left_alone_and_a_cent_is_not(
    off: dict[str, str],
) -> None:
    owed = {"free": Decimal(0), "refund": Decimal(-5), "small": Decimal("0.5")}
    assert taken(Coupon(id="c", **off), owed) == {"small": "0.05"}  # type: ignore[arg-type]


def test_where_nothing_is_owed_an_amount_takes_nothing() -> None:
    assert take_off(Coupon(id="c", amount_off="5"), {"free": Decimal(0)}, NOVEMBER) == {}


def test_a_coupon_is_for_the_periods_that_begin_from_its_first_instant_on_and_before_its_last() -> None:
    coupon = Coupon(id="c", percent_off="10", from_=DECEMBER, to=JANUARY)
    assert [bool(taken(coupon, OWED, at)) for at in (NOVEMBER, DECEMBER, JANUARY)] == [False, True, False]
    from_ = Coupon(id="c", percent_off="10", from_=DECEMBER)
    assert [bool(taken(from_, OWED, at)) for at in (NOVEMBER, DECEMBER, JANUARY)] == [False, True, True]


@pytest.mark.parametrize("off", [{}, {"percent_off": "10", "amount_off": "5"}])
def test_a_coupon_with_both_kinds_or_none_is_refused(off: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^percent_off: "):
        Coupon(id="c", **off)  # type: ignore[arg-type]
