"""Messages that nest deeper than a reader's stack allows: measured byte by byte, without recursion. Rare, so plain."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

NESTING_MAX: Final = 512  # levels of one event, as docs/events.md has it
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
# MessagePack head -> (bytes of the length that follows, bytes besides what the length says)
_SIZED: Final = (
    {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
    | {0xCA: (0, 4), 0xCB: (0, 8), 0xCC: (0, 1), 0xCD: (0, 2), 0xCE: (0, 4), 0xCF: (0, 8)}
    | {0xD0: (0, 1), 0xD1: (0, 2), 0xD2: (0, 4), 0xD3: (0, 8), 0xD4: (0, 2), 0xD5: (0, 3)}
    | {0xD6: (0, 5), 0xD7: (0, 9), 0xD8: (0, 17), 0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
)
_COUNTED: Final = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}  # arrays and maps -> bytes of their count

Form = Literal["JSON", "MessagePack"]


def deeper_than_allowed(event: bytes, form: Form) -> bool:
    """Whether one event nests deeper than NESTING_MAX."""
    if form == "JSON":
        if event.count(b"{") + event.count(b"[") <= NESTING_MAX:
            return False
        depth = 0
        for byte in _STRING.sub(b"", event):
            depth += (byte in b"{[") - (byte in b"}]")
            if depth > NESTING_MAX:
                return True
        return False
    return _packed_end(event, 0)[1] > NESTING_MAX


def deep_parts(value: bytes, form: Form) -> list[bytes] | None:
    """The events of an array that cannot be read because some nest too deep; None where that is not the reason."""
    parts = _json_parts(value) if form == "JSON" else _packed_parts(value)
    if not parts:
        return None
    deep = [deeper_than_allowed(part, form) for part in parts]
    read = (msgspec.json if form == "JSON" else msgspec.msgpack).decode
    for part, is_deep in zip(parts, deep, strict=True):
        if not is_deep:
            try:
                read(part, type=msgspec.Raw)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
                return None
    return parts if any(deep) else None


def _json_parts(value: bytes) -> list[bytes] | None:
    value = value.strip(b" \t\r\n")
    shadow = _STRING.sub(lambda found: b'"' * len(found[0]), value)
    parts, depth, start = [], 0, 1
    for at, byte in enumerate(shadow):
        depth += (byte in b"{[") - (byte in b"}]")
        if depth < 1 and at < len(shadow) - 1:
            return None
        if (depth == 1 and byte == ord(",")) or at == len(shadow) - 1:
            parts.append(value[start:at].strip(b" \t\r\n"))
            start = at + 1
    return parts if depth == 0 and shadow.endswith(b"]") else None


def _packed_parts(value: bytes) -> list[bytes] | None:
    size = _COUNTED.get(value[0], 0)
    count = int.from_bytes(value[1 : 1 + size]) if size else value[0] & 15
    parts, at = [], 1 + size
    for _ in range(min(count, len(value))):
        end, _ = _packed_end(value, at)
        parts.append(value[at:end])
        at = end
    return parts if at == len(value) and len(parts) == count else None


def _packed_end(value: bytes, at: int) -> tuple[int, int]:
    """Where the MessagePack value at `at` ends (behind the end of `value` if it is cut short), and how deep it is."""
    waiting, deepest = [1], 0  # values still to come, on each level
    while waiting and at < len(value):
        if not waiting[-1]:
            waiting.pop()
            continue
        waiting[-1] -= 1
        head = value[at]
        at += 1
        if 0x80 <= head < 0xA0 or head in _COUNTED:
            size = _COUNTED.get(head, 0)
            count = int.from_bytes(value[at : at + size]) if size else head & 15
            at += size
            waiting.append(count * 2 if head < 0x90 or head >= 0xDE else count)
            deepest = max(deepest, len(waiting) - 1)
        elif 0xA0 <= head < 0xC0:
            at += head & 31
        elif head in _SIZED:
            size, more = _SIZED[head]
            at += size + int.from_bytes(value[at : at + size]) + more
    return (at if not any(waiting) else len(value) + 1), deepest
