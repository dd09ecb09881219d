"""The shape of a message: which of the two forms, one event or many, where each lies, and how deep it nests.

msgspec recurses with the interpreter's stack, so how deep it can read depends on who calls it. Verdicts may not: a
fixed limit far below the stack's decides, and messages that could pass it are measured here without recursion.
"""

import re
from itertools import pairwise

import msgspec
import numpy as np
from msgspec import Raw

from processors.arrow_frames import HEAD
from processors.decode_careful import DECODE_ERRORS, Form, unparsable

NESTING_MAX = 512  # levels of one event; half of Python's default stack, and far above any real event

_WHITESPACE = b" \t\r\n"
_RAW_EVENTS = {
    "JSON": msgspec.json.Decoder(list[Raw]).decode,
    "MessagePack": msgspec.msgpack.Decoder(list[Raw]).decode,
}
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_PACKED_HEADS: dict[int, tuple[Form, bool]] = dict.fromkeys([*range(0x80, 0x90), 0xDE, 0xDF], ("MessagePack", False))
_PACKED_HEADS |= dict.fromkeys([*range(0x90, 0xA0), 0xDC, 0xDD], ("MessagePack", True))
_PACKED_CONTAINERS = bytes(_PACKED_HEADS)
# MessagePack head byte -> (bytes of the length that follows, bytes besides what the length says)
_PACKED_SIZED = (
    {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}  # binary, extension
    | {0xCA: (0, 4), 0xCB: (0, 8)}  # floats
    | {0xCC: (0, 1), 0xCD: (0, 2), 0xCE: (0, 4), 0xCF: (0, 8)}  # unsigned
    | {0xD0: (0, 1), 0xD1: (0, 2), 0xD2: (0, 4), 0xD3: (0, 8)}  # signed
    | {0xD4: (0, 2), 0xD5: (0, 3), 0xD6: (0, 5), 0xD7: (0, 9), 0xD8: (0, 17)}  # extension of a fixed size
    | {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}  # texts
)


class SplitError(ValueError):
    """A message that cannot be split into events; the message is the reason."""


def form_of(value: bytes) -> tuple[Form, bool]:
    """The form of a value that is not empty, and whether it is an array of events: the first byte tells. What is
    neither counts as one event in JSON."""
    head = value[0]
    if head >= 0x80:
        return _PACKED_HEADS.get(head, ("JSON", False))
    if head in _WHITESPACE:
        return "JSON", value.lstrip(_WHITESPACE).startswith(b"[")
    return "JSON", head == 0x5B  # [


def is_many(value: bytes) -> bool:
    """Whether a message is an array or a columnar batch, be it of one event."""
    return bool(value) and (value.startswith(HEAD) or form_of(value)[1])


def may_nest(value: bytes, form: Form, events: int = 1) -> bool:
    """Whether one of the events in `value` could nest deeper than NESTING_MAX. Cheap; True may be wrong."""
    if len(value) <= NESTING_MAX:
        return False
    if form == "JSON":
        opened = int(np.count_nonzero(np.frombuffer(value, np.uint8) | 0x20 == 0x7B))  # "[" is 0x5B, "{" 0x7B
    else:
        opened = len(value) - len(value.translate(None, _PACKED_CONTAINERS))
    return opened - events >= NESTING_MAX


def nests(event: bytes, form: Form) -> bool:
    """Whether one event nests deeper than NESTING_MAX. Exact."""
    if not may_nest(event, form):
        return False
    if form == "JSON":
        return int(_json_depths(event).max()) > NESTING_MAX
    return _packed_end(event, 0, NESTING_MAX)[1] > NESTING_MAX


def split(value: bytes, form: Form) -> list[bytes]:
    """The events of an array. Raises SplitError when it cannot be read as a whole.

    An event that nests too deep comes back as it is, be it well-formed or not, and does not harm the others.
    """
    try:
        return [bytes(event) for event in _RAW_EVENTS[form](value)]
    except DECODE_ERRORS as error:
        reason = unparsable(form, error)
    parts = (_json_parts if form == "JSON" else _packed_parts)(value) if may_nest(value, form) else []
    deep = [nests(part, form) for part in parts]
    if any(deep) and all(is_deep or _is_readable(part, form) for part, is_deep in zip(parts, deep, strict=True)):
        return parts
    raise SplitError(reason)


def _is_readable(event: bytes, form: Form) -> bool:
    try:
        (msgspec.json if form == "JSON" else msgspec.msgpack).decode(event, type=Raw)
    except DECODE_ERRORS:
        return False
    return True


def _json_depths(value: bytes) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
    """int32[bytes]: how many objects and arrays are open after each byte."""
    blanked = _STRING.sub(lambda found: b'"' * len(found[0]), value)
    return np.cumsum(_STEPS[np.frombuffer(blanked, np.uint8)], dtype=np.int32)


def _json_parts(value: bytes) -> list[bytes]:
    """The elements of an array by its brackets alone; none where they do not match."""
    value = value.strip(_WHITESPACE)
    depths = _json_depths(value)
    if not value.endswith(b"]") or depths[-1] != 0 or (depths[:-1] < 1).any():
        return []
    blanked = _STRING.sub(lambda found: b'"' * len(found[0]), value)
    commas = np.flatnonzero((depths == 1) & (np.frombuffer(blanked, np.uint8) == ord(","))).tolist()
    bounds = [0, *commas, len(value) - 1]
    return [value[start + 1 : end].strip(_WHITESPACE) for start, end in pairwise(bounds)]


def _packed_parts(value: bytes) -> list[bytes]:
    """The elements of a MessagePack array; none where it is cut short or something follows it."""
    size = {0xDC: 2, 0xDD: 4}.get(value[0], 0)
    count = int.from_bytes(value[1 : 1 + size]) if size else value[0] & 15
    parts: list[bytes] = []
    start = 1 + size
    for _ in range(min(count, len(value))):
        end, _ = _packed_end(value, start)
        parts.append(value[start:end])
        start = end
    return parts if start == len(value) and len(parts) == count else []


def _packed_end(value: bytes, at: int, enough: int | None = None) -> tuple[int, int]:
    """Where the MessagePack value at `at` ends, and how deep it nests; beyond the end of `value` if it is cut short, or
    nests deeper than `enough`, where the walk stops."""
    pending, deepest = [1], 0  # values still to come, on each level
    while pending and at < len(value):
        if pending[-1] == 0:
            pending.pop()
            continue
        pending[-1] -= 1
        head = value[at]
        at += 1
        if head < 0x80 or head >= 0xE0 or head in (0xC0, 0xC1, 0xC2, 0xC3):
            continue
        if 0xA0 <= head < 0xC0:
            at += head & 31
        elif head in _PACKED_SIZED:
            size, more = _PACKED_SIZED[head]
            at += size + int.from_bytes(value[at : at + size]) + more
        else:
            size = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}.get(head, 0)
            count = int.from_bytes(value[at : at + size]) if size else head & 15
            at += size
            pending.append(count * 2 if head < 0x90 or head >= 0xDE else count)
            deepest = max(deepest, len(pending) - 1)
            if enough is not None and deepest > enough:
                return len(value) + 1, deepest
    return (at if not any(pending) else len(value) + 1), deepest
