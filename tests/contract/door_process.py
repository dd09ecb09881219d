"""A ClickHouse to test: the door as a process of its own on a free port, or the server that
TOLLSTREAM_CLICKHOUSE__URL names (with __USER and __PASSWORD)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import clickhouse_connect
import requests

USER = os.environ.get("TOLLSTREAM_CLICKHOUSE__USER", "default")
PASSWORD = os.environ.get("TOLLSTREAM_CLICKHOUSE__PASSWORD", "")
ROOT = Path(__file__).resolve().parents[2]


def door_command(path: Path, *options: str, port: int = 0) -> list[str]:
    return [sys.executable, "-m", "stack.clickhouse_door", "--path", str(path), "--port", str(port), *options]


class RunningDoor:
    """A door that is ready. Use as a context manager."""

    def __init__(self, path: Path, *options: str) -> None:
        self.process = subprocess.Popen(door_command(path, *options), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ready http://"):
            self.process.wait()
            raise AssertionError(f"the door did not start: {line!r}")
        self.url = line.split()[1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def __enter__(self) -> RunningDoor:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def failed_start(command: Sequence[str]) -> tuple[int, str]:
    """Exit code and stderr of a door that is expected not to start."""
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@contextlib.contextmanager
def a_server(path: Path) -> Iterator[str]:
    """The URL of the server to test; the door is started on `path`."""
    named = os.environ.get("TOLLSTREAM_CLICKHOUSE__URL")
    if named:
        yield named
        return
    with RunningDoor(path) as door:
        yield door.url


def connect(url: str, **options: Any) -> Any:
    return clickhouse_connect.get_client(dsn=url, username=USER, password=PASSWORD, **options)


def post(url: str, body: bytes | str = b"", **params: str) -> requests.Response:
    return requests.post(url, params=params, data=body, auth=(USER, PASSWORD), timeout=60)
