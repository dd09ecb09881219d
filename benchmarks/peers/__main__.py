"""`python -m benchmarks.peers`: the meter stage beside others that do the same, on the same topic in the same run."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console

from benchmarks.peers.report import BEGIN, END, markdown, tables
from benchmarks.peers.run import PEERS_PYTHON, Document, measure
from benchmarks.peers.sides import SIDES
from benchmarks.report import print_table
from stack.errors import StackError
from stack.running import Kafka

_HERE = Path(__file__).parent.parent
_DOCS = _HERE.parent / "docs" / "peers.md"
_WIDTH_MIN = 170  # of a terminal: in fewer the many columns fold into one letter each

app = App(name="benchmarks.peers", help="Tollstream's meter stage beside others, on the same topic in the same run.")


@app.default
def run(
    *,
    events: int = 1_000_000,
    prefix: int = 100_000,
    only: Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=True)] = (),
    kafka: Kafka = "embedded",
    peers_python: Path = PEERS_PYTHON,
    markdown: bool = False,
    out: Path = _HERE / "out",
) -> int:
    """Measure, show the table, and write all of it to OUT/peers.json.

    Parameters
    ----------
    events
        Single-event JSON messages on the topic.
    prefix
        How many of them the slow ones get.
    only
        Names of those that take part; the floor always does. All by default.
    kafka
        Which broker.
    peers_python
        The interpreter of the environment that has the peers; `make bench-peers` makes it.
    markdown
        Measure nothing: put the tables of OUT/peers.json into docs/peers.md.
    """
    last = out / "peers.json"
    if markdown:
        if not last.exists():
            print(f"there is no {last}: run `python -m benchmarks.peers` first", file=sys.stderr)
            return 2
        write_into(_DOCS, msgspec.json.decode(last.read_bytes(), type=Document))
        return 0
    names = [side.name for side in SIDES]
    if min(events, prefix) < 1 or not set(only) <= set(names):
        print(f"events and prefix must be at least 1, and --only some of {', '.join(names)}", file=sys.stderr)
        return 2
    console = Console(stderr=True)
    try:
        with tempfile.TemporaryDirectory(prefix="peers-") as directory, console.status("starting") as status:
            document = measure(Path(directory), events, prefix, kafka, only, peers_python, status.update)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    _show(document, Console(width=max(Console().width, _WIDTH_MIN)))
    out.mkdir(parents=True, exist_ok=True)
    last.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    console.print(f"written to {last}")
    return 0


def _show(document: Document, console: Console) -> None:
    for table in tables(document):
        print_table(table, console)


def write_into(path: Path, document: Document) -> None:
    """Put the tables between the two marks of a Markdown file. ValueError where the marks are not there."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the lines {BEGIN} and {END}, which the figures go between")
    path.write_text(f"{before}{BEGIN}\n\n{markdown(document)}\n\n{END}{after}")


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
