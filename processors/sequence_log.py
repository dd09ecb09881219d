"""The numbers of a partition as packed rows for its checkpoint: absolute, so that the last row of a source wins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.packed import Count
from processors.partials import DamagedError
from processors.sequences import SequenceDay, Sequences

# day, total, first source, sources, slots, newest, counts, starts, ends, first stray, strays; see `_pack`
Packed = tuple[Count, bytes, Count, bytes, bytes, bytes, bytes, bytes, bytes, Count, bytes]
_STRAYED: Final = 0x80  # beside the number of intervals, in one byte
INTERVALS_MAX: Final = 0x7F
_SOURCE_BYTES: Final = 16 + 4 + 4 + 1  # digest, slot, newest, number of intervals
_DIGEST_BYTES = _INTERVAL_BYTES = 16
_FLOOR_BYTES: Final = 16 * 1024  # below this a longer log is not worth a rewrite


def changes(sequences: Sequences) -> list[list[Any]]:
    """The days that changed since the last `settle`, packed: what changed in them."""
    return [
        _pack(number, day, day.changed(), day.saved_sources, day.sources.count, day.saved_strays, day.strays.count)
        for number, day in sequences.all_days().items()
        if day.touched
    ]


def settle(sequences: Sequences) -> None:
    """What changed so far is in the checkpoint."""
    for day in sequences.all_days().values():
        day.settle()


def pieces(sequences: Sequences, bytes_max: int) -> Iterator[list[Any]]:
    """Everything, packed in pieces of about this size."""
    for number, day in sequences.all_days().items():
        sources, strays = day.sources.count, day.strays.count
        some = max(bytes_max // (_SOURCE_BYTES + day.starts.shape[1] * _INTERVAL_BYTES), 1)
        for start in range(0, sources, some):
            end = min(start + some, sources)
            yield _pack(number, day, np.arange(start, end), start, end, 0, 0)
        some = max(bytes_max // _DIGEST_BYTES, 1)
        for start in range(0, strays, some):
            yield _pack(number, day, np.arange(0), sources, sources, start, min(start + some, strays))


def is_long(sequences: Sequences, length: int) -> bool:
    """Whether much of a log of so many bytes is superseded rows and closed days. The bound keeps a source cheap."""
    days = sequences.all_days().values()
    rows = sum(day.sources.count * _SOURCE_BYTES + len(day) * _INTERVAL_BYTES for day in days)
    strays = sum(day.strays.count for day in days) * _DIGEST_BYTES  # written once: nothing supersedes them
    return length > rows + rows // 2 + strays + _FLOOR_BYTES


def _pack(
    number: int, day: SequenceDay, slots: NDArray[np.int64], source: int, sources: int, stray: int, strays: int
) -> list[Any]:
    """Rows of `slots`, the sources from `source` to `sources` (exclusive) and the same of strays."""
    counts = day.count[slots]
    held = np.arange(day.starts.shape[1]) < counts[:, None]
    return [
        number,
        day.total.tobytes(),
        source,
        day.sources.keys[source:sources].tobytes(),
        slots.astype("<u4").tobytes(),
        day.newest[slots].astype("<u4").tobytes(),
        (counts | np.where(day.strayed[slots], _STRAYED, 0)).astype(np.uint8).tobytes(),
        day.starts[slots][held].tobytes(),
        day.ends[slots][held].tobytes(),
        stray,
        day.strays.keys[stray:strays].tobytes(),
    ]


def unpack(sequences: Sequences, packed: list[Any]) -> None:
    """Read what `_pack` wrote, in the order it was written. DamagedError or ValidationError where it makes no sense."""
    checked = msgspec.convert(packed, Packed)
    number, total, source, sources, slots_, newest, counts_, starts, ends, stray, strays = checked
    four, eight = len(counts_) * 4, sum(count & INTERVALS_MAX for count in counts_) * 8
    if (len(total), len(slots_), len(newest), len(starts), len(ends)) != (16, four, four, eight, eight):
        raise DamagedError(f"sequences of day {number} are cut off")
    if len(sources) % 16 or len(strays) % 16:
        raise DamagedError(f"sequences of day {number} end within a digest")
    day = sequences.day(number)
    if source != day.sources.count or stray != day.strays.count:
        raise DamagedError(f"sequences of day {number} from {source} and {stray}, which is not where they end")
    for held, more in ((day.sources, sources), (day.strays, strays)):
        if not held.add(np.frombuffer(more, np.uint64).reshape(-1, 2)).all():
            raise DamagedError(f"sequences of day {number} hold a digest twice")
    slots = np.frombuffer(slots_, "<u4").astype(np.int64)
    counts = np.frombuffer(counts_, np.uint8).astype(np.int64)
    day.reserve(day.sources.count, int((counts & INTERVALS_MAX).max(initial=1)))
    if len(np.unique(slots)) < len(slots):
        raise DamagedError(f"sequences of day {number} hold a source twice")
    if len(slots) and int(slots.max()) >= day.sources.count:
        raise DamagedError(f"sequences of day {number} are of a source that is not there")
    day.total = np.frombuffer(total, np.uint64).copy()
    day.newest[slots] = np.frombuffer(newest, "<u4")
    day.strayed[slots], day.count[slots] = counts >= _STRAYED, counts & INTERVALS_MAX
    held_ = np.arange(day.starts.shape[1]) < day.count[slots][:, None]
    for column, bytes_, empty in ((day.starts, starts, np.iinfo(np.int64).max), (day.ends, ends, -1)):
        rows: NDArray[np.int64] = np.full(held_.shape, empty, np.int64)
        rows[held_] = np.frombuffer(bytes_, np.int64)
        column[slots] = rows


def finish(sequences: Sequences) -> None:
    """After the last `unpack`. DamagedError where a source has no number."""
    for number, day in sequences.all_days().items():
        if not (day.count[: day.sources.count] > 0).all():
            raise DamagedError(f"a source of day {number} has no number")
    settle(sequences)
