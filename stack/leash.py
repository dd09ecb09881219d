"""Run a program that dies with the process that started it: `python leash.py PARENT_PID PROGRAM ARGUMENTS...`

The kernel sends SIGKILL to the program when the *thread* that started it ends, so start services from a thread that
lives as long as they should. Run by path with `-I -S`: nothing but the standard library, so that it costs 20 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def main(arguments: list[str]) -> int:
    """Become the program. Returns only if it can't: 1 when the parent is gone, 127 when there is no program."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform.startswith("linux") and ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        print("leash: the kernel refuses PR_SET_PDEATHSIG", file=sys.stderr)
        return 1
    if os.getppid() != parent:  # it died before the call above, so no signal will ever come
        return 1
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would hand that down
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming the program is the point
    except OSError as error:
        print(f"leash: {program[0]}: {error.strerror}", file=sys.stderr)
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
