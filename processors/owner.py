"""The owner of one partition: claims it, loads or restores its state, folds, checkpoints, and releases outputs.

It does what section 3 of the design says and nothing else; where the messages come from and where outputs go is the
runtime's business, so that a simulator can drive it through every order of events.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from config.catalogue import BEGIN_MS, Catalogue
from config.settings import Settings
from processors.checkpoint import Head, Recorder, Write, load
from processors.events import Decoder
from processors.homes import Homes
from processors.identity import HOUR_US
from processors.meter import Batch, Ledger, Letter, PartitionState
from processors.outputs import Released, admitted_rows, changed_rows, unpublished_rows
from processors.partials import DamagedError
from processors.sent import Sent
from processors.sequences import DAY_US
from processors.state import Slot
from processors.window_rows import WindowRows


class Mark(msgspec.Struct):
    """What was true of a partition when every output through `offset` was acknowledged. Published to `usage.marks`."""

    offset: int
    clock_ms: int
    ledger: Ledger
    digest: str  # PartitionState.open_digest
    archived_since_ms: int | None = None  # as in the head
    begun: int = 0  # nothing below this offset was ever folded, as a person decided; filled in by who reads it


class LogTooShortError(Exception):
    """The log does not reach back as far as the state needs. Guessing would lose or double events."""


class LogView(Protocol):
    """What an owner asks of its partition's log."""

    def low(self) -> int:
        """The first offset that is still there."""

    def first_at(self, timestamp_ms: int) -> int:
        """The first offset whose record timestamp is at least this; a lower one only costs time."""

    def mark(self) -> Mark | None:
        """The last mark published for this partition."""


