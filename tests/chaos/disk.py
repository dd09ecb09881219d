"""A service's directory, on a disk that can be full.

As root: a small tmpfs of its own, which a ballast file fills to the last byte. Without the right to mount, the same
for Valkey alone: RLIMIT_FSIZE of its process, so that a write past the limit fails with EFBIG in place of ENOSPC.
Python's children ignore SIGXFSZ, which would else end them. (For ClickHouse see Services.fill_clickhouse.)
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

_BALLAST_BYTES = 1 << 20
_MOUNT_S = 10


class Disk:
    """`path`: the directory. `pid` answers whose writes fail where nothing can be mounted."""

    def __init__(self, path: Path, mebibytes: int, pid: Callable[[], int]) -> None:
        self.path, self._pid = path, pid
        path.mkdir(parents=True)
        self.mounted = _quietly("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tollstream-chaos", str(path))
        self._ballast = path / "ballast"

    @property
    def kind(self) -> str:
        return "tmpfs" if self.mounted else "RLIMIT_FSIZE"

    def fill(self, largest_bytes: int = 0) -> None:
        """No byte is left. Without a mount: none beyond `largest_bytes` in any file."""
        if not self.mounted:
            resource.prlimit(self._pid(), resource.RLIMIT_FSIZE, (largest_bytes, resource.RLIM_INFINITY))
            return
        with self._ballast.open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            room = os.statvfs(self.path)
            os.posix_fallocate(ballast.fileno(), 0, room.f_bavail * room.f_frsize)
        with self._ballast.open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(_BALLAST_BYTES)):  # a write that finds some room left is short
                pass

    def free(self) -> None:
        if self.mounted:
            self._ballast.unlink(missing_ok=True)
        else:
            resource.prlimit(self._pid(), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def close(self) -> None:
        if self.mounted:
            _quietly("umount", "--lazy", str(self.path))


def _quietly(*command: str) -> bool:
    """Whether it worked."""
    if os.geteuid() != 0:
        return False
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=_MOUNT_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
