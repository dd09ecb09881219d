"""Runs mutmut on one file of the core, in a copy of the tree, with that file's tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SHOPS = ROOT / ".mutants"
PACKAGES = ("processors", "rating", "config", "sinks", "edge", "stack", "tollstream", "tests")
SURVIVED, UNTESTED = 0, (5, 33)  # exit codes in mutmut's record; None: not run yet
_TIMED_OUT = (-24, 24, 36, 152, 255)


class Survivor(NamedTuple):
    """`was` and `became`: the changed lines, stripped; `line` is that of the first one."""

    name: str
    path: str
    line: int
    was: str
    became: str
    tested: bool

    def __str__(self) -> str:
        note = "" if self.tested else "   (no test runs it)"
        return f"{self.path}:{self.line}{note}\n    - {self.was}\n    + {self.became}"


class Shop:
    """The copy for one file. Results stay in it: a mutant of an unchanged function is not run again."""

    def __init__(self, path: str, tests: tuple[str, ...]) -> None:
        self.path, self.home = path, SHOPS / path.removesuffix(".py").replace("/", ".")
        self.home.mkdir(parents=True, exist_ok=True)
        for package in PACKAGES:
            shutil.rmtree(self.home / package, ignore_errors=True)
            shutil.copytree(ROOT / package, self.home / package, ignore=shutil.ignore_patterns("__pycache__"))
        pytest = (ROOT / "pyproject.toml").read_text().partition("[tool.pytest.ini_options]")[2].partition("\n[")[0]
        config: dict[str, Sequence[str]] = {
            "source_paths": [path],
            "also_copy": PACKAGES,
            "pytest_add_cli_args_test_selection": tests,
            "pytest_add_cli_args": ["-k", "not imports"],  # what looks at imports sees mutmut's own
        }
        lines = "".join(f"{key} = {json.dumps(list(value))}\n" for key, value in config.items())
        (self.home / "pyproject.toml").write_text(f"[tool.pytest.ini_options]{pytest}\n[tool.mutmut]\n{lines}")

    def names(self) -> list[str]:
        """All mutants; the tests run once, to learn which function each of them reaches."""
        self._mutmut("run", "none.is.called.this")
        names = list(self._record())
        if not names:
            raise RuntimeError(f"no mutants of {self.path}: do its tests pass? See {self.home / 'run.log'}")
        return names

    def run(self, names: list[str], jobs: int) -> None:
        """Those that have no result yet."""
        record = self._record()
        todo = [name for name in names if record[name] is None]
        if todo:
            self._mutmut("run", "--max-children", str(jobs), *todo)

    def results(self) -> dict[str, int]:
        """Name -> exit code of its tests, of those that ran."""
        return {name: code for name, code in self._record().items() if code is not None}

    def survivor(self, name: str, tested: bool) -> Survivor:
        """What the mutant changes, and where."""
        diff = self._mutmut("show", name).splitlines()
        body = [line for line in diff if not line.startswith(("---", "+++", "#", "@@"))]
        was = [line[1:] for line in body if line.startswith("-")]
        became = [line[1:].strip() for line in body if line.startswith("+")]
        return Survivor(name, self.path, self._line(name, diff, was), _joined(was), _joined(became), tested)

    def _line(self, name: str, diff: list[str], was: list[str]) -> int:
        """Of the first changed line: the first that reads so behind its function's head."""
        function = re.search(r"([^.ǁ]+?)__mutmut_\d+$", name)
        called = function[1].removeprefix("x_") if function else ""
        lines = (ROOT / self.path).read_text().splitlines()
        start = next((at for at, line in enumerate(lines) if re.search(rf"def {re.escape(called)}\b", line)), 0)
        wanted = was[0].strip() if was else ""
        return next((at + 1 for at in range(start, len(lines)) if lines[at].strip() == wanted), start + 1)

    def _record(self) -> dict[str, int | None]:
        found = self.home / "mutants" / f"{self.path}.meta"
        return dict(json.loads(found.read_text())["exit_code_by_key"]) if found.exists() else {}

    def _mutmut(self, *words: str) -> str:
        command = [sys.executable, "-m", "mutmut", *words]
        environ = os.environ | {"CI": "true", "COLUMNS": "200"}  # hypothesis: the same examples for every mutant
        done = subprocess.run(command, cwd=self.home, env=environ, capture_output=True, text=True, check=False)
        if done.returncode and words[0] != "run":
            raise RuntimeError(f"mutmut {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        (self.home / f"{words[0]}.log").write_text(done.stdout + done.stderr)
        return done.stdout


def timed_out(code: int) -> bool:
    """A mutant that never ends is noticed, too."""
    return code in _TIMED_OUT


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)
