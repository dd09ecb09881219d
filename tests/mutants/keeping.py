"""Keeps results between runs, by the content of files: a run does again only what changed.

A killed mutant stays killed while its file and the file of the test that killed it stay as they are; a survivor stays
one while its file and the files of all tests that run its lines do, and no more time is given to them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.mutants.core import CORE
from tests.mutants.making import ROOT, Mutant
from tests.mutants.trying import TIMED_OUT, Reach, Reached, Result, reached_by, test_file

KEPT = ROOT / ".mutants"


class Kept(NamedTuple):
    """A result, how much time its tests might take, and the content of the files it rests on."""

    killer: str
    tests: int
    tests_s: float
    basis: str


def content(paths: Iterable[Path]) -> str:
    """A digest of what was in these files when this run first looked: they may be edited meanwhile."""
    return hashlib.sha256(b"".join(_digest(path) for path in sorted(paths))).hexdigest()[:20]


@functools.cache
def _digest(path: Path) -> bytes:
    return hashlib.sha256(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes()).digest()


class Results:
    """The results of one file."""

    def __init__(self, path: str, reached: Reached, tests_s: float) -> None:
        self._file = KEPT / f"{path.removesuffix('.py').replace('/', '.')}.json"
        self._source, self._reached, self._tests_s = ROOT / path, reached, tests_s
        found = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._kept: dict[str, Kept] = {key: Kept(*kept) for key, kept in found.items()}

    def of(self, mutant: Mutant) -> Result | None:
        """None where it must run (again)."""
        kept = self._kept.get(mutant.key)
        if kept is None or kept.basis != self._basis(mutant, kept.killer):
            return None
        return None if not kept.killer and kept.tests_s < self._tests_s else Result(kept.killer, kept.tests)

    def last_killer(self, mutant: Mutant) -> str:
        """Which test killed it the last time, whatever has changed since."""
        kept = self._kept.get(mutant.key)
        return kept.killer if kept else ""

    def keep(self, mutant: Mutant, result: Result) -> None:
        """Note it; `save` makes it last."""
        self._kept[mutant.key] = Kept(*result, self._tests_s, self._basis(mutant, result.killer))

    def save(self, mutants: Iterable[Mutant]) -> None:
        """Those of `mutants`; others are of an earlier text of the file."""
        KEPT.mkdir(exist_ok=True)
        self._file.write_text(json.dumps({one.key: self._kept[one.key] for one in mutants if one.key in self._kept}))

    def _basis(self, mutant: Mutant, killer: str) -> str:
        if killer == TIMED_OUT:
            return content([self._source])
        tests = [killer] if test_file(killer).is_file() else self._reached.tests(mutant)
        return content({self._source, *(test_file(test) for test in tests)})


class Reaches:
    """Which tests run which lines: measured again for a test file that changed, or what it runs of the core did."""

    def __init__(self) -> None:
        self._file = KEPT / "reach.json"
        found = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._kept: dict[str, tuple[str, Reach, dict[str, float]]] = found

    def missing(self, files: Iterable[Path]) -> list[Path]:
        """Those to measure."""
        return [file for file in files if str(file) not in self._kept or self._kept[str(file)][0] != self._basis(file)]

    def keep(self, file: Path, reached: Reached) -> None:
        """Note what the tests of `file` run."""
        lines = {path: {line: at for line, at in found.items() if at} for path, found in reached.lines.items()}
        self._kept[str(file)] = "", {path: at for path, at in lines.items() if at}, reached.seconds
        self._kept[str(file)] = self._basis(file), *self._kept[str(file)][1:]

    def save(self) -> None:
        """For the next run."""
        KEPT.mkdir(exist_ok=True)
        self._file.write_text(json.dumps(self._kept))

    def all(self, files: Iterable[Path]) -> Reached:
        """Of all of these together."""
        lines: Reach = {path: {} for path in CORE}
        seconds: dict[str, float] = {}
        for file in files:
            _, found, took = self._kept[str(file)]
            seconds |= took
            for path, at in found.items():
                for line, tests in at.items():
                    lines.setdefault(path, {}).setdefault(int(line), []).extend(tests)
        return reached_by(lines, seconds)

    def _basis(self, file: Path) -> str:
        core = (ROOT / path for path in self._kept[str(file)][1])
        return content([file, *(path for path in core if path.exists())])
