"""I1 to I6 over many seeds of faults; and for each a broken variant of the protocol that the same runs catch.

A failing seed is replayed by `python -m tests.simulation.simulate --seed N`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import msgspec
import pytest

from processors import checkpoint, outputs
from processors.limits import refused_by
from processors.merge import Merged
from processors.meter import Batch, Letter, PartitionState
from tests.simulation.simulate import main, simulate

SEEDS = range(1, 301)
VARIANT_SEEDS = range(1, 81)

Change = Callable[[], contextlib.AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def found() -> list[str]:
    """What all runs violated."""
    return [f"{fault} (seed {seed})" for seed in SEEDS for fault in simulate(seed)[1]]


def of(name: str, found: list[str]) -> list[str]:
    return [fault for fault in found if fault.startswith(name)]


def caught(names: tuple[str, ...], variant: str = "", change: Change = contextlib.nullcontext) -> bool:
    """Whether a broken variant violates one of the invariants within a few seeds."""
    variants = frozenset(variant.split(", "))
    with change():
        return any(fault.startswith(names) for seed in VARIANT_SEEDS for fault in simulate(seed, variants)[1])


def test_nothing_at_all_is_violated(found: list[str]) -> None:
    """Also: letters are those of the recount, no run stops for lack of log, and all come to rest."""
    assert found == []


def test_i1_consumed_is_the_sum_of_the_verdicts_and_an_independent_count(found: list[str]) -> None:
    assert of("I1", found) == []
    assert caught(("I1",), "cut message"), "a checkpoint in the middle of a message was not caught"


def test_i2_totals_equal_a_recount_after_any_faults(found: list[str]) -> None:
    assert of("I2", found) == []


@contextlib.contextmanager
def no_republishing() -> Iterator[None]:
    with mock.patch("processors.owner.unpublished_rows", lambda *_: []):
        yield


@contextlib.contextmanager
def deltas() -> Iterator[None]:
    """Rows say what was added since the last checkpoint, as a counter would."""
    absolute = outputs.changed_rows
    before: dict[bytes, outputs.WindowRow] = {}

    def changed_rows(state: PartitionState, topic_id: str, partition: int) -> list[outputs.WindowRow]:
        rows = []
        for row in absolute(state, topic_id, partition):
            key = msgspec.msgpack.encode(row.key())
            last = before.get(key)
            before[key] = row
            rows.append(msgspec.structs.replace(row, events=row.events - last.events) if last else row)
        return rows

    with mock.patch("processors.owner.changed_rows", changed_rows):
        yield


@contextlib.contextmanager
def no_manifest() -> Iterator[None]:
    """Whatever is there is loaded."""

    def load(state: PartitionState, snapshot: checkpoint.Snapshot) -> None:
        manifest = snapshot.head.manifest
        kept = {name: data for name, data in snapshot.chunks.items() if len(data) >= manifest.chunks()[name]}
        segments = {n: length for n, length in manifest.segments.items() if f"state:{n}" in kept}
        hours = {h: sum(len(d) for n, d in kept.items() if n.startswith(f"ids:{h}:")) for h in manifest.hours}
        pieces = {h: n for h, n in hours.items() if n == manifest.hours[h]}
        snapshot.head.manifest = checkpoint.Manifest(segments, pieces, manifest.sums)
        whole(state, snapshot)

    whole = checkpoint.load
    with mock.patch("processors.owner.load", load):
        yield


@pytest.mark.parametrize("change", [no_republishing, deltas, no_manifest], ids=lambda change: change.__name__)
def test_i2_catches(change: Change) -> None:
    assert caught(("I2",), change=change)


def test_i3_a_stale_owner_writes_only_what_the_log_determines(found: list[str]) -> None:
    assert of("I3", found) == []


@contextlib.contextmanager
def versions_of_the_batch() -> Iterator[None]:
    """A row's version is where its batch ended, not its last event: two owners cut batches elsewhere."""
    changed_rows = outputs.changed_rows

    def at_the_end(state: PartitionState, topic_id: str, partition: int) -> list[outputs.WindowRow]:
        rows = changed_rows(state, topic_id, partition)
        return [msgspec.structs.replace(row, offset=state.offset - 1) for row in rows]

    with mock.patch("processors.owner.changed_rows", at_the_end):
        yield


def test_i3_catches_versions_of_the_batch() -> None:
    assert caught(("I3",), change=versions_of_the_batch)


def test_i4_versions_that_readers_see_never_go_back(found: list[str]) -> None:
    assert of("I4", found) == []
    assert caught(("I4",), "key without token"), "a stale record that outlives a newer one was not caught"


@contextlib.contextmanager
def the_clock_of_the_batch() -> Iterator[None]:
    """Lateness by the newest record that happens to be in the batch, as a wall clock would."""

    class Hasty(PartitionState):
        def fold(self, batch: Batch, since_ms: int = -(10**15)) -> list[Letter]:
            self.clock_ms = max(self.clock_ms, int(batch.timestamp_ms.max()))
            return super().fold(batch, since_ms)

    with mock.patch("processors.owner.PartitionState", Hasty):
        yield


@contextlib.contextmanager
def limits_looked_at_once_a_batch() -> Iterator[None]:
    with mock.patch("processors.meter.refused_by", lambda *args: (refused_by(*args)[0], False)):
        yield


def test_i5_batches_crashes_and_rebalances_change_nothing(found: list[str]) -> None:
    assert of("I5", found) == []
    assert of("letters", found) == []


def test_i5_catches_the_clock_of_the_batch() -> None:
    assert caught(("I5",), change=the_clock_of_the_batch)


def test_i5_catches_limits_looked_at_once_a_batch() -> None:
    assert caught(("I1", "I5"), change=limits_looked_at_once_a_batch)


@contextlib.contextmanager
def the_version_of_one_partial() -> Iterator[None]:
    apply = Merged._apply

    def versioned(self: Merged, row: outputs.WindowRow, *moved: int) -> None:
        apply(self, row, *moved)
        for days in self.days.values():
            for state in days.values():
                state.versions = row.offset + 1

    with mock.patch.object(Merged, "_apply", versioned):
        yield


def test_i6_rated_days_and_the_opening_row_add_up_to_the_price_and_the_preview(found: list[str]) -> None:
    assert of("I6", found) == []


def test_i6_catches_the_version_of_one_partial() -> None:
    assert caught(("I6",), change=the_version_of_one_partial)


def test_a_seed_replays_the_same_run() -> None:
    one, other = simulate(11)[0], simulate(11)[0]
    assert one.seen == other.seen
    assert one.usage.rows == other.usage.rows


def test_a_failing_seed_prints_how_to_replay_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["simulate", "--start", "1", "--seeds", "20"])
    with no_republishing():
        assert main() == 1
    said = capsys.readouterr().out
    assert "I2:" in said
    assert "replay: python -m tests.simulation.simulate --seed " in said
    monkeypatch.setattr("sys.argv", ["simulate", "--seed", "11"])
    assert main() == 0
