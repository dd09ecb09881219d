"""What leaves stage 1 after a checkpoint: absolute rows with versions, for ClickHouse and for `usage.windows`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from config.catalogue import BEGIN_MS, Catalogue
from processors.identity import Digests
from processors.partials import CHUNK_MEMBERS, PartialTable
from processors.row_records import Record
from processors.window_rows import NUMBERS, Block, MeterKey, WindowRow, WindowRows
from processors.windows import Ints

if TYPE_CHECKING:
    from processors.admission import Outcome
    from processors.meter import PartitionState
    from processors.sequences import SequenceDay

GENERATION = 0  # of partials: no repair has raised it yet; row version = generation << 64 | offset


class Released(msgspec.Struct):
    """What one partition's checkpoint lets go. The ledger goes last: who reads its clock in ClickHouse knows that all
    hours closed by then are archived, and all admissions before it are there."""

    partition: int
    through: int  # the checkpoint's offset
    rows: WindowRows  # for ClickHouse
    records: list[Record]  # for `usage.windows`
    clock_ms: int
    ledger: dict[str, int]
    lateness_max_ms: int = 0  # hours that end at or before clock - this are closed
    archived_since_ms: int = BEGIN_MS  # of hours that begin before this the archive may lack identities
    identities: list[tuple[int, Digests]] = []  # closed hours since 1970, each with all of its digests
    numbers: list[tuple[int, SequenceDay]] = []  # closed days since 1970
    outcomes: list[Outcome] = []


def changed_rows(state: PartitionState, topic_id: str, partition: int) -> WindowRows:
    """Every partial changed since the last checkpoint. Take them before `settle`, send them after the write."""
    blocks: list[Block] = []
    for key, table in state.tables.items():
        changed = table.changed()
        if len(changed):
            first = [_first_new_chunk(table, row) for row in changed.tolist()] if table.sets else None
            blocks += table_blocks(state.catalogue, key, table, changed, first, topic_id, partition)
    return WindowRows(blocks)


def _first_new_chunk(table: PartialTable, row: int) -> int:
    """The chunk that the first member since the last checkpoint went into; behind the last chunk if there is none."""
    saved = table.saved_members(row)
    return saved // CHUNK_MEMBERS if saved < table.sets[row].count else len(table.chunk_offsets[row])


def unpublished_rows(state: PartitionState, published: int, topic_id: str, partition: int) -> WindowRows:
    """Every partial that an event at or above `published` went into: what a new owner sends again."""
    blocks: list[Block] = []
    for key, table in state.tables.items():
        again = np.flatnonzero(table.column("offset") >= published)
        first = None
        if table.sets:
            first = [sum(offset < published for offset in table.chunk_offsets[row]) for row in again.tolist()]
        blocks += table_blocks(state.catalogue, key, table, again, first, topic_id, partition)
    return WindowRows(blocks)


def admitted_rows(
    state: PartitionState, since: int, topic_id: str, partition: int
) -> tuple[list[WindowRow], list[Outcome]]:
    """Rows and outcomes of the admission records from offset `since` on. They are final: each is sent as it is."""
    settled = [one for offset, one in sorted(state.admissions.pending.items()) if offset >= since]
    rows = [msgspec.structs.replace(row, topic=topic_id, partition=partition) for one in settled for row in one.rows]
    return rows, [outcome for one in settled for outcome in one.outcomes]


def table_blocks(
    catalogue: Catalogue,
    key: MeterKey,
    table: PartialTable,
    at: Ints,
    first_chunk: list[int] | None,
    topic_id: str,
    partition: int,
) -> Iterator[Block]:
    """A row for each partial at `at`, and for those with members a row for each chunk of them from `first_chunk` on."""
    numbers = np.zeros(len(at), NUMBERS)
    numbers["window_start_ms"] = table.column("window")[at]
    for name in set(table.dtype.names or ()).intersection(NUMBERS.names or ()):
        numbers[name] = table.column(name)[at]
    series = list(map(table.series.seen.__getitem__, table.column("series")[at].tolist()))
    account, moved = [one[0] for one in series], catalogue.mappings
    if moved:  # a look-up in an empty mapping costs as much as the rest of this
        windows = numbers["window_start_ms"].tolist()
        account = [
            catalogue.account_of(subject, window) if subject in moved else subject
            for subject, window in zip(account, windows, strict=True)
        ]
    yield Block(key, topic_id, partition, series, account, numbers, at=at)
    if first_chunk is None:
        return
    places, chunks, offsets, members = [], [], [], []
    for place, (row, first) in enumerate(zip(at.tolist(), first_chunk, strict=True)):
        for chunk, offset in enumerate(table.chunk_offsets[row][first:], first):
            places.append(place)
            chunks.append(chunk + 1)
            offsets.append(offset)
            members.append(table.sets[row].rows[chunk * CHUNK_MEMBERS : (chunk + 1) * CHUNK_MEMBERS].tobytes())
    # Nothing but their members: the latest reading may be of a later event than the row's version says.
    apart = np.zeros(len(places), NUMBERS)
    apart["window_start_ms"], apart["chunk"], apart["offset"] = numbers["window_start_ms"][places], chunks, offsets
    of = [series[place] for place in places], [account[place] for place in places]
    yield Block(key, topic_id, partition, *of, apart, members)
