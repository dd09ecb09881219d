"""Which functions the workers' time goes to, from their profiles."""

import pstats
from collections.abc import Sequence
from pathlib import Path

import msgspec

_ROOT = Path(__file__).parent.parent
_SHOWN = 30


class Line(msgspec.Struct):
    """A function in the main threads of all workers, CPU seconds under the profiler: for order, not for size."""

    function: str
    calls: int
    own_s: float
    with_callees_s: float


def lines(paths: Sequence[Path]) -> list[Line]:
    """The functions with the most time of their own, most first. C functions stand for themselves."""
    if not paths:
        return []
    found: list[Line] = []
    raw = pstats.Stats(*map(str, paths)).stats  # type: ignore[attr-defined]
    for (file, line, name), (_, calls, own_s, with_callees_s, _callers) in raw.items():
        found.append(Line(_shown(file, line, name), calls, own_s, with_callees_s))
    return sorted(found, key=lambda one: -one.own_s)[:_SHOWN]


def _shown(file: str, line: int, name: str) -> str:
    path = Path(file)
    if file == "~":
        return name
    where = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else Path(*path.parts[-2:])
    return f"{where}:{line} {name}"
