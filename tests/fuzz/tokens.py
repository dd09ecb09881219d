"""Messages as lists of tokens, so that a mutation hits a value as often as a bracket. Both forms, and odd tokens.

A JSON token is a string, a mark or a literal; a MessagePack token is a scalar whole, or the head of a container.
"""

from __future__ import annotations

import re

import msgspec

Tokens = list[bytes]

_JSON = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}:,]|[^\s"\[\]{}:,]+', re.DOTALL)
# head byte -> (bytes of a length that follows, further bytes): the scalars of MessagePack that have a fixed head
_SIZES = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1), 0xCA: (0, 4)}
_SIZES |= {0xCB: (0, 8), 0xCC: (0, 1), 0xCD: (0, 2), 0xCE: (0, 4), 0xCF: (0, 8), 0xD0: (0, 1), 0xD1: (0, 2)}
_SIZES |= {0xD2: (0, 4), 0xD3: (0, 8), 0xD4: (0, 2), 0xD5: (0, 3), 0xD6: (0, 5), 0xD7: (0, 9), 0xD8: (0, 17)}
_SIZES |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0), 0xDC: (0, 2), 0xDD: (0, 4), 0xDE: (0, 2), 0xDF: (0, 4)}


def json_tokens(message: bytes) -> Tokens:
    """The tokens of a JSON text; what lies between them is left out."""
    return _JSON.findall(message)


def packed_tokens(message: bytes) -> Tokens:
    """The tokens of well-formed MessagePack."""
    tokens, at = [], 0
    while at < len(message):
        head = message[at]
        size, more = _SIZES.get(head, (0, 0))
        end = at + 1 + size + more + int.from_bytes(message[at + 1 : at + 1 + size])
        if 0xA0 <= head < 0xC0:
            end += head & 31
        tokens.append(message[at:end])
        at = end
    return tokens


