"""Two trees beside each other: the arithmetic."""

import pytest

from benchmarks.compare import CompareError, collected, costs, ratios


def test_ratios_are_those_of_pairs_and_keep_their_spread() -> None:
    there = [{"fold": 2.0, "all": 2.0}, {"fold": 4.0, "all": 4.0}, {"fold": 3.0, "all": 3.0}]
    here = [{"fold": 1.0, "all": 1.0}, {"fold": 4.0, "all": 4.0}, {"fold": 2.4, "all": 2.4}]
    fold, _ = ratios(there, here)
    assert (fold.there_us, fold.here_us, fold.middle) == pytest.approx((3.0, 2.4, 0.8))
    assert fold.ratios == pytest.approx([0.5, 1.0, 0.8])


def test_a_step_of_one_tree_alone_has_no_ratio() -> None:
    found = {one.step: one for one in ratios([{"old": 1.0}] * 2, [{"new": 2.0}] * 2)}
    assert list(found) == ["new", "old"]
    assert found["new"].there_us is None and found["new"].middle is None
    assert found["old"].here_us is None and found["old"].there_us == 1.0


def test_costs_are_read_from_a_document_of_any_age() -> None:
    step = {"stage": "meter", "name": "fold", "cpu_s": 0.5, "items": 9, "item": "event", "later": 1}
    steps = {"events": 1000, "steps": [step]}
    for found in (steps, [steps, steps | {"form": "columnar", "events": 1}]):
        assert costs({"steps": found}) == {"meter: fold": 500.0, "all": 500.0}
    with pytest.raises(CompareError, match="no steps"):
        costs({"steps": None})


def test_the_count_of_instructions_is_found_in_what_callgrind_says() -> None:
    assert collected("==12== Events    : Ir\n==12== Collected : 123456789\n") == 123_456_789
    assert collected("==12== something else") is None
