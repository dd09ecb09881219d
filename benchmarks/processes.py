"""CPU time and memory of processes, as Linux counts them in /proc."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_PARENT, _CPU = 1, slice(11, 15)  # fields after the name: ppid; utime, stime, and both of children waited for


class Use(NamedTuple):
    """What a process has used so far: CPU seconds (in steps of 10 ms) and its highest resident set, bytes."""

    cpu_s: float
    peak_bytes: int


def use(pid: int) -> Use:
    """Of a process with all its threads and children, living and waited for. Zero for one that is gone."""
    cpu_s, peak_bytes = 0.0, 0
    for one in _tree(pid):
        fields = _stat(one)
        if fields:
            cpu_s += sum(map(int, fields[_CPU])) / _TICKS_A_SECOND
            peak_bytes += peak_resident_bytes(one)
    return Use(cpu_s, peak_bytes)


def children_cpu_s(pid: int) -> float:
    """CPU seconds of a process's descendants, living and waited for by them, in steps of 10 ms."""
    return sum(sum(map(int, _stat(one)[_CPU])) for one in _tree(pid) if one != pid) / _TICKS_A_SECOND


def peak_resident_bytes(pid: int) -> int:
    """The highest resident set of one process. Zero for one that is gone."""
    return _memory_bytes(pid, "VmHWM:")


def resident_bytes(pid: int) -> int:
    """The resident set of one process now. Zero for one that is gone."""
    return _memory_bytes(pid, "VmRSS:")


def machine_busy_s() -> float:
    """CPU seconds that all processes of the machine have used since it started, and that its host took from it."""
    user, nice, system, _idle, _wait, interrupts, soft, stolen = _PROC.joinpath("stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, interrupts, soft, stolen))) / _TICKS_A_SECOND


def _tree(pid: int) -> Iterator[int]:
    """The process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += children.get(one, [])


def _stat(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()  # the name before it may hold anything


def _memory_bytes(pid: int, name: str) -> int:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)