NUMBERS = [
    *("0", "-0", "-0.0", "0e0", "1e3", "1E+3", "1.50", "0.001", "12.345", "1e18", "1000000000000000000", "5e-1"),
    *("1000000000000000001", "-1000000000000000001", "9" * 19, "9" * 38, "9" * 39, "9" * 50, "1" * 1500, "0" * 40),
    *("1E+1000000", "1e-1000000", "0e1000000000000", "1e99999999999999999999", "0.12345678901234567890", "1e-12"),
    *("1e400", "9007199254740993", "18446744073709551615", "18446744073709551616", "-9223372036854775808", "1."),
    *(".5", "01", "+1", "1_000", "0x10", "1e", "--1", "NaN", "Infinity", "-Infinity", "1e+-1", "1.5.5", "1-1"),
    *("1" + "0" * zeros for zeros in (64, 100, 128, 200)),
    *("0." + "0" * 300 + "1", "1" + "0" * 300, "1" + "0" * 17 + ".0", "0.5e1", "123456789012345678901234567890e-12"),
]
TIMES = [
    *("2026-11-01T12:00:00Z", "2026-11-01T12:00:00.999999999Z", "2026-11-01T12:00:00.9999999999999Z"),
    *("2026-05-31T23:59:59.999999999Z", "2026-06-01T00:00:00+00:00", "2026-06-01t00:00:00z", "2026-11-01 12:00:00Z"),
    *("2026-11-01T12:00:00", "2026-11-01T12:00Z", "2026-11-01", "2016-12-31T23:59:60Z", "2026-02-29T00:00:00Z"),
    *("2024-02-29T23:59:59Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59-00:01"),
    *("1970-01-01T00:00:00+00:01", "1970-01-01T00:00:00Z", "2261-12-31T23:59:59.999999999Z", "2262-01-01T00:00:00Z"),
    *(
        "2262-04-11T23:47:16.854775807Z",
        "2026-11-01T24:00:00Z",
        "2026-11-01T12:00:00+24:00",
        "2026-11-01T12:00:00+05:3",
    ),
    *("2026-11-01T12:00:00.Z", "2026-11-01T12:00:00,5Z", "2026-11-01T12:00:00-00:00", "٢٠٢٦-11-01T12:00:00Z"),
    *("2026-11-01T12:00:00." + "9" * 2_000 + "Z", "+2026-11-01T12:00:00Z", "2026-11-01T12:00:00Z ", "20261101T120000Z"),
    *("2026-13-01T12:00:00Z", "2026-11-31T12:00:00Z", "2026-11-01T12:60:00Z", "2026-11-01T12:00:00+0000"),
]
TEXTS = [
    *("", " ", "x" * 24, "x" * 256, "x" * 257, "é" * 128, "é" * 129, "\x7f", "\x85", "\x00", "a\x1fb", "\u2028", "￿"),
    *(
        "😀",
        "\ufeff",
        "e\u0301",
        "1",
        "true",
        "null",
        "1.0",
        '"',
        "\\",
        "a\nb",
        "traffic",
        "seat",
        "id",
        "٣",
        "x" * 5_000,
    ),
]
STRUCTURE = [
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b",",
    b"[]",
    b"{}",
    b"[[",
    b"]]",
    b"}{",
    b",,",
    b'{"a":1}',
    b"[1]",
    b'{"b":1}',
]
LITERALS = [b"null", b"true", b"false", b"nul", b"True", b"undefined", b"'x'", b'"', b'"\\', b'"\\u', b"//", b"\x00"]
ESCAPES = [b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\\x41"', b'"\\u00e9"', b'"\\/"']
BROKEN = [
    b'"\xff"',
    b'"\xc3"',
    b'"\xed\xa0\x80"',
    b'"\xf4\x90\x80\x80"',
    b'"\xc0\x80"',
    b"\xef\xbb\xbf",
    b'"a\nb"',
    b"\xc2\x85",
]

JSON_ODD: Tokens = [
    *(number.encode() for number in NUMBERS),
    *(b'"' + number.encode() + b'"' for number in NUMBERS),
    *(msgspec.json.encode(text) for text in TIMES + TEXTS),
    *STRUCTURE * 3,
    *LITERALS,
    *ESCAPES,
    *BROKEN,
]
PACKED_ODD: Tokens = [
    *(msgspec.msgpack.encode(text) for text in NUMBERS + TIMES + TEXTS),
    *(msgspec.msgpack.encode(value) for value in (0, -1, 127, 128, -33, 2**31, 2**63 - 1, -(2**63), 2**64 - 1, 10**18)),
    *(msgspec.msgpack.encode(value) for value in (0.1, 0.5, -0.0, 1e18, 1e300, 5e-324, float("nan"), float("inf"))),
    *(
        msgspec.msgpack.encode(value)
        for value in (None, True, False, b"", b"bytes", [], {}, [1], {"b": 1}, {1: 2}, [[]])
    ),
    *(
        b"\xca\x3d\xcc\xcc\xcd",
        b"\xca\x7f\xc0\x00\x00",
        b"\xc1",
        b"\xc7\x00\x01",
        b"\xd4\x01\x00",
        b"\xd6\xff" + bytes(4),
    ),
    *(b"\xd7\xff" + bytes(8), b"\xc7\x0c\xff" + bytes(12), b"\xd7\xff" + b"\xff" * 8, b"\xc7\x0c\xff" + b"\xff" * 12),
    *(
        b"\x80",
        b"\x81",
        b"\x88",
        b"\x8f",
        b"\x90",
        b"\x91",
        b"\x9f",
        b"\xdc\x00\x00",
        b"\xdc\xff\xff",
        b"\xdd\xff\xff\xff\xff",
    ),
    *(
        b"\xde\x00\x00",
        b"\xde\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdf\x80\x00\x00\x00",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
    ),
    *(b"\xa1\xff", b"\xa2\xc3\xa9", b"\xbf", b"\xd9\x05ab", b"\xda\x00\x01a", b"\xdb\x00\x00\x00\x01a", b"\xd9\x00"),
    *(b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01", b"\xde\x00\x01", b"\xdf\x00\x00\x00\x01", b"\xa3\xed\xa0\x80"),
]
