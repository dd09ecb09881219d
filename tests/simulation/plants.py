"""Bugs to plant in the real code, one at a time. tests.simulation.planted says how soon the simulator finds each.

Each is a small patch over code that is right, as somebody might have written it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import msgspec
import numpy as np

from config.catalogue import BEGIN_MS
from processors import checkpoint, outputs
from processors.consume import PartitionConsumer
from processors.limits import refused_by
from processors.merge import Merged
from processors.meter import Batch, Letter, PartitionState
from processors.meter_stage import MeterStage
from processors.outputs import Released
from processors.owner import Mark, Owner
from processors.row_records import Record, Taken
from processors.sent import Sent
from processors.window_rows import Block, WindowRow, WindowRows
from processors.windows import Ints
from tests.simulation.slots import SlotStore
from tests.simulation.tables import RATED_KEY
from tests.simulation.world import World

Patch = contextlib.AbstractContextManager[Any]
_LATE = ("late",) * 6 + ("refused", "after")  # faults of a call


class Plant(NamedTuple):
    """`breaks`: how a fault may begin that says so."""

    plant: Callable[[], Patch]
    breaks: tuple[str, ...]


PLANTS: dict[str, Plant] = {}


def planted(*breaks: str) -> Callable[[Callable[[], Patch]], Callable[[], Patch]]:
    def remember(plant: Callable[[], Patch]) -> Callable[[], Patch]:
        PLANTS[plant.__name__.replace("_", " ")] = Plant(plant, breaks)
        return plant

    return remember


@planted("I1", "I2", "livelock")
def no_republishing_after_a_crash() -> Patch:
    return mock.patch("processors.owner.unpublished_rows", lambda *_: WindowRows())


@planted("I2", "I3", "I5")
def closed_but_unpublished_windows_evicted() -> Patch:
    """A checkpoint holds what is open, whether or not the rest was acknowledged."""
    checkpoint = Owner.checkpoint

    def evicting(self: Owner) -> Released | None:
        if self.unsaved:
            self._again += WindowRows.of(outputs.changed_rows(self.state, self.topic_id, self.partition))
            self._ahead = self._recorder.compact(published=2**62)
        return checkpoint(self)

    return mock.patch.object(Owner, "checkpoint", evicting)


@planted("I2")
def restore_from_the_outputs_at_the_head() -> Patch:
    """The mark says how far outputs have gone out, not how far they are acknowledged."""

    def mark(self: Owner) -> Mark | None:
        if self.restoring or self.state.offset != self._recorder.committed:
            return None
        ledger = msgspec.structs.replace(self.state.ledger)
        return Mark(self.state.offset, self.state.clock_ms, ledger, self.state.open_digest())

    return mock.patch.object(Owner, "mark", mark)


class _Folding(PartitionState):
    """A state that does something else before each message of a batch."""

    def fold(self, batch: Batch, since_ms: int = BEGIN_MS) -> list[Letter]:
        letters = []
        for at in range(len(batch.offset)):
            one = Batch(batch.values[at : at + 1], batch.offset[at : at + 1], batch.timestamp_ms[at : at + 1])
            self.before(one)
            letters += super().fold(one, since_ms)
        return letters

    def before(self, one: Batch) -> None:
        raise NotImplementedError


@planted("I")
def lateness_by_the_wall_clock() -> Patch:
    minutes = itertools.count()

    class Hasty(_Folding):
        def before(self, one: Batch) -> None:
            self.clock_ms = max(self.clock_ms, int(one.timestamp_ms[0]) + next(minutes) % 60 * 60_000)

    return mock.patch("processors.owner.PartitionState", Hasty)


@planted("I")
def lateness_by_each_record() -> Patch:
    class Forgetful(_Folding):
        def before(self, one: Batch) -> None:
            self.clock_ms = BEGIN_MS

    return mock.patch("processors.owner.PartitionState", Forgetful)


@planted("I")
def the_clock_of_the_batch() -> Patch:
    """Lateness by the newest record that happens to be in the batch."""

    class Hasty(PartitionState):
        def fold(self, batch: Batch, since_ms: int = BEGIN_MS) -> list[Letter]:
            self.clock_ms = max(self.clock_ms, int(batch.timestamp_ms.max()))
            return super().fold(batch, since_ms)

    return mock.patch("processors.owner.PartitionState", Hasty)


@planted("I")
def deltas_instead_of_absolute_outputs() -> Patch:
    """Rows say what was added since the last checkpoint, as a counter would."""
    absolute = outputs.changed_rows
    before: dict[bytes, WindowRow] = {}

    def changed_rows(state: PartitionState, topic_id: str, partition: int) -> WindowRows:
        rows = []
        for row in absolute(state, topic_id, partition):
            key = msgspec.msgpack.encode(row.key())
            last = before.get(key)
            before[key] = row
            rows.append(msgspec.structs.replace(row, events=row.events - last.events) if last else row)
        return WindowRows.of(rows)

    return mock.patch("processors.owner.changed_rows", changed_rows)


@planted("I")
def versions_of_the_batch() -> Patch:
    """A row's version is where its batch ended, not its last event: two owners cut batches elsewhere."""
    changed_rows = outputs.changed_rows

    def at_the_end(state: PartitionState, topic_id: str, partition: int) -> WindowRows:
        rows = changed_rows(state, topic_id, partition)
        return WindowRows.of(msgspec.structs.replace(row, offset=state.offset - 1) for row in rows)

    return mock.patch("processors.owner.changed_rows", at_the_end)


