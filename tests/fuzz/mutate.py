"""Messages for the decoder, from a seed: valid events of a catalogue, and what mutation makes of them.

A mutation works on tokens (replace, drop, repeat, swap, splice), on structure (nest, wrap, batch), or on bytes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from processors.admission import HEAD, AdmissionRecord, Returned, encode
from tests.fuzz.columnar import Batches
from tests.fuzz.columns import message as columnar_message
from tests.fuzz.tokens import JSON_ODD, NUMBERS, PACKED_ODD, TIMES, Tokens, json_tokens, packed_tokens

DAY_MS = 86_400_000
NOW = datetime(2026, 11, 2, tzinfo=UTC)
NOW_MS = int(NOW.timestamp()) * 1000
POOL_COLUMNAR = 60  # columnar messages of one round
POOL = 250  # valid events of one round, in both forms
BYTES_MAX = (4_000, 60_000)  # of a message, in half of the rounds each: short ones are screened together
_INTERESTING = bytes([0, 1, 0x0A, 0x1F, 0x20, 0x22, 0x2C, 0x2D, 0x2E, 0x30, 0x5B, 0x5C, 0x5D, 0x65, 0x7B, 0x7D, 0x7F])
_INTERESTING += bytes([0x80, 0x90, 0xA0, 0xBF, 0xC0, 0xC1, 0xC7, 0xCA, 0xCB, 0xD9, 0xDC, 0xDD, 0xDE, 0xDF, 0xFE, 0xFF])

_DATA: dict[str, tuple[dict[str, Any], ...]] = {
    "traffic": (
        {
            "bytes": 5,
            "zone": "z1",
            "tier": "a",
            "status": 200,
            "units": 2,
            "unit kind": "GB",
            "meta": {"region": "eu", "ms": "12.345"},
            "units_old": 3,
            "unread": [1, {"x": None}],
        },
        {"bytes": "70", "tier": "b", "status": 404, "units": "2.25", "meta": {"ms": 1.5}, "zone": 7},
        {"bytes": 1, "tier": "c", "status": 1, "units": 0, "units_old": 1, "meta": {"ms": -3, "region": None}},
    ),
    "odd": ({"c": "x", "a": {"b": 1}}, {"a": 5}, {"a": {"b": "0.5"}}),
    "pulse": ({}, {"x": [1, 2]}),
    "seat": ({"user": {"id": "u1"}, "plan": "pro"}, {"user": {"id": 17}}, {"user": {"id": None}}, {"plan": 1}),
    "nobody": ({"x": 1},),
    "strange": ({}, {"deep": {"er": [[]]}}),
}


class Mutator:
    """The messages of one round. The same seed gives the same messages. `admissions`: with admission records;
    `columnar`: with messages of that form."""

    def __init__(self, rng: random.Random, *, admissions: bool = False, columnar: bool = False) -> None:
        self._rng, self._admissions = rng, admissions
        self._bytes_max = max(BYTES_MAX) if columnar else rng.choice(BYTES_MAX)
        self._columnar = [self._columns() for _ in range(POOL_COLUMNAR if columnar else 0)]
        events = [self._event(rng.random() < 0.1) for _ in range(POOL)]
        self._json = [json_tokens(msgspec.json.encode(event)) for event in events]
        self._packed = [packed_tokens(msgspec.msgpack.encode(event)) for event in events]
        self._steps: list[Callable[[Tokens, list[Tokens], Tokens], Tokens]] = [
            *[self._replaced] * 5,
            self._dropped,
            self._repeated,
            self._swapped,
            self._inserted,
            self._spliced,
            self._nested,
            self._retimed,
            *[self._renumbered] * 2,
        ]

    def messages(self, count: int) -> list[bytes | None]:
        """About a third of them valid as they are."""
        return [self._message() for _ in range(count)]

    def _below(self, most: int) -> int:
        return int(self._rng.random() * most)

    def _event(self, old: bool) -> dict[str, Any]:
        rng = self._rng
        event_type = rng.choice(("traffic", "traffic", "seat", "seat", "odd", "pulse", "nobody", "strange"))
        numbered = {"sequencetype": "tollstream", "sequence": str(rng.randrange(40))} if rng.random() < 0.25 else {}
        when = NOW - timedelta(microseconds=rng.randrange(40 * DAY_MS * 1000 if old else DAY_MS * 300))
        return {
            "specversion": "1.0",
            "id": f"e{rng.randrange(10**6)}",
            "source": rng.choice(("edge/fra-1", "s", "é")),
            "type": event_type,
            "subject": f"zone-{rng.randrange(9)}",
            "time": when.isoformat().replace("+00:00", rng.choice(("Z", "+00:00", "+05:30"))),
            "data": rng.choice(_DATA[event_type]),
        } | numbered

    def _message(self) -> bytes | None:
        draw = self._rng.random()
        packed = draw < 0.4
        pool, odd = (self._packed, PACKED_ODD) if packed else (self._json, JSON_ODD)
        if self._columnar and self._rng.random() < 0.2:
            message = self._mutated_columns()
        elif self._admissions and self._rng.random() < 0.02:
            message = self._admission()
        elif self._rng.random() < 0.12:
            message = self._batch(pool, odd, packed)
        else:
            message = b"".join(self._tokens(pool, odd, 0.6))
        while self._rng.random() < 0.12:
            message = self._bytes(message)
        if len(message) > self._bytes_max:
            message = message[: self._bytes_max]
        return message if draw < 0.999 else None

    def _tokens(self, pool: list[Tokens], odd: Tokens, change: float) -> Tokens:
        tokens = pool[self._below(len(pool))]
        while self._rng.random() < change and tokens:
            tokens = self._steps[self._below(len(self._steps))](tokens.copy(), pool, odd)
            change *= 0.6
        return tokens

    def _admission(self) -> bytes:
        """Letters that come back, some of them more than once."""
        events = [
            Returned(
                self._below(50), self._below(3), b"".join(self._tokens(self._json, JSON_ODD, 0.3)), self._below(9) == 0
            )
            for _ in range(1 + self._below(5))
        ]
        clock_ms = NOW_MS + self._below(2_000_000) - 1_000_000
        record = encode(AdmissionRecord(clock_ms, DAY_MS, "topic", self._below(3), events))
        return record if self._rng.random() < 0.7 else HEAD + self._bytes(record[len(HEAD) :])

    def _columns(self) -> bytes:
        """A columnar message as it should be, most of its rows good."""
        batches = Batches(self._rng, self._rng.choice((0.01, 0.05, 0.2)))
        return columnar_message(batches.columns(1 + self._below(8)))

    def _mutated_columns(self) -> bytes:
        """Half of them as they are; in the others bytes are changed, which lie in the metadata as often as not, or two
        messages are mixed up."""
        message = self._columnar[self._below(len(self._columnar))]
        if self._rng.random() < 0.5:
            return message
        if self._rng.random() < 0.1:
            other = self._columnar[self._below(len(self._columnar))]
            return message[: self._below(len(message))] + other[self._below(len(other)) :]
        changed = bytearray(message)
        for _ in range(1 + self._below(3)):
            at = 4 + self._below(len(changed) - 4)
            changed[at] = self._rng.choice((0, 1, 0x7F, 0x80, 0xFF, changed[at] ^ 1 << self._below(8)))
        return bytes(changed)

    def _batch(self, pool: list[Tokens], odd: Tokens, packed: bool) -> bytes:
        count = self._below(6) if self._rng.random() < 0.97 else self._below(40)
        parts = [b"".join(self._tokens(pool, odd, 0.15)) for _ in range(count)]
        if not packed:
            return b" [" + b", ".join(parts) + b"]\n" if self._rng.random() < 0.1 else b"[" + b",".join(parts) + b"]"
        said = count if self._rng.random() < 0.97 else count + self._below(3)
        head = bytes([0x90 | said]) if said < 16 else b"\xdc" + said.to_bytes(2)
        return head + b"".join(parts)

    # -- on tokens

    def _replaced(self, tokens: Tokens, pool: list[Tokens], odd: Tokens) -> Tokens:
        tokens[self._below(len(tokens))] = odd[self._below(len(odd))]
        return tokens

    def _dropped(self, tokens: Tokens, pool: list[Tokens], odd: Tokens) -> Tokens:
        at = self._below(len(tokens))
        del tokens[at : at + 1 + self._below(4)]
        return tokens

    def _repeated(self, tokens: Tokens, pool: list[Tokens], odd: Tokens) -> Tokens:
        at = self._below(len(tokens))
        tokens[at:at] = tokens[at : at + 1 + self._below(4)] * (1 if self._rng.random() < 0.9 else 1 + self._below(50))
        return tokens

    def _swapped(self, tokens: Tokens, pool: list[Tokens], odd: Tokens) -> Tokens:
        a, b = self._below(len(tokens)), self._below(len(tokens))
        tokens[a], tokens[b] = tokens[b], tokens[a]
        return tokens

    def _inserted(self, tokens: Tokens, pool: list[Tokens], odd: Tokens) -> Tokens:
        tokens.insert(self._below(len(tokens) + 1), odd[self._below(len(odd))])
        return tokens

    def _spliced(self, tokens: Tokens, pool: list[Tokens], odd: Tokens) -> Tokens:
        other = pool[self._below(len(pool))]
        return tokens[: self._below(len(tokens) + 1)] + other[self._below(len(other)) :]

    def _nested(self, tokens: Tokens, pool: list[Tokens], odd: Tokens) -> Tokens:
        """Rarely so deep that msgspec could not read it."""
        depth = self._below(6) if self._rng.random() < 0.98 else 500 + self._below(3_000)
        at = self._below(len(tokens))
        if odd is PACKED_ODD:
            tokens[at] = (b"\x91" if self._rng.random() < 0.5 else b"\x81\xa1b") * depth + tokens[at]
        elif self._rng.random() < 0.5:
            tokens[at] = (
                b"[" * depth + tokens[at] + b"]" * (depth if self._rng.random() < 0.9 else self._below(depth + 1))
            )
        else:
            tokens[at] = b'{"b":' * depth + tokens[at] + b"}" * depth
        return tokens

    def _retimed(self, tokens: Tokens, pool: list[Tokens], odd: Tokens) -> Tokens:
        """Another time, where there is one."""
        time = TIMES[self._below(len(TIMES))]
        for at, token in enumerate(tokens):
            if b"-1" in token and b":" in token:
                tokens[at] = msgspec.msgpack.encode(time) if odd is PACKED_ODD else msgspec.json.encode(time)
        return tokens

    def _renumbered(self, tokens: Tokens, pool: list[Tokens], odd: Tokens) -> Tokens:
        """Another number, where there is one nearby: as such, or as a text."""
        number, start = NUMBERS[self._below(len(NUMBERS))], self._below(len(tokens))
        for at in range(start, len(tokens)):
            digits = tokens[at].strip(b'"') if odd is JSON_ODD else tokens[at][1:] or tokens[at]
            if digits.isdigit() or (odd is PACKED_ODD and len(digits) == 1 and digits[0] < 0x80):
                quoted = self._rng.random() < 0.5
                tokens[at] = msgspec.msgpack.encode(number) if odd is PACKED_ODD else number.encode()
                if quoted and odd is JSON_ODD:
                    tokens[at] = b'"' + tokens[at] + b'"'
                break
        return tokens

    # -- on bytes

    def _bytes(self, message: bytes) -> bytes:
        at, kind = self._below(len(message) + 1), self._below(6)
        if kind == 0 and message:
            at = min(at, len(message) - 1)
            return message[:at] + bytes([message[at] ^ 1 << self._below(8)]) + message[at + 1 :]
        if kind == 1:
            return message[:at]
        if kind == 2:
            return message[:at] + message[at + 1 + self._below(8) :]
        if kind == 3:
            return message[:at] + message[max(0, at - self._below(20)) :]
        if kind == 4:
            return message[:at] + bytes([_INTERESTING[self._below(len(_INTERESTING))]]) + message[at:]
        return message[:at] + bytes([_INTERESTING[self._below(len(_INTERESTING))]]) + message[at + 1 :]
