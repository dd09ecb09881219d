"""`python -m benchmarks.compare REF`: each step of the two stages in this tree beside another one.

Both trees run `python -m benchmarks steps` of their own, in turn, so that both see the same minutes of the machine;
only the names of the steps must be the same, not what is behind them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from cyclopts import App
from rich.console import Console
from rich.table import Table as RichTable

_ROOT = Path(__file__).parent.parent
_PAIRS_MIN = 2
_CALLGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
_COLLECTED = "Collected :"
_COUNTED = 2_000, 12_000  # events: the difference leaves out imports, and callgrind makes it all fifty times slower
_WITHOUT = "valgrind is not installed, or can't run this Python"

app = App(name="benchmarks.compare", help="Each step of the two stages in this tree beside another one.")
Costs = dict[str, float]  # step -> CPU microseconds an event


class CompareError(Exception):
    """The trees cannot be compared; the message says why."""


class Ratio(msgspec.Struct):
    """Of a step: here over there, pair by pair. None for a step that only one tree has."""

    step: str
    there_us: float | None  # medians
    here_us: float | None
    ratios: list[float]

    @property
    def middle(self) -> float | None:
        return median(self.ratios) if self.ratios else None


@app.default
def run(
    base: str,
    *,
    pairs: int = 5,
    quick: bool = False,
    instructions: bool = False,
    out: Path | None = None,
) -> int:
    """Run both trees in turn and print, for each step, the ratio with its spread.

    Parameters
    ----------
    base
        A git ref: a branch, a tag, a commit.
    pairs
        Runs of each tree.
    quick
        A third of the events.
    instructions
        Also count instructions with callgrind: some minutes, but hardly any noise.
    out
        Also write the result there, as JSON.
    """
    if pairs < _PAIRS_MIN:
        print(f"pairs must be at least {_PAIRS_MIN}", file=sys.stderr)
        return 2
    console = Console()
    try:
        with checkout(base) as there, console.status("") as status:
            found = compare(there, _ROOT, pairs, status.update, quick=quick)
            counts = {name: _instructions(tree) for name, tree in _trees(there) if instructions}
    except CompareError as error:
        print(error, file=sys.stderr)
        return 1
    show(found, base, pairs, console)
    for name, count in counts.items():
        console.print(f"{name}: {count:,.0f} instructions an event" if count else f"{name}: none counted: {_WITHOUT}")
    if not instructions:
        console.print("CPU is user and system time; --instructions counts with callgrind where it is installed")
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    return 0


@contextmanager
def checkout(ref: str) -> Iterator[Path]:
    """A worktree of its own at a ref, gone at the end. CompareError where git does not know it."""
    with tempfile.TemporaryDirectory(prefix="compare-") as name:
        tree = Path(name) / "base"
        _git("worktree", "add", "--detach", str(tree), ref)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> None:
    git = shutil.which("git")
    if git is None:
        raise CompareError("git is not installed")
    done = subprocess.run([git, *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompareError(f"git {' '.join(arguments[:2])}: {done.stderr.strip()}")


def _trees(there: Path) -> tuple[tuple[str, Path], tuple[str, Path]]:
    return ("there", there), ("here", _ROOT)


def compare(there: Path, here: Path, pairs: int, say: Callable[[str], None], *, quick: bool = False) -> list[Ratio]:
    """Both trees in turn, the order reversed in every other pair. CompareError where one of them fails."""
    runs: dict[Path, list[Costs]] = {there: [], here: []}
    for number in range(pairs):
        for tree in (there, here) if number % 2 == 0 else (here, there):
            say(f"pair {number + 1} of {pairs}: {'there' if tree == there else 'here'}")
            runs[tree].append(_steps(tree, quick=quick))
    return ratios(runs[there], runs[here])


def ratios(there: Sequence[Costs], here: Sequence[Costs]) -> list[Ratio]:
    """Step by step in the order of this tree, those of the other one alone at the end."""
    steps = [*here[0], *(step for step in there[0] if step not in here[0])]
    found = []
    for step in steps:
        old, new = ([one[step] for one in runs if step in one] for runs in (there, here))
        found.append(
            Ratio(
                step,
                median(old) if old else None,
                median(new) if new else None,
                [b / a for a, b in zip(old, new, strict=False) if a],
            )
        )
    return found


def _steps(tree: Path, *, quick: bool) -> Costs:
    """One run of a tree's own benchmark of steps, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="steps-") as out:
        command = [sys.executable, "-m", "benchmarks", "steps", "--out", out, *(["--quick"] if quick else [])]
        done = subprocess.run(command, cwd=tree, env=_environment(tree), capture_output=True, text=True, check=False)
        document = Path(out) / "last.json"
        if done.returncode or not document.exists():
            raise CompareError(f"{tree}: `benchmarks steps` failed: {done.stderr.strip()[-500:]}")
        return costs(msgspec.json.decode(document.read_bytes()))


def _environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}


def costs(document: Mapping[str, Any]) -> Costs:
    """CPU microseconds an event of each step of a document, and of all. CompareError without steps."""
    found = document.get("steps")
    if not found:
        raise CompareError("the document has no steps")
    steps = found[0] if isinstance(found, list) else found  # a tree of before may have those of one form alone
    us = {f"{one['stage']}: {one['name']}": one["cpu_s"] / steps["events"] * 1e6 for one in steps["steps"]}
    return us | {"all": sum(us.values())}


def _instructions(tree: Path) -> float | None:
    """An event, of all steps and the making of the events; None where they can't be counted."""
    if shutil.which(_CALLGRIND[0]) is None:
        return None
    counts = []
    for events in _COUNTED:
        with tempfile.TemporaryDirectory(prefix="steps-") as out:
            command = [*_CALLGRIND, sys.executable, "-c", f"from benchmarks.steps import measure; measure({events})"]
            done = subprocess.run(command, cwd=out, env=_environment(tree), capture_output=True, text=True, check=False)
        counts.append(collected(done.stderr) if done.returncode == 0 else None)
    fewer, more = counts
    return None if fewer is None or more is None else (more - fewer) / (_COUNTED[1] - _COUNTED[0])


def collected(told: str) -> int | None:
    """The number of instructions that callgrind tells of at its end."""
    for line in told.splitlines():
        if _COLLECTED in line:
            return int(line.partition(_COLLECTED)[2])
    return None


def show(found: Sequence[Ratio], base: str, pairs: int, console: Console) -> None:
    """A line for each step."""
    table = RichTable(title=f"steps, CPU us an event, {pairs} runs of each tree in turn", title_justify="left")
    for name in ("", base, "here", "here / there", "from", "to"):
        table.add_column(name, justify="right" if name else "left")
    for one in found:
        old = "only here" if one.there_us is None else f"{one.there_us:.3f}"
        new = "only there" if one.here_us is None else f"{one.here_us:.3f}"
        spread = (
            [f"{value:.2f}" for value in (one.middle, min(one.ratios), max(one.ratios))] if one.ratios else [""] * 3
        )
        table.add_row(one.step, old, new, *spread)
    console.print(table)


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
