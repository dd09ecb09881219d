"""`python -m benchmarks`: what it costs, on this machine. Figures and no pass mark."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter
from rich.console import Console

from benchmarks import memory, pipeline, sequences, steps
from benchmarks.fresh import fresh
from benchmarks.machine import machine
from benchmarks.report import Document, show, write_into
from stack.errors import StackError

PART = Literal["pipeline", "memory", "steps", "sequences"]
_ALL: tuple[PART, ...] = ("pipeline", "memory", "steps", "sequences")
_HERE = Path(__file__).parent
_DOCS = _HERE.parent / "docs" / "benchmarks.md"
_QUICK = 10  # times smaller
_STEP_EVENTS = 300_000
_NUMBERS = 10_000_000

app = App(name="benchmarks", help="What Tollstream costs, on this machine. Figures and no pass mark.")


@app.default
def run(
    parts: Annotated[tuple[PART, ...], Parameter(negative=())] = _ALL,
    *,
    events: int = 1_000_000,
    partials: int = 1_000_000,
    workers: int = 2,
    quick: bool = False,
    profile: bool = False,
    markdown: bool = False,
    out: Path = _HERE / "out",
) -> int:
    """Measure, show the tables, and write all of it to OUT/last.json and OUT/<time>.json.

    Parameters
    ----------
    parts
        Which of pipeline, memory, steps and sequences; all by default.
    events
        Single-event messages for the pipeline.
    partials
        Open partials, and identities, for the memory.
    workers
        Worker processes of the pipeline.
    quick
        Pipeline, memory and sequences at a tenth of their size: under a minute, and less exact.
    profile
        Also which functions the pipeline's workers spend their time in; it slows them down, so look at nothing else.
    markdown
        Measure nothing: put the tables of OUT/last.json into docs/benchmarks.md.
    """
    last = out / "last.json"
    if markdown:
        if not last.exists():
            print(f"there is no {last}: run `python -m benchmarks` first", file=sys.stderr)
            return 2
        write_into(_DOCS, msgspec.json.decode(last.read_bytes(), type=Document))
        return 0
    if quick:
        events, partials = events // _QUICK, partials // _QUICK
    if min(events, partials, workers) < 1:
        print("events, partials and workers must be at least 1", file=sys.stderr)
        return 2
    console = Console(stderr=True)
    document = Document(machine())
    try:
        sizes = (events, partials, _STEP_EVENTS // (3 if quick else 1), _NUMBERS // (_QUICK if quick else 1))
        _measure(document, parts, sizes, workers, profile, console)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    show(document, Console())
    text = msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    out.mkdir(parents=True, exist_ok=True)
    for path in (last, out / f"{document.machine.at:%Y%m%dT%H%M%SZ}.json"):
        path.write_bytes(text)
    console.print(f"written to {last}")
    return 0


def _measure(
    document: Document,
    parts: tuple[PART, ...],
    sizes: tuple[int, int, int, int],
    workers: int,
    profile: bool,
    console: Console,
) -> None:
    events, partials, step_events, numbers = sizes
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as name, console.status(part) as status:
            directory = Path(name)
            if part == "pipeline":
                document.pipeline = pipeline.measure(directory, events, workers, status.update, profile=profile)
            elif part == "memory":
                document.memory = memory.measure(directory, partials, status.update)
            elif part == "sequences":
                document.sequences = sequences.measure(directory, numbers, status.update)
            else:
                status.update(f"steps of {step_events:,} events")
                document.steps = fresh(steps.measure, step_events)


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