@planted("I4")
def topic_key_without_the_owners_token() -> Patch:
    records = Sent.records

    def without(self: Sent, state: PartitionState, rows: WindowRows, token: bytes) -> list[Record]:
        return records(self, state, rows, b"")

    return mock.patch.object(Sent, "records", without)


@planted("I2", "I4", "I6")
def record_used_again_before_all_of_it_is_superseded() -> Patch:
    """A key is free as soon as any of its rows stands in another record."""
    supersede = Sent._supersede

    def hasty(self: Sent, before: Ints, offset: int) -> None:
        for number in {*before.tolist()} & self._held.keys():
            self._held[number].news = int((before == number).sum())
        supersede(self, before, offset)

    return mock.patch.object(Sent, "_supersede", hasty)


@planted("I2", "I4", "I6")
def thin_records_emptied_and_used_again_without_their_rows() -> Patch:
    """What is left of a thin record is not sent once more."""

    def dropped(self: Sent, thin: set[int], state: PartitionState) -> list[Block]:
        self._superseded += [(state.offset, self._held[number].partition, number) for number in thin]
        return []

    return mock.patch.object(Sent, "_rest_of", dropped)


@planted("I6")
def rated_version_from_one_partial_only() -> Patch:
    add = Merged.add

    def versioned(self: Merged, values: list[bytes]) -> int:
        rows = add(self, values)
        for days in self.days.values():
            for state in days.values():
                state.versions = list(Taken(values[-1:]))[-1].offset + 1
        return rows

    return mock.patch.object(Merged, "add", versioned)


@planted("I6")
def plan_version_in_the_row_key() -> Patch:
    return mock.patch("tests.simulation.tables.RATED_KEY", (*RATED_KEY, "plan_version"))


@planted("I")
def checkpoint_in_the_middle_of_a_message() -> Patch:
    """A batch ends in the midst of its last message; the rest is folded with the next one."""
    fold = Owner.fold

    def rest_of(self: Owner) -> None:
        value, at, timestamp_ms, events = self.__dict__.pop("_rest", (None, 0, 0, 0))
        for index in range(1, events):
            raw = self.state.decoder.raw(value, index)
            letters = self.state.fold(Batch([raw], np.array([at]), np.array([timestamp_ms])))
            self.letters += [msgspec.structs.replace(one, index=index) for one in letters]

    def cut(self: Owner, batch: Batch) -> None:
        rest_of(self)
        value = batch.values[-1]
        events = len(self.state.decoder.decode([value], batch.timestamp_ms[-1:]).kind)
        if events == 1 or self.restoring or not value:
            fold(self, batch)
            return
        first = self.state.decoder.raw(value, 0)
        fold(self, Batch([*batch.values[:-1], first], batch.offset, batch.timestamp_ms))
        self.state.offset = int(batch.offset[-1])
        self.__dict__["_rest"] = (value, self.state.offset, int(batch.timestamp_ms[-1]), events)

    at_end = Owner.at_end
    return mock.patch.multiple(Owner, fold=cut, at_end=lambda self: (rest_of(self), at_end(self))[1])


