"""What the emitter must know of a line before sending it: whose it is, whether it may share a message, its MessagePack.

Nothing here judges an event: a line that is no JSON object goes on as it stands, and the processors refuse it, where it
is counted.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from io import BufferedIOBase
from typing import Any

import msgspec

# A deeply nested line could exceed the decoder's recursion limit inside a batch and spoil its neighbours.
_BATCH_BRACKETS_MAX = 64
# Longer subjects are refused by every sensible limit; they need no key, only a place that is always the same.
_SUBJECT_BYTES_MAX = 1024
# Exponents are written out in full up to this one, beyond which no meter takes a value.
_EXPONENT_MAX = 40
_EXPONENT_DIGITS_MAX = 5

# Splitting a block costs a tenth of reading line by line.
_READ_BYTES = 1 << 18

_BAD_LINE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Keyed(msgspec.Struct, gc=False):
    subject: Any = None


class _Valued(msgspec.Struct, gc=False):
    data: Any = None


def _plain_number(text: str) -> str:
    """A JSON number with fraction or exponent as a decimal string of its value, without exponent if that is short."""
    if "e" not in text and "E" not in text:
        return text
    exponent = text.lower().partition("e")[2]
    if len(exponent) > _EXPONENT_DIGITS_MAX or abs(int(exponent)) > _EXPONENT_MAX:
        return text
    return format(Decimal(text), "f")


_KEYED = msgspec.json.Decoder(_Keyed)
_EXACT = msgspec.json.Decoder(_Valued, float_hook=_plain_number)
_ANY = msgspec.json.Decoder()
_PACK = msgspec.msgpack.Encoder()


def subject_of(line: bytes) -> tuple[str | None, bool]:
    """(subject, is the line one JSON object); the subject is None where there is none that could be a key."""
    try:
        subject = _KEYED.decode(line).subject
    except _BAD_LINE:
        return None, False
    if type(subject) is str and 0 < len(subject) <= _SUBJECT_BYTES_MAX:
        return subject, True
    return None, True


def joinable(line: bytes) -> bool:
    """Whether a line that is one JSON object may share a message: it cannot make the whole message unreadable."""
    if line.count(b"{") + line.count(b"[") > _BATCH_BRACKETS_MAX:
        return False
    if line.isascii():
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def to_msgpack(line: bytes) -> bytes | None:
    """One JSON object in MessagePack, or None if the line is not one or MessagePack cannot say it.

    Inside `data`, numbers with fraction or exponent and integers beyond 64 bits become decimal strings, so they stay
    exact. Elsewhere a number stays a number: as a string it could pass for a valid `id`.
    """
    try:
        data = _EXACT.decode(line).data
        event = _ANY.decode(line)
        if "data" in event:
            event["data"] = data
        try:
            return _PACK.encode(event)
        except OverflowError:
            event["data"] = _without_big_integers(data)
            return _PACK.encode(event)
    except (*_BAD_LINE, OverflowError, UnicodeEncodeError):
        return None


def _without_big_integers(value: Any) -> Any:
    if type(value) is dict:
        return {name: _without_big_integers(item) for name, item in value.items()}
    if type(value) is list:
        return [_without_big_integers(item) for item in value]
    if type(value) is int and not -(1 << 63) <= value < 1 << 64:
        return str(value)
    return value


def json_array(items: Sequence[bytes]) -> bytes:
    """A batch message of JSON lines, each as it stands."""
    return b"[" + b",".join(items) + b"]"


def msgpack_array(items: Sequence[bytes]) -> bytes:
    """A batch message of MessagePack events."""
    count = len(items)
    if count < 16:
        head = bytes((0x90 | count,))
    elif count < 1 << 16:
        head = b"\xdc" + count.to_bytes(2, "big")
    else:
        head = b"\xdd" + count.to_bytes(4, "big")
    return head + b"".join(items)


def read_lines(stream: BufferedIOBase, line_bytes_max: int) -> Iterator[bytes]:
    """The lines of `stream` without their line feeds; of a longer one only the first `line_bytes_max` + 1 bytes, so
    that no line fills the memory and the emitter still sees that it is too long."""
    rest, cut = b"", False  # cut: the beginning of this line has been yielded already
    while block := stream.read1(_READ_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        if lines and cut:
            del lines[0]
            cut = False
        for line in lines:
            yield line if len(line) <= line_bytes_max else line[: line_bytes_max + 1]
        if len(rest) > line_bytes_max:
            if not cut:
                yield rest[: line_bytes_max + 1]
            rest, cut = b"", True
    if rest and not cut:
        yield rest
