"""What a benchmark says: its document as tables, on a terminal or in Markdown."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import plots, tables_inside
from benchmarks.document import Asked, Document
from benchmarks.goals import goals_table
from benchmarks.tables import (
    Table,
    history_table,
    latency_table,
    machine_table,
    open_state_table,
    profile_tables,
    stages_tables,
    sweep_table,
)

FIGURES = "<!-- figures: python -m benchmarks --markdown -->", "<!-- end of figures -->"
GOALS = "<!-- goals: python -m benchmarks --markdown -->", "<!-- end of goals -->"
_IMAGES = "img"  # beside the page


def tables(document: Document) -> Iterator[Table]:
    """Every table of a document but that of the goals."""
    yield machine_table(document.machine)
    yield _asked(document.asked)
    yield from short_tables(document)
    yield from profile_tables(document.pipelines)


def short_tables(document: Document) -> Iterator[Table]:
    """Those of what was measured."""
    yield from stages_tables(document.pipelines)
    if document.latency:
        yield latency_table(document.latency)
    if document.open_state:
        yield open_state_table(document.open_state)
    for name, there in (("ids", document.history), ("keys", document.keys)):
        if there:
            yield history_table(name, there)
    if document.sweeps:
        for name, title in plots.SWEEPS:
            if points := getattr(document.sweeps, name):
                yield sweep_table(title, points, document.sweeps.events)
    if document.memory:
        yield tables_inside.memory_table(document.memory)
    if document.steps:
        yield tables_inside.steps_table(document.steps)
    if document.sequences:
        yield tables_inside.dedupe_table(document.sequences)
        yield tables_inside.numbers_table(document.sequences)


def _asked(asked: Asked) -> Table:
    settings = ", ".join(f"{name}={value}" for name, value in asked.settings.items()) or "as they come"
    rows = [
        ["parts", ", ".join(asked.parts)],
        ["broker", asked.broker],
        ["settings", settings],
        ["took", f"{asked.took_s / 60:.1f} minutes"],
        ["left out for want of time", ", ".join(asked.left_out) or "nothing"],
    ]
    return Table("the run", ["", ""], rows)


def print_table(table: Table, console: Console) -> None:
    """On a terminal, what does not fit folded."""
    rich = RichTable(title=table.title, title_justify="left", show_header=any(table.columns))
    for number, name in enumerate(table.columns):
        rich.add_column(name, justify="right" if number and name else "left", overflow="fold")
    for row in table.rows:
        rich.add_row(*row)
    console.print(rich)


def show(document: Document, console: Console) -> None:
    """On a terminal: the goals come last, where a reader is."""
    shown = [*short_tables(document), *profile_tables(document.pipelines)]
    for table in [*shown, *([goals_table(document)] if document.pipelines else [])]:
        print_table(table, console)
    if document.asked.left_out:
        console.print(f"left out for want of time: {', '.join(document.asked.left_out)}")


def markdown(document: Document) -> str:
    """Every table but that of the goals as Markdown, and the pictures."""
    pictures = [f"![{title}]({_IMAGES}/{name}.svg)" for name, title, _ in plots.plots(document)]
    return "\n\n".join([*(f"### {table.title}\n\n{_rows(table)}" for table in tables(document)), *pictures])


def _rows(table: Table) -> str:
    marks = ["---" if number == 0 or not name else "---:" for number, name in enumerate(table.columns)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [table.columns, marks, *table.rows])


def write_into(path: Path, document: Document) -> None:
    """Put goals, tables and plots between the marks of a Markdown file, the plots as files beside it.

    ValueError where the marks are not there.
    """
    text = path.read_text()
    for marks, new in ((GOALS, _rows(goals_table(document))), (FIGURES, markdown(document))):
        before, begin, rest = text.partition(marks[0])
        _, end, after = rest.partition(marks[1])
        if not begin or not end:
            raise ValueError(f"{path} lacks the lines {' and '.join(marks)}, which figures go between")
        text = f"{before}{begin}\n\n{new}\n\n{end}{after}"
    path.write_text(text)
    for name, _, svg in plots.plots(document):
        target = path.parent / _IMAGES / f"{name}.svg"
        target.parent.mkdir(exist_ok=True)
        target.write_text(svg)
