"""Row batches to Arrow tables, column by column. Refuses what the column cannot hold exactly; never rounds or wraps.

Arrow because it is the cheapest of the client's public ways in: see INSERT COST in clickhouse.py.
"""

from array import array
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sinks.rows import (
    AdmissionRows,
    ArchiveGapRows,
    CatalogueRows,
    IdentityRows,
    Integers,
    LedgerRows,
    LetterRows,
    Members,
    NumberRows,
    RatedRows,
    UsageRows,
)

_TIME = pa.timestamp("ms", "UTC")
_MEMBER = pa.binary(16)
_QUANTITY = pa.decimal256(76, 12)
_AMOUNT = pa.decimal256(76, 30)


def integers(values: Integers, kind: pa.DataType) -> pa.Array:
    """Raise TypeError, ValueError or OverflowError for a value that `kind` does not hold."""
    if not isinstance(values, np.ndarray):
        # array refuses what pyarrow and numpy would bend: 1.5 becomes their 1, and [1, 2**63] becomes numpy's floats
        values = np.asarray(array("Q" if pa.types.is_unsigned_integer(kind) else "q", values))
    if values.dtype.kind not in "iub":
        raise TypeError(f"integers wanted, got an array of {values.dtype}")
    return pa.array(values).cast(kind)


def _times(values_ms: Integers) -> pa.Array:
    return integers(values_ms, pa.int64()).cast(_TIME)


def _strings(values: Sequence[str]) -> pa.Array:
    return pa.array(values, pa.string())


def _decimals(values: Sequence[Decimal | None], kind: pa.DataType) -> pa.Array:
    """Exact: pyarrow raises ArrowInvalid where digits would be lost."""
    return pa.array(values, kind)


