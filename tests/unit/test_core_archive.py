"""What a closed day of numbered events leaves in the archive says the same as the day itself."""

import random

import pytest

from processors.sequences import DAY_US, Sequences, identities
from tests.unit.test_core_sequences import SOURCES, cut, numbered, traffic


@pytest.mark.parametrize("intervals_max", [1, 2, 64])
@pytest.mark.parametrize("seed", range(8))
def test_i2_every_number_is_in_an_interval_or_a_stray_and_no_other_is(seed: int, intervals_max: int) -> None:
    rng = random.Random(seed)
    events = traffic(rng, 300)
    ours = Sequences(intervals_max)
    for batch in cut(rng, events):
        ours.add(numbered(batch))
    for number, day in ours.days.items():
        there = {(source, one) for source, one, time_us in events if time_us // DAY_US == number}
        keys, first, last = day.exact_intervals()
        covers = list(zip(map(tuple, keys.tolist()), first.tolist(), last.tolist(), strict=True))
        asked = sorted(there | {(source, one + 1) for source, one in there if one < 2**63 - 1})
        for source, one in asked:
            digest = identities(SOURCES[[source]], numbered([(source, one, 0)]).number)
            covered = any(key == tuple(SOURCES[source].tolist()) and a <= one <= b for key, a, b in covers)
            assert (covered or bool(day.strays.contains(digest)[0])) == ((source, one) in there), (source, one)
