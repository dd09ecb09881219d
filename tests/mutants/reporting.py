"""The table by file, as text and as JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.mutants.making import ROOT
from tests.mutants.trying import TIMED_OUT

OUT = ROOT / ".tollstream"


@dataclass
class Row:
    """Counts of one file; `timed_out` are among the killed."""

    file: str
    killed: int = 0
    explained: int = 0
    survived: int = 0
    timed_out: int = 0

    def count(self, killer: str) -> None:
        """One more: killed by this test, or a survivor."""
        self.killed += bool(killer)
        self.timed_out += killer == TIMED_OUT
        self.survived += not killer

    @property
    def mutants(self) -> int:
        return self.killed + self.explained + self.survived

    @property
    def score(self) -> float:
        """Killed, of those that a test could notice."""
        return self.killed / max(self.killed + self.survived, 1)

    def cells(self) -> tuple[str, ...]:
        """As texts, in the order of HEAD."""
        counts = (self.mutants, self.killed, self.explained, self.survived)
        return (self.file, *map(str, counts), f"{self.score:.1%}")

    def __str__(self) -> str:
        return (
            f"{self.file}: {self.killed} of {self.mutants} killed, {self.explained} explained, {self.survived} survive"
        )


HEAD = ("file", "mutants", "killed", "explained", "survive", "score")


def write(rows: Sequence[Row], scope: str | None) -> None:
    """Print the table, and keep it in .tollstream. `scope`: None where all mutants of the files ran."""
    total = Row("total")
    for row in rows:
        for name in ("killed", "explained", "survived", "timed_out"):
            setattr(total, name, getattr(total, name) + getattr(row, name))
    lines = table([*rows, total])
    print("\n" + lines)
    OUT.mkdir(exist_ok=True)
    (OUT / "mutants.txt").write_text(lines + "\n")
    said = [asdict(row) | {"mutants": row.mutants, "score": round(row.score, 4)} for row in [*rows, total]]
    (OUT / "mutants.json").write_text(
        json.dumps({"commit": _commit(), "scope": scope or "all", "rows": said}, indent=1)
    )


def table(rows: Sequence[Row]) -> str:
    """In Markdown, so that it can be read here and put into a page."""
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(
        1,
        "|"
        + "|".join("-" * (width + 2) if at == 0 else "-" * (width + 1) + ":" for at, width in enumerate(widths))
        + "|",
    )
    return "\n".join(lines)


def _commit() -> str:
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
