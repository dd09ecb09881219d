"""Rows of `usage.windows` made again from columns of ClickHouse are the rows that were there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Settings
from edge.murmur2 import partition_of
from processors import refill
from processors.columns import usage_columns
from processors.refill import _row
from processors.samples import unpacked
from processors.window_rows import WindowRow, WindowRows

KINDS = ("sum", "count", "min", "max", "avg", "latest", "unique", "gauge")
METERS = {kind: Meter(kind, 1, "a", kind, "v", dimensions=("zone", "b")) for kind in KINDS}  # type: ignore[arg-type]
CATALOGUE = Catalogue(events=(EventType("a", 1),), meters=tuple(METERS.values()))
WORDS = np.array([1, 2**64 - 2, 3, 4, 5, 6, 7, 2**64 - 8], np.uint64)


def columns_of(row: WindowRow) -> list[Any]:
    """As ClickHouse gives them back for what the stage inserts."""
    rows = usage_columns(WindowRows.of([row]), CATALOGUE)
    members = [(int(high) << 64) | int(low) for high, low in (rows.members or [[]])[0]]
    samples = (
        [(at, (high << 64) | low, value) for at, high, low, value in unpacked(row.members)] if rows.samples else []
    )
    names = (
        "meter meter_version subject dims account window_start_ms topic partition chunk offset events sum_hi sum_lo "
    )
    names += "min max latest_value latest_time_us latest_id_hi latest_id_lo"
    held = [getattr(rows, name)[0] for name in names.split()]
    plain = [one.item() if isinstance(one, np.generic) else one for one in held]
    return [*plain, [] if rows.samples else members, samples, row.admission]


@pytest.mark.parametrize("chunk", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_comes_back_as_it_was(kind: str, chunk: int) -> None:
    number = -5 if kind in ("min", "max", "latest", "gauge") else 0
    row = WindowRow(kind, 1, "s", ["z", "b"], "acme", 3_600_000, "T", 2, 0, 70, 4, -1, 9, number, 8, 2**63, 6, b"", 71)
    if chunk and kind in ("unique", "gauge"):
        row = WindowRow(kind, 1, "s", ["z", "b"], "acme", 0, "T", 2, chunk, 70, 0, 0, 0, 0, 0, 0, 0, WORDS.tobytes())
    assert _row(METERS[kind], columns_of(row)) == row


class Stored:
    """A client of ClickHouse that has these rows, and says whether it was closed."""

    closed = False

    def __init__(self, rows: list[WindowRow]) -> None:
        self.rows = rows

    @contextmanager
    def query_rows_stream(self, query: str) -> Iterator[Any]:
        assert query == refill._QUERY
        yield (columns_of(row) for row in self.rows)

    def close(self) -> None:
        self.closed = True


def test_every_row_is_sent_to_the_partition_of_its_account_and_waited_for() -> None:
    rows = [
        WindowRow("sum", 1, f"s{at}", ["z", "b"], f"payer-{at}", 0, "T", 2, 0, at, 4, 0, at, 0, 0, 0, 0, b"")
        for at in range(5)
    ]
    settings, told, client = Settings(), list[int](), Stored(rows)
    with (
        mock.patch.object(refill, "_BATCH", 2),
        mock.patch.object(refill, "reader", return_value=client) as reader,
        mock.patch.object(refill, "partition_count", return_value=7) as count,
        mock.patch.object(refill, "DurableProducer") as made,
    ):
        made.return_value.acknowledged.side_effect = [False, False, True]
        assert refill.refill(settings, CATALOGUE, told.append) == 5
    topic, producer = settings.kafka.windows_topic, made.return_value
    assert told == [2, 2, 1]
    assert (reader.call_args.args, count.call_args.args) == ((settings.clickhouse,), (settings.kafka, topic))
    assert made.call_args.args == (settings.kafka,)
    assert [call.args for call in producer.send.call_args_list] == [
        (topic, value, key, partition_of(account.encode(), 7))
        for account, key, value in WindowRows.of(rows).messages(b"refill")
    ]
    assert [call.args for call in producer.acknowledged.call_args_list] == [(1.0,)] * 3
    assert client.closed
