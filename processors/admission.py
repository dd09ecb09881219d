"""Events that come back: late or refused ones that `tollstream late admit` and `dead-letter replay` send again.

A command cannot touch the state: the fold must stay a function of the log. It produces one record to the events'
own partition, and the fold decides. What the command knows and the fold does not are the closed hours, whose identities
are in the archive; so the record says up to which clock the archive was read, and the fold refuses it where an hour, or
a bucket of earlier admissions, has closed since.

docs/decisions/0005 says why no event can be counted twice, and none is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import xxhash
from msgspec import Meta
from numpy.typing import NDArray

from processors.decode_split import is_many
from processors.events import INVALID, Decoded
from processors.identity import HOUR_US, Digests, DigestSet
from processors.outputs import table_blocks
from processors.partials import PartialTable
from processors.sequences import DAY_US, REUSED, Numbered, splitmix
from processors.window_rows import WindowRow

if TYPE_CHECKING:
    from config.catalogue import Meter
    from config.settings import Limits
    from processors.meter import PartitionState
    from processors.takes import Take

HEAD: Final = b"\x00\x01"  # no event begins with a zero byte, in JSON or in MessagePack; then the format of the rest
EXPIRED: Final = "admission: expired, as hours closed since the archive was read; run the command again"
ARRAY: Final = "admission: is an array of events, and only single ones can be admitted; send it again as a message"
UNREADABLE: Final = "admission: is cut, too large or of another format; update workers and command, and run it again"

Offset = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Instant = Annotated[int, Meta(ge=0, le=10**15)]  # ms since 1970
Place = Annotated[int, Meta(ge=0, le=2**31 - 1)]
TopicId = Annotated[str, Meta(max_length=64)]


class Returned(msgspec.Struct, array_like=True, frozen=True):
    """One event that comes back, with the coordinate of its letter."""

    offset: Offset
    index: Place
    raw: bytes  # may be empty if `known`
    known: bool = False  # its identity is in the archive: it was accepted in time, or admitted before


class AdmissionRecord(msgspec.Struct, array_like=True, frozen=True):
    """What a command sends: letters of one partition, and up to where it looked whether they are known."""

    as_of_clock_ms: Instant  # of the ledger row that was read before the archive
    lateness_max_ms: Instant  # of the same row
    topic: TopicId  # id of the topic that the letters are of
    partition: Place
    events: Annotated[list[Returned], Meta(min_length=1)]


class Outcome(msgspec.Struct, array_like=True):
    """What became of one event of an admission record. `topic` to `index` are the coordinate of its letter."""

    topic: str
    partition: int
    offset: int
    index: int
    admission: int  # offset of the admission record
    place: int  # in it
    verdict: str
    reason: str
    id_hi: int  # identity; 0 where it is not known
    id_lo: int
    clock_ms: int  # of the partition, then


class Settled(msgspec.Struct, array_like=True):
    """What one admission record came to. Final; kept until every output has acknowledged it."""

    rows: list[WindowRow]  # topic and partition are filled in when they leave
    outcomes: list[Outcome]


_DECODER = msgspec.msgpack.Decoder(AdmissionRecord)


def encode(record: AdmissionRecord) -> bytes:
    """The value of a message."""
    return HEAD + msgspec.msgpack.encode(record)


def parse(value: bytes, bytes_max: int, events_max: int) -> AdmissionRecord | None:
    """None for what is no admission record, or over a limit: it counts as one invalid event."""
    if not value.startswith(HEAD) or len(value) > bytes_max:
        return None
    try:
        record = _DECODER.decode(value[len(HEAD) :])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return record if len(record.events) <= events_max else None


def records_of(values: Sequence[bytes | None], decoded: Decoded, limits: Limits) -> dict[int, AdmissionRecord]:
    """The admission records among messages, by their place. The decoder refuses them, so it tells where to look."""
    found = {}
    for place in {int(decoded.message[refusal.row]) for refusal in decoded.refusals}:
        record = parse(values[place] or b"", limits.message_bytes_max, limits.message_events_max)
        if record is not None:
            found[place] = record
    return found


class Admissions:
    """Identities and coordinates admitted, in buckets by the hour of the clock, and what waits to be acknowledged."""

    def __init__(self) -> None:
        self.buckets: dict[int, DigestSet] = {}
        self.pending: dict[int, Settled] = {}  # by offset of the admission record

    def contain(self, digests: Digests) -> NDArray[np.bool_]:
        """True where a digest is in a bucket that is open."""
        found = np.zeros(len(digests), np.bool_)
        for held in self.buckets.values():
            found |= held.contains(digests)
        return found

    def close(self, before_us: int) -> None:
        """Drop the buckets that end at or before this instant. Their outcomes went to ClickHouse before the ledger."""
        for hour in [hour for hour in self.buckets if (hour + 1) * HOUR_US <= before_us]:
            del self.buckets[hour]

    def acknowledged(self, through: int) -> None:
        """All outputs of messages below this offset are durable."""
        self.pending = {offset: one for offset, one in self.pending.items() if offset >= through}


def coordinates(record: AdmissionRecord) -> Digests:
    """uint64[n, 2]: a digest of each letter's coordinate."""
    texts = [f"{record.topic}\x1f{record.partition}\x1f{one.offset}\x1f{one.index}" for one in record.events]
    joined = b"".join([xxhash.xxh3_128_digest(text.encode()) for text in texts])
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)


