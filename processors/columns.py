"""Rows of the stages as the column batches that the ClickHouse sink takes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import repeat

import msgspec
import numpy as np
from numpy.typing import NDArray

from config.catalogue import BEGIN_MS, Catalogue, Meter
from processors.admission import Outcome
from processors.meter import Letter
from processors.outputs import GENERATION, Released
from processors.rate import RatedRow
from processors.window_rows import NUMBERS, Block, WindowRows
from sinks.rows import AdmissionRows, IdentityRows, LedgerRows, LetterRows, NumberRows, RatedRows, UsageRows


class _Peek(msgspec.Struct):
    """What a letter says of itself, if it can be read at all."""

    type: str = ""
    subject: str = ""


_PEEK = msgspec.json.Decoder(_Peek)


@lru_cache(maxsize=65_536)
def dims_text(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Canonical JSON of a set of dimensions: keys sorted, no spaces. Part of a row's key, so it must never vary."""
    return msgspec.json.encode(dict(sorted(zip(names, values, strict=True)))).decode()


def usage_columns(rows: WindowRows, catalogue: Catalogue) -> UsageRows:
    """One column a field; numbers that an aggregation does not have are zero."""
    by_key = {(meter.id, meter.version): meter for meter in catalogue.meters}
    blocks = rows.blocks
    meters, counts = [by_key[block.meter] for block in blocks], [len(block.series) for block in blocks]
    numbers = np.concatenate([np.empty(0, NUMBERS), *(block.numbers for block in blocks)])

    def each(values: Iterable[int]) -> NDArray[np.int64]:
        return np.repeat(np.array(list(values), np.int64), counts)

    def texts(values: Iterable[str]) -> list[str]:
        return [one for value, count in zip(values, counts, strict=True) for one in repeat(value, count)]

    def value_of(*kinds: str) -> NDArray[np.int64]:
        return numbers["value"] * each(meter.aggregation in kinds for meter in meters)

    names = ("chunk", "offset", "events", "sum_hi", "sum_lo", "admission", "window_start_ms")
    return UsageRows(
        meter=texts(meter.id for meter in meters),
        meter_version=each(meter.version for meter in meters),
        aggregation=texts(meter.aggregation for meter in meters),
        precision=each(meter.precision for meter in meters),
        subject=[one[0] for block in blocks for one in block.series],
        dims=[one for block, meter in zip(blocks, meters, strict=True) for one in _dims(block, meter)],
        account=[one for block in blocks for one in block.accounts],
        window_end_ms=numbers["window_start_ms"] + each(meter.window_ms for meter in meters),
        topic=texts(block.topic for block in blocks),
        partition=each(block.partition for block in blocks),
        generation=np.full(len(numbers), GENERATION, np.int64),
        min=value_of("min"),
        max=value_of("max"),
        latest_time_us=numbers["time_us"],
        latest_id_hi=numbers["id_hi"],
        latest_id_lo=numbers["id_lo"],
        latest_value=value_of("latest", "gauge"),
        members=_sets(blocks, meters, "unique", 2),
        samples=_sets(blocks, meters, "gauge", 4),
        **{name: numbers[name] for name in names},
    )


def _dims(block: Block, meter: Meter) -> list[str]:
    """A text for each row; there are far fewer sets of dimensions than rows."""
    values = [one[1:] for one in block.series]
    texts = {one: dims_text(meter.dimensions, one) for one in set(values)}
    return [texts[one] for one in values]


def _sets(blocks: list[Block], meters: list[Meter], kind: str, width: int) -> list[NDArray[np.uint64]] | None:
    """The members of the rows of one aggregation, uint64[k, width] a row; None where no row has any."""
    held: list[bytes] = []
    for block, meter in zip(blocks, meters, strict=True):
        held += block.members if block.members and meter.aggregation == kind else repeat(b"", len(block.series))
    return [np.frombuffer(members, np.uint64).reshape(-1, width) for members in held] if any(held) else None


