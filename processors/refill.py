"""Fills a lost `usage.windows` again with the newest row of every partial that ClickHouse has.

Rows are the same as before, offsets included, so rated rows get the versions that they had: a row that was rated from
half of the usage in between has a lower version and is replaced. It may run beside the processors, and again.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from typing import Any, Final

import msgspec

from config.catalogue import Catalogue, Meter
from config.settings import Settings
from edge.murmur2 import partition_of
from processors.window_rows import WindowRow, WindowRows
from sinks.clickhouse import reader
from sinks.topics import DurableProducer, partition_count

_TOKEN: Final = b"refill"  # in the key, where others have their owner's
_BATCH = 10_000
_SAMPLE = struct.Struct("<qQQq")  # see processors.samples
_MEMBER = struct.Struct("<QQ")
_LOW = 2**64 - 1
_QUERY = """SELECT meter, meter_version, subject, dims, account, toUnixTimestamp64Milli(window_start), topic, partition,
        chunk, offset, events, sum_hi, sum_lo, min, max, latest_value, latest_time_us, latest_id_hi, latest_id_lo,
        members, arrayMap(one -> (one.time_us, one.id, one.value), samples), admission
    FROM usage_rows FINAL WHERE events > 0 OR chunk > 0"""


def refill(settings: Settings, catalogue: Catalogue, counted: Callable[[int], None]) -> int:
    """The number of rows sent and acknowledged; `counted` is told of them on their way. The topic must be there.

    Raises KafkaException, and the client's errors of ClickHouse.
    """
    kafka, count = settings.kafka, 0
    partitions, producer = partition_count(kafka, kafka.windows_topic), DurableProducer(kafka)
    meters = {(one.id, one.version): one for one in catalogue.meters}
    with closing(reader(settings.clickhouse)) as client, client.query_rows_stream(_QUERY) as stream:
        found = iter(stream)
        while some := list(islice(found, _BATCH)):
            rows = WindowRows.of(_row(meters[(one[0], one[1])], one) for one in some)
            for account, key, value in rows.messages(_TOKEN):
                producer.send(kafka.windows_topic, value, key, partition_of(account.encode(), partitions))
            count += len(some)
            counted(len(some))
    while not producer.acknowledged(1.0):
        pass
    return count


def _row(meter: Meter, found: Any) -> WindowRow:
    """`found`: the columns of the query."""
    dims, (low, high, latest), (members, samples, admission) = json.loads(found[3]), found[13:16], found[19:22]
    if samples:
        packed = b"".join(_SAMPLE.pack(at, one >> 64, one & _LOW, value) for at, one, value in samples)
    else:
        packed = b"".join(_MEMBER.pack(one >> 64, one & _LOW) for one in members)
    value = {"min": low, "max": high}.get(meter.aggregation, latest)
    names = [dims[name] for name in meter.dimensions]
    columns = (*found[:3], names, *found[4:13], value, *found[16:19], packed, admission)
    return msgspec.convert(columns, WindowRow)
