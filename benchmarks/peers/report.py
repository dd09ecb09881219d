"""The table of a run, on a terminal and in Markdown."""

from benchmarks.peers.run import Document, Result
from benchmarks.peers.sides import FLOOR, FOLD, FOLD_KERNEL, STAGE
from benchmarks.tables import Table

BEGIN, END = "<!-- figures: python -m benchmarks.peers --markdown -->", "<!-- end of figures -->"
_MIB = 1024 * 1024
_OURS = (FOLD, FOLD_KERNEL, STAGE)  # what everybody's CPU is divided by
_SERVERS = ("broker", "Valkey", "ClickHouse")


def tables(document: Document) -> list[Table]:
    """One of the figures, one of what was chosen for whom, one of the machine."""
    return [_figures(document), _setups(document), _machine(document)]


def _figures(document: Document) -> Table:
    rows = [_row(document, result) for result in _once_each(document)]
    columns = ["", "events", "events/s", "CPU us", "over the floor", "/ fold", "/ kernel", "/ stage"]
    columns += [*(f"{name} us" for name in _SERVERS), "peak MiB", "answer"]
    return Table(f"side by side, CPU us an event, {document.broker}", columns, rows)


def _once_each(document: Document) -> list[Result]:
    """The floor's runs in one row, then ours, then the others, from the most CPU an event to the least."""
    sides = [one for one in document.results if one.name != FLOOR]
    peers = sorted((one for one in sides if one.kind == "peer"), key=lambda one: -one.cpu_us)
    return [*document.floors[:1], *(one for one in sides if one.kind != "peer"), *peers]


def _row(document: Document, result: Result) -> list[str]:
    taken = result.taken
    if taken is None:
        return [result.title, f"{result.events:,}", *[""] * 10, "no figures: see below"]
    floor_us = document.floor_us
    cpu_us = floor_us if result.name == FLOOR else result.cpu_us
    reads_only = result.kind == "floor"
    return [
        result.title,
        f"{taken.events:,}",
        f"{taken.events / taken.wall_s:,.0f}",
        f"{cpu_us:.2f}",
        "" if reads_only else f"{cpu_us - floor_us:.2f}",
        *("" if reads_only else _ratio(document, name, cpu_us) for name in _OURS),
        *(_server(result, name) for name in _SERVERS),
        f"{taken.peak_bytes / _MIB:,.0f}",
        str(result.answer) if result.answer else "",
    ]


def _ratio(document: Document, name: str, cpu_us: float) -> str:
    ours = next((one.cpu_us for one in document.results if one.name == name and one.taken), 0.0)
    return f"{cpu_us / ours:.1f}" if ours else ""


def _server(result: Result, name: str) -> str:
    assert result.taken
    used_s = result.taken.servers_cpu_s.get(name)
    return "" if used_s is None else f"{used_s / result.taken.events * 1e6:.2f}"


def _setups(document: Document) -> Table:
    rows = []
    for result in _once_each(document):
        versions = result.taken.versions if result.taken else {}
        said = ", ".join(f"{name} {number}" for name, number in versions.items())
        failed = " ".join(result.failed.split())
        rows.append([result.title, failed or result.setup, said])
    return Table("what was chosen, and what did not run", ["", "set up", "versions"], rows)


def _machine(document: Document) -> Table:
    machine = document.machine
    floors = " and ".join(f"{one.cpu_us:.2f}" for one in document.floors)
    return Table(
        "machine",
        ["", ""],
        [
            ["CPU", f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / _MIB / 1024:.1f} GiB"],
            ["kernel, Python", f"Linux {machine.kernel}, CPython {machine.python}"],
            ["commit, time", f"{machine.commit}, {machine.at:%Y-%m-%d %H:%M} UTC"],
            ["floor before and after, CPU us an event", floors],
            ["load average at the end", f"{document.load_average:.2f}"],
        ],
    )


def markdown(document: Document) -> str:
    """Every table as Markdown."""
    parts = []
    for table in tables(document):
        marks = ["---" if number == 0 or not name else "---:" for number, name in enumerate(table.columns)]
        lines = [table.columns, marks, *table.rows]
        parts.append(f"### {table.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts)
