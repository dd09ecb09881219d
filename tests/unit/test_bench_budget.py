"""What fits, and what a ceiling is."""

import pytest

from benchmarks.budget import Budget
from benchmarks.measure import PARTS, Sizes


def test_what_does_not_fit_is_left_out_and_written_down() -> None:
    budget = Budget(1)
    assert budget.affords("a little", 1)
    assert not budget.affords("an hour", 3600)
    assert budget.left_out == ["an hour"]


def test_without_a_limit_everything_fits() -> None:
    assert Budget(None).affords("a day", 86_400)


def test_the_full_form_has_the_sizes_of_the_goals() -> None:
    sizes = Sizes.of("full", quick=False, events=None, rate=100_000)
    assert (sizes.identities, sizes.partials, sizes.ids[-1], sizes.keys[-1]) == (10**7, 10**6, 10**8, 10**7)
    assert sizes.rates == (100_000,)
    assert {*PARTS["short"]} < {*PARTS["full"]}


@pytest.mark.parametrize("size", ["short", "full"])
def test_the_number_of_events_can_be_chosen(size: str) -> None:
    assert Sizes.of(size, quick=False, events=123, rate=1).events == 123  # type: ignore[arg-type]
