"""Errors and sessions of ClickHouse's HTTP interface: over the door, or over the server that
TOLLSTREAM_CLICKHOUSE__URL names."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.contract.door_process import PASSWORD, USER, a_server, connect, post

AUTH = (USER, PASSWORD)
RUN = uuid.uuid4().hex[:8]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_server(tmp_path_factory.mktemp("door") / "data") as address:
        yield address


@pytest.fixture(scope="module")
def table(url: str) -> Iterator[str]:
    """An empty table (a UInt64, b String)."""
    database = f"door_errors_{RUN}"
    post(url, f"CREATE DATABASE {database} ENGINE = Atomic")
    post(url, f"CREATE TABLE {database}.t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    yield f"{database}.t"
    post(url, f"DROP DATABASE {database}")


@pytest.mark.parametrize(
    ("query", "code", "status"),
    [
        ("SELECT * FROM nowhere", 60, 404),
        ("SELECT * FROM nowhere.t", 81, 404),
        ("SELEC 1", 62, 400),
        ("SELECT 1; SELECT 2", 62, 400),
        ("DROP TABLE IF EXISTS x; garbage in here", 62, 400),
        ("SELECT nothing", 47, 404),
        ("SELECT nofunction(1)", 46, 404),
        ("SELECT 1 FORMAT Nope", 73, 404),
        ("SELECT {x:String}", 456, 500),
        ("SELECT throwIf(1)", 395, 500),
        ("SELECT toDate('never')", 38, 400),
        ("INSERT INTO nowhere FORMAT CSV\n1\n", 60, 404),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", 358, 500),
        ("SELECT 1 SETTINGS nope = 1", 115, 404),
        ("SELECT 'unclosed", 62, 400),
        ("-- nothing", 62, 400),
        ("", 62, 400),
        ("\0SELECT 1", 62, 400),
    ],
)
def test_an_error_has_clickhouses_code_and_status(url: str, query: str, code: int, status: int) -> None:
    answer = post(url, query)
    assert (answer.headers.get("X-ClickHouse-Exception-Code"), answer.status_code) == (str(code), status), answer.text
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert answer.headers["X-ClickHouse-Query-Id"]


def test_bytes_that_are_no_text_are_answered(url: str) -> None:
    assert post(url, b"SELECT * FROM `\xff\xfe`").headers["X-ClickHouse-Exception-Code"] == "60"
    assert post(url, b"SELECT '\xff' FORMAT RowBinary").content == b"\x01\xff"
    assert not post(url, bytes(range(256))).ok


def test_an_unknown_setting_or_database_in_the_url_is_an_error(url: str) -> None:
    assert post(url, "SELECT 1", nope="1").headers["X-ClickHouse-Exception-Code"] == "115"
    assert post(url, "SELECT 1", max_threads="many").status_code >= 400
    assert post(url, "SELECT 1", database="nowhere").headers["X-ClickHouse-Exception-Code"] == "81"
    assert not post(url, "SELECT 1", **{"max_threads = 1, log_comment": "x"}).ok


def test_get_only_reads(url: str, table: str) -> None:
    assert requests.get(url, params={"query": "SELECT 1"}, auth=AUTH, timeout=60).text == "1\n"
    for query in (f"INSERT INTO {table} VALUES (1, 'x')", f"DROP TABLE {table}", f"TRUNCATE TABLE {table}"):
        assert (
            requests.get(url, params={"query": query}, auth=AUTH, timeout=60).headers["X-ClickHouse-Exception-Code"]
            == "164"
        )
    assert (
        requests.get(url, params={"query": "SELEC 1"}, auth=AUTH, timeout=60).headers["X-ClickHouse-Exception-Code"]
        == "62"
    )
    assert post(url, f"SELECT count() FROM {table}").text == "0\n"


def test_replies_say_what_they_are(url: str) -> None:
    answer = post(url, "SELECT 1 AS n", default_format="JSONEachRow", query_id=f"q-{RUN}")
    assert answer.json() == {"n": 1}
    assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert answer.headers["X-ClickHouse-Query-Id"] == f"q-{RUN}"
    assert answer.headers["X-ClickHouse-Timezone"]
    assert post(url, "SELECT 1 FORMAT CSV SETTINGS max_threads = 1").headers["X-ClickHouse-Format"] == "CSV"
    assert post(url, "SELECT 1").headers["X-ClickHouse-Format"] == "TabSeparated"


def test_health_paths(url: str) -> None:
    for path in ("/ping", "/", "/replicas_status"):
        assert requests.get(url.rstrip("/") + path, timeout=60).text == "Ok.\n"
    assert requests.head(url.rstrip("/") + "/ping", timeout=60).ok
    assert requests.get(url.rstrip("/") + "/nowhere", timeout=60).status_code == 404


def test_a_session_keeps_its_state_to_itself(url: str) -> None:
    mine, yours = (connect(url, session_id=str(uuid.uuid4())) for _ in range(2))
    mine.command("CREATE TEMPORARY TABLE kept (n UInt8)")
    mine.insert("kept", [[1], [2]], column_names=["n"], column_type_names=["UInt8"])
    mine.command("SET max_block_size = 777")
    mine.command("USE system")
    state = "SELECT getSetting('max_block_size'), currentDatabase()"
    assert mine.query(state).first_row == (777, "system")
    assert mine.query("SELECT sum(n) FROM kept").first_row == (3,)
    assert yours.query(state).first_row != (777, "system")
    with pytest.raises(DatabaseError):
        yours.query("SELECT * FROM kept")


def test_settings_of_one_request_do_not_stick_to_its_session(url: str) -> None:
    name = str(uuid.uuid4())
    state = "SELECT getSetting('max_block_size'), currentDatabase()"
    assert post(url, "SET max_block_size = 777", session_id=name).ok
    assert post(url, state, session_id=name, max_block_size="5", database="system").text == "5\tsystem\n"
    assert post(url, state, session_id=name).text == "777\tdefault\n"
    assert post(url, "SET max_block_size = 9", session_id=name, max_block_size="5").ok
    assert post(url, state, session_id=name).text == "9\tdefault\n"


def test_a_failed_query_leaves_nothing_for_the_next_one(url: str) -> None:
    name = str(uuid.uuid4())
    assert post(url, "SET max_threads = 1", session_id=name).ok
    failing = "SELECT * FROM numbers(3) UNION ALL SELECT throwIf(number = 9) FROM numbers(10)"
    assert post(url, failing, session_id=name).status_code == 500
    assert post(url, "SELECT 5", session_id=name).text == "5\n"


def test_a_session_has_its_own_errors(url: str) -> None:
    name = str(uuid.uuid4())
    assert post(url, "SELECT 1", session_id=name, session_check="1").headers["X-ClickHouse-Exception-Code"] == "372"
    assert post(url, "SELECT 1", session_id=name, session_timeout="x").headers["X-ClickHouse-Exception-Code"] == "374"
    assert (
        post(url, "SELECT 1", session_id=name, session_timeout="3601").headers["X-ClickHouse-Exception-Code"] == "374"
    )
    both = threading.Barrier(2)

    def ask() -> str:
        both.wait()
        return post(url, "SELECT sleep(1)", session_id=name).headers.get("X-ClickHouse-Exception-Code", "")

    with ThreadPoolExecutor(2) as pool:
        assert sorted(future.result() for future in [pool.submit(ask), pool.submit(ask)]) == ["", "373"]


def test_callers_at_once_never_see_each_others_settings(url: str, table: str) -> None:
    def one(number: int) -> tuple[str, str]:
        session = {"session_id": f"{table}-{number}"} if number % 2 else {}
        post(url, f"SET max_block_size = {1000 + number}", **session)
        post(url, "USE system", **session)
        post(url, f"INSERT INTO {table} FORMAT CSV\n{number},x\n", max_insert_block_size=str(number + 1), **session)
        return post(
            url,
            "SELECT getSetting('max_threads'), getSetting('max_block_size')",
            max_threads=str(number + 1),
            **session,
        ).text, (f"{number + 1}\t{1000 + number if number % 2 else 65409}\n")

    with ThreadPoolExecutor(16) as pool:
        for seen, expected in pool.map(one, range(48)):
            assert seen == expected
    assert post(url, f"SELECT count(), uniqExact(a) FROM {table}").text == "48\t48\n"
