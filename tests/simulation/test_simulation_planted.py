"""Each planted bug is caught: the simulator can fail, and soon. `python -m tests.simulation.planted` measures how soon."""

from __future__ import annotations

import pytest

from tests.simulation.planted import found_at
from tests.simulation.plants import PLANTS

SEEDS_MAX = 400  # the rarest takes less than a hundred on average


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    assert found_at(name, range(1, SEEDS_MAX + 1)) is not None
