"""The ClickHouse door as a process: its limits, its start and its end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import lz4.frame
import pytest
import requests
import zstandard

from stack.door_engine import Connection
from stack.door_errors import ClickHouseError
from stack.door_sessions import STATEFUL_MAX, Sessions, session_timeout
from stack.door_statement import read_statement
from tests.contract.door_process import ROOT, RunningDoor, door_command, failed_start, post

BODY_BYTES_MAX = 1 << 20


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoor]:
    path = tmp_path_factory.mktemp("door") / "data"
    with RunningDoor(path, "--body-bytes-max", str(BODY_BYTES_MAX)) as running:
        post(running.url, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
        yield running


def exchange(door: RunningDoor, raw: bytes) -> bytes:
    """Sends the bytes and closes the sending side; what comes back."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=60) as link:
        link.sendall(raw)
        link.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: link.recv(65536), b""))


def test_inserts_are_written_before_they_are_acknowledged(door: RunningDoor) -> None:
    assert post(door.url, "SELECT getSetting('async_insert')").text == "false\n"


def test_memory_of_the_engine_is_bounded(door: RunningDoor) -> None:
    assert (
        post(door.url, "SELECT groupArray(number) FROM numbers(1000000000)").headers["X-ClickHouse-Exception-Code"]
        == "241"
    )
    assert post(door.url, "SELECT 1").text == "1\n"


@pytest.mark.parametrize("encoding", ["", "lz4", "zstd"])
def test_a_body_over_the_limit_is_refused_with_a_clear_error(door: RunningDoor, encoding: str) -> None:
    plain = b"1\n" * BODY_BYTES_MAX
    body = {"": plain, "lz4": lz4.frame.compress(plain), "zstd": zstandard.compress(plain)}[encoding]
    answer = requests.post(
        door.url, body, params={"query": "INSERT INTO t FORMAT CSV"}, headers={"Content-Encoding": encoding}, timeout=60
    )
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (413, "229")
    assert f"larger than {BODY_BYTES_MAX} bytes" in answer.text
    assert post(door.url, "SELECT count() FROM t").text == "0\n"


def test_a_body_over_the_limit_that_comes_in_chunks_is_refused(door: RunningDoor) -> None:
    chunks = (b"1\n" * 10_000 for _ in range(1000))
    assert requests.post(door.url, chunks, params={"query": "INSERT INTO t FORMAT CSV"}, timeout=60).status_code == 413


INSERT = b"POST /?query=INSERT+INTO+t+FORMAT+CSV HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        INSERT + b"Content-Length: 100\r\n\r\n1\n2\n",
        INSERT + b"Transfer-Encoding: chunked\r\n\r\n4\r\n1\n2\n\r\n",
        INSERT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n1\n2\n\r\n0\r\n\r\n",
        INSERT + b"Transfer-Encoding: chunked\r\n\r\n2\r\n1\n2\n\r\n0\r\n\r\n",
        INSERT + b"Content-Length: -4\r\n\r\n1\n2\n",
        INSERT + b"Content-Length: 4\r\nContent-Encoding: nope\r\n\r\n1\n2\n",
        INSERT + b"Content-Length: 4\r\nContent-Encoding: gzip\r\n\r\n1\n2\n",
        INSERT + b"Content-Length: 4\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n1\n2\n",
        INSERT.replace(b"CSV", b"CSV&decompress=1") + b"Content-Length: 2\r\n\r\n1\n",
    ],
)
def test_a_body_that_is_broken_or_cut_short_writes_nothing(door: RunningDoor, raw: bytes) -> None:
    answer = exchange(door, raw)
    assert answer.split(b" ")[1] in (b"400", b"500", b"501")
    assert b"X-ClickHouse-Exception-Code: " in answer
    assert post(door.url, "SELECT count() FROM t").text == "0\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET //[ HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00",
    ],
)
def test_what_is_no_request_ends_the_connection(door: RunningDoor, raw: bytes) -> None:
    assert b" 200 " not in exchange(door, raw)
    assert post(door.url, "SELECT 1").text == "1\n"


def test_a_request_whose_headers_are_cut_short_is_not_run(door: RunningDoor) -> None:
    assert exchange(door, b"POST /?query=DROP+TABLE+t HTTP/1.1\r\nHost: localhost\r\n") == b""
    assert post(door.url, "EXISTS TABLE t").text == "1\n"


