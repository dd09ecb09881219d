"""The records of `usage.windows`: rows to bytes, many of a meter to a record, and back.

A record of many rows is FORM_MANY, the number of rows, which columns of NUMBERS it has as bits, and the bytes of the
origin, u32 each; the origin; those columns, one after the other; of each row the bytes of its series and of its
account, u32 each, one column after the other; series and account of each row. A column that it lacks is 0 in each row,
and an account without bytes is the subject.
Where a row says more than that, its members, it has a record of its own: processors.window_rows has its form.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import add
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.combinations import Series
from processors.homes import Homes
from processors.window_rows import ENCODE, FORM, HEAD, NUMBERS, Block, Origin, WindowRow, row_of
from processors.windows import Ints

FORM_MANY: Final = 0x014D4F52  # "ROM" and the format's version
ROWS_MAX: Final = 1000  # of a record
BYTES_MAX: Final = 256 * 1024  # of their texts, and one row more: far below a Kafka message
_COLUMNS: Final = tuple(name for name in NUMBERS.names or () if NUMBERS[name].itemsize == 8)
_BEGIN: Final = struct.Struct("<IIII")
_MANY: Final = FORM_MANY.to_bytes(4, "little")
_ORIGIN: Final = msgspec.msgpack.Decoder(Origin)
_SERIES: Final = msgspec.msgpack.Decoder(Series)


class UnknownFormatError(Exception):
    """A record of `usage.windows` that other code wrote."""


class Record(NamedTuple):
    """To be put on `usage.windows`."""

    partition: int
    key: bytes
    value: bytes


def packed(block: Block, homes: Homes) -> Iterator[tuple[int, Ints, bytes]]:
    """The rows of a block in records: the partition of `usage.windows`, which of the rows they are, the value.

    None of them may have members.
    """
    origin = ENCODE((*block.meter, block.topic, block.partition))
    columns = [name for name in _COLUMNS if block.numbers[name].any()]
    mask = sum(1 << _COLUMNS.index(name) for name in columns)
    texts = list(map(ENCODE, block.series))
    lengths = np.zeros((len(texts), 2), "<u4")
    lengths[:, 0] = list(map(len, texts))
    if block.account is not None:
        accounts = [account.encode() for account in block.account]
        lengths[:, 1], texts = list(map(len, accounts)), list(map(add, texts, accounts))
    partitions = homes.of(block.accounts)
    order = np.argsort(partitions)
    for rows in _cut(order, partitions[order], lengths[order].sum(axis=1)):
        begin = _BEGIN.pack(FORM_MANY, len(rows), mask, len(origin))
        parts = [begin, origin, *(block.numbers[name][rows].tobytes() for name in columns)]
        parts += [lengths[rows].T.tobytes(), *map(texts.__getitem__, rows.tolist())]
        yield int(partitions[rows[0]]), rows, b"".join(parts)


def _cut(order: Ints, partitions: Ints, lengths: Ints) -> list[Ints]:
    """The rows where the partition changes, and at the limits of a record."""
    if not len(order):
        return []
    full = np.arange(len(order)) // ROWS_MAX + np.cumsum(lengths) // BYTES_MAX
    return np.split(order, np.flatnonzero((np.diff(partitions) != 0) | (np.diff(full) != 0)) + 1)


class Taken:
    """The rows of some records, in columns."""

    def __init__(self, values: Sequence[bytes]) -> None:
        """UnknownFormatError."""
        alone = [value for value in values if value[:4] != _MANY]
        self._alone = alone
        numbers, self.texts = _alone(alone)
        many = [_many(value) for value in values if value[:4] == _MANY]
        self.numbers = np.concatenate([numbers, *(some for some, _ in many)])  # of NUMBERS
        for _, texts in many:
            self.texts += texts  # origin, series and account of each row: equal ones say the same

    def __len__(self) -> int:
        return len(self.texts)

    def parts(self, at: Ints) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Origin, series and account of some rows, as they are written."""
        series = self.numbers["origin_bytes"][at]
        account = series + self.numbers["series_bytes"][at]
        for one, begin, end in zip(at.tolist(), series.tolist(), account.tolist(), strict=True):
            text = self.texts[one]
            yield text[:begin], text[begin:end], text[end:] or _SERIES.decode(text[begin:end])[0].encode()

    def row(self, at: int) -> WindowRow:
        """A row by itself."""
        [(origin, series, account)] = self.parts(np.array([at]))
        members = self._alone[at][HEAD + len(self.texts[at]) :] if at < len(self._alone) else b""
        return row_of(origin_of(origin), _SERIES.decode(series), account.decode(), self.numbers[at].tolist(), members)

    def __iter__(self) -> Iterator[WindowRow]:
        return map(self.row, range(len(self)))


def rows_in(value: bytes) -> int:
    """How many rows a record says that it has."""
    return int.from_bytes(value[4:8], "little") if value[:4] == _MANY else 1


def _alone(values: list[bytes]) -> tuple[NDArray[Any], list[bytes]]:
    """Numbers and texts of records of one row each."""
    if not values:
        return np.empty(0, NUMBERS), []
    if min(map(len, values)) < HEAD:
        raise UnknownFormatError("a record of usage.windows is too short; other code than ours wrote it")
    numbers = np.frombuffer(b"".join([value[:HEAD] for value in values]), NUMBERS)
    if (numbers["form"] != FORM).any():
        raise UnknownFormatError("a record of usage.windows is of another format; run the code that wrote it")
    ends = numbers["origin_bytes"] + numbers["series_bytes"] + numbers["account_bytes"] + HEAD
    return numbers, [value[HEAD:end] for value, end in zip(values, ends.tolist(), strict=True)]


def _many(value: bytes) -> tuple[NDArray[Any], list[bytes]]:
    """Numbers and texts of a record of many rows."""
    try:
        _, count, mask, origin_bytes = _BEGIN.unpack_from(value)
        if 8 * count > len(value):
            raise ValueError(f"{count} rows in {len(value)} bytes")
        numbers, at = np.zeros(count, NUMBERS), _BEGIN.size + origin_bytes
        numbers["form"], numbers["origin_bytes"] = FORM, origin_bytes
        for bit, name in enumerate(_COLUMNS):
            if mask >> bit & 1:
                numbers[name] = np.frombuffer(value, NUMBERS[name], count, at)
                at += 8 * count
        for name in ("series_bytes", "account_bytes"):
            numbers[name] = np.frombuffer(value, "<u4", count, at)
            at += 4 * count
    except (struct.error, ValueError) as error:
        raise UnknownFormatError(f"a record of usage.windows ends too soon ({error})") from error
    sizes = numbers["series_bytes"].astype(np.int64) + numbers["account_bytes"]
    cuts = [at, *(at + np.cumsum(sizes)).tolist()]
    if mask >> len(_COLUMNS) or cuts[-1] != len(value):
        raise UnknownFormatError("a record of usage.windows is of another length than it says")
    origin = value[_BEGIN.size : _BEGIN.size + origin_bytes]
    return numbers, [origin + value[start:end] for start, end in pairwise(cuts)]


def origin_of(written: bytes) -> Origin:
    """Where a row comes from."""
    origin: Origin = _ORIGIN.decode(written)
    return origin
