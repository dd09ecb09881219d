"""The rows of `usage.windows`: as columns, as bytes, and one by one.

A value is NUMBERS; msgpack of [meter, version, events topic, partition] and of [subject, ...dimensions]; the account;
the members. So numbers are made and read for a whole batch at once, and the texts, which are the same in row after row
of a series, once. The key is what the row is about, and the owner's token.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.combinations import Series

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
_HEAD: Final = NUMBERS.itemsize
_KEY: Final = slice(4, 24)  # of the bytes of NUMBERS: chunk, window, admission
_LENGTHS: Final = struct.Struct("<III")
TEXTS_BEGIN: Final = _LENGTHS.size  # of `texts_of`: their lengths come first
_TEXTS: Final = _HEAD - TEXTS_BEGIN
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_ORIGIN: Final = msgspec.msgpack.Decoder(Origin)
_SERIES: Final = msgspec.msgpack.Decoder(Series)


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

    def messages(self, token: bytes) -> Iterator[tuple[str, bytes, bytes]]:
        """Account, key and value of each row."""
        numbers, accounts = self.numbers.copy(), [account.encode() for account in self.account]
        origin = _ENCODE((*self.meter, self.topic, self.partition))
        series = list(map(_ENCODE, self.series))
        numbers["form"], numbers["origin_bytes"] = FORM, len(origin)
        numbers["series_bytes"], numbers["account_bytes"] = list(map(len, series)), list(map(len, accounts))
        heads, members = numbers.tobytes(), self.members or [b""] * len(series)
        starts = range(0, len(heads), _HEAD)
        for at, payer, one, account, added in zip(starts, self.account, series, accounts, members, strict=True):
            head, about = heads[at : at + _HEAD], origin + one
            yield payer, about + head[_KEY] + token, b"".join((head, about, account, added))

    def __iter__(self) -> Iterator[WindowRow]:
        members = self.members or [b""] * len(self.series)
        for series, account, numbers, added in zip(
            self.series, self.account, self.numbers.tolist(), members, strict=True
        ):
            yield _row((*self.meter, self.topic, self.partition), series, account, numbers, added)


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


def _row(origin: Origin, series: Series, account: str, numbers: tuple[int, ...], members: bytes) -> WindowRow:
    meter, version, topic, partition = origin
    _, chunk, window, admission, offset, events, sum_hi, sum_lo, value, time_us, id_hi, id_lo, *_ = numbers
    return WindowRow(
        *(meter, version, series[0], list(series[1:]), account),
        *(window, topic, partition, chunk, offset),
        *(events, sum_hi, sum_lo, value, time_us, id_hi, id_lo),
        members=members,
        admission=admission,
    )


def read(value: bytes) -> WindowRow:
    """One row. UnknownFormatError."""
    numbers = heads([value])
    texts = texts_of([value], numbers)[0]
    origin, series, account = parts_of(texts)
    return _row(
        *(origin_of(origin), _SERIES.decode(series), account.decode()),
        *(numbers.tolist()[0], value[_TEXTS + len(texts) :]),
    )


def heads(values: Sequence[bytes]) -> NDArray[Any]:
    """The NUMBERS of some values. UnknownFormatError."""
    if min(map(len, values)) < _HEAD:
        raise UnknownFormatError("a record of usage.windows is too short; other code than ours wrote it")
    numbers = np.frombuffer(b"".join([value[:_HEAD] for value in values]), NUMBERS)
    if (numbers["form"] != FORM).any():
        raise UnknownFormatError("a record of usage.windows is of another format; run the code that wrote it")
    return numbers


def texts_of(values: Sequence[bytes], numbers: NDArray[Any]) -> list[bytes]:
    """The texts of each row with their lengths: equal ones say the same."""
    ends = numbers["origin_bytes"] + numbers["series_bytes"] + numbers["account_bytes"] + _HEAD
    return [value[_TEXTS:end] for value, end in zip(values, ends.tolist(), strict=True)]


def parts_of(texts: bytes) -> tuple[bytes, bytes, bytes]:
    """Origin, series and account, as they are written."""
    origin, series, _ = _LENGTHS.unpack_from(texts)
    at = _LENGTHS.size + origin
    return texts[_LENGTHS.size : at], texts[at : at + series], texts[at + series :]


def cuts_of(texts: Sequence[bytes]) -> tuple[list[int], list[int]]:
    """Where in each of some texts the series and where the account begins. The origin begins at TEXTS_BEGIN."""
    lengths = np.frombuffer(b"".join([text[:TEXTS_BEGIN] for text in texts]), "<u4").reshape(-1, 3)
    series = lengths[:, 0].astype(np.int64) + TEXTS_BEGIN
    return series.tolist(), (series + lengths[:, 1]).tolist()


def origin_of(written: bytes) -> Origin:
    """Where a row comes from."""
    origin: Origin = _ORIGIN.decode(written)
    return origin
