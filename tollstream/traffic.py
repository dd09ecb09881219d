"""`generate` and `emit`: events made up, and events put on Kafka."""

import contextlib
import stat
import sys
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tollstream.failures import CHECK_FAILED, OK, UsageError
from tollstream.instants import instant, length
from tollstream.place import Where, check_broker, log_reach_ms
from tollstream.show import console, say

GROUP = Group("Events", sort_key=3)
STDIN = Path("-")
_REFUSALS_SHOWN = 5


def register(app: App) -> None:
    app.command(generate, group=GROUP)
    app.command(emit, group=GROUP)


def generate(
    file: Path,
    /,
    *,
    events: int = 1_000_000,
    seed: int = 1,
    subjects: int = 5_000,
    duplicates: float = 0.02,
    late: float = 0.005,
    malformed: float = 0.001,
    unmetered: float = 0.001,
    sequenced: float = 0.0,
    base_time: str | None = None,
    span: str = "6h",
    lateness: str = "24h",
) -> int:
    """Write made-up edge traffic to FILE as NDJSON CloudEvents, and the exact truth about it to FILE.truth.json.

    Everything is drawn from the seed and the base time: the same two give the same file. Subjects follow a Zipf
    distribution. The truth says what every ledger column and every total must come to.

    ```
    tollstream generate /tmp/traffic.ndjson --events 100000
    tollstream generate /tmp/november.ndjson --seed 7 --base-time 2026-11-20T12:00:00Z
    ```

    Parameters
    ----------
    file
        Where to write; an older file is overwritten.
    events
        Lines in all.
    seed
        Of the random numbers.
    subjects
        Different subjects, zone-0 and up.
    duplicates
        Share of lines that repeat an earlier event.
    late
        Share of events too late to count.
    malformed
        Share of lines that are no valid event.
    unmetered
        Share of events of a type that no meter takes.
    sequenced
        Share of subjects whose events are known by a number of their source, instead of their id.
    base_time
        The instant that the traffic is made for, RFC 3339; default: now. Emit it soon after, or all of it is late.
    span
        How long before the base time events lie, such as 6h.
    lateness
        The lateness of the catalogue that the traffic is for.
    """
    from datetime import UTC, datetime

    from edge.generate import Shape, Traffic, write
    from edge.truth import path_of

    shape = Shape(
        seed=seed,
        events=events,
        base_time=datetime.now(UTC).replace(microsecond=0) if base_time is None else instant(base_time, "--base-time"),
        subjects=subjects,
        duplicates=duplicates,
        late=late,
        malformed=malformed,
        unmetered=unmetered,
        sequenced=sequenced,
        span=length(span, "--span"),
        lateness=length(lateness, "--lateness"),
    )
    if faults := shape.faults():
        raise UsageError(f"such traffic can't be made: {'; '.join(faults)}")
    with progress("generating", events, "events") as advance:
        truth = write(Traffic(shape), file, advance)
    counts = ", ".join(f"{count:,} {name}" for name, count in truth["ledger"].items() if name != "consumed")
    say(f"{file}: {events:,} events ({counts})")
    say(f"{path_of(file)}: the truth about them")
    return OK


def emit(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    batch: int | None = None,
    format: Literal["json", "msgpack", "columnar"] = "json",
    rate: float | None = None,
    place: Where,
) -> int:
    """Put events on Kafka, each line of FILE as it stands, and wait until the broker has acknowledged all.

    Lines are keyed by their subject. A line that is no event goes as it is, too: the processors refuse it and count
    it. Sending the same file again is safe, since duplicates are known by their identity. Exits with 1 where a line
    was too large to send.

    ```
    tollstream emit traffic.ndjson
    tollstream emit traffic.ndjson --batch 500 --format msgpack
    tollstream emit traffic.ndjson --format columnar
    tail -f access.ndjson | tollstream emit - --rate 1000
    ```

    Parameters
    ----------
    file
        NDJSON, a CloudEvent a line; `-` reads standard input.
    batch
        Up to so many events share a message, by default 1, or 5,000 as columnar; a line that is not JSON goes alone.
    format
        How events are written on Kafka: docs/events.md and docs/columnar.md.
    rate
        Events a second at most.
    """
    from edge.emitter import BATCH_MAX, MESSAGE_BYTES_MAX, Emitter
    from edge.lines import read_lines
    from sinks.topics import create_topics

    if batch is not None and not 1 <= batch <= BATCH_MAX:
        raise UsageError(f"--batch {batch:,} is out of range: give 1 to {BATCH_MAX:,}")
    if rate is not None and not rate > 0:
        raise UsageError(f"--rate {rate} is out of range: give events a second, above 0")
    with opened(file) as (stream, size):
        config = place.load()
        kafka = config.settings.kafka
        check_broker(kafka)
        create_topics(kafka, log_reach_ms(config))
        sender = Emitter(kafka.bootstrap, kafka.events_topic, delivery_timeout_ms=kafka.delivery_timeout_ms)
        with sender as emitter, progress("emitting", size, "bytes") as advance:
            lines = read_lines(stream, MESSAGE_BYTES_MAX)
            report = emitter.emit_lines(lines, batch, format, rate, lambda lines, size: advance(size))
    say(f"{report.lines:,} lines in {report.messages:,} messages, all acknowledged, on {kafka.events_topic}")
    if not report.refused:
        return OK
    say(f"{report.refused:,} messages were too large and are not on Kafka:")
    for refusal in report.refusals[:_REFUSALS_SHOWN]:
        say(f"  {'a line' if refusal.line is None else f'line {refusal.line:,}'}: {refusal.reason}")
    return CHECK_FAILED


@contextlib.contextmanager
def opened(file: Path) -> Iterator[tuple[BufferedIOBase, int | None]]:
    """The stream and its size in bytes, where that is known."""
    if file == STDIN:
        assert isinstance(sys.stdin.buffer, BufferedIOBase)
        yield sys.stdin.buffer, None
        return
    with file.open("rb") as stream:
        status = file.stat()
        yield stream, status.st_size if stat.S_ISREG(status.st_mode) else None


@contextlib.contextmanager
def progress(title: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while it is a terminal; yields what tells it how much was added."""
    terminal = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=terminal, disable=not terminal.is_terminal
    ) as bar:
        task = bar.add_task(title, total=total)
        yield lambda added: bar.advance(task, added)
