"""Tries mutants: the tests are collected once, and each mutant gets a fork of that in which its code is exchanged.

A test is run where it runs a line that was changed; those that killed before come first, then those that are about few
files, the fast ones first.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple, NoReturn

import coverage
import hypothesis
import pytest
from _pytest.runner import runtestprotocol

from tests.mutants.making import ROOT, Mutant, Place

TIMED_OUT = "it never ended"
_QUIETLY = ("-q", "-q", "--disable-warnings", "--assert=plain", "--capture=sys", "-p", "no:cacheprovider")
_GRACE_S = 10.0  # on top of three times what its tests take

Reach = dict[str, dict[int, list[str]]]  # file -> line -> the tests that run it


class Reached(NamedTuple):
    """What the tests run, and for how long: file -> line -> tests; test -> seconds, and how many files it runs of."""

    lines: Reach
    seconds: dict[str, float]
    breadth: Counter[str]

    def tests(self, mutant: Mutant) -> set[str]:
        """Those that run what it changes."""
        lines = self.lines.get(mutant.place.path, {})
        return {test for line in mutant.reach for test in lines.get(line, ())}


def reached_by(lines: Reach, seconds: dict[str, float]) -> Reached:
    """With the breadth of each test."""
    breadth = Counter(test for found in lines.values() for test in {test for at in found.values() for test in at})
    return Reached(lines, seconds, breadth)


class Result(NamedTuple):
    """`killer`: the test that noticed, TIMED_OUT, or "" for a survivor; `tests`: how many had their try."""

    killer: str
    tests: int


class Bench:
    """A pytest plugin: in place of running the tests it asks `work` to use it."""

    def __init__(self, core: Sequence[str], tests_s: float, work: Callable[[Bench], None]) -> None:
        self._core, self._tests_s, self._work = core, tests_s, work
        self._kills: dict[Place, Counter[str]] = {}
        self._items: dict[str, pytest.Item] = {}
        self._functions: dict[Place, list[FunctionType]] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        self._items = {item.nodeid: item for item in session.items}
        wanted = {str(ROOT / path): path for path in self._core}
        for one in gc.get_objects():
            if isinstance(one, FunctionType) and one.__code__.co_filename in wanted:
                code = one.__code__
                place = Place(wanted[code.co_filename], code.co_qualname, code.co_firstlineno)
                self._functions.setdefault(place, []).append(one)
        with contextlib.suppress(ImportError):
            importlib.import_module("pandas")  # pyarrow does so at its first conversion, which every fork would repeat
        gc.freeze()
        self._work(self)
        return True

    @property
    def tests(self) -> list[str]:
        """The ids of all that were collected."""
        return list(self._items)

    def reach(self, tests: Iterable[str]) -> Reached:
        """Run these on the core as it is. RuntimeError where one fails."""
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            answer = json.dumps(self._measured([self._items[test] for test in tests]))
            with os.fdopen(tell, "w") as out:
                out.write(answer)
            os._exit(0)
        os.close(tell)
        with os.fdopen(told) as answers:
            text = answers.read()
        os.waitpid(pid, 0)
        if not text:
            raise RuntimeError("the tests could not be measured")
        lines, seconds, failed = json.loads(text)
        if failed:
            raise RuntimeError(f"these tests fail without any mutant: {failed}")
        return reached_by(
            {path: {int(line): at for line, at in found.items()} for path, found in lines.items()}, seconds
        )

    def _measured(self, items: list[pytest.Item]) -> tuple[Reach, dict[str, float], list[str]]:
        watch = coverage.Coverage(
            data_file=None, config_file=False, include=[str(ROOT / path) for path in self._core], messages=False
        )
        warnings.simplefilter("ignore", coverage.exceptions.CoverageWarning)  # a file that runs nothing of the core
        seconds, failed = {}, []
        watch.start()
        for item, after in _pairs(items):
            watch.switch_context(item.nodeid)
            start = time.process_time()
            if not _passes(item, after):
                failed.append(item.nodeid)
            seconds[item.nodeid] = time.process_time() - start
        watch.stop()
        data = watch.get_data()
        found = {
            path: {line: [one for one in at if one] for line, at in data.contexts_by_lineno(str(ROOT / path)).items()}
            for path in self._core
        }
        return found, seconds, failed

    def run(self, mutant: Mutant, reached: Reached, first: str = "") -> Result:
        """Fork, exchange, test. `first`: the test that killed it the last time."""
        tests = reached.tests(mutant) & self._items.keys()
        kills = self._kills.setdefault(mutant.place, Counter())
        order = sorted(
            tests,
            key=lambda one: (one != first, -kills[one], reached.breadth[one].bit_length(), reached.seconds[one], one),
        )
        chosen, total_s = list[str](), 0.0
        for test in order:
            total_s += reached.seconds[test]
            if chosen and total_s > self._tests_s:
                break
            chosen.append(test)
        if not chosen or mutant.place not in self._functions:
            return Result("", 0)
        killer = self._tried(mutant, [self._items[test] for test in chosen], 3 * total_s + _GRACE_S)
        kills[killer] += 1
        return Result(killer, len(chosen))

    def _tried(self, mutant: Mutant, items: list[pytest.Item], limit_s: float) -> str:
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            self._child(mutant, items, tell, int(limit_s))
        os.close(tell)
        said = b""
        with os.fdopen(told, "rb", buffering=0) as answers:
            while select.select([answers], [], [], 4 * limit_s)[0] and not said.endswith(b"\n"):
                piece = answers.read(4096)
                if not piece:
                    break
                said += piece
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # and whatever its tests started
        os.waitpid(pid, 0)
        return json.loads(said)["killer"] if said else TIMED_OUT

    def _child(self, mutant: Mutant, items: list[pytest.Item], tell: int, limit_s: int) -> NoReturn:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 1))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        gc.disable()
        pytest.Function.repr_failure = lambda *_: "it failed"  # type: ignore[method-assign] (a traceback takes long)
        killer = ""
        try:
            self._exchange(mutant)
            killer = next((item.nodeid for item, after in _pairs(items) if not _passes(item, after)), "")
            items[0].session._setupstate.teardown_exact(None)
        except BaseException as error:  # noqa: BLE001 (whatever a mutant does to the machinery, its test noticed)
            killer = killer or f"{type(error).__name__}: {error}"
        os.write(tell, json.dumps({"killer": killer}).encode() + b"\n")
        os._exit(0)

    def _exchange(self, mutant: Mutant) -> None:
        functions = self._functions[mutant.place]
        compiled = compile(mutant.source, str(ROOT / mutant.place.path), "exec", dont_inherit=True)
        code = _found(compiled, mutant.place)
        for one in functions:
            one.__code__ = code
        if mutant.line < mutant.reach.start:
            _exchange_defaults(mutant, functions)


def _found(code: CodeType, place: Place) -> CodeType:
    within = [code]
    for one in within:
        if (one.co_qualname, one.co_firstlineno) == (place.name, place.first_line):
            return one
        within += [inner for inner in one.co_consts if isinstance(inner, CodeType)]
    raise LookupError(f"{place} is not in its own file")


def _exchange_defaults(mutant: Mutant, functions: list[FunctionType]) -> None:
    for node in ast.walk(ast.parse(mutant.source)):
        if isinstance(node, ast.FunctionDef) and mutant.place.name.split(".")[-1] == node.name:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if first != mutant.place.first_line or mutant.line >= node.body[0].lineno:
                continue
            pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            named = {name.arg: default for name, default in pairs if default is not None}
            for one in functions:
                one.__defaults__ = tuple(_value(default, one) for default in node.args.defaults) or None
                one.__kwdefaults__ = {name: _value(default, one) for name, default in named.items()} or None


def _value(default: ast.expr, function: FunctionType) -> object:
    return eval(ast.unparse(default), function.__globals__)  # noqa: S307 (our own source, changed by a mutant)


def _pairs(items: list[pytest.Item]) -> list[tuple[pytest.Item, pytest.Item | None]]:
    return list(zip(items, [*items[1:], None], strict=True))


def _passes(item: pytest.Item, after: pytest.Item | None) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=after))


def open_bench(core: Sequence[str], tests: Sequence[str], tests_s: float, work: Callable[[Bench], None]) -> None:
    """Collect the tests, then let `work` use what is open. RuntimeError where they cannot be collected.

    `tests_s`: seconds of tests for one mutant, at most; the slow ones beyond are left out.
    """
    plain = hypothesis.settings(
        derandomize=True,  # the same examples for every mutant, and none shrunk: that it fails is enough
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.register_profile("mutants", plain)
    hypothesis.settings.load_profile("mutants")
    sys.path.insert(0, str(ROOT))
    code = pytest.main([*tests, *_QUIETLY, "--rootdir", str(ROOT)], plugins=[Bench(core, tests_s, work)])
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"the tests could not be collected: pytest ended with {code!r}")


def test_file(test: str) -> Path:
    """Of a test's id."""
    return ROOT / test.partition("::")[0]
