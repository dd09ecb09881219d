"""What is known of a stack from outside: where its services are, and how it ended. Files in the state directory."""

import fcntl
import os
import time
from pathlib import Path
from typing import Literal

import msgspec

from stack.errors import Ended, InUse, StackError

LOCK_PATIENCE_S = 1.0  # a reader looks at the lock for microseconds; a supervisor keeps it


class Services(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The running services. Keys of `pids` and `logs`: kafka, redis, clickhouse."""

    kafka: Literal["embedded", "apache", "elsewhere"]
    environ: dict[str, str]  # the settings that point at them, such as TOLLSTREAM_KAFKA__BOOTSTRAP
    pids: dict[str, int]
    logs: dict[str, str]
    supervisor: int  # the process that they die with


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the last start got. `reason` belongs to `failed`."""

    state: Literal["starting", "running", "failed", "stopped"]
    reason: str = ""


class Word(msgspec.Struct, omit_defaults=True):
    """A line from a starting supervisor to `up`."""

    say: str = ""
    ready: bool = False
    failed: str = ""
    kind: str = ""  # of the error: the name of its class


def services(state_dir: Path) -> Services | None:
    """The services running on `state_dir`; None when nothing was started, or it was stopped in order.

    Raises Ended when they came to an end by themselves, saying which and why; StackError while they start.
    """
    status = read_status(state_dir)
    if status is None or status.state == "stopped":
        return None
    if status.state == "failed":
        raise Ended(status.reason)
    if held_by(state_dir) is None:
        raise Ended(f"the stack in {state_dir} was killed with all its services: start it again with `tollstream up`")
    if status.state == "starting":
        raise StackError(f"the stack in {state_dir} is still starting: try again in a few seconds")
    return msgspec.json.decode((state_dir / "services.json").read_bytes(), type=Services)


def read_status(state_dir: Path) -> Status | None:
    try:
        return msgspec.json.decode((state_dir / "status.json").read_bytes(), type=Status)
    except FileNotFoundError:
        return None


def write(path: Path, document: Services | Status) -> None:
    """Put a whole new file in the place of the old one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    scratch.replace(path)


def lock(state_dir: Path) -> int:
    """Take the state directory for this process; closing the file descriptor, or dying, gives it back. Raises InUse."""
    file = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    end = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > end:
                owner = os.pread(file, 32, 0).decode()
                os.close(file)
                raise InUse(
                    f"{state_dir} is in use by the stack of process {owner}: "
                    "end that one with `tollstream down`, or take another state directory"
                ) from None
            time.sleep(0.02)
    os.ftruncate(file, 0)
    os.pwrite(file, str(os.getpid()).encode(), 0)
    return file


def held_by(state_dir: Path) -> int | None:
    """The process that has the state directory, if any."""
    try:
        file = os.open(state_dir / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return int(os.pread(file, 32, 0) or 0)
    finally:
        os.close(file)
