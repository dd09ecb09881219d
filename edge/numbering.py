"""Gives events a number of their source, so that the processors know them by it: bytes a source instead of an event.

The promise behind it: a number is never used twice, and an event is only ever sent again as the same bytes to the same
partition. Both hold within one `Numbering`, which begins with a fresh random incarnation. Who starts again and numbers
the same events anew makes other events of them; so number what this process itself made, never a file that may be sent
a second time.
"""

import secrets
from typing import Any

import msgspec

SEQUENCE_TYPE = "tollstream"
_COUNTERS_MAX = 1 << 17  # of (source, partition), about 20 MB; beyond them a new incarnation begins
_READ = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_WRITE = msgspec.json.Encoder()
_BAD_LINE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Numbering:
    """Counts from 0 for each source on each partition. Not for several threads at once."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._incarnation = secrets.token_hex(8)
        self._next: dict[tuple[str, int], int] = {}

    def stamp(self, line: bytes, partition: int) -> bytes:
        """`line`, one JSON object, with the next number of its source; other members byte for byte as they were.

        Its `source` gets the incarnation and the partition as its fragment. A line that has a `sequence` or
        `sequencetype` of its own, or no source, stays as it is.
        """
        try:
            event: dict[str, Any] = _READ.decode(line)
            source = _TEXT.decode(event["source"])
        except (*_BAD_LINE, KeyError):
            return line
        if not source or "sequence" in event or "sequencetype" in event:
            return line
        if len(self._next) >= _COUNTERS_MAX:
            self._begin()
        number = self._next.get((source, partition), 0)
        self._next[source, partition] = number + 1
        event["source"] = f"{source}{'.' if '#' in source else '#'}{self._incarnation}.{partition}"
        return _WRITE.encode(event | {"sequence": str(number), "sequencetype": SEQUENCE_TYPE})
