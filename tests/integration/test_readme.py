"""The README tells the truth: its commands run, and the demo prints what it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def commands(heading: str) -> list[str]:
    """The command lines of the console blocks below a heading."""
    section = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which `tollstream` is this checkout's."""
    shim = tmp_path / "bin" / "tollstream"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tollstream "$@"\n')
    shim.chmod(0o755)
    named = [name for name in os.environ if name.startswith("TOLLSTREAM_") and "__" in name]
    kept = {name: value for name, value in os.environ.items() if name not in named}
    return kept | {"PATH": f"{shim.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def run(command: str, where: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=where, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"`{command}` ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_first_tour_runs_as_it_is_written(tmp_path: Path, environment: dict[str, str]) -> None:
    said = {}
    try:
        for command in commands("A first tour"):
            said[command.split()[1]] = run(command, tmp_path, environment)
    finally:
        run("tollstream down", tmp_path, environment)
    assert "20,000" in said["ledger"]
    assert "total USD" in said["invoice"]


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    assert commands("Two commands") == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    for command in commands("Two commands"):
        assert f"\n{command.split()[1]}: " in makefile


@pytest.mark.timeout(600)
def test_the_demo_finds_equal_all_that_the_readme_says_it_does(tmp_path: Path, environment: dict[str, str]) -> None:
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    assert shown, "the README shows no output of the demo"
    printed = run(
        f'"{sys.executable}" -m demo --events 20000 --state "{tmp_path / "state"}"', ROOT, environment
    ).splitlines()
    promised = [line for line in shown[1].splitlines() if line.startswith("  equal") and "invoice" not in line]
    assert len(promised) >= 10
    for line in promised:  # the numbers of events differ, and so do the accounts that spend most
        assert any(shape(line) == shape(other) for other in printed), f"the demo did not print: {line}"
    assert printed[-1] == "Every total is equal."


def shape(line: str) -> str:
    """A line with its numbers left out."""
    return re.sub(r"[\d,.]+", "#", line)