def _members(values: Sequence[Members] | None, rows: int) -> pa.Array:
    """Array(UInt128) as lists of 16 little-endian bytes."""
    if values is None:
        sizes, data = np.zeros(rows, np.int32), b""
    else:
        sizes = np.fromiter(map(len, values), np.int32, rows)
        data = b"".join(map(_member_bytes, values))
    offsets = np.concatenate((np.zeros(1, np.int32), np.cumsum(sizes, dtype=np.int32)))
    flat = pa.FixedSizeBinaryArray.from_buffers(_MEMBER, len(data) // 16, [None, pa.py_buffer(data)])
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def _member_bytes(members: Members) -> bytes:
    if isinstance(members, np.ndarray):
        return members[:, ::-1].astype("<u8").tobytes()  # (high, low) halves to little-endian
    return b"".join([member.to_bytes(16, "little") for member in members])


def _samples(values: Sequence[npt.NDArray[np.uint64]] | None, rows: int) -> pa.Array:
    """Array(Tuple(time_us Int64, id UInt128, value Int64))."""
    sizes = np.zeros(rows, np.int32) if values is None else np.fromiter(map(len, values), np.int32, rows)
    offsets = np.concatenate((np.zeros(1, np.int32), np.cumsum(sizes, dtype=np.int32)))
    flat = np.concatenate([np.empty((0, 4), np.uint64), *(values or ())])
    parts = {
        "time_us": pa.array(flat[:, 0].view(np.int64)),
        "id": _digests(flat[:, 1:3]),
        "value": pa.array(flat[:, 3].view(np.int64)),
    }
    return pa.ListArray.from_arrays(pa.array(offsets), pa.StructArray.from_arrays(parts.values(), parts.keys()))


def _digests(halves: npt.NDArray[np.uint64]) -> pa.Array:
    data = _member_bytes(halves)
    return pa.FixedSizeBinaryArray.from_buffers(_MEMBER, len(halves), [None, pa.py_buffer(data)])


def usage_table(rows: UsageRows) -> pa.Table:
    return pa.table(
        {
            "meter": _strings(rows.meter),
            "meter_version": integers(rows.meter_version, pa.uint32()),
            "aggregation": _strings(rows.aggregation),
            "precision": integers(rows.precision, pa.uint8()),
            "subject": _strings(rows.subject),
            "dims": _strings(rows.dims),
            "account": _strings(rows.account),
            "window_start": _times(rows.window_start_ms),
            "window_end": _times(rows.window_end_ms),
            "topic": _strings(rows.topic),
            "partition": integers(rows.partition, pa.int32()),
            "chunk": integers(rows.chunk, pa.uint32()),
            "offset": integers(rows.offset, pa.uint64()),
            "generation": integers(rows.generation, pa.uint64()),
            "events": integers(rows.events, pa.uint64()),
            "sum_hi": integers(rows.sum_hi, pa.int64()),
            "sum_lo": integers(rows.sum_lo, pa.int64()),
            "min": integers(rows.min, pa.int64()),
            "max": integers(rows.max, pa.int64()),
            "latest_time_us": integers(rows.latest_time_us, pa.int64()),
            "latest_id_hi": integers(rows.latest_id_hi, pa.uint64()),
            "latest_id_lo": integers(rows.latest_id_lo, pa.uint64()),
            "latest_value": integers(rows.latest_value, pa.int64()),
            "members": _members(rows.members, len(rows.meter)),
            "samples": _samples(rows.samples, len(rows.meter)),
            "admission": integers(
                np.zeros(len(rows.meter), np.int64) if rows.admission is None else rows.admission, pa.uint64()
            ),
        }
    )


def ledger_table(rows: LedgerRows) -> pa.Table:
    counts = ("offset", "consumed", "accepted", "duplicate", "late", "invalid", "unmetered", "admitted")
    return pa.table(
        {
            "topic": _strings(rows.topic),
            "partition": integers(rows.partition, pa.int32()),
            **{name: integers(getattr(rows, name), pa.uint64()) for name in counts},
            "clock": _times(rows.clock_ms),
            "lateness_max_ms": integers(rows.lateness_max_ms, pa.uint64()),
            "archived_since": _times(rows.archived_since_ms),
        }
    )


def identity_table(rows: IdentityRows) -> pa.Table:
    n = len(rows.identity)
    return pa.table(
        {
            "topic": pa.repeat(rows.topic, n),
            "partition": pa.repeat(pa.scalar(rows.partition, pa.int32()), n),
            "hour": pa.repeat(pa.scalar(rows.hour, pa.uint32()), n),
            "identity": _digests(rows.identity),
        }
    )


def archive_gap_table(rows: ArchiveGapRows) -> pa.Table:
    return pa.table(
        {
            "topic": _strings(rows.topic),
            "partition": integers(rows.partition, pa.int32()),
            "before": _times(rows.before_ms),
        }
    )


def number_table(rows: NumberRows) -> pa.Table:
    n = len(rows.source)
    return pa.table(
        {
            "topic": pa.repeat(rows.topic, n),
            "partition": pa.repeat(pa.scalar(rows.partition, pa.int32()), n),
            "day": pa.repeat(pa.scalar(rows.day, pa.uint32()), n),
            "source": _digests(rows.source),
            "first": integers(rows.first, pa.int64()),
            "last": integers(rows.last, pa.int64()),
        }
    )


def admission_table(rows: AdmissionRows) -> pa.Table:
    return pa.table(
        {
            "topic": _strings(rows.topic),
            "partition": integers(rows.partition, pa.int32()),
            "offset": integers(rows.offset, pa.uint64()),
            "event_index": integers(rows.index, pa.uint32()),
            "letter_topic": _strings(rows.letter_topic),
            "letter_partition": integers(rows.letter_partition, pa.int32()),
            "letter_offset": integers(rows.letter_offset, pa.uint64()),
            "letter_index": integers(rows.letter_index, pa.uint32()),
            "verdict": _strings(rows.verdict),
            "reason": _strings(rows.reason),
            "identity": _digests(rows.identity),
            "clock": _times(rows.clock_ms),
        }
    )


def letter_table(rows: LetterRows) -> pa.Table:
    return pa.table(
        {
            "topic": _strings(rows.topic),
            "partition": integers(rows.partition, pa.int32()),
            "offset": integers(rows.offset, pa.uint64()),
            "event_index": integers(rows.index, pa.uint32()),
            "reason": _strings(rows.reason),
            "raw": pa.array(rows.raw, pa.binary()),
            "record_timestamp": _times(rows.record_timestamp_ms),
            "type": _strings(rows.type),
            "subject": _strings(rows.subject),
        }
    )


def rated_table(rows: RatedRows) -> pa.Table:
    return pa.table(
        {
            "account": _strings(rows.account),
            "plan": _strings(rows.plan),
            "plan_version": integers(rows.plan_version, pa.uint32()),
            "price": _strings(rows.price),
            "model": _strings(rows.model),
            "meter": _strings(rows.meter),
            "currency": _strings(rows.currency),
            "period_start": pa.array(rows.period_start, pa.date32()),
            "segment_start": pa.array(rows.segment_start, pa.date32()),
            "day": pa.array(rows.day, pa.date32()),
            "opening": integers(rows.opening, pa.uint8()),
            "part": _strings(rows.part),
            "quantity": _decimals(rows.quantity, _QUANTITY),
            "quantity_total": _decimals(rows.quantity_total, _QUANTITY),
            "amount": _decimals(rows.amount, _AMOUNT),
            "unrated_reason": _strings(rows.unrated_reason),
            "generation": integers(rows.generation, pa.uint64()),
            "revision": integers(rows.version, pa.uint64()),
        }
    )


def catalogue_table(rows: CatalogueRows) -> pa.Table:
    return pa.table(
        {
            "generation": integers(rows.generation, pa.uint64()),
            "kind": _strings(rows.kind),
            "id": _strings(rows.id),
            "version": integers(rows.version, pa.uint32()),
            "body": _strings(rows.body),
        }
    )


def size_cuts(rows: int, rows_max: int, sizes: Sequence[int] | None = None, bytes_max: int = 0) -> list[int]:
    """Edges [0, ..., rows] of blocks within `rows_max` rows and `bytes_max` of `sizes`; a larger row stands alone."""
    if sizes is None:
        return [*range(0, rows, rows_max), rows]
    edges, total = [0], 0
    for row, size in enumerate(sizes):
        if row > edges[-1] and (row - edges[-1] >= rows_max or total + size > bytes_max):
            edges.append(row)
            total = 0
        total += size
    return [*edges, rows]


def group_cuts(groups: Sequence[object], rows_max: int) -> list[int]:
    """Edges [0, ..., rows] of blocks within `rows_max` rows; equal neighbours share a block where one holds them."""
    edges, start = [0], 0
    for row, group in enumerate(groups):
        if row and group != groups[row - 1]:
            start = row
        if row - edges[-1] >= rows_max:
            edges.append(start if start > edges[-1] else row)
    return [*edges, len(groups)]
