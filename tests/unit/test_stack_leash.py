"""A program on the leash does not outlive the process that started it."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from stack.child import LEASH, leashed

PATIENCE_S = 30


def ends(pid: int) -> bool:
    """Whether the process, anybody's, is gone within the patience."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], PATIENCE_S)[0])
    finally:
        os.close(handle)


def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import signal, sys; from pathlib import Path; from stack.child import leashed\n"
        "child = leashed(('sleep', '1000'), Path(sys.argv[1])); print(child.pid, flush=True); signal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE)
    assert parent.stdout
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert ends(child)


def test_it_does_not_start_when_the_parent_died_before_the_leash_was_on(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    somebody_else = str(os.getppid())
    command = [sys.executable, "-I", "-S", str(LEASH), somebody_else, "touch", str(mark)]
    assert subprocess.run(command, check=False, timeout=PATIENCE_S).returncode == 1
    assert not mark.exists()


def test_a_program_that_is_not_there_is_named_in_the_log(tmp_path: Path) -> None:
    assert leashed(("no-such-program",), tmp_path / "log").wait(PATIENCE_S) == 127
    assert "no-such-program: No such file" in (tmp_path / "log").read_text()


def test_the_program_gets_the_signals_that_python_blocks_or_ignores(tmp_path: Path) -> None:
    old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        child = leashed((sys.executable, "-c", "import time; time.sleep(1000)"), tmp_path / "log")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    child.terminate()
    assert child.wait(PATIENCE_S) == -signal.SIGTERM
