"""The errors of the ClickHouse door: ClickHouse's own codes, texts and HTTP statuses."""

from __future__ import annotations

import re

# Codes the door itself raises; the rest comes from the engine as it is.
BAD_ARGUMENTS = 36
CANNOT_READ_ALL_DATA = 33
NOT_IMPLEMENTED = 48
SYNTAX_ERROR = 62
UNKNOWN_TYPE_OF_QUERY = 78
UNKNOWN_COMPRESSION_METHOD = 89
UNKNOWN_SETTING = 115
READONLY = 164
TOO_MANY_SIMULTANEOUS_QUERIES = 202
SOCKET_TIMEOUT = 209
QUERY_IS_TOO_LARGE = 229
MEMORY_LIMIT_EXCEEDED = 241
CANNOT_DECOMPRESS = 271
INTO_OUTFILE_NOT_ALLOWED = 358
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
INVALID_SESSION_TIMEOUT = 374
ACCESS_DENIED = 497
STD_EXCEPTION = 1001

NAMES = {
    BAD_ARGUMENTS: "BAD_ARGUMENTS",
    CANNOT_READ_ALL_DATA: "CANNOT_READ_ALL_DATA",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    SYNTAX_ERROR: "SYNTAX_ERROR",
    UNKNOWN_TYPE_OF_QUERY: "UNKNOWN_TYPE_OF_QUERY",
    UNKNOWN_COMPRESSION_METHOD: "UNKNOWN_COMPRESSION_METHOD",
    UNKNOWN_SETTING: "UNKNOWN_SETTING",
    READONLY: "READONLY",
    TOO_MANY_SIMULTANEOUS_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    SOCKET_TIMEOUT: "SOCKET_TIMEOUT",
    QUERY_IS_TOO_LARGE: "QUERY_IS_TOO_LARGE",
    MEMORY_LIMIT_EXCEEDED: "MEMORY_LIMIT_EXCEEDED",
    CANNOT_DECOMPRESS: "CANNOT_DECOMPRESS",
    INTO_OUTFILE_NOT_ALLOWED: "INTO_OUTFILE_NOT_ALLOWED",
    SESSION_NOT_FOUND: "SESSION_NOT_FOUND",
    SESSION_IS_LOCKED: "SESSION_IS_LOCKED",
    INVALID_SESSION_TIMEOUT: "INVALID_SESSION_TIMEOUT",
    ACCESS_DENIED: "ACCESS_DENIED",
    STD_EXCEPTION: "STD_EXCEPTION",
}

# ClickHouse's exceptionCodeToHTTPStatus; every other code answers 500.
_STATUSES = (
    (401, (194,)),
    (403, (192, 193, 497, 512, 516)),
    (
        400,
        (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
    ),
    (404, (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511)),
    (408, (159,)),
    (411, (381,)),
    (413, (229,)),
    (415, (779,)),
    (501, (48,)),
    (503, (76, 209, 439)),
)
_STATUS_OF = {code: status for status, codes in _STATUSES for code in codes}
_CODE = re.compile(r"Code: (\d+)\. DB::Exception")


class ClickHouseError(Exception):
    """An answer of the door that is an error: `code` is ClickHouse's, `text` what the client reads."""

    def __init__(self, code: int, message: str, status: int | None = None) -> None:
        self.code = code
        self.text = f"Code: {code}. DB::Exception: {message} ({NAMES[code]})" if code in NAMES else message
        self.status = status or _STATUS_OF.get(code, 500)
        super().__init__(self.text)


def engine_error(error: RuntimeError | UnicodeDecodeError) -> ClickHouseError:
    """What the engine raised, as ClickHouse would answer it. The binding fails to decode a text that quotes
    bytes which are no UTF-8; the text is in that failure."""
    raw = error.object if isinstance(error, UnicodeDecodeError) else str(error).encode()
    text = raw.decode(errors="backslashreplace")
    found = _CODE.search(text)
    if found is None:
        return ClickHouseError(STD_EXCEPTION, text)
    answer = ClickHouseError(int(found[1]), "")
    answer.text = text[found.start() :]
    return answer