def lasting(decoded: Decoded) -> Digests:
    """uint64[n, 2]: identities that tell days apart, too. A number lives in its day, while all other identities hold
    their instant; and here days are together."""
    digest = decoded.digest.copy()
    numbered = decoded.sequence >= 0
    digest[numbered, 0] ^= splitmix((decoded.time_us[numbered] // DAY_US).astype(np.uint64))
    return digest


def fold(state: PartitionState, record: AdmissionRecord, offset: int, timestamp_ms: int, *, counts: bool) -> None:
    """Judge every event of a record, and keep what comes of it. `counts` False: a restore, whose outputs are out.

    What is added to buckets does not depend on whether an event was a duplicate: a restore, which lacks the older
    buckets, ends with the same ones.
    """
    events, n = record.events, len(record.events)
    known = np.array([one.known for one in events], np.bool_)
    arrays = np.array([is_many(one.raw) for one in events], np.bool_) & ~known
    values = [b"" if skip else one.raw for one, skip in zip(events, (known | arrays).tolist(), strict=True)]
    decoded = state.decoder.decode(values, np.full(n, timestamp_ms, np.int64))
    takes = [
        take
        for code, rows in decoded.types.items()
        for take in state.takes(code, state.arrivals(rows, decoded, np.full(n, offset, np.int64)))
    ]
    metered = np.zeros(n, np.bool_)
    for _, take in takes:
        metered[take.row] = True
    state.clock_ms = max(state.clock_ms, timestamp_ms)
    opened, vouched = _vouched(state, record, decoded)
    fit = metered & ~known & vouched
    duplicate, reused = known.copy(), np.zeros(n, np.bool_)
    rows = np.flatnonzero(fit)
    duplicate[rows], reused[rows] = _known(state, decoded, coordinates(record), known, rows, opened[rows])
    verdict = np.full(n, "late", "U9")
    verdict[fit] = "accepted"
    verdict[~metered] = "unmetered"
    verdict[decoded.kind == INVALID] = "invalid"
    verdict[duplicate] = "duplicate"
    verdict[reused] = "invalid"
    if counts:
        reasons = {refusal.row: refusal.reason for refusal in decoded.refusals}
        reasons |= dict.fromkeys(np.flatnonzero(arrays).tolist(), ARRAY)
        reasons |= dict.fromkeys(np.flatnonzero(verdict == "late").tolist(), EXPIRED)
        reasons |= dict.fromkeys(np.flatnonzero(reused).tolist(), REUSED)
        said, identity = verdict.tolist(), lasting(decoded)
        _count(state, said)
        rows_of_it = _rows(state, takes, verdict == "accepted", offset)
        outcomes = [
            Outcome(
                topic=record.topic,
                partition=record.partition,
                offset=one.offset,
                index=one.index,
                admission=offset,
                place=place,
                verdict=said[place],
                reason=reasons.get(place, "") if said[place] in ("late", "invalid") else "",
                id_hi=int(identity[place, 0]),
                id_lo=int(identity[place, 1]),
                clock_ms=state.clock_ms,
            )
            for place, one in enumerate(events)
        ]
        state.admissions.pending[offset] = Settled(rows_of_it, outcomes)


def _vouched(
    state: PartitionState, record: AdmissionRecord, decoded: Decoded
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(whether its hour or day is open, whether all that could be an event's twin is known: to us, or to the archive as
    the command read it).

    Of an open hour we know all. Of an hour that was closed then the archive knew all but later admissions, and those
    are in buckets from that clock's hour on, as long as they are open. Numbers live in days as ids do in hours.
    """
    size_us = np.where(decoded.sequence >= 0, DAY_US, HOUR_US)
    end_us = (decoded.time_us // size_us + 1) * size_us
    since_us = state.identities_since_us()
    opened = end_us > since_us
    if state.topic_id not in ("", record.topic):  # the topic was made anew since, and the archive was the old one's
        return opened, np.zeros(len(end_us), np.bool_)
    if record.lateness_max_ms != state.lateness_max_ms or record.as_of_clock_ms > state.clock_ms:
        return opened, np.zeros(len(end_us), np.bool_)
    closed_then = end_us <= (record.as_of_clock_ms - record.lateness_max_ms) * 1000
    remembered = (record.as_of_clock_ms * 1000 // HOUR_US + 1) * HOUR_US > since_us
    return opened, opened | (closed_then & remembered)


def _known(
    state: PartitionState,
    decoded: Decoded,
    coordinate: Digests,
    known: NDArray[np.bool_],
    rows: NDArray[np.int64],
    opened: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of `rows`: (which are known by identity or by coordinate, which have a number that another event had).

    Twins within the record are known, but for the first. Adds all of them to what is known.
    """
    bucket = state.admissions.buckets.setdefault(state.clock_ms * 1000 // HOUR_US, DigestSet())
    bucket.add(coordinate[known])
    identity = lasting(decoded)[rows]
    held = state.admissions.contain(identity) | state.admissions.contain(coordinate[rows])
    both = np.stack([identity, coordinate[rows]], axis=1).reshape(-1, 2)
    held |= ~DigestSet().add(both).reshape(-1, 2).all(axis=1)
    bucket.add(both)
    reused = np.zeros(len(rows), np.bool_)
    by_number = decoded.sequence[rows] >= 0
    ids, numbers = np.flatnonzero(opened & ~by_number), np.flatnonzero(opened & by_number)
    held[ids] |= ~state.identities.add(decoded.time_us[rows[ids]], decoded.digest[rows[ids]])
    found = Numbered(decoded.source, decoded.sequence, decoded.time_us, decoded.digest, decoded.sources)
    new, reused[numbers] = state.sequences.add(found.take(rows[numbers]))
    held[numbers] |= ~new
    return held & ~reused, reused


def _rows(
    state: PartitionState, takes: list[tuple[Meter, Take]], accepted: NDArray[np.bool_], offset: int
) -> list[WindowRow]:
    """The accepted events as partials of their own, whose key holds the admission: mergeable, and final."""
    rows: list[WindowRow] = []
    for meter, take in takes:
        table = PartialTable(meter.aggregation, meter.window_ms)
        table.fold(take.only(accepted).events)
        all_of_it = np.arange(len(table), dtype=np.int64)
        chunks = [0] * len(table) if table.sets else None
        blocks = table_blocks(state.catalogue, (meter.id, meter.version), table, all_of_it, chunks, "", 0)
        rows += chain.from_iterable(blocks)
    return [msgspec.structs.replace(row, admission=offset + 1) for row in rows]


def _count(state: PartitionState, verdicts: list[str]) -> None:
    ledger = state.ledger
    ledger.consumed += len(verdicts)
    for name in ("accepted", "duplicate", "late", "invalid", "unmetered"):
        setattr(ledger, name, getattr(ledger, name) + verdicts.count(name))
    ledger.admitted += verdicts.count("accepted")
