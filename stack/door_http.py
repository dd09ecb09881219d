"""HTTP of the ClickHouse door: connections, their bounds, requests and replies as ClickHouse writes them."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from stack.door_body import ByteBudget, encode_reply, raw_chunks, read_body
from stack.door_call import Door, Reply, Request
from stack.door_errors import (
    ACCESS_DENIED,
    BAD_ARGUMENTS,
    SOCKET_TIMEOUT,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    ClickHouseError,
)

BODY_BYTES_MAX = 256 << 20  # one body, decompressed; two million rows of ours are 100 MB
BODIES_BYTES_MAX = 1 << 30  # all bodies in flight
CONNECTIONS_MAX = 512  # each is a thread, mostly asleep
FIELDS_MAX = 1000  # parameters in a URL
REQUEST_READ_S = 120  # from the first byte of a request to its last; a batch from this machine takes milliseconds
IDLE_S = 60  # a kept-alive connection without a request
REPLY_WRITE_S = 300  # a client that takes its reply slower than this loses it
LINGER_BYTES_MAX = 1 << 30  # what is still read, and dropped, from a client whose body was refused
LINGER_S = 5

_CONTENT_TYPES = (
    ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSONCompactEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSON", "application/json; charset=UTF-8"),
    ("CSV", "text/csv; charset=UTF-8; header=absent"),
    ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
    ("TSV", "text/tab-separated-values; charset=UTF-8"),
    ("Native", "application/octet-stream"),
    ("RowBinary", "application/octet-stream"),
    ("Arrow", "application/octet-stream"),
    ("Parquet", "application/octet-stream"),
)
_ALIVE_PATHS = ("/ping", "/replicas_status")


class DoorServer(ThreadingHTTPServer):
    """Threads for connections, with a bound; also the watch over slow clients and old sessions."""

    daemon_threads = True
    request_queue_size = 512
    door: Door  # set before serving: the port is taken first, so that a used one is found out at once

    def __init__(self, address: tuple[str, int], *, local_only: bool, body_bytes_max: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.local_only = local_only
        self.body_bytes_max = body_bytes_max
        self.budget = ByteBudget(max(BODIES_BYTES_MAX, body_bytes_max))
        self._deadlines: dict[socket.socket, float] = {}  # open connections, and when to cut each off
        self._lock = threading.Lock()
        super().__init__(address, DoorHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = len(self._deadlines) >= CONNECTIONS_MAX
            if not full:
                self._deadlines[request] = time.monotonic() + IDLE_S
        if full:
            error = ClickHouseError(TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many connections: {CONNECTIONS_MAX}", 503)
            with contextlib.suppress(OSError):
                request.settimeout(1)
                request.sendall(_reply_bytes(error.status, _error_headers(error), error.text.encode() + b"\n", False))
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._deadlines.pop(request, None)

    def allow(self, connection: socket.socket, seconds: float) -> None:
        """The connection is cut off unless it gets allowed anew within this time."""
        with self._lock:
            if connection in self._deadlines:
                self._deadlines[connection] = time.monotonic() + seconds

    def watch(self) -> None:
        """Cuts off clients that are too slow, ends old sessions. To be called every second or so."""
        now = time.monotonic()
        with self._lock:
            late = [connection for connection, deadline in self._deadlines.items() if deadline < now]
        for connection in late:
            _end_reading(connection)
        self.door.sessions.expire(now)

    def wind_down(self, seconds: float) -> int:
        """Takes no more requests, lets running ones finish; the number that did not within this time."""
        self.shutdown()
        self.server_close()
        end = time.monotonic() + seconds
        while True:
            with self._lock:
                left = list(self._deadlines)
            if not left or time.monotonic() > end:
                return len(left)
            for connection in left:
                _end_reading(connection)
            time.sleep(0.02)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a fault of ours and shows its traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Lines:
    """Remembers the last line that was read."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.last = b""

    def readline(self, size: int = -1) -> bytes:
        self.last = self.source.readline(size)
        return self.last