@planted("I", "bug")
def no_manifest() -> Patch:
    """Whatever is there is loaded."""
    whole = checkpoint.load

    def load(state: PartitionState, snapshot: checkpoint.Snapshot) -> None:
        manifest = snapshot.head.manifest
        kept = {name: data for name, data in snapshot.chunks.items() if len(data) >= manifest.chunks()[name]}
        segments = {n: length for n, length in manifest.segments.items() if f"state:{n}" in kept}
        hours = {h: sum(len(d) for n, d in kept.items() if n.startswith(f"ids:{h}:")) for h in manifest.hours}
        pieces = {h: n for h, n in hours.items() if n == manifest.hours[h]}
        snapshot.head.manifest = checkpoint.Manifest(segments, pieces, sums=manifest.sums)
        whole(state, snapshot)

    return mock.patch("processors.owner.load", load)


@planted("I1", "I5")
def limits_looked_at_once_a_batch() -> Patch:
    return mock.patch("processors.meter.refused_by", lambda *args: (refused_by(*args)[0], False))


@planted("I3")
def no_owner_check_in_the_checkpoint() -> Patch:
    return mock.patch.object(SlotStore, "fenced", False)


@planted("I4")
def no_offset_check_in_the_checkpoint() -> Patch:
    """Looked for where many checkpoints arrive late: one must come after its owner's next."""
    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch.object(SlotStore, "compares", False))
    fault = World.fault

    def late(self: World, call: str, *rest: Any, **named: Any) -> str:
        return fault(self, call, _LATE, 5.0) if call == "write" else fault(self, call, *rest, **named)

    stack.enter_context(mock.patch.object(World, "fault", late))
    return stack


@planted("I", "stopped")
def no_offset_check_against_the_log() -> Patch:
    """A position is not compared with what the log has."""
    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch("processors.meter_stage.past_the_end", lambda *_: None))
    stack.enter_context(mock.patch.object(Owner, "_reach", lambda *_: None))
    return stack


@planted("I", "letters")
def letters_after_the_checkpoint() -> Patch:
    checkpoint, send = MeterStage._checkpoint, MeterStage._send_letters

    def then_letters(self: MeterStage) -> None:
        checkpoint(self)
        send(self)

    return mock.patch.multiple(MeterStage, _checkpoint=then_letters, _send_letters=lambda self: None)


@planted("I2", "I1")
def outputs_taken_for_acknowledged_once_sent() -> Patch:
    return mock.patch.multiple(MeterStage, _await=lambda self, future: None, _await_producer=lambda self: None)


@planted("I1", "livelock")
def counts_of_the_last_owner_left_unsent() -> Patch:
    begin = Owner.begin

    def forgetful(self: Owner) -> int:
        offset = begin(self)
        self._owes = bool(self._again)
        return offset

    return mock.patch.object(Owner, "begin", forgetful)


@planted("I")
def messages_taken_early_outlive_their_partition() -> Patch:
    """What a callback of `consume` dropped is there again, as with `self._early += consume(...)`."""
    keep_alive = PartitionConsumer.keep_alive

    def forgetful(self: PartitionConsumer) -> None:
        early = self._early
        keep_alive(self)
        self._early = early + [message for message in self._early if message not in early]

    return mock.patch.object(PartitionConsumer, "keep_alive", forgetful)


@planted("I6")
def nothing_taken_back_by_a_re_rate() -> Patch:
    return mock.patch("tests.simulation.processes.rated_before", lambda *_: [])
