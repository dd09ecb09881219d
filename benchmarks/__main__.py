"""`python -m benchmarks`: what it costs, on this machine. Figures and no pass mark."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter
from rich.console import Console

from benchmarks import beside
from benchmarks.document import Asked, Document
from benchmarks.load import FORMS, kernel_built
from benchmarks.machine import machine
from benchmarks.measure import PARTS, Part, Sizes, measure
from benchmarks.report import show, write_into
from stack.errors import StackError
from stack.running import Kafka

_HERE = Path(__file__).parent
_DOCS = _HERE.parent / "docs" / "benchmarks.md"

_LAST = "last.json"
_PEERS = "peers.json"  # of `python -m benchmarks.peers`
_SHORT_MINUTES = 3.0
_WIDTH_MIN = 130  # of a terminal: a column for each stage of each form

app = App(name="benchmarks", help="What Tollstream costs, on this machine. Figures and no pass mark.")


@app.default
def run(
    parts: Annotated[tuple[Part, ...], Parameter(negative=())] = (),
    *,
    size: Literal["short", "full"] = "short",
    kafka: Kafka | None = None,
    form: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    kernel: bool | None = None,
    events: int | None = None,
    workers: int = 2,
    rate: float = 100_000,
    budget: float | None = None,
    profile: bool = False,
    markdown: bool = False,
    quick: bool = False,
    out: Path = _HERE / "out",
) -> int:
    """Measure, show the table, and write all of it to OUT/last.json and OUT/<time>.json.

    Parameters
    ----------
    parts
        Which of pipeline, latency, state, history, sweeps, memory, steps, sequences; those of the size by default.
    size
        `short`: pipeline, latency and state, under 3 minutes. `full`: all of it, at the sizes of the goals.
    kafka
        The broker: embedded for `short`, and Apache Kafka for `full`, if not said.
    form
        How events are put into messages: json, json-500, msgpack-500, columnar. For `full` all of them if not said,
        else the first.
    kernel
        Also with the compiled kernel. For `full` where it is built, if not said.
    events
        Events of the pipeline.
    workers
        Worker processes.
    rate
        Events a second at which latency is measured, beside shares of the ceiling.
    budget
        Minutes: what no longer fits is left out, and said to be. Three for `short`, if not said.
    profile
        Also which functions the workers spend their time in; it slows them down, so look at nothing else.
    markdown
        Measure nothing: put tables and plots of OUT/last.json into docs/benchmarks.md.
    quick
        The parts memory, steps and sequences at a tenth to a third of their size.
    out
        Where the documents go.
    """
    if markdown:
        return _into_docs(out)
    sizes = Sizes.of(size, quick=quick, events=events, rate=rate)
    if faults := [*_faults(form, min(sizes.events, workers, rate), kernel=bool(kernel))]:
        print(*faults, sep="\n", file=sys.stderr)
        return 2
    with_kernel = kernel_built() and size == "full" if kernel is None else kernel
    asked = Asked(
        parts=list(parts or PARTS[size]),
        forms=list(form or (FORMS if size == "full" else ("json",))),
        broker=kafka or ("apache" if size == "full" else "embedded"),
        events=sizes.events,
        workers=workers,
        rate=rate,
        budget_minutes=_SHORT_MINUTES if budget is None and size == "short" and not parts else budget,
    )
    console, document = Console(stderr=True), Document(machine(), asked)
    began_s = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as name, console.status("") as status:
            measure(document, sizes, Path(name), status.update, kernel=with_kernel, profile=profile)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    finally:  # what was measured before anything failed is worth keeping
        asked.took_s = time.monotonic() - began_s
        _keep(document, out, console)
    return 0


def _keep(document: Document, out: Path, console: Console) -> None:
    document.peers = beside.read(out / _PEERS)
    show(document, Console(width=max(Console().width, _WIDTH_MIN)))
    text = msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    out.mkdir(parents=True, exist_ok=True)
    for path in (out / _LAST, out / f"{document.machine.at:%Y%m%dT%H%M%SZ}.json"):
        path.write_bytes(text)
    console.print(f"written to {out / _LAST}")


def _into_docs(out: Path) -> int:
    last = out / _LAST
    if not last.exists():
        print(f"there is no {last}: run `python -m benchmarks` first", file=sys.stderr)
        return 2
    document = msgspec.json.decode(last.read_bytes(), type=Document)
    document.peers = beside.read(out / _PEERS) or document.peers
    write_into(_DOCS, document)
    return 0


def _faults(form: tuple[str, ...], least: float, *, kernel: bool) -> Iterator[str]:
    """All that is wrong with what was asked for."""
    if unknown := [one for one in form if one not in FORMS]:
        yield f"there is no form {', '.join(unknown)}: choose from {', '.join(FORMS)}"
    if least < 1:
        yield "events, workers and rate must be at least 1"
    if kernel and not kernel_built():
        yield "the kernel is not built: `make kernel` builds it"


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
