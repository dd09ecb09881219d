"""Runs the project's own commands, shows each as a person would type it, and keeps count of what was not equal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec


class DemoFailedError(Exception):
    """A command ended with an error, or never got anywhere."""


class Steps:
    """One run of the demo: commands, checks, and the seconds each part took."""

    def __init__(self, config: Path, state: Path) -> None:
        self.config, self.state = config, state
        self.differences = 0
        self._began = time.monotonic()

    def title(self, text: str) -> None:
        """What comes next, with the seconds gone by."""
        print(f"\n[{time.monotonic() - self._began:5.1f} s] {text}", flush=True)

    def arguments(self, *words: str) -> list[str]:
        place = ["--config", str(self.config), "--state", str(self.state)]
        return [sys.executable, "-m", "tollstream", *place, *words]

    def run(self, *words: str, echo: bool = True) -> str:
        """Run a command to its end; its output. DemoFailedError where it fails."""
        if echo:
            print(f"$ tollstream {' '.join(words)}", flush=True)
        done = subprocess.run(self.arguments(*words), capture_output=True, text=True, check=False, env=environ())
        if done.returncode != 0:
            raise DemoFailedError(
                f"`tollstream {' '.join(words)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def show(self, *words: str, lines: int = 1000) -> None:
        """Run a command and print what it says, as far as `lines`."""
        said = self.run(*words).splitlines()
        print("\n".join(said[:lines]), flush=True)
        if len(said) > lines:
            print(f"... {len(said) - lines:,} more lines")

    def read(self, *words: str) -> Any:
        """What a reading command prints as JSON."""
        return msgspec.json.decode(self.run(*words, "--format", "json", echo=False))

    def check(self, what: str, compared: int, differences: list[Any]) -> None:
        """Say whether all is equal, and remember if it is not."""
        self.differences += len(differences)
        if differences:
            print(f"  NOT EQUAL  {what}: {len(differences):,} of {compared:,} differ, the first of them:")
            for one in differences[:5]:
                print(f"             {one}")
        else:
            print(f"  equal      {what}: {compared:,} compared")
        sys.stdout.flush()


def environ() -> dict[str, str]:
    root = str(Path(__file__).resolve().parent.parent)
    demo = {
        "PYTHONPATH": root,
        "COLUMNS": "120",  # of the tables
        "TOLLSTREAM_KAFKA__SESSION_TIMEOUT_MS": "2000",  # nobody likes to watch a dead worker being missed
    }
    return os.environ | demo
