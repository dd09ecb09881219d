"""Reads just enough of a statement to serve it over HTTP: where the data of an INSERT begins, which format it
has, and what a server refuses to do for a remote client. The engine does the real parsing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from stack.door_errors import (
    INTO_OUTFILE_NOT_ALLOWED,
    NOT_IMPLEMENTED,
    SYNTAX_ERROR,
    UNKNOWN_TYPE_OF_QUERY,
    ClickHouseError,
)

# ClickHouse's own max_query_size: a statement (without its data) is not read further than this.
STATEMENT_BYTES_MAX = 262_144

# Nothing here backtracks, and an unclosed quote or comment runs to the end: linear on any input.
_TOKEN = re.compile(
    rb"""(?P<skip>\s++|--[^\n]*+|\#[ !][^\n]*+|/\*.*?(?:\*/|\Z))
    |(?P<quoted>'(?:[^'\\]|\\(?:.|\Z)|'')*+(?:'|\Z)|`(?:[^`\\]|\\(?:.|\Z)|``)*+(?:`|\Z)|"(?:[^"\\]|\\(?:.|\Z)|"")*+(?:"|\Z))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_SETTING = rb"\s*+[A-Za-z_]\w*+\s*+=\s*+(?:'(?:[^'\\]|\\.|'')*+'|[\w.+-]++)"
_SETTINGS_AFTER_FORMAT = re.compile(rb"\s++SETTINGS\s" + _SETTING + rb"(?:\s*+," + _SETTING + rb")*+", re.IGNORECASE)
_DATA_START = re.compile(rb"[ \t\f]*+\r?\n?")
_CLOSERS = {b"(": 1, b"[": 1, b"{": 1, b")": -1, b"]": -1, b"}": -1}


class Statement(NamedTuple):
    """`text` is what the engine is given. An INSERT that carries its data has `insert_format` set and its data
    from byte `data_at` of the source on; a `bare` one names no format. `kind` is the first keyword in upper case;
    `output_format` the FORMAT clause of a query, or ''. `settings` is the SETTINGS clause of an INSERT, kept apart from
    its `text`: where its data comes from is said between the two."""

    kind: str
    text: bytes
    insert_format: str = ""
    data_at: int = 0
    output_format: str = ""
    bare: bool = False
    settings: bytes = b""


class _Token(NamedTuple):
    text: bytes  # in upper case
    raw: bytes
    word: bool
    depth: int
    start: int
    end: int


def _tokens(source: bytes) -> Iterator[_Token]:
    depth = 0
    ended = False
    for found in _TOKEN.finditer(source, 0, STATEMENT_BYTES_MAX):
        if found.lastgroup == "skip":
            continue
        raw = found[0]
        if ended and raw != b";":  # the engine would run them all
            raise ClickHouseError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
        ended = raw == b";"
        step = _CLOSERS.get(raw, 0)
        depth += min(step, 0)
        yield _Token(raw.upper(), raw, found.lastgroup == "word", depth, *found.span())
        depth += max(step, 0)


def read_statement(source: bytes) -> Statement:
    """Reads the statement at the start of `source`.

    Raises ClickHouseError for what is no statement, for what ClickHouse refuses over HTTP (FROM INFILE, INTO
    OUTFILE, several statements) and for INSERT SELECT FROM input(): the embedded engine drops its data silently."""
    tokens = _tokens(source)
    first = next((token for token in tokens if token.text != b"("), None)
    if first is None:
        raise ClickHouseError(SYNTAX_ERROR, "Syntax error: Empty query")
    if not first.word:
        raise ClickHouseError(SYNTAX_ERROR, "Syntax error: failed at position 1: a query begins with a keyword")
    kind = first.text.decode()
    if kind == "INSERT":
        return _read_insert(source, tokens)
    return Statement(kind, source, output_format=_output_format(tokens))


def _read_insert(source: bytes, tokens: Iterator[_Token]) -> Statement:
    before, settings_at = b"INSERT", -1
    for token in tokens:
        names_table = before in (b"INTO", b"TABLE", b"FUNCTION", b".") and token.text not in (b"TABLE", b"FUNCTION")
        before = token.text
        if not token.word or token.depth or names_table:
            continue
        if token.text == b"SETTINGS" and settings_at < 0:
            settings_at = token.start
        if token.text == b"VALUES":
            return _cut(source, token.start, settings_at, "Values", token.end)
        if token.text == b"FORMAT":
            name = next(tokens, None)
            return _with_format(source, token, name, settings_at) if name and name.word else Statement("INSERT", source)
        if token.text in (b"SELECT", b"WITH"):
            _refuse_input_function(tokens)
            return Statement("INSERT", source)
        if token.text == b"INFILE":
            raise ClickHouseError(UNKNOWN_TYPE_OF_QUERY, "Query has infile and was send directly to server")
    return Statement("INSERT", source, bare=True)


def _cut(source: bytes, end: int, settings_at: int, insert_format: str, data_at: int) -> Statement:
    """An INSERT whose text ends at `end`, its SETTINGS clause taken out if there is one."""
    head = end if settings_at < 0 else settings_at
    return Statement("INSERT", source[:head], insert_format, data_at, settings=source[head:end])


def _with_format(source: bytes, clause: _Token, name: _Token, settings_at: int) -> Statement:
    at = name.end
    after = _SETTINGS_AFTER_FORMAT.match(source, at, STATEMENT_BYTES_MAX) if settings_at < 0 else None
    at = after.end() if after else at
    start = _DATA_START.match(source, at)
    found = _cut(source, clause.start, settings_at, name.raw.decode(), start.end() if start else at)
    return found._replace(settings=after[0]) if after else found


def _refuse_input_function(tokens: Iterator[_Token]) -> None:
    before = b""
    for token in tokens:
        if before == b"INPUT" and token.text == b"(":
            raise ClickHouseError(NOT_IMPLEMENTED, "INSERT SELECT FROM input() is not supported by the embedded engine")
        before = token.text


def _output_format(tokens: Iterator[_Token]) -> str:
    """The FORMAT clause: the last `FORMAT name` outside parentheses that ends the query or has SETTINGS after it."""
    found, pending, before = "", "", b""
    for token in tokens:
        if before == b"INTO" and token.text == b"OUTFILE":
            raise ClickHouseError(INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
        if pending and token.text in (b"SETTINGS", b";"):
            found = pending
        pending = token.raw.decode() if before == b"FORMAT" and token.word and token.depth == 0 else ""
        before = token.text
    return pending or found
