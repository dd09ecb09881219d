"""The rows of `usage.windows`: as columns, one by one, and each as a record of its own.

Such a record's value is NUMBERS; msgpack of [meter, version, events topic, partition] and of [subject, ...dimensions];
the account; the members. Its key is what the row is about, and the owner's token. Most rows share a record with others:
see processors.row_records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.combinations import Series
from processors.windows import Ints

MeterKey = tuple[str, int]
Origin = tuple[str, int, str, int]  # meter, version, events topic, partition

FORM: Final = 0x01574F52  # what each value begins with: "ROW" and the format's version
NUMBERS: Final = np.dtype(
    [
        ("form", "<u4"),
        *(("chunk", "<u4"), ("window_start_ms", "<i8"), ("admission", "<i8")),  # part of the key, as they stand here
        *(("offset", "<i8"), ("events", "<i8"), ("sum_hi", "<i8"), ("sum_lo", "<i8"), ("value", "<i8")),
        *(("time_us", "<i8"), ("id_hi", "<u8"), ("id_lo", "<u8")),
        *(("origin_bytes", "<u4"), ("series_bytes", "<u4"), ("account_bytes", "<u4")),
    ]
)
_NAMES: Final = (NUMBERS.names or ())[1:-3]
HEAD: Final = NUMBERS.itemsize
_KEY: Final = slice(4, 24)  # of the bytes of NUMBERS: chunk, window, admission
ENCODE: Final = msgspec.msgpack.Encoder().encode


class UnknownFormatError(Exception):
    """A record of `usage.windows` that other code wrote."""


class WindowRow(msgspec.Struct, array_like=True):
    """One row: the absolute state of a partial, or one chunk of its members (unique, gauge).

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


class Block(msgspec.Struct):
    """Rows of one meter version in one partition, as columns of one length."""

    meter: MeterKey
    topic: str  # id of the events topic
    partition: int
    series: list[Series]
    account: list[str]
    numbers: NDArray[Any]  # of NUMBERS
    members: list[bytes] | None = None  # None: no row has any
    at: Ints | None = None  # of a partial's own row: which it is of the meter's table

    def messages(self, token: bytes) -> Iterator[tuple[str, bytes, bytes]]:
        """Account, key and value of each row."""
        numbers, accounts = self.numbers.copy(), [account.encode() for account in self.account]
        origin = ENCODE((*self.meter, self.topic, self.partition))
        series = list(map(ENCODE, self.series))
        numbers["form"], numbers["origin_bytes"] = FORM, len(origin)
        numbers["series_bytes"], numbers["account_bytes"] = list(map(len, series)), list(map(len, accounts))
        heads, members = numbers.tobytes(), self.members or [b""] * len(series)
        starts = range(0, len(heads), HEAD)
        for at, payer, one, account, added in zip(starts, self.account, series, accounts, members, strict=True):
            head, about = heads[at : at + HEAD], origin + one
            yield payer, about + head[_KEY] + token, b"".join((head, about, account, added))

    def __iter__(self) -> Iterator[WindowRow]:
        members = self.members or [b""] * len(self.series)
        for series, account, numbers, added in zip(
            self.series, self.account, self.numbers.tolist(), members, strict=True
        ):
            yield row_of((*self.meter, self.topic, self.partition), series, account, numbers, added)


class WindowRows:
    """Rows in blocks."""

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self.blocks = list(blocks)

    @staticmethod
    def of(rows: Iterable[WindowRow]) -> WindowRows:
        """Rows that are there one by one."""
        found: dict[tuple[MeterKey, str, int], list[WindowRow]] = {}
        for row in rows:
            found.setdefault(((row.meter, row.meter_version), row.topic, row.partition), []).append(row)
        return WindowRows(
            Block(
                *place,
                [(row.subject, *row.dimensions) for row in some],
                [row.account for row in some],
                np.array([(0, *(getattr(row, name) for name in _NAMES), 0, 0, 0) for row in some], NUMBERS),
                [row.members for row in some] if any(row.members for row in some) else None,
            )
            for place, some in found.items()
        )

    def messages(self, token: bytes = b"") -> Iterator[tuple[str, bytes, bytes]]:
        """Account, key and value of each row."""
        return chain.from_iterable(block.messages(token) for block in self.blocks)

    def __iter__(self) -> Iterator[WindowRow]:
        return chain.from_iterable(self.blocks)

    def __len__(self) -> int:
        return sum(len(block.series) for block in self.blocks)

    def __add__(self, other: WindowRows) -> WindowRows:
        return WindowRows(self.blocks + other.blocks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WindowRows) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def row_of(origin: Origin, series: Series, account: str, numbers: tuple[int, ...], members: bytes) -> WindowRow:
    meter, version, topic, partition = origin
    _, chunk, window, admission, offset, events, sum_hi, sum_lo, value, time_us, id_hi, id_lo, *_ = numbers
    return WindowRow(
        *(meter, version, series[0], list(series[1:]), account),
        *(window, topic, partition, chunk, offset),
        *(events, sum_hi, sum_lo, value, time_us, id_hi, id_lo),
        members=members,
        admission=admission,
    )
