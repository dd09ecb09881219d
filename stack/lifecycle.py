"""`up` and `down`: a stack that goes on after the command that started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec

from stack.child import last_words, with_checkout
from stack.errors import Ended, InUse, StackError, Unavailable
from stack.running import GRACE_S, SERVICES, Kafka, check_names
from stack.services import Services, Word, held_by, read_status, services

ERRORS = {kind.__name__: kind for kind in (StackError, InUse, Ended, Unavailable)}


def up(
    state_dir: Path,
    kafka: Kafka = "embedded",
    *,
    only: Collection[str] = SERVICES,
    ports: Mapping[str, int] | None = None,
    say: Callable[[str], None] = print,
) -> Services:
    """Start a supervisor with the services and return once all of them answer; it goes on without this process.

    Raises Unavailable, InUse, Ended or another StackError; then, or when this process dies first, nothing is left.
    """
    check_names([*only, *(ports or {})])
    state_dir = state_dir.absolute()
    log = state_dir / "logs" / "supervisor.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        errors = log.open("wb") if held_by(state_dir) is None else log.open("ab")
    except OSError as error:
        raise StackError(f"can't write to {state_dir} ({error.strerror}): name a directory that you own") from error
    if (last := read_status(state_dir)) and last.state == "failed":
        say(f"last time: {last.reason}")
    command = [sys.executable, "-m", "stack.supervisor", "--state", str(state_dir), "--kafka", kafka]
    command += ["--only", ",".join(only), *(f"--port={name}={port}" for name, port in (ports or {}).items())]
    with errors:
        supervisor = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            env=with_checkout(os.environ),
        )
    try:
        return _follow(supervisor, state_dir, say)
    except EOFError:
        raise Ended(f"the supervisor ended with exit code {supervisor.wait()}; log: {log}{last_words(log)}") from None
    except BaseException:  # Ctrl-C too: its pipes are closed, so it stops everything, and then nobody is left
        supervisor.wait()
        raise


def _follow(supervisor: "subprocess.Popen[bytes]", state_dir: Path, say: Callable[[str], None]) -> Services:
    """Pass on what a starting supervisor says until all is ready. EOFError: it ended without a word."""
    assert supervisor.stdin and supervisor.stdout
    with supervisor.stdin, supervisor.stdout:
        for line in supervisor.stdout:
            word = msgspec.json.decode(line, type=Word)
            if word.failed:
                raise ERRORS[word.kind](word.failed)
            if word.ready:
                found = services(state_dir)
                assert found, "written before the supervisor says ready"
                supervisor.stdin.write(b"go on alone\n")
                supervisor.stdin.flush()
                supervisor.returncode = 0  # it is not ours any more: Popen need not warn that it still runs
                return found
            say(word.say)
    raise EOFError


def down(state_dir: Path) -> bool:
    """Stop what runs on `state_dir`, in order. False when nothing did. Raises StackError if it can't be stopped."""
    pid = held_by(state_dir)
    if not pid:
        return False
    try:
        os.kill(pid, signal.SIGTERM)
        if not _given_back(state_dir, 2 * GRACE_S):
            os.kill(pid, signal.SIGKILL)  # the services die with it
    except ProcessLookupError:
        pass  # it ended between the two lines
    except PermissionError:
        raise StackError(f"the stack in {state_dir} is process {pid} of another user: stop it as that user") from None
    if not _given_back(state_dir, GRACE_S):
        raise StackError(f"process {pid} keeps {state_dir} even after SIGKILL: look at it with `ps -p {pid}`")
    return True


def _given_back(state_dir: Path, patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    while held_by(state_dir) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
