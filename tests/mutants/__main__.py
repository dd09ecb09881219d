"""`make mutants`: changes the core a little, again and again, and lists each change that no test notices.

Exit code 1 where a survivor is not explained in tests/mutants/explained.toml. `--sample 300 --seed 1` runs as many at
random; `--file rating/money.py` only those of a file. Results are kept in .mutants and used again while the files they
rest on stay as they are. The last lines, and .tollstream/mutants.json, are a table by file.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.core import CORE, TESTS
from tests.mutants.explaining import Explanations
from tests.mutants.keeping import Reaches, Results
from tests.mutants.making import ROOT, Mutant, mutants
from tests.mutants.reporting import Row, write
from tests.mutants.trying import Bench, Reached, open_bench

_SAVE_S = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--file", action="append", choices=CORE, help="only this one; may be repeated")
    parser.add_argument("--sample", type=int, help="as many mutants, drawn from all of the files")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--tests-s", type=float, default=8, help="seconds of tests for one mutant, the fast ones first")
    asked = parser.parse_args()
    files = sorted({file for pattern in TESTS for file in ROOT.glob(pattern)})
    paths = asked.file or CORE
    keys = drawn(paths, asked.sample, asked.seed) if asked.sample else None
    rows: list[Row] = []

    def work(bench: Bench) -> None:
        reached = _reached(bench, files)
        explained = Explanations()
        for path in paths:
            found = mutants(path)
            chosen = [one for one in found if keys is None or one.key in keys]
            if chosen:
                results = Results(path, reached, asked.tests_s)
                _run(bench, reached, results, found, [one for one in chosen if not explained.why(one)])
                rows.append(_told(path, results, chosen, explained))

    open_bench(CORE, [str(file) for file in files], asked.tests_s, work)
    write(rows, None if keys is None else f"sample of {asked.sample}, seed {asked.seed}")
    return 1 if any(row.survived for row in rows) else 0


def drawn(paths: Sequence[str], count: int, seed: int) -> set[str]:
    """The keys of so many mutants of these files."""
    keys = [one.key for path in paths for one in mutants(path)]
    return set(random.Random(seed).sample(keys, min(count, len(keys))))


def _reached(bench: Bench, files: list[Path]) -> Reached:
    reaches = Reaches()
    for file in reaches.missing(files):
        name = f"{file.relative_to(ROOT)}::"
        reaches.keep(file, bench.reach([test for test in bench.tests if test.startswith(name)]))
    reaches.save()
    return reaches.all(files)


def _run(bench: Bench, reached: Reached, results: Results, found: list[Mutant], chosen: list[Mutant]) -> None:
    todo = [one for one in chosen if results.of(one) is None]
    start = saved = time.monotonic()
    for one in todo:
        results.keep(one, bench.run(one, reached, results.last_killer(one)))
        if time.monotonic() - saved > _SAVE_S:
            results.save(found)
            saved = time.monotonic()
    results.save(found)
    if todo:
        pace = len(todo) * 60 / (time.monotonic() - start)
        print(f"{todo[0].place.path}: {len(todo)} mutants run, {pace:.0f} a minute", flush=True)


def _told(path: str, results: Results, chosen: list[Mutant], explained: Explanations) -> Row:
    row = Row(path)
    for one in chosen:
        if explained.why(one):
            row.explained += 1
            continue
        result = results.of(one)
        if result is None:
            raise RuntimeError(f"{one} was not run")
        row.count(result.killer)
        if not result.killer:
            print(f"  {one}" + ("" if result.tests else "\n    no test runs it"), flush=True)
    print(row, flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
