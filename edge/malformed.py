"""The ways in which generated traffic is broken: each makes a good `http.request` line into one invalid event."""

import re

# kind: (what to look for, what to put there). Each is refused by a meter that sums whole, non-negative requests.
_CHANGES: dict[str, tuple[bytes, bytes]] = {
    "missing value": (rb'"requests":\d+,', b""),
    "null value": (rb'"requests":\d+', b'"requests":null'),
    "text as value": (rb'"requests":\d+', b'"requests":"many"'),
    "list as value": (rb'"requests":\d+', b'"requests":[1]'),
    "underscore in value": (rb'"requests":\d+', b'"requests":"1_000"'),
    "negative value": (rb'"requests":\d+', b'"requests":-5'),
    "fraction of a request": (rb'"requests":\d+', b'"requests":1.5'),
    "NaN": (rb'"requests":\d+', b'"requests":NaN'),
    "1e400": (rb'"requests":\d+', b'"requests":1e400'),
    "10^30": (rb'"requests":\d+', b'"requests":1' + b"0" * 30),
    "data is a list": (rb'"data":.*\}\}', b'"data":[]}'),
    "time in words": (rb'"time":"[^"]*"', b'"time":"yesterday"'),
    "time without zone": (rb'Z"', b'"'),
    "time in the year 9999": (rb'"time":"[^"]*"', b'"time":"9999-12-31T23:59:59Z"'),
    "empty id": (rb'"id":"[^"]*"', b'"id":""'),
    "no subject": (rb'"subject":"[^"]*",', b""),
    "bad UTF-8": (rb'"subject":"', b'"subject":"\xff'),
}
KINDS = ("truncated", *_CHANGES)


def spoil(line: bytes, kind: str) -> bytes:
    """`line` broken in the way `kind`."""
    if kind == "truncated":
        return line[: len(line) // 2]
    pattern, replacement = _CHANGES[kind]
    return re.sub(pattern, replacement.replace(b"\\", b"\\\\"), line, count=1)
