"""One service as a child process: started on a leash, asked whether it is ready, stopped."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from stack.errors import InUse

LEASH = Path(__file__).with_name("leash.py")
CHECKOUT = Path(__file__).resolve().parent.parent
TAIL_LINES = 6  # enough for a server's last words, short enough for a terminal
TAIL_BYTES = 8192


class Recipe(msgspec.Struct, frozen=True):
    """How to run one service."""

    name: str  # kafka, redis or clickhouse
    title: str  # the program, and the package that it came from
    argv: tuple[str, ...]
    port: int
    setting: tuple[str, str]  # the environment-style setting that points a client at it
    ready: Callable[[], bool]  # asks the service itself; False while it can't be reached
    patience_s: float  # how long a start may take before it counts as failed


class Child:
    """A running service. Its output is appended to `log`."""

    def __init__(self, recipe: Recipe, log: Path) -> None:
        self.recipe = recipe
        self.log = log
        self._process = leashed(recipe.argv, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> str | None:
        """Why it is no longer there, with its last words; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{self.recipe.title} {how}; log: {self.log}{last_words(self.log)}"

    def ask_to_stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def wait_or_kill(self, grace_s: float) -> None:
        """Give it `grace_s` to end by itself, then SIGKILL; it is gone when this returns."""
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def leashed(argv: tuple[str, ...], log: Path) -> "subprocess.Popen[bytes]":
    """Start `argv` so that it dies with this thread, in a session of its own: Ctrl-C is ours to pass on, in order."""
    command = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *argv]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=with_checkout(os.environ),
        )


def with_checkout(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a Python child finds this package from whatever folder it runs in."""
    elsewhere = environ.get("PYTHONPATH")
    return {**environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{elsewhere}" if elsewhere else str(CHECKOUT)}


def last_words(log: Path) -> str:
    """The end of a log as indented lines, or nothing when it is empty."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    return "".join(f"\n    {line}" for line in lines)


def choose_port(name: str, wanted: int | None) -> int:
    """A loopback port nobody listens on: `wanted`, or else any. Raises InUse. Somebody may still take it first."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections just closed don't count as use
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError as error:
            advice = "end the program that has it, name another port, or name none to get a free one"
            raise InUse(f"port {wanted} for {name} can't be used ({error.strerror}): {advice}") from error
        port: int = probe.getsockname()[1]
        return port


def listening(port: int) -> bool:
    """Whether anybody accepts connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
