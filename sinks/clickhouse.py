"""Usage, rated usage, ledger and letters into ClickHouse: absolute, versioned rows, so any call may be repeated.

INSERT COST of a sum row, 50,000 at a time, client CPU: Arrow 0.28 us to encode, 0.37 us sent (229 bytes; lz4 makes that
95 for 0.1 us more); the client's column-oriented `insert` 1.4 us from lists: it packs Python integers one by one. The
engine takes 2.5 us.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error, OperationalError

from sinks.columns import (
    admission_table,
    archive_gap_table,
    catalogue_table,
    group_cuts,
    identity_table,
    ledger_table,
    letter_table,
    number_table,
    rated_table,
    size_cuts,
    usage_table,
)
from sinks.errors import Retryable
from sinks.rows import (
    AdmissionRows,
    ArchiveGapRows,
    CatalogueRows,
    IdentityRows,
    LedgerRows,
    LetterRows,
    NumberRows,
    RatedRows,
    UsageRows,
)

SCHEMA = Path(__file__).parent / "schema"
ROWS_MAX = 100_000  # a block: some 25 MB on the wire, and below max_insert_block_size, so it lands as one part a month
BYTES_MAX = 64 << 20  # of members or raw bytes in a block: one row of either may reach 1 MiB
RETRY_AFTER_MS = 1_000  # network and server faults
OVERLOAD_RETRY_AFTER_MS = 5_000  # merges need time to catch up; coming back sooner adds parts to merge
CONNECT_TIMEOUT_S = 10

_INSERT_SETTINGS = {
    "async_insert": 0,  # an acknowledged insert is in a part, not in a queue
    "max_partitions_per_insert_block": 0,  # a lateness of years spans more than the 100 months allowed by default
    # Our rows are one to a key but for a few, so looking for others of it in the block finds nothing, at a third of the
    # server's cost of an insert. Readers ask with FINAL anyway.
    "optimize_on_insert": 0,
}
# ClickHouse's error codes that pass by themselves.
_OVERLOAD = frozenset(
    {
        159,  # TIMEOUT_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        241,  # MEMORY_LIMIT_EXCEEDED
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        745,  # SERVER_OVERLOADED
    }
)
_PASSING = frozenset(
    {
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED: the server is shutting down
        242,  # TABLE_IS_READ_ONLY: the replica lost its keeper
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT: repeating it is safe
        394,  # QUERY_WAS_CANCELLED
        473,  # DEADLOCK_AVOIDED
        999,  # KEEPER_EXCEPTION
    }
)
_URL = re.compile(r" with url: \S+| executing HTTP request attempt \d+ \(\S+\)")
_MESSAGE_MAX = 400  # characters, for a line of a status
_HTTP_STATUS = re.compile(r"HTTP driver received HTTP status (\d{3})")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


class ClickHouseSettings(Protocol):
    @property
    def url(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def database(self) -> str: ...
    @property
    def timeout_ms(self) -> int: ...


def connect(settings: ClickHouseSettings, database: str | None = None) -> Client:
    """An ordinary client, without a session. `database` must exist. Raises Retryable or the client's error."""
    try:
        return clickhouse_connect.get_client(
            dsn=settings.url,
            **_http_options(settings),
            database=database,
        )
    except Error as error:
        raise retryable(error) or error from error


