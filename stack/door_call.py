"""One request of the ClickHouse door, without the HTTP: parameters, headers and body in, reply out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from stack.door_body import Part, read_form
from stack.door_engine import Answer, Connection, Engine, Traits, quote_name
from stack.door_errors import (
    BAD_ARGUMENTS,
    NOT_IMPLEMENTED,
    READONLY,
    SYNTAX_ERROR,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    ClickHouseError,
)
from stack.door_sessions import Session, Sessions, session_timeout
from stack.door_statement import STATEMENT_BYTES_MAX, Statement, read_statement

QUERIES_MAX = 16  # at once in the engine; more only fight over the cores and the memory limit
QUERY_WAIT_S = 60  # for one of those places, before the caller is told to come back

# Parameters of a request that are no settings of a query, or settings that concern the HTTP side alone. Users and
# passwords are taken and ignored: the engine has no users, the door listens on the loopback.
_NOT_SETTINGS = {
    *("query", "query_id", "database", "default_format", "user", "password", "quota_key", "role", "readonly"),
    *("session_id", "session_timeout", "session_check", "close_session", "stacktrace", "client_protocol_version"),
    *("compress", "decompress", "buffer_size", "wait_end_of_query", "enable_http_compression", "add_http_cors_header"),
    *("http_zlib_compression_level", "send_progress_in_http_headers", "http_headers_progress_interval_ms"),
    "cancel_http_readonly_queries_on_client_close",
}


class Request(NamedTuple):
    """`params` come from the URL; header names are in lower case."""

    method: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | bytearray


class Reply(NamedTuple):
    """`format` is '' when the statement has no output."""

    body: bytes
    format: str
    summary: str
    timezone: str


class ExternalTable(NamedTuple):
    """A table that came along with a query in a form; `structure` as in CREATE TABLE."""

    name: str
    structure: str
    format: str
    content: bytes


class _Call(NamedTuple):
    statement: Statement
    data: memoryview
    output_format: str
    settings: dict[str, str]
    database: str
    params: dict[str, str]
    tables: list[ExternalTable]
    read_only: bool


class Door:
    """Serves requests from any number of threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.version = engine.version
        self.sessions = Sessions()
        self._places = threading.Semaphore(QUERIES_MAX)

    def answer(self, request: Request) -> Reply:
        """Raises ClickHouseError with ClickHouse's code and text."""
        params = dict(request.params)
        form: list[Part] = []
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            form = read_form(request.body, request.headers["content-type"])
            params |= {part.name: _text(part.content, part.name) for part in form if not part.is_file}
            request = request._replace(body=b"")
        tables = [part for part in form if part.is_file]
        call = _read_call(request, params, tables)
        timeout_s = session_timeout(params.get("session_timeout", ""))
        if not self._places.acquire(timeout=QUERY_WAIT_S):
            raise ClickHouseError(TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many simultaneous queries: {QUERIES_MAX}")
        try:
            if not params.get("session_id"):
                return self._on_fresh_connection(call, None)
            must_exist = params.get("session_check") == "1"
            with self.sessions.borrow(params["session_id"], timeout_s, must_exist=must_exist) as session:
                reply = self._in_session(call, session)
                if params.get("close_session") == "1":
                    self.sessions.drop(session)
                return reply
        finally:
            self._places.release()

    def close(self) -> None:
        """Ends the sessions and closes the engine; no request may be running."""
        self.sessions.close()
        self._engine.close()

    def _in_session(self, call: _Call, session: Session) -> Reply:
        if session.connection is None:
            return self._on_fresh_connection(call, session)
        return self._run(call, session.connection, keeps=True)

    def _on_fresh_connection(self, call: _Call, session: Session | None) -> Reply:
        connection = self._engine.connect()
        kept = False
        try:
            if session is not None and _traits(connection, call.statement).control:
                self.sessions.keep(session, connection)
                kept = True
            return self._run(call, connection, keeps=kept)
        finally:
            if not kept:
                connection.close()

    def _run(self, call: _Call, connection: Connection, *, keeps: bool) -> Reply:
        statement = call.statement
        _check(self._engine, connection, call)
        # a SET or USE must outlive the request, so nothing of its kind is put back after it
        settings = {} if statement.kind == "SET" else call.settings
        database = "" if statement.kind == "USE" else call.database
        with connection.lent(settings, database, restore=keeps), _external_tables(connection, call):
            if statement.insert_format and not (statement.insert_format == "Values" and call.params):
                answer = connection.insert(
                    statement.text, statement.insert_format, call.data, call.params, statement.settings
                )
            else:
                text = statement.text
                if statement.insert_format:  # VALUES ({x:Type}): only a whole statement can be given parameters
                    text = text + statement.settings + b" VALUES " + call.data.tobytes()
                answer = connection.run(text, call.output_format, call.params)
        shown = statement.output_format or call.output_format
        timezone = call.settings.get("session_timezone") or self._engine.timezone
        return Reply(answer.body, shown if answer.body else "", _summary(answer), timezone)


def _read_call(request: Request, params: Mapping[str, str], tables: list[Part]) -> _Call:
    for name in ("compress", "decompress"):
        if params.get(name, "0") not in ("0", ""):
            raise ClickHouseError(NOT_IMPLEMENTED, f"{name}=1 is not supported here; use Content-Encoding")
    statement, data = _read_statement(params.get("query", ""), request)
    header_format = request.headers.get("x-clickhouse-format", "")
    external = {f"{table.name}_{part}" for table in tables for part in ("format", "types", "structure")}
    output_format = params.get("default_format") or header_format or "TabSeparated"
    return _Call(
        statement=statement,
        data=data,
        output_format=statement.output_format or output_format,
        settings={
            name: value
            for name, value in params.items()
            if name not in _NOT_SETTINGS and name not in external and not name.startswith("param_")
        },
        database=params.get("database") or request.headers.get("x-clickhouse-database", ""),
        params={name[6:]: value for name, value in params.items() if name.startswith("param_")},
        tables=[_external_table(table, params) for table in tables],
        read_only=request.method != "POST" or params.get("readonly", "0") not in ("0", ""),
    )


def _read_statement(query: str, request: Request) -> tuple[Statement, memoryview]:
    """The statement and its data. ClickHouse reads the `query` parameter and the body as one text; the data of an
    insert is not copied for that."""
    head = query.encode(errors="surrogateescape")
    body = request.body
    if not head:
        statement = read_statement(bytes(memoryview(body)[:STATEMENT_BYTES_MAX]))
        if not statement.insert_format:
            statement = statement._replace(text=bytes(body))
        return statement, memoryview(body)[statement.data_at :]
    statement = read_statement(head)
    header_format = request.headers.get("x-clickhouse-format", "")
    if statement.bare and body and header_format:
        return statement._replace(insert_format=header_format), memoryview(body)
    if not statement.insert_format:
        text = head + b"\n" + body if body else head
        whole = read_statement(text)
        if whole.bare and body:
            return statement._replace(insert_format="Values"), memoryview(body)  # ClickHouse's insert_format
        return whole, memoryview(text)[whole.data_at :]
    inline = head[statement.data_at :]
    return statement, memoryview(inline + b"\n" + body if inline.strip() else body)


def _external_table(part: Part, params: Mapping[str, str]) -> ExternalTable:
    structure = params.get(f"{part.name}_structure", "")
    if not structure:
        types = params.get(f"{part.name}_types", "")
        if not types:
            raise ClickHouseError(
                BAD_ARGUMENTS,
                f"External table {part.name} has no columns: give {part.name}_structure or {part.name}_types",
            )
        structure = ", ".join(f"_{number} {kind}" for number, kind in enumerate(_split_types(types), start=1))
    return ExternalTable(part.name, structure, params.get(f"{part.name}_format", "TabSeparated"), part.content)


def _split_types(text: str) -> Iterator[str]:
    """Types at the commas outside parentheses."""
    depth = start = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            yield text[start:at]
            start = at + 1
    yield text[start:]


def _traits(connection: Connection, statement: Statement) -> Traits:
    if statement.insert_format:  # its text ends before VALUES or FORMAT: no parser would have it
        return Traits(statements=1, known=True, read_only=False, control=False)
    return connection.traits(statement.text)


def _check(engine: Engine, connection: Connection, call: _Call) -> None:
    """Refuses what ClickHouse refuses over HTTP, though the engine would do it."""
    statement = call.statement
    traits = _traits(connection, statement)
    if traits.statements > 1:
        raise ClickHouseError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
    if call.read_only and traits.known and not traits.read_only and statement.kind not in ("SET", "USE"):
        raise ClickHouseError(
            READONLY,
            "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
            "You should use method POST for modifying queries.",
        )
    if call.read_only and not traits.known:
        # Most likely a syntax error: the engine says which, on a connection that cannot change anything.
        throwaway = engine.connect()
        try:
            throwaway.set({"readonly": "2"})
            throwaway.run(statement.text, "Null", {})
        finally:
            throwaway.close()
        raise ClickHouseError(READONLY, "Cannot execute query in readonly mode.")


@contextmanager
def _external_tables(connection: Connection, call: _Call) -> Iterator[None]:
    made: list[str] = []
    try:
        for table in call.tables:
            name = quote_name(table.name)
            connection.run(f"CREATE TEMPORARY TABLE {name} ({table.structure})".encode(), "Null", {})
            made.append(name)
            connection.insert(f"INSERT INTO {name}".encode(), table.format, memoryview(table.content), {})
        yield
    finally:
        for name in made:
            connection.run(f"DROP TEMPORARY TABLE IF EXISTS {name}".encode(), "Null", {})


def _summary(answer: Answer) -> str:
    figures = {name: str(value) for name, value in answer._asdict().items() if name != "body"}
    return json.dumps(figures | {"total_rows_to_read": figures["read_rows"]}, separators=(",", ":"))


def _text(content: bytes, name: str) -> str:
    # a query may hold any bytes (it is turned back into them); a name or a value that is no UTF-8 is a mistake
    try:
        return content.decode(errors="surrogateescape" if name == "query" else "strict")
    except UnicodeDecodeError as error:
        raise ClickHouseError(BAD_ARGUMENTS, f"Form field {name!r} is not UTF-8") from error
