"""What tells one total from another."""

from __future__ import annotations

import msgspec
import pytest

from rating.prices import read_price
from tests.unit.rating_usage import used


def test_a_label_is_a_dimension_before_it_is_who_uses_or_who_pays() -> None:
    total = used("m", 1, subject="s", account="a", zone="z")
    assert [total.label(name) for name in ("zone", "subject", "account", "kind")] == ["z", "s", "a", ""]
    named = used("m", 1, subject="s", account="a")
    hidden = msgspec.structs.replace(named, dimensions={"subject": "", "account": "other"})
    assert [hidden.label(name) for name in ("subject", "account")] == ["", "other"]


def test_a_series_is_told_by_everything_but_its_window() -> None:
    one = used("m", 1, subject="s", account="a", zone="z", kind="k")
    assert one.series == ("m", "a", "s", (("kind", "k"), ("zone", "z")))


def test_a_maximum_below_the_minimum_is_refused_and_an_equal_one_is_not() -> None:
    price = {"model": "per_unit", "unit_amount": 1, "minimum_amount": 5}
    with pytest.raises(msgspec.ValidationError, match="maximum_amount: must be at least minimum_amount, 5"):
        read_price({**price, "maximum_amount": "4.99"})
    assert read_price({**price, "maximum_amount": "5.00"})
