"""What must hold of any messages: nothing raises, the ledger balances, each event is in exactly one column, every
refusal has a reason and its bytes, both paths of the decoder agree, and cutting the log elsewhere changes nothing."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec
import numpy as np

from config.catalogue import Catalogue
from config.settings import Limits
from processors.arrow_frames import HEAD as ARROW
from processors.decode_careful import CarefulDecoder, RefusedError
from processors.decode_columns import digest_array, digests, with_instant
from processors.decode_shapes import compile_shapes
from processors.decode_split import form_of, is_many
from processors.events import INVALID, UNMETERED, Decoded, Decoder
from processors.instants import END_US
from processors.meter import Batch, Letter, PartitionState
from processors.sequences import identities
from tests.fuzz.mutate import NOW_MS, Mutator
from tests.simulation.logs import CATALOGUE as SMALL
from tests.unit.events_samples import CATALOGUE, SKEW_MS

# The table in docs/events.md, and "late".
CODES = frozenset(
    [
        *("empty", "size", "utf-8", "json", "messagepack", "nesting", "batch", "event", "specversion", "time"),
        *("id", "source", "type", "subject", "value", "dimension", "unique", "limit", "late", "sequence", "admission"),
        "arrow",
    ]
)
WHOLE = (
    "empty",
    "size",
    "utf-8",
    "nesting",
    "batch",
    "admission",
    "arrow",
)  # said of bytes that the careful path never sees
BATCH = 2_000
ALONE = 40  # messages of a round that are folded one by one as well
JUDGED = 270  # events of a round, not refused, of which the careful path is asked as well

TIGHT = Limits(
    message_bytes_max=700,
    message_events_max=4,
    id_bytes_max=24,
    source_bytes_max=10,
    subject_bytes_max=6,
    dimension_bytes_max=3,
    unique_max=3,
    dimension_sets_max=2,
)
WORLDS: tuple[tuple[Catalogue, Limits, int], ...] = (
    (CATALOGUE, Limits(), SKEW_MS),
    (CATALOGUE, TIGHT, 0),
    (CATALOGUE, Limits(unique_max=20, dimension_sets_max=5), SKEW_MS),
    (SMALL, Limits(), SKEW_MS),
    (Catalogue(), Limits(), SKEW_MS),
)
WORLD_OF_ROUND = (0, 0, 1, 0, 2, 0, 3, 1, 0, 4)
COLUMNAR_ROUNDS = (1, 4, 9)


class FaultError(AssertionError):
    """A property that does not hold, with the message that shows it."""

    def __init__(self, what: str, message: bytes | None = None) -> None:
        super().__init__(what if message is None else f"{what}\n  message: {message[:2_000]!r}")


class Remembering(Decoder):
    """A decoder whose last answer can be looked at."""

    def decode(self, values: Any, timestamps_ms: Any) -> Decoded:
        self.last = super().decode(values, timestamps_ms)
        return self.last


def round_messages(seed: int, number: int, count: int = BATCH) -> list[bytes | None]:
    """The messages of a round."""
    return Mutator(
        random.Random(f"{seed}/{number}"), admissions=number % 10 == 3, columnar=number % 10 in COLUMNAR_ROUNDS
    ).messages(count)


def round_batch(seed: int, number: int, messages: list[bytes | None]) -> Batch:
    """With record timestamps that mostly go up, and one round in eight with such as no clock would give."""
    rng = random.Random(f"{seed}/{number}/times")
    times = [
        NOW_MS + place * 50 - (rng.randrange(10**7) if rng.random() < 0.05 else 0) for place in range(len(messages))
    ]
    if number % 8 == 5:
        for place in range(len(times)):
            if rng.random() < 0.03:
                times[place] = rng.choice((-1, 0, 1, 10**12, 2**40, 2**53, 2**62, 2**63 - 1, -(2**63)))
    return Batch(messages, np.arange(len(messages)) * 3, np.array(times, np.int64))


def run_round(seed: int, number: int, count: int = BATCH) -> Counter[str]:
    """Verdicts of one round. FaultError, or whatever the fold raised."""
    messages = round_messages(seed, number, count)
    catalogue, limits, skew_ms = WORLDS[WORLD_OF_ROUND[number % len(WORLD_OF_ROUND)]]
    return check(round_batch(seed, number, messages), catalogue, limits, skew_ms, random.Random(number))


def run_one(seed: int, number: int, index: int) -> Counter[str]:
    """One message of a round, alone."""
    catalogue, limits, skew_ms = WORLDS[WORLD_OF_ROUND[number % len(WORLD_OF_ROUND)]]
    batch = round_batch(seed, number, round_messages(seed, number))
    return check(_slice(batch, index, index + 1), catalogue, limits, skew_ms, random.Random(number))


def check(batch: Batch, catalogue: Catalogue, limits: Limits, skew_ms: int, rng: random.Random) -> Counter[str]:
    """All properties over one batch; its verdicts, and its refusals by code."""
    decoder = Remembering(catalogue, limits, skew_ms)
    state = PartitionState(catalogue, limits, decoder)
    letters = state.fold(batch)
    decoded = decoder.last
    if state.admissions.pending:  # the batch was folded around them, so `decoded` is a part of it
        _check_cuts(batch, catalogue, limits, skew_ms, rng)
        if not state.ledger.balanced():
            raise FaultError(f"the ledger does not balance: {state.ledger}")
        return Counter(msgspec.structs.asdict(state.ledger)) + Counter(admissions=len(state.admissions.pending))
    _check_ledger(state, letters, decoded, batch)
    _check_letters(letters, decoder, batch)
    _check_whole(letters, batch, limits)
    _check_paths(decoded, batch, CarefulDecoder(compile_shapes(catalogue), limits, skew_ms), decoder, rng)
    _check_cuts(batch, catalogue, limits, skew_ms, rng)
    verdicts = msgspec.structs.asdict(state.ledger)
    return Counter(verdicts) + Counter(code_of(letter) for letter in letters if letter.verdict == "invalid")


def code_of(letter: Letter) -> str:
    return letter.reason.partition(":")[0]


def _check_ledger(state: PartitionState, letters: list[Letter], decoded: Decoded, batch: Batch) -> None:
    ledger = state.ledger
    if not ledger.balanced():
        raise FaultError(f"the ledger does not balance: {ledger}")
    if ledger.consumed != len(decoded.kind) or len(set(decoded.message.tolist())) != len(batch.values):
        raise FaultError(f"{ledger.consumed} consumed of {len(decoded.kind)} rows in {len(batch.values)} messages")
    counted = Counter(letter.verdict for letter in letters)
    if (counted["invalid"], counted["late"]) != (ledger.invalid, ledger.late):
        raise FaultError(f"{counted} letters, and the ledger says {ledger}")
    if len({(letter.offset, letter.index) for letter in letters}) != len(letters):
        raise FaultError("two letters of one event")
    events = {int(table.column("events").sum()) for table in state.tables.values()}
    if any(taken > ledger.accepted for taken in events):
        raise FaultError(f"a meter took more than was accepted: {events}, {ledger}")


def _check_letters(letters: list[Letter], decoder: Decoder, batch: Batch) -> None:
    offsets = dict(zip(batch.offset.tolist(), batch.values, strict=True))
    for letter in letters:
        value = offsets[letter.offset] or b""
        code, _, advice = letter.reason.partition(": ")
        if code not in CODES or not advice:
            raise FaultError(f"no reason that the table of docs/events.md has: {letter.reason!r}", value)
        if value.startswith(ARROW) and letter.raw != value:
            if letter.raw != decoder.raw(value, letter.index) or not letter.raw.startswith(b"{"):
                raise FaultError(f"{letter.reason}: not the JSON form of the row: {letter.raw!r}", value)
            continue
        if letter.raw not in value or (value and not letter.raw):
            raise FaultError(f"{letter.reason}: not the bytes of the event: {letter.raw!r}", value)
        if code not in WHOLE and letter.raw != value and letter.raw != decoder.raw(value, letter.index):
            raise FaultError(f"{letter.reason}: raw bytes of another event: {letter.raw!r}", value)


def _check_whole(letters: list[Letter], batch: Batch, limits: Limits) -> None:
    """What can be said of a message without reading it is said of each, whatever its neighbours are."""
    said = {letter.offset: code_of(letter) for letter in letters if letter.verdict == "invalid"}
    for offset, value in zip(batch.offset.tolist(), batch.values, strict=True):
        code = "size" if value is not None and len(value) > limits.message_bytes_max else None
        if value is None or not value.strip():
            code = "empty"
        elif value.startswith(b"\0") and len(value) > 1:
            code = "admission"  # or what is left of one
        elif code is None and not value.isascii() and form_of(value)[0] == "JSON" and not value.startswith(ARROW):
            try:
                value.decode()
            except UnicodeDecodeError:
                code = "utf-8"
        if code is not None and said.get(offset) != code:
            raise FaultError(f"should be refused as {code}, and is {said.get(offset)}", value)


def _check_paths(decoded: Decoded, batch: Batch, careful: CarefulDecoder, decoder: Decoder, rng: random.Random) -> None:
    """Whatever path an event took, the careful one says the same of it alone."""
    stamps = np.clip(batch.timestamp_ms, 0, END_US // 1000)  # as the fold takes them
    reasons = {refusal.row: refusal for refusal in decoded.refusals}
    taken = np.flatnonzero(decoded.kind != INVALID).tolist()  # most others were judged by the careful path already
    start = rng.randrange(max(1, len(taken) - JUDGED))
    for row in sorted({*taken[start : start + JUDGED], *rng.choices(range(len(decoded.kind)), k=30)}):
        message = int(decoded.message[row])
        value = batch.values[message] or b""
        refusal = reasons.get(row)
        if refusal is not None and (refusal.reason.startswith(WHOLE) or is_many(refusal.raw)):
            continue
        form = form_of(value)[0]  # that of a row of columns is JSON, too
        event = decoder.raw(value, int(decoded.index[row])) if is_many(value) else value
        said = judged(careful, event, form, int(stamps[message]))
        found = row_of(decoded, row, None if refusal is None else refusal.reason)
        if said != found:
            raise FaultError(f"the careful path says {said}\n  the decoder said {found}", value)


def judged(careful: CarefulDecoder, event: bytes, form: Any, timestamp_ms: int) -> tuple[Any, ...]:
    try:
        found = careful.judge(event, form, timestamp_ms)
    except RefusedError as error:
        return (INVALID, 0, [0, 0], str(error))
    if found.sequence is None:
        identity = with_instant(digest_array(digests([f"{found.source}\x1f{found.id}"])), np.array([found.time_us]))
    else:
        identity = identities(digest_array(digests([found.source])), np.array([found.sequence]))
    said = (found.kind, found.time_us, identity[0].tolist(), None)
    if found.kind == UNMETERED:
        return said
    members = {
        path: None if text is None else digest_array(digests([text]))[0].tolist()
        for path, text in found.members.items()
    }
    return (*said, found.subject, found.texts, found.numbers, members)


def row_of(decoded: Decoded, row: int, reason: str | None) -> tuple[Any, ...]:
    """What a row holds, in the form of `judged`."""
    kind = int(decoded.kind[row])
    found = (kind, int(decoded.time_us[row]), decoded.digest[row].tolist(), reason)
    if kind < 0:
        return found
    rows = decoded.types[kind]
    at, text_of = int(np.searchsorted(rows.row, row)), decoded.vocabulary.seen
    return (
        *found,
        text_of[rows.subject[at]],
        {path: text_of[codes[at]] for path, codes in rows.text.items()},
        {key: int(scaled[at]) if present[at] else None for key, (scaled, present) in rows.number.items()},
        {path: digest[at].tolist() if present[at] else None for path, (digest, present) in rows.member.items()},
    )


def _check_cuts(batch: Batch, catalogue: Catalogue, limits: Limits, skew_ms: int, rng: random.Random) -> None:
    """One message at a time says what a whole batch says: the verdict of each, so its one column."""
    start = rng.randrange(max(1, len(batch.values) - ALONE))
    piece = _slice(batch, start, start + ALONE)
    whole, single = (PartitionState(catalogue, limits, Decoder(catalogue, limits, skew_ms)) for _ in range(2))
    expected, letters = whole.fold(piece), []
    for place in range(len(piece.values)):
        letters += single.fold(_slice(piece, place, place + 1))
    order = [(letter.offset, letter.index, letter) for letter in sorted(expected, key=_place)]
    if order != [(letter.offset, letter.index, letter) for letter in sorted(letters, key=_place)]:
        raise FaultError(f"letters differ: {expected} in one batch, {letters} one by one")
    if (whole.ledger, whole.clock_ms, whole.open_digest()) != (single.ledger, single.clock_ms, single.open_digest()):
        raise FaultError(f"{whole.ledger} in one batch, {single.ledger} one by one, of messages {start} and on")


def _place(letter: Letter) -> tuple[int, int]:
    return letter.offset, letter.index


def _slice(batch: Batch, start: int, stop: int) -> Batch:
    return Batch(batch.values[start:stop], batch.offset[start:stop], batch.timestamp_ms[start:stop])