def _http_options(settings: ClickHouseSettings) -> dict[str, Any]:
    if settings.url.startswith("chdb:"):
        return {}
    return {
        "username": settings.user,
        "password": settings.password,
        "compress": False,  # costs more than it saves on one machine
        "autogenerate_session_id": False,
        "connect_timeout": min(CONNECT_TIMEOUT_S, settings.timeout_ms / 1000),
        "send_receive_timeout": max(settings.timeout_ms // 1000, 1),  # it takes whole seconds
    }


def reader(settings: ClickHouseSettings) -> Client:
    """A client for sinks.queries, which name tables without their database."""
    return connect(settings, settings.database)


class ClickHouseSink:
    """Writes rows; returns when ClickHouse has acknowledged all of them.

    Raises Retryable for network, overload and server faults (the rows may then be there in part: repeat the call) and
    the client's error for everything else; ValueError, TypeError or OverflowError for what a column can't hold exactly.
    A call with no rows does nothing.
    """

    def __init__(
        self,
        settings: ClickHouseSettings,
        client: Client | None = None,
        rows_max: int = ROWS_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        if not _IDENTIFIER.fullmatch(settings.database):
            raise ValueError(f"clickhouse.database: {settings.database!r} is no identifier; use letters, digits and _")
        self._settings = settings
        self._client = client
        self._rows_max = rows_max
        self._bytes_max = bytes_max

    def migrate(self) -> None:
        """Create or renew database, tables and views. Safe to repeat."""
        for statement in statements(self._settings.database):
            self._call("command", statement)

    def insert_usage(self, rows: UsageRows) -> None:
        sizes = None
        for held, width in ((rows.members, 16), (rows.samples, 32)):
            if held is not None:
                sizes = [size + width * len(one) for size, one in zip(sizes or [0] * len(held), held, strict=True)]
        self._insert(
            "usage_rows", usage_table(rows), size_cuts(len(rows.meter), self._rows_max, sizes, self._bytes_max)
        )

    def insert_ledger(self, rows: LedgerRows) -> None:
        self._insert("ledger_rows", ledger_table(rows), size_cuts(len(rows.topic), self._rows_max))

    def insert_identities(self, rows: IdentityRows) -> None:
        self._insert("identity_archive_rows", identity_table(rows), size_cuts(len(rows.identity), self._rows_max))

    def insert_numbers(self, rows: NumberRows) -> None:
        self._insert("number_archive_rows", number_table(rows), size_cuts(len(rows.source), self._rows_max))

    def insert_archive_gaps(self, rows: ArchiveGapRows) -> None:
        self._insert("archive_gap_rows", archive_gap_table(rows), size_cuts(len(rows.topic), self._rows_max))

    def insert_admissions(self, rows: AdmissionRows) -> None:
        self._insert("admission_rows", admission_table(rows), size_cuts(len(rows.topic), self._rows_max))

    def insert_late(self, rows: LetterRows) -> None:
        self._insert_letters("late_event_rows", rows)

    def insert_dead_letters(self, rows: LetterRows) -> None:
        self._insert_letters("dead_letter_rows", rows)

    def _insert_letters(self, table: str, rows: LetterRows) -> None:
        sizes = [len(raw) for raw in rows.raw]
        self._insert(table, letter_table(rows), size_cuts(len(sizes), self._rows_max, sizes, self._bytes_max))

    def insert_rated(self, rows: RatedRows) -> None:
        groups = list(zip(rows.account, rows.period_start, strict=True))
        self._insert("rated_rows", rated_table(rows), group_cuts(groups, self._rows_max))

    def insert_catalogue(self, rows: CatalogueRows) -> None:
        self._insert("catalogue_rows", catalogue_table(rows), size_cuts(len(rows.id), self._rows_max))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _insert(self, table: str, rows: pa.Table, edges: Sequence[int]) -> None:
        for name, column in zip(rows.column_names, rows.columns, strict=True):
            if column.null_count and name != "amount":
                raise ValueError(f"{table}.{name}: None is no value; ClickHouse would store a default in its place")
        if rows.num_rows == 0:
            return
        for start, end in pairwise(edges):
            # Dying here leaves the blocks so far: the caller has not moved `published` and sends all of them again.
            block = rows.slice(start, end - start)
            self._call("insert_arrow", f"{self._settings.database}.{table}", block, settings=_INSERT_SETTINGS)

    def _call(self, method: str, *arguments: Any, **options: Any) -> None:
        if self._client is None:
            self._client = connect(self._settings)
        try:
            getattr(self._client, method)(*arguments, **options)
        except Error as error:
            raise retryable(error) or error from error


def statements(database: str) -> Iterator[str]:
    """Every statement of the schema files in order. A statement ends with a semicolon at the end of a line."""
    for path in sorted(SCHEMA.glob("*.sql")):
        text = path.read_text(encoding="utf-8").replace("{database}", database)
        yield from (part.strip() for part in re.split(r";\s*$", text, flags=re.MULTILINE) if part.strip())


def retryable(error: Error) -> Retryable | None:
    """What to raise instead if the world is at fault."""
    # Which service it is does not stand in a refused connection's own text; a screenful of its URL does.
    message = f"ClickHouse: {_URL.sub('', str(error))[:_MESSAGE_MAX]}"
    if error.code in _OVERLOAD:
        return Retryable(message, OVERLOAD_RETRY_AFTER_MS)
    if error.code in _PASSING:
        return Retryable(message, RETRY_AFTER_MS)
    if error.code is None:
        status = _HTTP_STATUS.search(str(error))
        if status is None and isinstance(error, OperationalError):
            return Retryable(message, RETRY_AFTER_MS)  # no answer at all
        if status is not None and (status[1][0] == "5" or status[1] in ("408", "429")):
            return Retryable(message, OVERLOAD_RETRY_AFTER_MS)  # a proxy's answer
    return None
