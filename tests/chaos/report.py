"""The report: JSON for machines and a table for people, written anew after each fault: a run cut short has one too."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import median

import msgspec


class Row(msgspec.Struct):
    """One fault, or two at once."""

    number: int
    fault: str
    target: str
    at_s: float  # since the start of the run
    lasted_s: float  # from its beginning until it was healed
    recovery_s: float | None  # from there until all that was sent before was in ClickHouse; None: never
    differences: list[str]
    notes: list[str]  # what the runs said, such as workers that ended though nobody killed them
    events: int  # compared, all since the start


class Report(msgspec.Struct):
    """All of a run."""

    seed: int
    faults_wanted: int
    disk: str  # how a full disk was made
    kafka: str
    rows: list[Row] = []
    ended: str = "running"  # or done, or why it could not go on
    duration_s: float = 0.0

    @property
    def faults(self) -> int:
        return sum(len(row.fault.split(" + ")) for row in self.rows)

    @property
    def differences(self) -> list[str]:
        return [line for row in self.rows for line in row.differences]

    def write(self, path: Path) -> None:
        """The JSON at `path`, the table beside it with the ending .txt."""
        summary = {
            "faults": self.faults,
            "differences": len(self.differences),
            "events": self.rows[-1].events if self.rows else 0,
        }
        _put(path, msgspec.json.format(msgspec.json.encode({**msgspec.to_builtins(self), **summary})))
        _put(path.with_suffix(".txt"), self.table().encode())

    def table(self) -> str:
        lines = [HEAD, *map(line, self.rows), "", *self.summary()]
        return "\n".join(lines) + "\n"

    def summary(self) -> list[str]:
        """By target, then one line about all."""
        times: dict[str, list[float]] = defaultdict(list)
        for row in self.rows:
            if row.recovery_s is not None:
                times[row.target].append(row.recovery_s)
        lines = [f"{'target':<36} {'times':>6} {'median s':>9} {'longest s':>10}"]
        lines += [
            f"{name:<36} {len(all_):>6} {median(all_):>9.1f} {max(all_):>10.1f}" for name, all_ in sorted(times.items())
        ]
        events = self.rows[-1].events if self.rows else 0
        lines.append(
            f"{self.faults} of {self.faults_wanted} faults, seed {self.seed}, {events:,} events, "
            f"{len(self.differences)} differences, {self.duration_s:.0f} s: {self.ended}"
        )
        return lines


HEAD = f"{'#':>4}  {'fault':<76} {'lasted s':>8} {'recovered s':>11}  difference"


def line(row: Row) -> str:
    recovered = "never" if row.recovery_s is None else f"{row.recovery_s:.1f}"
    found = "none" if not row.differences else "\n".join(["", *(f"      {one}" for one in row.differences)])
    return f"{row.number:>4}  {row.fault:<76} {row.lasted_s:>8.1f} {recovered:>11}  {found}"


def _put(path: Path, content: bytes) -> None:
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_bytes(content)
    scratch.replace(path)
