"""Random columnar messages from a seed: mostly good rows, odd ones of every kind among them."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tests.fuzz.columns import TEXT, dictionary, exact
from tests.unit.events_samples import RECORD_MS

Column = tuple[str, Any, list[Any]]

TEXTS = ["", "a", "b", "eu", "1.0", "7", "1.5", "007", "x" * 257, "é" * 129, "é" * 128, "a\x7f", "\x85", "\x00", "a\nb"]
TEXTS += ["\x1f", "true", "null", "1e3", "12abc", "😀", "\u2028", "-0", "1.50", "9" * 30, "1E+1000000", None]
TYPES = ["traffic", "traffic", "traffic", "seat", "seat", "odd", "pulse", "nobody"]
GOOD = {"id": "e-1", "source": "edge/fra-1", "subject": "zone-1"}
DATA: dict[str, list[Any]] = {  # numbers as such; of texts those that are good
    "bytes": [],
    "zone": ["z1", "z2", ""],
    "tier": ["a", "b"],
    "meta.region": ["eu", "us"],
    "meta.ms": [],
    "status": [],
    "units": [],
    "units_old": [],
    "unit kind": ["GB", "h"],
    "a": [],
    "a.b": [],
    "c": ["x"],
    "user.id": ["u1", "u2"],
    "plan": ["pro", "free"],
    "unread": ["x"],
}
TEXT_TYPES = [TEXT, dictionary(), dictionary(pa.int8()), dictionary(pa.uint64()), dictionary(pa.int32())]
INTEGERS = [pa.int64(), pa.int64(), pa.int8(), pa.uint16(), pa.int32(), pa.uint64(), pa.decimal128(38, 0)]
EDGES = [0, 1, -1, 2**63 - 1, -(2**63), 10**18, 10**18 + 1, 9_214_646_399_999_999, 9_214_646_400_000_000, 2**64 - 1]
TIMES = ["2026-11-01T12:00:00Z", "2026-11-02T00:05:01Z", "2026-05-31T23:59:59.999999999Z", "2026-06-01t00:00:00z"]
TIMES += ["2026-11-01T12:00:00", "", "2016-12-31T23:59:60Z", "9999-12-31T23:59:59-23:59", "2026-11-02T00:05:00Z"]
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DECIMAL_MAX = 10**38 - 1


class Batches:
    """`odd`: the share of columns that hold odd values."""

    def __init__(self, rng: random.Random, odd: float = 0.08) -> None:
        self._rng, self._odd = rng, odd

    def columns(self, rows: int) -> list[Column]:
        """The columns of one message."""
        rng = self._rng
        types = [*TYPES, "strange", "a\x85", "", None] if self._is_odd() else TYPES
        columns = [self._texts("type", types, rows), self._times(rows)]
        columns += [self._texts(name, TEXTS if self._is_odd() else [good], rows) for name, good in GOOD.items()]
        columns += [self._data(name, rows) for name in DATA if name != "a.b" and not self._is_odd()]
        if self._is_odd():
            columns.append(self._texts("specversion", ["1.0", "1.0", "1.0", "1.1", None, ""], rows))
        if rng.random() < 0.3:
            asks = ["tollstream"] * 6 + (["Integer", None, ""] if self._is_odd() else [])
            columns += [self._texts("sequencetype", asks, rows), self._sequences(rows)]
        if self._is_odd():
            columns += self._beside(rng.choice(columns))
        if self._is_odd():
            columns = [one for one in columns if one[0] != rng.choice([*GOOD, "type", "time"])]
        rng.shuffle(columns)
        return columns

    def _is_odd(self) -> bool:
        return self._rng.random() < self._odd

    def _texts(self, name: str, choices: Sequence[str | None], rows: int) -> Column:
        return name, self._rng.choice(TEXT_TYPES), self._rng.choices(choices, k=rows)

    def _data(self, name: str, rows: int) -> Column:
        rng = self._rng
        texts, odd = DATA[name], self._is_odd()
        if texts or (odd and rng.random() < 0.3):
            if odd and rng.random() < 0.5:
                return f"data.{name}", *self._numbers(rows)
            return self._texts(f"data.{name}", [*texts, *TEXTS] if odd else texts, rows)
        if odd and rng.random() < 0.3:
            return f"data.{name}", pa.bool_(), rng.choices([None, True, False], k=rows)
        if odd and rng.random() < 0.2:
            return f"data.{name}", pa.null(), [None] * rows
        return f"data.{name}", *(self._numbers(rows) if odd else self._good_numbers(rows))

    def _good_numbers(self, rows: int) -> tuple[Any, list[Any]]:
        """Such as every meter takes."""
        values = [self._rng.randrange(100) for _ in range(rows)]
        type_ = self._rng.choice([*INTEGERS, *(pa.decimal128(38, scale) for scale in (1, 2, 3, 12, 18, 19, 35))])
        if pa.types.is_decimal(type_):
            return type_, [exact(value * 10**type_.scale, type_.scale) for value in values]
        return type_, values

    def _numbers(self, rows: int) -> tuple[Any, list[Any]]:
        rng = self._rng
        if rng.random() < 0.5:
            type_ = rng.choice(INTEGERS)
            low, high = -DECIMAL_MAX, DECIMAL_MAX
            if not pa.types.is_decimal(type_):
                low, high = (
                    int(end) for end in (np.iinfo(type_.to_pandas_dtype()).min, np.iinfo(type_.to_pandas_dtype()).max)
                )
            some = [None, low, high, rng.randint(low, high), *(edge for edge in EDGES if low <= edge <= high), 5, 7]
            values = rng.choices(some, k=rows)
            return type_, [exact(v, 0) if v is not None and pa.types.is_decimal(type_) else v for v in values]
        scale = rng.choice([1, 2, 3, 12, 13, 18, 19, 37, 38])
        some = [
            None,
            0,
            1,
            -5,
            12_345,
            10**18,
            10**18 + 1,
            10**scale,
            10 ** min(37, scale + 3),
            DECIMAL_MAX,
            -DECIMAL_MAX,
        ]
        some = [*some, rng.randint(-DECIMAL_MAX, DECIMAL_MAX)]
        some = [value for value in some if value is None or abs(value) <= DECIMAL_MAX]
        return pa.decimal128(38, scale), [None if v is None else exact(v, scale) for v in rng.choices(some, k=rows)]

    def _times(self, rows: int) -> Column:
        rng = self._rng
        if rng.random() < 0.2:
            return self._texts("time", [*TIMES, None] if self._is_odd() else TIMES[:1], rows)
        unit = rng.choice(["s", "ms", "us", "us", "ns"])
        odd, values = self._is_odd(), []
        for _ in range(rows):
            near_us = RECORD_MS * 1000 + rng.randint(-(200 * 86_400 * 10**6), (301 if odd else 299) * 10**6)
            some = [None, *(edge for edge in EDGES if edge < 2**63), rng.randint(-(2**63), 2**63 - 1)]
            near = near_us * PER_SECOND[unit] // 10**6 + (rng.randrange(1000) if unit == "ns" else 0)
            values.append(rng.choice(some) if odd and rng.random() < 0.5 else near)
        return "time", pa.timestamp(unit, rng.choice(["UTC", "+01:00"])), values

    def _sequences(self, rows: int) -> Column:
        if self._rng.random() < 0.5:
            return "sequence", *(self._numbers(rows) if self._is_odd() else self._good_numbers(rows))
        odd = ["0", "17", "07", "-1", "", str(2**63 - 1), str(2**63), "9" * 19, " 1", None, "x"]
        return self._texts("sequence", odd if self._is_odd() else ["0", "17", str(2**63 - 1)], rows)

    def _beside(self, column: Column) -> list[Column]:
        """A second column of the name, or within it, that has values where the first has none: takes some of them."""
        name, type_, values = column
        other = f"{name}.inner" if name.startswith("data.") and self._rng.random() < 0.5 else name
        if other == name and pa.types.is_boolean(type_):
            return []
        flags = [None if value is not None else self._rng.choice([None, True]) for value in values]
        return [(other, pa.bool_(), flags)]
