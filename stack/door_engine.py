"""The embedded ClickHouse engine: one per path, a connection per request.

A connection costs 0.4 ms, so none is pooled: SET, USE and temporary tables die with the request that made them.
There is a harder reason too: what a failed query had written before it failed comes out in front of the next
result of the same connection. A connection that lives on (a session's) is therefore drained after every error."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stack.door_errors import STD_EXCEPTION, UNKNOWN_SETTING, ClickHouseError, engine_error

RESULT_BYTES_MAX = 1 << 30  # a result is held whole, so that an error late in a query is still a clean error
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class PathInUseError(Exception):
    """Another process has the path open."""


class Answer(NamedTuple):
    """What a statement gave: the body in the format asked for; rows and bytes read from tables, written to
    tables, and in the result."""

    body: bytes
    read_rows: int
    read_bytes: int
    written_rows: int
    written_bytes: int
    result_rows: int
    elapsed_ns: int


class Traits(NamedTuple):
    """What the engine's parser says of a statement before it runs."""

    statements: int
    known: bool
    read_only: bool
    control: bool  # SET, USE, temporary tables, SYSTEM, KILL, ...: all that may change the session


def quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_name(text: str) -> str:
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


def refuse_held_path(path: Path) -> None:
    """Raises PathInUseError, naming the process, when an engine has this path open. The engine locks `status` in it
    for as long as it lives and writes its process id there."""
    status = path / "status"
    if not status.exists():
        return
    with status.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            found = re.search(rb"PID: (\d+)", file.read())
            holder = f"process {int(found[1])}" if found else "another process"
            raise PathInUseError(f"{path} is in use by {holder}; stop it first, or give another --path") from None


class Engine:
    """Opens the path and keeps it open. Raises PathInUseError."""

    def __init__(self, path: Path, memory_bytes_max: int) -> None:
        if "?" in str(path):
            raise PathInUseError(f"{path}: the engine reads '?' as the start of its options; give another --path")
        path.mkdir(parents=True, exist_ok=True)
        refuse_held_path(path)
        from chdb import _chdb  # 0.7 s, and only after it is clear that the path is free

        self._connect = _chdb.connect  # type: ignore[attr-defined]  # a C extension
        options = {
            "max_server_memory_usage": memory_bytes_max,
            "max_memory_usage": memory_bytes_max // 2,  # one query may not starve the merges
            "max_result_bytes": RESULT_BYTES_MAX,
            "async_insert": 0,  # the engine's default of 1 costs 26 ms instead of 5 for a small insert
            "implicit_select": 0,  # on in the embedded engine: it would read a misspelt keyword as a column
        }
        self._target = f"{path}?" + "&".join(f"{name}={value}" for name, value in options.items())
        try:
            self._anchor = self._connect(self._target)
        except RuntimeError as error:
            refuse_held_path(path)  # lost a race for the path
            raise engine_error(error) from error
        row = self.connect().query(b"SELECT version(), timezone()", "TSV").split("\t")
        self.version, self.timezone = row[0], row[1]

    def connect(self) -> Connection:
        try:
            return Connection(self._connect(self._target))
        except RuntimeError as error:
            raise engine_error(error) from error

    def close(self) -> None:
        self._anchor.close()


class Connection:
    """One engine connection: its own settings, database and temporary tables. For one caller at a time."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def close(self) -> None:
        self._raw.close()

    def traits(self, text: bytes) -> Traits:
        found = self._raw.classify_query(text, "")
        kind = found["query_class"].name
        return Traits(found["statement_count"], kind != "UNKNOWN", kind == "READ_ONLY", kind == "CONTROL")

    def run(self, text: bytes, output_format: str, params: Mapping[str, str]) -> Answer:
        """Runs one statement; `params` are the values of {name:Type} as ClickHouse's escaped text."""
        try:
            return _answer(self._raw.query(text, output_format, params=dict(params)))
        except (RuntimeError, UnicodeDecodeError) as error:
            self._drain()
            raise engine_error(error) from error

    def query(self, text: bytes, output_format: str) -> str:
        return self.run(text, output_format, {}).body.decode().rstrip("\n")

    def insert(
        self, text: bytes, input_format: str, data: memoryview, params: Mapping[str, str], settings: bytes = b""
    ) -> Answer:
        """Runs an INSERT (without its FORMAT and SETTINGS clauses) with its data.

        The data goes through a file in memory, as one whole statement: the engine's streaming insert reports success
        for rows that fail after parsing (a constraint, a memory limit), and an answer must never come before the rows.
        """
        with os.fdopen(os.memfd_create("insert"), "wb", buffering=0) as file:
            rest = data
            while rest:
                rest = rest[file.write(rest) :]
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            source = f" FROM INFILE '/proc/self/fd/{file.fileno()}' COMPRESSION 'none' ".encode()
            return self.run(text + source + settings + f" FORMAT {input_format}".encode(), "Null", params)

    def set(self, settings: Mapping[str, str]) -> None:
        """Raises ClickHouseError for a setting that does not exist or a value that it does not take."""
        _check_names(settings)
        if settings:
            pairs = ", ".join(f"{name} = {quote(value)}" for name, value in settings.items())
            self.run(f"SET {pairs}".encode(), "Null", {})

    def use(self, database: str) -> None:
        self.run(f"USE {quote_name(database)}".encode(), "Null", {})

    @contextlib.contextmanager
    def lent(self, settings: Mapping[str, str], database: str, *, restore: bool) -> Iterator[None]:
        """Settings and database for the statement in the block alone; `restore` when the connection lives on."""
        before: dict[str, str] = {}
        home = ""
        if restore and settings:
            _check_names(settings)
            columns = ", ".join(f"toString(getSetting({quote(name)}))" for name in settings)
            row = json.loads(self.query(f"SELECT {columns}".encode(), "JSONCompactStringsEachRow"))
            before = dict(zip(settings, row, strict=True))
        if restore and database:
            home = self.query(b"SELECT currentDatabase()", "TSVRaw")
        try:
            self.set(settings)
            if database:
                self.use(database)
            yield
        finally:
            self.set(before)
            if home:
                with contextlib.suppress(ClickHouseError):  # the statement may have dropped it
                    self.use(home)

    def _drain(self) -> None:
        """Throws away what a failed query left behind (see the top of this file)."""
        with contextlib.suppress(RuntimeError, UnicodeDecodeError):
            self._raw.query("SELECT 1 FORMAT Null", "Null")


def _check_names(settings: Mapping[str, str]) -> None:
    for name in settings:
        if not _NAME.fullmatch(name):
            raise ClickHouseError(UNKNOWN_SETTING, f"Unknown setting {quote(name)}")


def _answer(result: Any) -> Answer:
    if result.has_error():
        raise ClickHouseError(STD_EXCEPTION, result.error_message())
    return Answer(
        result.bytes(),
        result.storage_rows_read(),
        result.storage_bytes_read(),
        result.rows_written(),
        result.bytes_written(),
        result.rows_read() or result.rows_written(),
        int(result.elapsed() * 1e9),
    )
