"""Batches of rows for ClickHouse, as columns of one length. Names carry units; times are since 1970, UTC."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Integers = Sequence[int] | npt.NDArray[Any]
"""Integers of any width; arrays must have an integer dtype and cost next to nothing."""

Members = Sequence[int] | npt.NDArray[np.uint64]
"""Distinct 128-bit digests: Python integers, or the faster uint64[k, 2] of (high, low) halves."""


class UsageRows(msgspec.Struct):
    """States of (meter version, subject, dims, window) as one partition sees them.

    Key: (meter, meter_version, subject, dims, window_start, topic, partition, chunk, admission).
    Version: generation << 64 | offset.
    A row with zero events (and no members) takes back what an older version of it said.
    """

    meter: Sequence[str]
    meter_version: Integers
    aggregation: Sequence[str]
    precision: Integers  # digits, 0-12
    subject: Sequence[str]
    dims: Sequence[str]  # canonical JSON object of strings, keys sorted
    account: Sequence[str]
    window_start_ms: Integers
    window_end_ms: Integers
    topic: Sequence[str]  # id of the events topic
    partition: Integers
    chunk: Integers  # 0 but for unique states of many members
    offset: Integers  # of the last event folded in
    generation: Integers
    events: Integers  # on chunk 0, for all chunks
    sum_hi: Integers  # sum = hi * 2**32 + lo, scaled by precision
    sum_lo: Integers
    min: Integers
    max: Integers
    latest_time_us: Integers
    latest_id_hi: Integers  # uint64
    latest_id_lo: Integers  # uint64
    latest_value: Integers
    members: Sequence[Members] | None = None  # None: no row of the batch has any
    samples: Sequence[npt.NDArray[np.uint64]] | None = None  # of gauges, uint64[k, 4] as in processors.samples
    admission: Integers | None = None  # offset of the admission record + 1; None or 0: the events came in time


class LedgerRows(msgspec.Struct):
    """Counts of a partition up to `offset`, the next message's, which is also the version. Key: (topic, partition)."""

    topic: Sequence[str]
    partition: Integers
    offset: Integers
    consumed: Integers
    accepted: Integers
    duplicate: Integers
    late: Integers
    invalid: Integers
    unmetered: Integers
    clock_ms: Integers
    admitted: Integers  # of the accepted
    lateness_max_ms: Integers  # hours that end at or before clock - this are closed, and their identities archived
    archived_since_ms: Integers  # of hours that begin before this the archive may lack identities


class LetterRows(msgspec.Struct):
    """Late or refused events as they came. Key: (topic, partition, offset, index)."""

    topic: Sequence[str]
    partition: Integers
    offset: Integers
    index: Integers  # place in the message
    reason: Sequence[str]
    raw: Sequence[bytes]
    record_timestamp_ms: Integers
    type: Sequence[str]
    subject: Sequence[str]


class IdentityRows(msgspec.Struct):
    """Identities of the events accepted in one closed hour. Key: (topic, partition, hour, identity)."""

    topic: str
    partition: int
    hour: int  # of event time, hours since 1970
    identity: npt.NDArray[np.uint64]  # [n, 2], high and low half


class ArchiveGapRows(msgspec.Struct):
    """Hours that end before this may lack identities in this database, whatever the ledger says."""

    topic: Sequence[str]
    partition: Integers
    before_ms: Integers


class NumberRows(msgspec.Struct):
    """Numbers accepted in one closed day, as intervals. Key: (topic, partition, day, source, first, last)."""

    topic: str
    partition: int
    day: int  # of event time, days since 1970
    source: npt.NDArray[np.uint64]  # [n, 2], digest of the source, high and low half
    first: Integers
    last: Integers  # inclusive


class AdmissionRows(msgspec.Struct):
    """What became of each event that came back.

    Key: (topic, partition, letter_topic, letter_partition, letter_offset, letter_index, offset, index).
    """

    topic: Sequence[str]
    partition: Integers
    offset: Integers  # of the admission record
    index: Integers  # place in it
    letter_topic: Sequence[str]  # coordinate of the letter
    letter_partition: Integers
    letter_offset: Integers
    letter_index: Integers
    verdict: Sequence[str]
    reason: Sequence[str]
    identity: npt.NDArray[np.uint64]  # [n, 2], high and low half; 0 where it is not known
    clock_ms: Integers  # of the partition, then


class RatedRows(msgspec.Struct):
    """Rated days.

    Key: (account, period_start, segment_start, price, meter, opening, day, part). Version: generation << 64 | version.

    Rows of one (account, period_start) stand together: they are inserted in one block where it can hold them.
    """

    account: Sequence[str]
    plan: Sequence[str]
    plan_version: Integers
    price: Sequence[str]
    model: Sequence[str]
    meter: Sequence[str]
    currency: Sequence[str]
    period_start: Sequence[date]
    segment_start: Sequence[date]
    day: Sequence[date]
    opening: Integers  # 0 or 1
    part: Sequence[str]  # values of the dimensions that a price is taken apart by, canonical JSON; empty for all pooled
    quantity: Sequence[Decimal]  # of the day, at most 12 digits after the point
    quantity_total: Sequence[Decimal]  # from the segment's start through the day
    amount: Sequence[Decimal | None]  # at most 30 digits after the point; None: unrated
    unrated_reason: Sequence[str]
    generation: Integers
    version: Integers  # uint64


class CatalogueRows(msgspec.Struct):
    """Published records, for analysts. Key: (generation, kind, id, version)."""

    generation: Integers
    kind: Sequence[str]
    id: Sequence[str]
    version: Integers
    body: Sequence[str]  # JSON