def ledger_columns(released: list[Released], topic_id: str) -> LedgerRows:
    """The counts of each partition, absolute, as of its checkpoint; one that has seen no record yet has none."""
    released = [one for one in released if one.clock_ms > BEGIN_MS]

    def count(name: str) -> list[int]:
        return [one.ledger[name] for one in released]

    return LedgerRows(
        topic=[topic_id] * len(released),
        partition=[one.partition for one in released],
        offset=[one.through for one in released],
        consumed=count("consumed"),
        accepted=count("accepted"),
        duplicate=count("duplicate"),
        late=count("late"),
        invalid=count("invalid"),
        unmetered=count("unmetered"),
        clock_ms=[one.clock_ms for one in released],
        admitted=count("admitted"),
        lateness_max_ms=[one.lateness_max_ms for one in released],
        archived_since_ms=[max(one.archived_since_ms, 0) for one in released],  # no event is of before 1970
    )


def identity_columns(released: list[Released], topic_id: str) -> list[IdentityRows]:
    """A batch for each hour that was closed, and for the numbers that no interval covers, under their day's first."""
    hours = [IdentityRows(topic_id, one.partition, hour, keys) for one in released for hour, keys in one.identities]
    strays = [(one.partition, day, held.strays.keys) for one in released for day, held in one.numbers]
    return hours + [IdentityRows(topic_id, part, day * 24, keys) for part, day, keys in strays if len(keys)]


def number_columns(released: list[Released], topic_id: str) -> list[NumberRows]:
    """A batch for each day that was closed."""
    days = [(one.partition, day, held.exact_intervals()) for one in released for day, held in one.numbers]
    return [NumberRows(topic_id, partition, day, *intervals) for partition, day, intervals in days]


def outcome_columns(released: list[Released], topic_id: str) -> AdmissionRows:
    """What became of the events that came back."""
    outcomes = [outcome for one in released for outcome in one.outcomes]
    return _outcome_columns(outcomes, topic_id, [one.partition for one in released for _ in one.outcomes])


def returned_columns(outcomes: list[Outcome], topic_id: str, partition: int) -> AdmissionRows:
    """The same, of one partition."""
    return _outcome_columns(outcomes, topic_id, [partition] * len(outcomes))


def _outcome_columns(outcomes: list[Outcome], topic_id: str, partitions: list[int]) -> AdmissionRows:
    return AdmissionRows(
        topic=[topic_id] * len(outcomes),
        partition=partitions,
        offset=[one.admission for one in outcomes],
        index=[one.place for one in outcomes],
        letter_topic=[one.topic for one in outcomes],
        letter_partition=[one.partition for one in outcomes],
        letter_offset=[one.offset for one in outcomes],
        letter_index=[one.index for one in outcomes],
        verdict=[one.verdict for one in outcomes],
        reason=[one.reason for one in outcomes],
        identity=np.array([(one.id_hi, one.id_lo) for one in outcomes], np.uint64).reshape(-1, 2),
        clock_ms=[one.clock_ms for one in outcomes],
    )


def letter_columns(letters: list[tuple[int, Letter]], topic_id: str) -> LetterRows:
    """Late or refused events with the partition that each came from."""
    peeks = [_peek(letter.raw) for _, letter in letters]
    return LetterRows(
        topic=[topic_id] * len(letters),
        partition=[partition for partition, _ in letters],
        offset=[letter.offset for _, letter in letters],
        index=[letter.index for _, letter in letters],
        reason=[letter.reason for _, letter in letters],
        raw=[letter.raw for _, letter in letters],
        record_timestamp_ms=[letter.record_timestamp_ms for _, letter in letters],
        type=[peek.type for peek in peeks],
        subject=[peek.subject for peek in peeks],
    )


def _peek(raw: bytes) -> _Peek:
    try:
        return _PEEK.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Peek()  # unreadable, or not JSON: its bytes are kept all the same


def rated_columns(rows: list[RatedRow]) -> RatedRows:
    """Rated rows as they are, a column a field."""
    return RatedRows(
        account=[row.account for row in rows],
        plan=[row.plan for row in rows],
        plan_version=[row.plan_version for row in rows],
        price=[row.price for row in rows],
        model=[row.model for row in rows],
        meter=[row.meter for row in rows],
        currency=[row.currency for row in rows],
        period_start=[row.period_start for row in rows],
        segment_start=[row.segment_start for row in rows],
        day=[row.day for row in rows],
        opening=[int(row.opening) for row in rows],
        part=[row.part for row in rows],
        quantity=[row.quantity for row in rows],
        quantity_total=[row.quantity_total for row in rows],
        amount=[row.amount for row in rows],
        unrated_reason=[row.unrated_reason for row in rows],
        generation=[row.generation for row in rows],
        version=[row.version for row in rows],
    )