def test_requests_follow_each_other_on_one_connection(door: RunningDoor) -> None:
    one = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nSELECT 7"
    assert exchange(door, one + one + one).count(b"\r\n\r\n7\n") == 3


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_a_web_page_gets_nothing(door: RunningDoor, headers: dict[str, str]) -> None:
    assert requests.post(door.url, "SELECT 1", headers=headers, timeout=60).status_code == 403


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path, end: signal.Signals) -> None:
    with RunningDoor(tmp_path / "data") as door:
        assert post(door.url, "CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a").ok
        assert post(door.url, "INSERT INTO kept SELECT number FROM numbers(1000)").ok
        door.process.send_signal(end)
        assert door.process.wait(30) == (0 if end == signal.SIGTERM else -signal.SIGKILL)
    with RunningDoor(tmp_path / "data") as door:
        assert post(door.url, "SELECT count(), sum(a) FROM kept").text == "1000\t499500\n"


def test_a_query_in_progress_is_answered_before_the_door_stops(tmp_path: Path) -> None:
    with RunningDoor(tmp_path / "data") as door:
        body = b"SELECT sleep(1), 'done'"
        with socket.create_connection(("127.0.0.1", door.port), timeout=60) as link:
            link.sendall(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            assert link.recv(65536).startswith(b"HTTP/1.1 100")
            link.sendall(body)
            wait_for_query(door, "done")
            door.process.send_signal(signal.SIGTERM)
            assert b"0\tdone\n" in b"".join(iter(lambda: link.recv(65536), b""))
        assert door.process.wait(30) == 0


def wait_for_query(door: RunningDoor, word: str) -> None:
    asked = f"SELECT count() FROM system.processes WHERE query LIKE '%{word}%'"
    while post(door.url, asked).text < "2\n":  # the question finds itself, too
        pass


def test_a_second_door_on_a_path_is_told_who_has_it(tmp_path: Path) -> None:
    with RunningDoor(tmp_path / "data") as door:
        code, text = failed_start(door_command(tmp_path / "data"))
        assert (code, text.count("\n")) == (3, 1)
        assert f"in use by process {door.process.pid}" in text
        assert post(door.url, "SELECT 1").ok


def test_a_used_port_is_one_clear_line(door: RunningDoor, tmp_path: Path) -> None:
    code, text = failed_start(door_command(tmp_path / "data", port=door.port))
    assert (code, text.count("\n")) == (2, 1)
    assert f"127.0.0.1:{door.port}" in text
    assert "in use" in text


def test_other_machines_are_only_served_when_that_is_asked_for(tmp_path: Path) -> None:
    code, text = failed_start(door_command(tmp_path / "data", "--host", "192.0.2.1"))
    assert code == 2
    assert "--allow-remote" in text


PARENT = """
import subprocess, sys, threading, requests
def start():
    global child
    child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
thread = threading.Thread(target=start)
thread.start()
thread.join()  # the kernel takes the end of this thread for the end of the parent
url = child.stdout.readline().split()[1]
print(url, requests.get(url + "/ping").text, end="", flush=True)
sys.stdin.read()
"""


def test_the_door_ends_with_its_parent_and_not_with_a_thread_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, *door_command(tmp_path / "data", "--die-with-parent")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        assert parent.stdout.readline().endswith(" Ok.\n")
        parent.kill()
        assert parent.stderr.read() == ""  # the door holds the same pipe: it ends when the door has ended
    with RunningDoor(tmp_path / "data") as door:
        assert post(door.url, "SELECT 1").ok


def test_a_session_ends_when_its_time_is_over() -> None:
    sessions = Sessions()
    closed = threading.Event()

    class Kept(Connection):
        def close(self) -> None:
            closed.set()

    with sessions.borrow("s", 60, must_exist=False) as session:
        sessions.keep(session, Kept(None))
        sessions.expire(float("inf"))
        assert not closed.is_set()  # it is in use
    ends = session.expires_at
    sessions.expire(ends - 1)
    assert not closed.is_set()
    sessions.expire(ends)
    assert closed.is_set()
    with pytest.raises(ClickHouseError), sessions.borrow("s", 60, must_exist=True):
        pass


def test_sessions_with_state_are_bounded() -> None:
    sessions = Sessions()
    with pytest.raises(ClickHouseError, match="Too many sessions"):
        for number in range(STATEFUL_MAX + 1):
            with sessions.borrow(str(number), session_timeout("5"), must_exist=False) as session:
                sessions.keep(session, Connection(None))


@pytest.mark.parametrize("piece", [b"'", b"'\\", b"`\\'", b"/*", b"(", b"--\n", b"INSERT INTO ", b"FORMAT a ", b"$$"])
def test_reading_a_statement_takes_linear_time(piece: bytes) -> None:
    read_statement(b"SELECT " + piece * 400_000)
    read_statement(b"INSERT INTO t " + piece * 400_000)