class DoorHandler(BaseHTTPRequestHandler):
    """Reads requests from one connection, one after the other."""

    server: DoorServer
    protocol_version = "HTTP/1.1"
    body_refused = False
    timeout = IDLE_S  # of one read; the server's watch bounds a whole request
    disable_nagle_algorithm = True  # with it a reply in two pieces waits 40 ms for the client's ACK

    def handle_one_request(self) -> None:
        self.server.allow(self.connection, IDLE_S)
        super().handle_one_request()

    def parse_request(self) -> bool:
        """False, and the connection ends, when the headers were cut short: the library takes the end of the stream
        for the end of the headers, and would run what the client never finished to ask."""
        lines = self.rfile = _Lines(self.rfile)  # type: ignore[assignment]  # the library only calls readline
        try:
            complete = super().parse_request() and lines.last != b""
        finally:
            self.rfile = lines.source
        self.close_connection = self.close_connection or not complete
        return complete

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def do_HEAD(self) -> None:
        self._respond()

    def _respond(self) -> None:
        self.server.allow(self.connection, REQUEST_READ_S)
        query_id = str(uuid.uuid4())
        taken = 0
        try:
            parts = urlsplit(self.path)
            body, taken = self._read_body()
            self._refuse_browsers()
            self.server.allow(self.connection, float("inf"))  # a query runs for as long as it takes
            fields = parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape", max_num_fields=FIELDS_MAX)
            params = dict(fields)
            query_id = params.get("query_id") or query_id
            if parts.path in _ALIVE_PATHS or (parts.path == "/" and not params and not body and self.command != "POST"):
                return self._send(200, {"Content-Type": "text/html; charset=UTF-8"}, b"Ok.\n")
            if parts.path not in ("/", "/query"):
                text = f"There is no handle {parts.path}\nUse / or /ping for health checks.\n"
                return self._send(404, {"Content-Type": "text/plain; charset=UTF-8"}, text.encode())
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = self.server.door.answer(Request(self.command, params, headers, body))
            return self._send_reply(reply, params, query_id)
        except ClickHouseError as error:
            return self._send_error(error, query_id)
        except ValueError as error:  # the URL: too many fields, a bad port in it
            return self._send_error(ClickHouseError(BAD_ARGUMENTS, f"Bad request: {error}"), query_id)
        finally:
            self.server.budget.give_back(taken)

    def _refuse_browsers(self) -> None:
        """A door without passwords must not answer the pages that a browser on this machine has open: those send
        an Origin, or come under a name of their own that points here."""
        host = urlsplit(f"//{self.headers.get('Host', '127.0.0.1')}").hostname or ""
        if self.headers.get("Origin") or (self.server.local_only and not is_loopback(host)):
            raise ClickHouseError(ACCESS_DENIED, "Requests from web pages or under other host names are refused here")

    def _read_body(self) -> tuple[bytearray, int]:
        limit = self.server.body_bytes_max
        length, transfer = self.headers.get("Content-Length"), self.headers.get("Transfer-Encoding", "")
        try:
            chunks = raw_chunks(self.rfile, length, transfer, limit)  # type: ignore[arg-type]  # a buffered reader
            return read_body(chunks, self.headers.get("Content-Encoding", ""), limit, self.server.budget)
        except ClickHouseError:
            self.body_refused = self.close_connection = True  # where the next request would begin is unknown
            raise
        except TimeoutError as error:
            self.body_refused = self.close_connection = True
            raise ClickHouseError(SOCKET_TIMEOUT, f"No more of the request body came for {IDLE_S} s") from error

    def _send_reply(self, reply: Reply, params: Mapping[str, str], query_id: str) -> None:
        headers = {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": reply.timezone,
            "X-ClickHouse-Summary": reply.summary,
        }
        if reply.format:
            headers["X-ClickHouse-Format"] = reply.format
        kinds = (kind for prefix, kind in _CONTENT_TYPES if reply.format.startswith(prefix))
        headers["Content-Type"] = next(kinds, "text/plain; charset=UTF-8")
        body = reply.body
        if params.get("enable_http_compression", "1") not in ("0", "false"):
            body, encoding = encode_reply(body, self.headers.get("Accept-Encoding", ""))
            if encoding:
                headers["Content-Encoding"] = encoding
        self._send(200, headers, body)

    def _send_error(self, error: ClickHouseError, query_id: str) -> None:
        text = error.text
        if "(version " not in text[-64:]:
            text += f" (version {self.server.door.version})"
        self._send(error.status, _error_headers(error) | {"X-ClickHouse-Query-Id": query_id}, text.encode() + b"\n")

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.server.allow(self.connection, REPLY_WRITE_S)
        self.connection.settimeout(REPLY_WRITE_S)
        head_only = self.command == "HEAD"
        self.connection.sendall(_reply_bytes(status, headers, body, not self.close_connection, head_only=head_only))
        self.connection.settimeout(IDLE_S)
        if self.body_refused:
            self._linger()

    def _linger(self) -> None:
        """Takes in the rest of a refused body: closing at once would reset the connection under the reply."""
        self.server.allow(self.connection, LINGER_S)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            left = LINGER_BYTES_MAX
            while left > 0 and (piece := self.connection.recv(1 << 20)):
                left -= len(piece)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for each request would cost more than many a request."""


def _end_reading(connection: socket.socket) -> None:
    """Whoever reads from the connection finds its end; a reply can still be written."""
    with contextlib.suppress(OSError):  # it may have gone by itself
        connection.shutdown(socket.SHUT_RD)


def _error_headers(error: ClickHouseError) -> dict[str, str]:
    return {"X-ClickHouse-Exception-Code": str(error.code), "Content-Type": "text/plain; charset=UTF-8"}


def _reply_bytes(status: int, headers: Mapping[str, str], body: bytes, keep: bool, *, head_only: bool = False) -> bytes:
    lines = [f"HTTP/1.1 {status} {BaseHTTPRequestHandler.responses.get(status, ('',))[0]}"]
    safe = {name: value.translate({10: " ", 13: " "}) for name, value in headers.items()}
    lines += [f"{name}: {value}" for name, value in safe.items()]
    lines += [f"Content-Length: {len(body)}", "Connection: " + ("keep-alive" if keep else "close")]
    if keep:
        lines.append(f"Keep-Alive: timeout={IDLE_S}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    return head if head_only else head + body


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
