"""ClickHouse's HTTP interface over the embedded engine: `python -m stack.clickhouse_door --path DIR --port N`.

For development, tests and the demo. It knows no users: any user and password of a client is taken and ignored, and
it listens on the loopback alone unless told otherwise. One process opens a path.

Prints `ready http://HOST:PORT` once it serves; port 0 picks a free one. Exit codes: 0 told to stop, 2 wrong
arguments or port in use, 3 path in use or unusable."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import threading
from pathlib import Path

from stack.door_call import Door
from stack.door_engine import Engine, PathInUseError
from stack.door_errors import ClickHouseError
from stack.door_http import BODY_BYTES_MAX, DoorServer, is_loopback

MEMORY_BYTES_MAX = 2 << 30  # the engine's limit; it idles at about 0.3 GB
STOP_S = 10  # running queries get this long when the door is told to stop
WATCH_S = 1.0  # how often slow clients and old sessions are looked for
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stack.clickhouse_door", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--path", type=Path, required=True, help="directory of the data; made when missing")
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--allow-remote", action="store_true", help="serve other machines, without any authentication")
    parser.add_argument(
        "--die-with-parent", type=int, nargs="?", const=os.getppid(), metavar="PID",
        help="stop when the process that started this one ends; give its id to leave no race at the start",
    )  # fmt: skip
    parser.add_argument("--memory-bytes-max", type=int, default=MEMORY_BYTES_MAX, help="limit of the engine")
    parser.add_argument("--body-bytes-max", type=int, default=BODY_BYTES_MAX, help="limit of one request body")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Serves until a signal ends it. Returns the exit code."""
    arguments = _arguments(argv)
    local_only = is_loopback(arguments.host)
    if not local_only and not arguments.allow_remote:
        return _fail(
            2,
            f"{arguments.host} is not a loopback address, and there is no authentication: use --host 127.0.0.1, "
            "or --allow-remote if everyone who reaches it may read and write",
        )
    try:
        server = DoorServer(
            (arguments.host, arguments.port), local_only=local_only, body_bytes_max=arguments.body_bytes_max
        )
    except (OSError, OverflowError) as error:
        return _fail(2, f"cannot listen on {arguments.host}:{arguments.port}: {error}; give another --port or --host")
    try:
        engine = Engine(arguments.path.absolute(), arguments.memory_bytes_max)
    except (PathInUseError, ClickHouseError, OSError) as error:
        return _fail(3, str(error))
    server.door = Door(engine)
    stop = _stop_signals(arguments.die_with_parent)
    threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
    host, port = server.server_address[:2]
    shown = f"[{host!s}]" if ":" in str(host) else str(host)
    print(f"ready http://{shown}:{port}", flush=True)
    while not stop.wait(WATCH_S):
        server.watch()
    left = server.wind_down(STOP_S)
    if left:  # the engine cannot be closed under them; what it acknowledged is on disk
        print(f"stopped with {left} requests unfinished", file=sys.stderr, flush=True)
        os._exit(0)
    server.door.close()
    return 0


def _stop_signals(parent: int | None) -> threading.Event:
    """Set on SIGTERM, SIGINT, and when `parent` is no longer the parent. To be called after the engine has started:
    it installs handlers of its own."""
    stop = threading.Event()

    def stop_now(_number: int, _frame: object) -> None:
        stop.set()

    def stop_if_orphaned(_number: int, _frame: object) -> None:
        # the kernel sends this when the *thread* that started us ends, too; then the parent is still there
        if os.getppid() != parent:
            stop.set()

    signal.signal(signal.SIGTERM, stop_now)
    signal.signal(signal.SIGINT, stop_now)
    if parent is not None:
        signal.signal(signal.SIGUSR1, stop_if_orphaned)
        if sys.platform == "linux":
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGUSR1))
        if os.getppid() != parent:  # it ended before the call above
            stop.set()
    return stop


def _fail(code: int, message: str) -> int:
    print(f"clickhouse_door: {message}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
