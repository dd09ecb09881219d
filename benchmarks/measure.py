"""Goes through the parts of the benchmark, the ones that matter most first, for as long as the budget lasts."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Literal, Self

import msgspec

from benchmarks import goals, history, latency, memory, open_state, pipeline, sequences, steps, sweeps
from benchmarks.budget import Budget
from benchmarks.document import Document
from benchmarks.fresh import fresh
from benchmarks.ground import Ground
from stack.apache_kafka import version
from stack.running import Kafka

Part = Literal["pipeline", "latency", "state", "history", "sweeps", "memory", "steps", "sequences"]
PARTS: dict[str, tuple[Part, ...]] = {
    "short": ("pipeline", "latency", "state"),
    "full": ("pipeline", "latency", "state", "history", "steps", "sweeps", "memory", "sequences"),
}


class Sizes(msgspec.Struct, frozen=True):
    """How much of everything."""

    events: int  # of the pipeline
    sweep_events: int
    latency_s: float  # of each rate
    latency_hot: float  # share of the load that one subject gets in one more run
    rates: tuple[float, ...]
    identities: int
    partials: int
    ids: tuple[int, ...]  # before an event
    keys: tuple[int, ...]
    memory: int  # partials, and identities
    steps: int  # events
    numbers: int

    @classmethod
    def of(cls, size: Literal["short", "full"], *, quick: bool, events: int | None, rate: float) -> Self:
        """`quick` is about what runs inside one process alone."""
        full = size == "full"
        return cls(
            events=events or (1_500_000 if full else 300_000),
            sweep_events=250_000 if full else 100_000,
            latency_s=15.0 if full else 6.0,
            latency_hot=0.9 if full else 0.0,
            rates=(rate,) if full else (),
            identities=goals.IDENTITIES // (1 if full else 10),
            partials=goals.PARTIALS // (1 if full else 10),
            ids=history.IDS if full else history.IDS[:2],
            keys=history.KEYS if full else history.KEYS[:3],
            memory=100_000 if quick else 1_000_000,
            steps=100_000 if quick else 300_000,
            numbers=1_000_000 if quick else 10_000_000,
        )


def measure(
    document: Document,
    sizes: Sizes,
    directory: Path,
    say: Callable[[str], None],
    *,
    kernel: bool,
    profile: bool,
) -> None:
    """Fill the document, part by part. Raises StackError where the services do not start."""
    asked, budget = document.asked, Budget(document.asked.budget_minutes)
    asked.left_out = budget.left_out
    parts = {*asked.parts}
    if parts & {"pipeline", "latency"}:
        with _ground(document, directory / "stack") as ground:
            if "pipeline" in parts:
                found = pipeline.measure(
                    *(ground, directory, asked.forms, sizes.events, asked.workers, budget, say),
                    kernel=kernel,
                    profile=profile,
                )
                document.pipelines.extend(found)
            if "latency" in parts:
                rates = latency.measure(
                    *(ground, _ceiling(document), sizes.rates, sizes.latency_s, sizes.latency_hot, asked.forms[0]),
                    *(asked.workers, budget, say),
                )
                document.latency.extend(rates)
    _state(document, sizes, directory, budget, say)
    if "steps" in parts:
        document.steps.extend(_steps(asked.forms, sizes.steps, budget, say, kernel=kernel))
    if "sweeps" in parts:
        with _ground(document, directory / "sweeps") as ground:
            document.sweeps = sweeps.Sweeps(sizes.sweep_events, [], [], [], [])
            sweeps.measure(ground, directory, asked.workers, budget, say, document.sweeps)
    _details(document, sizes, directory, budget, say)


def _ground(document: Document, directory: Path) -> Ground:
    asked = document.asked
    kafka: Kafka = "embedded" if asked.broker == "embedded" else "apache"
    if kafka == "apache":
        asked.broker = f"Apache Kafka {version()}"
    return Ground(directory, kafka, asked.settings)


def _state(document: Document, sizes: Sizes, directory: Path, budget: Budget, say: Callable[[str], None]) -> None:
    """What needs no broker and has a goal."""
    parts = {*document.asked.parts}
    if "state" in parts and budget.affords("state", 10 + sizes.identities * 10e-6):
        document.open_state = open_state.measure(directory / "state", sizes.identities, sizes.partials, say)
    if "history" in parts:
        document.history = history.histories(sizes.ids, budget, say)
        document.keys = history.keys(sizes.keys, budget, say)


def _steps(
    forms: Sequence[str], events: int, budget: Budget, say: Callable[[str], None], *, kernel: bool
) -> Iterator[steps.Steps]:
    """Of each form, without the kernel and then with it."""
    for form, compiled in product(forms, (False, True) if kernel else (False,)):
        name = f"steps, {form}, kernel" if compiled else f"steps, {form}"
        if budget.affords(name, 5 + events * 30e-6):
            say(name)
            yield fresh(steps.measure, events, form, kernel=compiled)


def _details(document: Document, sizes: Sizes, directory: Path, budget: Budget, say: Callable[[str], None]) -> None:
    """What explains the rest."""
    parts = {*document.asked.parts}
    if "memory" in parts and budget.affords("memory", 10 + sizes.memory * 60e-6):
        document.memory = memory.measure(directory / "memory", sizes.memory, say)
    if "sequences" in parts and budget.affords("sequences", 10 + sizes.numbers * 4e-6):
        document.sequences = sequences.measure(directory / "sequences", sizes.numbers, say)


def _ceiling(document: Document) -> float:
    """Events a second of the whole pipeline while the load is made on the same cores; 0: unknown.

    The ceiling was measured with the load on the topic already. Its process takes CPU, too, so of the cores the
    pipeline gets its own share of the CPU of both.
    """
    if not document.pipelines:
        return 0.0
    first = document.pipelines[0]
    run = first.run("whole")
    return run.best_events_s * run.all_us / (run.all_us + first.send_us)
