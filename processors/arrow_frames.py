"""The frames of an Arrow IPC stream, looked at before Arrow reads them: which there are, and that none is compressed.

A columnar message is a schema, its dictionaries and one record batch. Arrow's reader would take much more: deltas and
replaced dictionaries, that cost the square of their number, and compressed buffers, of which a kilobyte may ask for
gigabytes. The metadata of a frame is a flatbuffer, of which a few fields are read here; what does not lie where it
should is refused, and the rest is left to Arrow, which checks all of it.
"""

import struct
from typing import Final, NamedTuple

HEAD: Final = b"\xff\xff\xff\xff"  # begins every frame; no JSON, MessagePack or admission record begins so
FRAMES_MAX: Final = 258  # a schema, a dictionary for each of 256 columns, a record batch

_V5: Final = 4  # the metadata version since Arrow 1.0; older ones hid their compression elsewhere
_SCHEMA, _DICTIONARY, _RECORDS = 1, 2, 3
_FRAME = struct.Struct("<Ii")
_U16, _I32, _I64 = struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<q")

UNREADABLE: Final = (
    "arrow: cannot be read; send one whole Arrow IPC stream: a schema, its dictionaries, one record batch"
)
COMPRESSED: Final = "arrow: is compressed inside; leave that to Kafka"
REPEATED: Final = "arrow: has a delta or a second dictionary for one id; send each dictionary once and whole"


class ArrowError(ValueError):
    """A message that is no columnar batch; the text is the reason: a stable code, ": ", what to do."""


class Frames(NamedTuple):
    """`schema`: the bytes of its frame, the same for every message of the same columns; `events`: rows said to be in
    the record batch."""

    schema: bytes
    events: int


def frames_of(value: bytes) -> Frames:
    """What a message that begins with HEAD holds. Raises ArrowError."""
    try:
        return _walk(value)
    except struct.error:
        raise ArrowError(UNREADABLE) from None


def _walk(value: bytes) -> Frames:
    schema, at = b"", 0
    known: set[int] = set()
    for _ in range(FRAMES_MAX):
        kind, header, after = _frame(value, at)
        if not schema:
            if kind != _SCHEMA:
                break
            schema = value[at:after]
        elif kind == _DICTIONARY:
            number = _I64.unpack_from(value, place)[0] if (place := _field(value, header, 0)) else 0
            delta = _field(value, header, 2)
            if number in known or (delta and value[delta]):
                raise ArrowError(REPEATED)
            known.add(number)
            _check_plain(value, _child(value, header, 1))
        elif kind == _RECORDS:
            _check_plain(value, header)
            place = _field(value, header, 0)
            if value[after:] not in (b"", HEAD + bytes(4)):
                break
            return Frames(schema, _I64.unpack_from(value, place)[0] if place else 0)
        else:
            break
        at = after
    raise ArrowError(UNREADABLE)


def _frame(value: bytes, at: int) -> tuple[int, int, int]:
    """(kind of the header, its place, where the frame ends) of the frame at `at`."""
    mark, length = _FRAME.unpack_from(value, at)
    start = at + _FRAME.size
    if mark != 0xFFFFFFFF or length <= 0:
        raise ArrowError(UNREADABLE)
    table = _within(start + _I32.unpack_from(value, start)[0], start, value)
    version, kind, body = _field(value, table, 0), _field(value, table, 1), _field(value, table, 3)
    if not version or _U16.unpack_from(value, version)[0] != _V5 or not kind:
        raise ArrowError(UNREADABLE)
    size = _I64.unpack_from(value, body)[0] if body else 0
    end = start + length + size
    if size < 0 or end > len(value):
        raise ArrowError(UNREADABLE)
    return value[kind], _child(value, table, 2), end


def _check_plain(value: bytes, records: int) -> None:
    """Of a RecordBatch's table: that its buffers are not compressed."""
    if _field(value, records, 3):
        raise ArrowError(COMPRESSED)


def _field(value: bytes, table: int, slot: int) -> int:
    """Where a field of a flatbuffer's table lies; 0 where it is left out."""
    places = _within(table - _I32.unpack_from(value, table)[0], 0, value)
    entry = 4 + 2 * slot
    if entry + 2 > _U16.unpack_from(value, places)[0]:
        return 0
    offset: int = _U16.unpack_from(value, places + entry)[0]
    return _within(table + offset, table, value) if offset else 0


def _child(value: bytes, table: int, slot: int) -> int:
    """Where the table that a field points to lies. Raises ArrowError where there is none."""
    place = _field(value, table, slot)
    if not place:
        raise ArrowError(UNREADABLE)
    return _within(place + _I32.unpack_from(value, place)[0], place, value)


def _within(place: int, least: int, value: bytes) -> int:
    if not least <= place < len(value):
        raise ArrowError(UNREADABLE)
    return place
