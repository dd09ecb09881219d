"""Checksums of a checkpoint: a chain over the frames of a segment, and a sum over the identities of an hour.

Both can be continued from their last value alone, so a checkpoint pays for what it adds and not for what is there. A
manifest holds them, and the head that holds the manifest has a digest of its own: nothing in a state is unchecked.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import xxhash

from processors.identity import Digests

_FRAME: Final = struct.Struct("<IQ")  # payload bytes; xxh3_64 of the payload, seeded with that of the frame before
FRAME_HEAD_BYTES: Final = _FRAME.size
_SEAL: Final = struct.Struct("<Q")
_MIX: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))  # odd: multiplying loses nothing


class DamagedError(Exception):
    """A stored state that does not hold what it says it holds. It counts as lost and is rebuilt from the log."""


def framed(payload: bytes, before: int) -> tuple[bytes, int]:
    """A frame, and the digest that the next frame of its segment is chained to; `before` is 0 for the first one."""
    digest = xxhash.xxh3_64_intdigest(payload, before)
    return _FRAME.pack(len(payload), digest) + payload, digest


def payloads(segment: bytes) -> tuple[list[bytes], int]:
    """The payloads of a segment's frames in order, and the last digest. DamagedError where a frame is not what it
    says, or not where it was written."""
    found: list[bytes] = []
    at = digest = 0
    while at < len(segment):
        if at + _FRAME.size > len(segment):
            raise DamagedError(f"a frame header is cut off at byte {at}")
        length, said = _FRAME.unpack_from(segment, at)
        payload = segment[at + _FRAME.size : at + _FRAME.size + length]
        digest = xxhash.xxh3_64_intdigest(payload, digest)
        if len(payload) != length or digest != said:
            raise DamagedError(f"the frame at byte {at} is damaged")
        found.append(payload)
        at += _FRAME.size + length
    return found, digest


def summed(keys: Digests, before: int = 0) -> int:
    """The sum over identities, continued: 64 bits in which a changed, lost or doubled one shows; their order does not
    matter."""
    lanes = keys[:, 0] * _MIX[0] + keys[:, 1]
    lanes = (lanes ^ (lanes >> np.uint64(32))) * _MIX[1]
    return (before + int((lanes ^ (lanes >> np.uint64(29))).sum(dtype=np.uint64))) % 2**64


def sealed(body: bytes) -> bytes:
    """Bytes with their digest before them."""
    return _SEAL.pack(xxhash.xxh3_64_intdigest(body)) + body


def unsealed(data: bytes) -> bytes:
    """What was sealed. DamagedError where it is not that."""
    body = data[_SEAL.size :]
    if data[: _SEAL.size] != _SEAL.pack(xxhash.xxh3_64_intdigest(body)):
        raise DamagedError("the head is damaged")
    return body
