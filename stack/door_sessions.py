"""Sessions of the ClickHouse door: state that one client keeps between its requests.

Every clickhouse-connect client names a session, and hardly any uses it. So a session gets a connection of its own
only when a statement asks for state (SET, USE, a temporary table); until then its requests run on fresh ones."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator

from stack.door_engine import Connection
from stack.door_errors import (
    INVALID_SESSION_TIMEOUT,
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    ClickHouseError,
)

TIMEOUT_DEFAULT_S = 60  # ClickHouse's default_session_timeout
TIMEOUT_MAX_S = 3600  # ClickHouse's max_session_timeout
SESSIONS_MAX = 1024  # an idle session is a few hundred bytes
STATEFUL_MAX = 128  # a kept connection is 0.1 MB and whatever its temporary tables hold


class Session:
    """`connection` is None until the session has state."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.connection: Connection | None = None
        self.busy = True
        self.expires_at = 0.0


def session_timeout(text: str) -> int:
    """Seconds. Raises ClickHouseError (INVALID_SESSION_TIMEOUT)."""
    if not text:
        return TIMEOUT_DEFAULT_S
    if not (text.isascii() and text.isdigit()):
        raise ClickHouseError(INVALID_SESSION_TIMEOUT, f"Invalid session timeout: '{text}'")
    if int(text) > TIMEOUT_MAX_S:
        raise ClickHouseError(
            INVALID_SESSION_TIMEOUT,
            f"Session timeout '{text}' is larger than max_session_timeout: {TIMEOUT_MAX_S}.",
        )
    return int(text)


class Sessions:
    """All sessions by name. `expire` is to be called now and then."""

    def __init__(self) -> None:
        self._by_name: dict[str, Session] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def borrow(self, name: str, timeout_s: int, *, must_exist: bool) -> Iterator[Session]:
        """The session for one request. Raises ClickHouseError when it is busy, absent though it must exist, or
        one too many."""
        with self._lock:
            session = self._by_name.get(name)
            if session is None:
                if must_exist:
                    raise ClickHouseError(SESSION_NOT_FOUND, f"Session {name} not found")
                self._make_room()
                session = self._by_name[name] = Session(name)
            elif session.busy:
                raise ClickHouseError(SESSION_IS_LOCKED, f"Session {name} is locked by a concurrent client")
            session.busy = True
        try:
            yield session
        finally:
            with self._lock:
                session.busy = False
                session.expires_at = time.monotonic() + timeout_s

    def keep(self, session: Session, connection: Connection) -> None:
        """Makes the connection the session's own. Raises ClickHouseError when too many sessions have state."""
        with self._lock:
            if sum(other.connection is not None for other in self._by_name.values()) >= STATEFUL_MAX:
                raise ClickHouseError(
                    TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many sessions with state: {STATEFUL_MAX} is the most"
                )
            session.connection = connection

    def drop(self, session: Session) -> None:
        with self._lock:
            self._by_name.pop(session.name, None)
        if session.connection:
            session.connection.close()

    def expire(self, now: float) -> None:
        """Ends the sessions whose time is over at `now` (time.monotonic)."""
        with self._lock:
            over = [session for session in self._by_name.values() if not session.busy and session.expires_at <= now]
            for session in over:
                del self._by_name[session.name]
        for session in over:
            if session.connection:
                session.connection.close()

    def close(self) -> None:
        """Ends all sessions; no request may be running."""
        self.expire(math.inf)

    def _make_room(self) -> None:
        if len(self._by_name) < SESSIONS_MAX:
            return
        idle = [session for session in self._by_name.values() if not session.busy and session.connection is None]
        if not idle:
            raise ClickHouseError(TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many sessions: {SESSIONS_MAX} is the most")
        del self._by_name[min(idle, key=lambda session: session.expires_at).name]
