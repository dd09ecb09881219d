"""A run is the same with the compiled kernel as without it, to the last row."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import msgspec
import pytest

from config.settings import Settings
from processors.compiled import built
from tests.simulation import intervals
from tests.simulation.simulate import simulate

pytestmark = pytest.mark.skipif(built() is None, reason="the kernel is not built (`make kernel`)")


def run(seed: int, *, kernel: bool) -> tuple[Any, ...]:
    def settings(rng: Random) -> Settings:
        found = intervals.settings(rng)
        processing = msgspec.structs.replace(found.processing, kernel=kernel)
        return msgspec.structs.replace(found, processing=processing)

    with mock.patch("tests.simulation.world.settings", settings):
        world, faults = simulate(seed)
    return faults, world.seen, list(tables(world.tables))


def tables(held: Any) -> Iterator[object]:
    for name, table in vars(held).items():
        if hasattr(table, "rows"):
            yield name, sorted(map(repr, table.rows.items()))


@pytest.mark.parametrize("seed", range(1, 31))
def test_the_kernel_changes_no_run(seed: int) -> None:
    assert run(seed, kernel=True) == run(seed, kernel=False)
