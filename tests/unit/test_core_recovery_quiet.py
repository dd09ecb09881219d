"""A recovery under a catalogue in which nothing may be late."""

from __future__ import annotations

import pytest

from config.catalogue import Catalogue
from processors.recovery import RecoveryRefusedError
from tests.unit.test_core_recovery import DAY_MS, SKEW_MS, World


def test_a_clock_at_midnight_needs_the_log_from_that_midnight_on() -> None:
    world, midnight_ms = World(), 20_000 * DAY_MS
    world.it._catalogue = Catalogue(generation=3)
    world.mark(10, midnight_ms)
    world.log.begins = {0: 7}
    world.log.records = {0: [(7, midnight_ms - SKEW_MS - 1), (8, midnight_ms - SKEW_MS)]}
    with pytest.raises(RecoveryRefusedError, match="has all that is needed"):
        world.it.plan_gap(0)