class Owner:
    """One partition, from claim to drop."""

    def __init__(
        self,
        slot: Slot,
        log: LogView,
        catalogue: Catalogue,
        settings: Settings,
        topic_id: str,
        partition: int,
        homes: Homes,
    ) -> None:
        self.slot, self.log, self.catalogue, self.settings = slot, log, catalogue, settings
        self.topic_id, self.partition, self._homes = topic_id, partition, homes
        self.letters: list[Letter] = []
        self.published = 0
        self.archived_since_ms = BEGIN_MS  # hours that begin before this may have closed without the archive
        self._restoring: Mark | None = None
        self._since_ms = BEGIN_MS
        self._again = WindowRows()
        self._released = 0  # outputs of the messages below this offset were handed out by us, or acknowledged before
        # Closed hours ("ids") and days ("seq") handed out -> the offset through which they are then due.
        self._archiving: dict[tuple[str, int], int] = {}
        self._saved_published = 0
        self._ahead: list[Write] = []  # chunks that the next checkpoint names
        self._taken: Mark | None = None  # waits for its acknowledgements
        self._marked = -1  # offset of the last one handed out: an idle partition repeats none

    def _empty(self) -> None:
        limits, processing = self.settings.limits, self.settings.processing
        decoder = Decoder(self.catalogue, limits, processing.skew_ms, kernel=processing.kernel)
        self.state = PartitionState(self.catalogue, limits, decoder, self.topic_id)
        self._recorder = Recorder(self.state, limits.state_segment_bytes_max)
        self._sent = Sent(self.topic_id, self.partition, self._homes)

    # -- taking over

    def begin(self) -> int:
        """Claim and load; the offset to read from. Raises LogTooShortError, OlderCatalogueError, Retryable."""
        self._empty()  # also when called again after a Retryable
        head: Head | None = None
        try:
            head = self.slot.claim(self.catalogue.generation)
            if head is not None:
                load(self.state, self.slot.load(head))
        except DamagedError:
            self._empty()
            self.slot.clear(head)  # dying here leaves no head: the next owner restores from the log as we do now
            head = None
        if head is None:
            return self._begin_from_log()
        self._recorder = Recorder(self.state, self.settings.limits.state_segment_bytes_max, head)
        self.published = self._saved_published = self._released = head.published
        self._archiving, self.archived_since_ms = {}, self._archived_since(head.archived_since_ms)
        # The last owner may have died between its checkpoint and its outputs: they are absolute, so send them again.
        self._again = unpublished_rows(self.state, head.published, self.topic_id, self.partition)
        self._reach(self.state.offset, "the state in Redis continues at")
        return self.state.offset

    def _begin_from_log(self) -> int:
        """No usable state in Redis: fold again from the oldest message that what is open can depend on."""
        mark = self.log.mark()
        if mark is None:
            start = self.settings.processing.start_at or 0
            self._reach(start, "with neither a state nor a mark the fold begins at")
            self.state.offset = self.published = self._released = start
            return start
        if mark.offset <= mark.begun:
            self._reach(mark.begun, "a person had the fold begin at")
            self.state.offset = self.published = self._released = mark.begun
            self.state.ledger = msgspec.structs.replace(mark.ledger)
            return mark.begun
        self._since_ms = self._open_since(mark.clock_ms)
        start = min(self.log.first_at(self._since_ms - self.settings.processing.skew_ms), mark.offset)
        start = max(start, mark.begun)
        low = self.log.low()
        self._reach(mark.offset, "after the last mark the fold continues at")
        if low > mark.begun and start <= low < mark.offset:
            raise LogTooShortError(
                f"partition {self.partition}: to restore, the log must reach back to records of before "
                f"{self._since_ms} ms, and it begins at offset {low}; restore a backup of Redis, or keep the log longer"
            )
        start = max(start, low)  # a log that cannot tell times says 0; where it begins at the mark, the digest decides
        self._restoring, self.state.offset = mark, start
        return start

    def _open_since(self, clock_ms: int) -> int:
        """An instant that no window, no hour of ids and no day of numbers straddles, nor is any before it open at a
        clock. A day is the largest of them, and a multiple of all others.

        Folding from there makes every window that it touches whole: half a window would give events over a limit
        another verdict, and its partial another value under the same version.
        """
        day_ms = DAY_US // 1000
        late_ms = max((event.lateness_ms for event in self.catalogue.events), default=0)
        return (clock_ms - late_ms) // day_ms * day_ms

    def _archived_since(self, known_ms: int | None) -> int:
        """Where nothing is known, the hours that were closed by now were dropped by a worker without an archive."""
        return self.state.identities_since_us() // HOUR_US * (HOUR_US // 1000) if known_ms is None else known_ms

    def _reach(self, offset: int, why: str) -> None:
        low = self.log.low()
        if offset < low:
            raise LogTooShortError(
                f"partition {self.partition}: {why} offset {offset}, but the log begins at {low}: messages "
                f"{offset} to {low - 1} are gone. Restore the topic from a backup; nothing is skipped by itself"
            )

    @property
    def restoring(self) -> bool:
        """Folding what was folded before; nothing may leave."""
        return self._restoring is not None

    # -- folding

    def fold(self, batch: Batch) -> None:
        """Fold consecutive messages. While restoring, those below the mark only rebuild the state."""
        if self._restoring is None:
            self.letters += self.state.fold(batch)
            return
        split = int((batch.offset < self._restoring.offset).sum())
        before, after = batch.part(0, split), batch.part(split, len(batch.values))
        if len(before.offset):
            self.state.fold(before, self._since_ms)
        if len(after.offset):
            self._restored()
            self.letters += self.state.fold(after)

    def at_end(self) -> None:
        """The log has no more messages now: a restore whose mark is at the end is over."""
        if self._restoring is not None:
            self._restored()

    def _restored(self) -> None:
        mark, self._restoring = self._restoring, None
        assert mark is not None
        self.state.clock_ms = mark.clock_ms
        digest = self.state.open_digest()
        if digest != mark.digest:
            raise LogTooShortError(
                f"partition {self.partition}: the state folded again through offset {mark.offset} is not the one that "
                f"was there ({digest} for {mark.digest}): the log or the catalogue changed. "
                "Restore a backup of Redis; nothing is guessed"
            )
        self.state.offset, self.state.ledger = mark.offset, msgspec.structs.replace(mark.ledger)
        self.state.identities.closed, self.state.sequences.closed = {}, {}  # archived by others
        self.published = self._released = mark.offset
        self.archived_since_ms = self._archived_since(mark.archived_since_ms)
        # All of it was published by others. Closed windows go; the rest goes to Redis ahead of the first checkpoint.
        self._ahead = self._recorder.compact(mark.offset)

    # -- the checkpoint

    @property
    def unsaved(self) -> bool:
        """Whether a checkpoint would change anything."""
        if self._restoring is not None:
            return False
        return self.state.offset != self._recorder.committed or self.published != self._saved_published

    @property
    def _owes(self) -> bool:
        """Whether something below our offset may not have left: perhaps no more than the ledger."""
        return self._restoring is None and self._released < self.state.offset

    def checkpoint(self) -> Released | None:
        """Commit the state; what may leave now, if anything. Its letters must be acknowledged before.

        Dying before the write: the next owner folds the same messages and says the same. Dying after it, before the
        outputs: `published` is behind, so the next owner sends them again. DamagedError, FencedError, Retryable.
        """
        if not self.unsaved and not self._owes:
            return None
        if not self.settings.processing.archive_identities and self._closed():
            self.state.identities.closed, self.state.sequences.closed = {}, {}
            self.archived_since_ms = max(self.archived_since_ms, self._archived_since(None))
        rows = self._again + changed_rows(self.state, self.topic_id, self.partition)
        admitted, outcomes = admitted_rows(self.state, self._released, self.topic_id, self.partition)
        while self._ahead:  # dying here: no head names them, and the old one is still in force
            self.slot.put(self._ahead[0])
            del self._ahead[0]
        saving = self.unsaved
        if saving:
            written = self._recorder.checkpoint(self.published, self.catalogue.generation, self.archived_since_ms)
            self.slot.write(written)
            self._recorder.commit(written)
            self._saved_published = self.published
        # Nothing fails from here on: what `_sent` says has left does leave, or this owner ends with all it knows.
        rows += WindowRows.of(admitted)
        records = self._sent.records(self.state, rows, self.slot.token)
        if saving and self._recorder.wants_compaction():
            self._ahead = self._recorder.compact(self.published)
            self._sent.forget_closed(self.state)
        elif saving and self._recorder.wants_sequence_compaction():
            self._ahead = self._recorder.compact_sequences()
        self._again, self._released = WindowRows(), self.state.offset
        due = [place for place in self._closed() if place not in self._archiving]
        self._archiving |= dict.fromkeys(due, self.state.offset)
        identities, sequences = self.state.identities, self.state.sequences
        return Released(
            *(self.partition, self.state.offset, rows, records, self.state.clock_ms),
            ledger=msgspec.structs.asdict(self.state.ledger),
            lateness_max_ms=self.state.lateness_max_ms,
            archived_since_ms=self.archived_since_ms,
            identities=[(hour, identities.closed[hour].keys) for kind, hour in due if kind == "ids"],
            numbers=[(day, sequences.closed[day]) for kind, day in due if kind == "seq"],
            outcomes=outcomes,
        )

    def acknowledged(self, through: int) -> None:
        """Every output below `through` is durable. The next checkpoint remembers it."""
        self.published = max(self.published, through)
        self._sent.acknowledged(through)
        self.state.admissions.acknowledged(through)
        for kind, number in [place for place, due in self._archiving.items() if due <= through]:
            del self._archiving[(kind, number)]
            if kind == "ids":
                del self.state.identities.closed[number]
            else:
                del self.state.sequences.closed[number]

    def _closed(self) -> list[tuple[str, int]]:
        """Hours and days that wait for the archive."""
        state = self.state
        return [("ids", hour) for hour in state.identities.closed] + [("seq", day) for day in state.sequences.closed]

    def mark(self) -> Mark | None:
        """Call it now and then, right after `checkpoint`. It takes a mark, and hands it out once it is acknowledged.

        Under steady load there is always something on its way, so what is true now is never acknowledged yet.
        """
        at = self.state.offset
        if self._taken is None and not self.restoring and at == self._recorder.committed and at != self._marked:
            ledger = msgspec.structs.replace(self.state.ledger)
            self._taken = Mark(at, self.state.clock_ms, ledger, self.state.open_digest(), self.archived_since_ms)
        if self._taken is None or self._taken.offset > self.published:
            return None
        taken, self._taken = self._taken, None
        self._marked = taken.offset
        return taken
