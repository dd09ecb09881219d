"""I1 to I6 over many seeds of faults. A failing seed is replayed by `python -m tests.simulation.simulate --seed N`."""

from __future__ import annotations

import pytest

from tests.simulation.mischief import EVENTS
from tests.simulation.plants import PLANTS
from tests.simulation.simulate import main, simulate
from tests.simulation.world import World

SEEDS = range(1, 121)
# Seeds that once failed, and what was wrong. What the simulator does with a seed changes when it learns something, so
# most of them are planted again, too.
MENDED = {
    74: "a message taken while waiting outlived the loss of its partition, and was folded twice when it came back",
    13: "an owner died before the counts of a checkpoint without rows went out, and nobody sent them",
    54: "a worker began on the topic made anew with the offsets and the state of the old one",
    72: "a zombie's rows of an older catalogue came after they had been looked for, and stayed",
    11: "two periods of a contract that began a segment on one day were one message of usage.rated",
    23: "a gauge's total grew with the day and its version did not, so followers kept the first day's",
    217: "the recount had an admission record behind the last record, the broker behind the gap that a cut had left",
    619: "the opening row of a week, sent again alone, took the place of the week's total on usage.rated",
    30_009: "identities restored at once could not be added to by a batch without any, and the worker died of it",
    701_686: "what was taken back on usage.rated named the day that its owner happened to find, under one version",
    1_000_341: "a restore from a log that began at the mark read below it where the broker cannot tell times, and died",
}


@pytest.fixture(scope="module")
def found() -> list[str]:
    """What all runs violated."""
    return [f"{fault} (seed {seed})" for seed in {*SEEDS, *MENDED} for fault in simulate(seed)[1]]


def of(name: str, found: list[str]) -> list[str]:
    return [fault for fault in found if fault.startswith(name)]


def test_nothing_at_all_is_violated(found: list[str]) -> None:
    """Also: letters are those of the recount, no run stops for lack of log, all come to rest, nothing raises."""
    assert found == []


def test_i1_consumed_is_the_sum_of_the_verdicts_and_an_independent_count(found: list[str]) -> None:
    assert of("I1", found) == []


def test_i2_totals_equal_a_recount_after_any_faults(found: list[str]) -> None:
    assert of("I2", found) == []


def test_i3_a_stale_owner_writes_only_what_the_log_determines(found: list[str]) -> None:
    assert of("I3", found) == []


def test_i4_versions_that_readers_see_never_go_back(found: list[str]) -> None:
    assert of("I4", found) == []


def test_i5_batches_crashes_and_rebalances_change_nothing(found: list[str]) -> None:
    assert of("I5", found) == []
    assert of("letters", found) == []


def test_i6_rated_days_and_the_opening_row_add_up_to_the_price_and_the_preview(found: list[str]) -> None:
    assert of("I6", found) == []


def test_a_seed_replays_the_same_run() -> None:
    one, other = simulate(11)[0], simulate(11)[0]
    assert one.seen == other.seen
    assert one.tables.usage.rows == other.tables.usage.rows


def test_a_record_that_comes_back_has_the_offset_that_the_broker_gives_it() -> None:
    """Also where the log was cut within a gap, so that its end is not right behind its last record."""
    world = World(1)
    there = world.broker.topics[EVENTS].partitions[0]
    there.append(None, b"cut off", 0, 7)
    there.truncate(7)
    said = [0, 0, world.topic_id, 0, []]
    assert world.bring_back(0, said, b"comes back") == there.records[-1].offset == world.logs[0][0].offset == 7


def test_a_failing_seed_prints_how_to_replay_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["simulate", "--start", "1", "--seeds", "5"])
    with PLANTS["deltas instead of absolute outputs"].plant():
        assert main() == 1
    said = capsys.readouterr().out
    assert "replay: python -m tests.simulation.simulate --seed " in said
    monkeypatch.setattr("sys.argv", ["simulate", "--seed", "11"])
    assert main() == 0
