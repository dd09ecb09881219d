"""Each planted bug is caught: the simulator can fail. `python -m tests.simulation.planted` measures how soon."""

from __future__ import annotations

import pytest

from tests.simulation.planted import found_at
from tests.simulation.plants_rated import PLANTS

SEEDS_MAX = 400
# Where to begin with those that take long, so that the suite does not; any other range finds them as well.
FIRST = {
    "buckets of admissions not saved": 90,
    "restore from the outputs at the head": 34,
    "counts of the last owner left unsent": 45,
    "messages taken early outlive their partition": 294,
    "openings sent again": 40,
    "announced before it is sent": 40,
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    first = FIRST.get(name, 1)
    assert found_at(name, range(first, first + SEEDS_MAX)) is not None
