"""`python -m benchmarks.columnar`: what the forms of events cost, side by side: decode, the whole fold, and bytes.

One core, one partition's log in batches as the consumer hands them over, the same events in every form. The forms
take turns, so that what else the machine does hits them alike; the least of the rounds counts.
"""

import gc
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, NamedTuple

import numpy as np
import pyarrow as pa
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from benchmarks.load import SEED, configuration
from config.settings import Limits
from edge.columnar import messages, to_columns
from edge.generate import Shape, Traffic
from edge.lines import json_array, msgpack_array, to_msgpack
from processors.events import Decoder
from processors.meter import Batch, PartitionState

_BATCH_EVENTS = 20_000  # processing.consume_messages_max of single events, and about as many in larger messages
_BYTES_MAX = 1_000_000
_SKEW_MS = 300_000
_NOW = datetime(2026, 11, 2, tzinfo=UTC)

app = App(name="columnar", help="What the forms of events cost, side by side.")


class Form(NamedTuple):
    """`batches`: messages, as they are folded together."""

    name: str
    batches: list[list[bytes]]


class Cost(NamedTuple):
    """CPU microseconds and bytes, an event."""

    name: str
    decode_us: float
    fold_us: float
    bytes: float
    bytes_lz4: float  # as one block for each batch of messages; the emitter has Kafka compress them so


@app.default
def run(*, events: int = 200_000, rounds: Annotated[int, Parameter(help="of each form; the least counts")] = 5) -> None:
    """Measure and show a table."""
    table = Table(title=f"{events:,} events, one core, all by event")
    for name in ("form", "decode us", "times JSON", "decode and fold us", "bytes", "bytes in lz4"):
        table.add_column(name, justify="left" if name == "form" else "right")
    costs = measure(events, rounds)
    for cost in costs:
        table.add_row(
            cost.name,
            f"{cost.decode_us:.3f}",
            f"{costs[0].decode_us / cost.decode_us:.1f}x",
            f"{cost.fold_us:.3f}",
            f"{cost.bytes:.1f}",
            f"{cost.bytes_lz4:.1f}",
        )
    Console().print(table)


def measure(events: int, rounds: int) -> list[Cost]:
    """Of each form, single JSON first."""
    ids, numbers = _lines(events, 0.0), _lines(events, 1.0)
    forms = [
        Form("JSON, single", _cut(ids, 1)),
        Form("JSON, batches of 500", _cut(_joined(ids, 500, json_array), 500)),
        Form("MessagePack, batches of 500", _cut(_joined(_packed(ids), 500, msgpack_array), 500)),
        Form("columnar, 500 a message", _cut(_columnar(ids, 500), 500)),
        Form("columnar, 5,000 a message", _cut(_columnar(ids, 5_000), 5_000)),
        Form("columnar, 5,000, numbered", _cut(_columnar(numbers, 5_000), 5_000)),
    ]
    catalogue, limits = configuration().catalogue, Limits()
    decode_s, fold_s = ({form.name: float("inf") for form in forms} for _ in range(2))
    for _ in range(rounds):
        for form in forms:
            decoder = Decoder(catalogue, limits, _SKEW_MS)
            state = PartitionState(catalogue, limits, Decoder(catalogue, limits, _SKEW_MS))
            stamp_ms = int(_NOW.timestamp() * 1000)
            batches = [_batch(some, stamp_ms, place * _BATCH_EVENTS) for place, some in enumerate(form.batches)]
            decode_s[form.name] = min(decode_s[form.name], _spent(partial(_decode, decoder), batches))
            fold_s[form.name] = min(fold_s[form.name], _spent(state.fold, batches))
    return [
        Cost(
            form.name,
            decode_s[form.name] / events * 1e6,
            fold_s[form.name] / events * 1e6,
            sum(len(value) for batch in form.batches for value in batch) / events,
            sum(len(pa.compress(b"".join(batch), "lz4", asbytes=True)) for batch in form.batches) / events,
        )
        for form in forms
    ]


def _decode(decoder: Decoder, batch: Batch) -> None:
    decoder.decode(batch.values, batch.timestamp_ms)


def _spent(work: Callable[[Batch], object], batches: Sequence[Batch]) -> float:
    """CPU seconds; the collector is off meanwhile, as in a worker."""
    gc.collect()
    gc.disable()
    start = time.process_time()
    for batch in batches:
        work(batch)
    spent = time.process_time() - start
    gc.enable()
    return spent


def _lines(events: int, sequenced: float) -> list[bytes]:
    traffic = Traffic(Shape(seed=SEED, events=events, base_time=_NOW, malformed=0.0, sequenced=sequenced))
    return [line for block in traffic.blocks() for line in block]


def _packed(lines: Sequence[bytes]) -> list[bytes]:
    return [packed for packed in map(to_msgpack, lines) if packed is not None]


def _joined(values: Sequence[bytes], count: int, join: Callable[[Sequence[bytes]], bytes]) -> list[bytes]:
    return [join(values[start : start + count]) for start in range(0, len(values), count)]


def _columnar(lines: Sequence[bytes], count: int) -> list[bytes]:
    rows = [event for event in map(to_columns, lines) if event is not None]
    return [m for start in range(0, len(rows), count) for m in messages(rows[start : start + count], _BYTES_MAX)]


def _cut(values: Sequence[bytes], events: int) -> list[list[bytes]]:
    """As many messages as a batch of the consumer holds."""
    count = max(1, _BATCH_EVENTS // events)
    return [list(values[start : start + count]) for start in range(0, len(values), count)]


def _batch(values: list[bytes], stamp_ms: int, offset: int) -> Batch:
    count = len(values)
    return Batch(values, np.arange(offset, offset + count), np.full(count, stamp_ms, np.int64))


if __name__ == "__main__":
    app()
