"""The health of a running `tollstream run`, over HTTP on the loopback interface."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from tollstream.failures import UsageError

if TYPE_CHECKING:
    from processors.supervise import Tally

_REQUEST_S = 5.0  # a caller that says nothing for longer is let go


class HealthDoor:
    """Answers GET /health from the last tally that it was told: 200 or 503, and why, as JSON.

    A supervisor that tells nothing for `silence_s` is itself unhealthy.
    """

    def __init__(self, port: int, silence_s: float) -> None:
        """Raises UsageError where the port can't be had; port 0 takes any free one."""
        self._silence_s = silence_s
        self._tally: Tally | None = None
        self._told_at = time.monotonic()
        door = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _REQUEST_S

            def do_GET(self) -> None:
                known = self.path.partition("?")[0] == "/health"
                status, document = door.answer() if known else (404, {"error": "there is only /health"})
                body = msgspec.json.encode(document) + b"\n"
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes come every few seconds: nothing to tell."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(f"--health-port {port} can't be had ({error}): take another one") from error

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/health"

    def tell(self, tally: "Tally") -> None:
        """What to answer from now on."""
        self._tally, self._told_at = tally, time.monotonic()

    def answer(self) -> tuple[int, dict[str, Any]]:
        """(HTTP status, document)."""
        silent_s = time.monotonic() - self._told_at
        if silent_s > self._silence_s:
            return 503, {"healthy": False, "reason": f"the supervisor has been silent for {silent_s:.0f} s"}
        if self._tally is None:
            return 200, {"healthy": True, "reason": "starting"}
        counts = {name: getattr(self._tally, name) for name in ("workers", "restarts", "messages", "rows")}
        health = self._tally.health
        return 200 if health.healthy else 503, {"healthy": health.healthy, "reason": health.reason, **counts}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
