"""The seeded load of a benchmark, the forms it is sent in, and the comparison of what came of it with the truth."""

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, get_args

import msgspec
from clickhouse_connect.driver.client import Client

import sinks.queries as queries
from benchmarks.fresh import fresh
from config.loader import Config, load
from config.overrides import known_names
from config.publish import changes
from demo.truth import compare_ledger, compare_usage
from edge.emitter import Emitter, Format
from edge.generate import Shape, Traffic, write
from edge.lines import read_lines
from edge.truth import rows

SEED = 1
LINE_BYTES_MAX = 1 << 20
_CATALOGUE = Path(__file__).parent.parent / "demo" / "config"
_COMPILED = "processors.compiled"  # the module that finds the kernel, where there is one
_KERNEL = "TOLLSTREAM_PROCESSING__KERNEL"
_NO_ENVIRONMENT: dict[str, str] = {}  # a benchmark measures the settings as they come


class Form(NamedTuple):
    """How events are put into messages."""

    batch: int  # events a message, at most; a line that is no event goes alone
    format: Format
    title: str


FORMS = {
    "json": Form(1, "json", "single JSON messages"),
    "json-500": Form(500, "json", "JSON batches of 500"),
    "msgpack-500": Form(500, "msgpack", "MessagePack batches of 500"),
}
# Where the emitter writes them.
FORMS |= {one: Form(5_000, one, "columnar batches of 5,000") for one in get_args(Format) if one == "columnar"}


class Lines(NamedTuple):
    """Events on disk, one JSON line each, and the truth about them."""

    path: Path
    events: int
    truth: dict[str, Any]


class Sent(msgspec.Struct):
    """What it took to send, for the process that did nothing else."""

    events: int
    messages: int
    cpu_s: float
    wall_s: float


def configuration(settings: Mapping[str, str] = _NO_ENVIRONMENT) -> Config:
    """The demo's settings and catalogue, as its first publish makes it; `settings` as TOLLSTREAM_SECTION__KEY."""
    config = load(_CATALOGUE, _NO_ENVIRONMENT, settings)
    return Config(config.settings, changes(None, config.catalogue, 0).catalogue)


def kernel_built() -> bool:
    """Whether the processors have a compiled kernel, and it is built."""
    return find_spec(_COMPILED) is not None and import_module(_COMPILED).built() is not None


def kernel_settings(*, on: bool) -> dict[str, str]:
    """The setting that turns the compiled kernel on or off; none where the processors know of no kernel."""
    return {_KERNEL: str(on).lower()} if _KERNEL in known_names() else {}


def make(path: Path, events: int, subjects: int = 5000, seed: int = SEED) -> Lines:
    """Write seeded traffic of the last six hours to a file, in a process of its own."""
    return Lines(path, events, fresh(_make, path, events, subjects, seed))


def _make(path: Path, events: int, subjects: int, seed: int) -> dict[str, Any]:
    shape = Shape(seed=seed, events=events, base_time=datetime.now(UTC), subjects=subjects)
    return write(Traffic(shape), path)


def send(config: Config, lines: Lines, form: str = "json", batch: int | None = None) -> Sent:
    """Put the events on the events topic, all acknowledged, from a process of its own. `batch`: not the form's."""
    kafka, one = config.settings.kafka, FORMS[form]
    return fresh(_send, kafka.bootstrap, kafka.events_topic, lines.path, batch or one.batch, one.format)


def _send(bootstrap: str, topic: str, path: Path, batch: int, format: Format) -> Sent:
    with path.open("rb") as file, Emitter(bootstrap, topic) as emitter:
        wall_s, cpu_s = time.monotonic(), time.process_time()
        report = emitter.emit_lines(read_lines(file, LINE_BYTES_MAX), batch, format)
        return Sent(report.lines, report.messages, time.process_time() - cpu_s, time.monotonic() - wall_s)


def emit(config: Config, events: int, say: Callable[[str], None], seed: int = SEED) -> dict[str, Any]:
    """Put single-event JSON messages on the events topic, all acknowledged; the truth about them."""
    say(f"emitting {events:,} events")
    with TemporaryDirectory(prefix=f"load-{os.getpid()}-") as directory:
        lines = make(Path(directory) / "events.ndjson", events, seed=seed)
        send(config, lines)
        return lines.truth


def differences(client: Client, truth: Mapping[str, Any], *, usage: bool = True, rated: bool = True) -> list[str]:
    """Where the ledger, any hourly total, or the quantity rated of a meter is not what the truth says, in words.

    `usage`: ledger and hourly totals are looked at; `rated`: the quantities rated.
    """
    found = compare_ledger(truth, msgspec.to_builtins(queries.ledger(client))) if usage else []
    query = "SELECT meter, sum(toDecimal256(quantity, 12)) FROM rated_usage GROUP BY meter"
    priced: dict[str, Decimal] = dict(map(tuple, client.query(query).result_rows)) if rated else {}
    for meter, table in truth["meters"].items():
        if usage:
            records = queries.usage(client, meter, group_by=("subject", *table["dimensions"]))
            found += map(str, compare_usage(truth, meter, [msgspec.to_builtins(record) for record in records]))
        total = sum((row.quantity for row in rows(truth, meter)), Decimal(0))
        if rated and priced.get(meter) != total:
            found.append(f"{meter}: {total} used, {priced.get(meter)} rated")
    return found
