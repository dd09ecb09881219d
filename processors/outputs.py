"""What leaves stage 1 after a checkpoint: absolute rows with versions, for ClickHouse and for `usage.windows`."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from config.catalogue import BEGIN_MS, Catalogue
from processors.identity import Digests
from processors.partials import CHUNK_MEMBERS, PartialTable
from processors.windows import Ints

if TYPE_CHECKING:
    from processors.admission import Outcome
    from processors.meter import MeterKey, PartitionState
    from processors.sequences import SequenceDay

GENERATION = 0  # of partials: no repair has raised it yet; row version = generation << 64 | offset


class WindowRow(msgspec.Struct, array_like=True):
    """One message of `usage.windows`: the absolute state of a partial, or one chunk of its members (unique, gauge).

    `offset` is that of the last event folded in; of two rows with one key the higher offset holds. `value` is the
    min, max or latest value. Sums are `sum_hi * 2**32 + sum_lo`, scaled by the meter's precision.
    """

    meter: str
    meter_version: int
    subject: str
    dimensions: list[str]  # in the meter's order
    account: str
    window_start_ms: int
    topic: str  # id of the events topic
    partition: int
    chunk: int  # 0: the state without members; k > 0: members 4096 * (k - 1) and on
    offset: int
    events: int
    sum_hi: int
    sum_lo: int
    value: int
    time_us: int
    id_hi: int
    id_lo: int
    members: bytes  # unique: digests of 16 bytes; gauge: samples of 32, see processors.samples
    admission: int = 0  # offset of the admission record + 1, whose events are a row of their own; 0: in time

    def key(self) -> tuple[Any, ...]:
        """What the row is about: of rows with one key the highest offset holds."""
        return (
            *(self.meter, self.meter_version, self.subject, self.dimensions),
            *(self.window_start_ms, self.topic, self.partition, self.chunk, self.admission),
        )


class Released(msgspec.Struct):
    """What one partition's checkpoint lets go. The ledger goes last: who reads its clock in ClickHouse knows that all
    hours closed by then are archived, and all admissions before it are there."""

    partition: int
    token: bytes  # the owner's
    through: int  # the checkpoint's offset
    rows: list[WindowRow]
    clock_ms: int
    ledger: dict[str, int]
    lateness_max_ms: int = 0  # hours that end at or before clock - this are closed
    archived_since_ms: int = BEGIN_MS  # of hours that begin before this the archive may lack identities
    identities: list[tuple[int, Digests]] = []  # closed hours since 1970, each with all of its digests
    numbers: list[tuple[int, SequenceDay]] = []  # closed days since 1970
    outcomes: list[Outcome] = []


def changed_rows(state: PartitionState, topic_id: str, partition: int) -> list[WindowRow]:
    """Every partial changed since the last checkpoint. Take them before `settle`, send them after the write."""
    rows: list[WindowRow] = []
    for key, table in state.tables.items():
        changed = table.changed()
        if len(changed):
            first = [_first_new_chunk(table, row) for row in changed.tolist()] if table.sets else None
            rows += table_rows(state.catalogue, key, table, changed, first, topic_id, partition)
    return rows


def _first_new_chunk(table: PartialTable, row: int) -> int:
    """The chunk that the first member since the last checkpoint went into; behind the last chunk if there is none."""
    saved = table.saved_members(row)
    return saved // CHUNK_MEMBERS if saved < table.sets[row].count else len(table.chunk_offsets[row])


def unpublished_rows(state: PartitionState, published: int, topic_id: str, partition: int) -> list[WindowRow]:
    """Every partial that an event at or above `published` went into: what a new owner sends again."""
    rows: list[WindowRow] = []
    for key, table in state.tables.items():
        again = np.flatnonzero(table.column("offset") >= published)
        first = None
        if table.sets:
            first = [sum(offset < published for offset in table.chunk_offsets[row]) for row in again.tolist()]
        rows += table_rows(state.catalogue, key, table, again, first, topic_id, partition)
    return rows


def admitted_rows(
    state: PartitionState, since: int, topic_id: str, partition: int
) -> tuple[list[WindowRow], list[Outcome]]:
    """Rows and outcomes of the admission records from offset `since` on. They are final: each is sent as it is."""
    settled = [one for offset, one in sorted(state.admissions.pending.items()) if offset >= since]
    rows = [msgspec.structs.replace(row, topic=topic_id, partition=partition) for one in settled for row in one.rows]
    return rows, [outcome for one in settled for outcome in one.outcomes]


def table_rows(
    catalogue: Catalogue,
    key: MeterKey,
    table: PartialTable,
    at: Ints,
    first_chunk: list[int] | None,
    topic_id: str,
    partition: int,
) -> list[WindowRow]:
    """A row for each partial at `at`, and for one with members a row for each chunk of them from `first_chunk` on."""
    names = table.dtype.names or ()
    n = len(at)

    def column(name: str) -> list[int]:
        return table.column(name)[at].tolist() if name in names else [0] * n

    account_of, seen = catalogue.account_of, table.series.seen
    windows = column("window")
    series = [seen[code] for code in column("series")]
    accounts = [account_of(one[0], window) for one, window in zip(series, windows, strict=True)]
    columns = [column(name) for name in ("offset", "events", "sum_hi", "sum_lo", "value", "time_us", "id_hi", "id_lo")]
    rows = [
        WindowRow(*key, one[0], list(one[1:]), account, window, topic_id, partition, 0, *rest)
        for one, account, window, *rest in zip(series, accounts, windows, *columns, repeat(b""), strict=False)
    ]
    if first_chunk is not None:
        for row, place, first in zip(rows[:], at.tolist(), first_chunk, strict=True):
            for chunk, offset in enumerate(table.chunk_offsets[place][first:], first):
                members = table.sets[place].rows[chunk * CHUNK_MEMBERS : (chunk + 1) * CHUNK_MEMBERS].tobytes()
                # Nothing but its members: the latest reading may be of a later event than this row's version says.
                none = {"events": 0, "value": 0, "time_us": 0, "id_hi": 0, "id_lo": 0}
                rows.append(msgspec.structs.replace(row, chunk=chunk + 1, offset=offset, members=members, **none))
    return rows
