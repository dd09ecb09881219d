"""I7: messages that are too large, slow to judge, or stamped with no time at all harm nobody else."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import msgspec
from conftest import MakePipeline
from pipeline import Message, Pipeline
from pipeline_traffic import BASE, DAY, Traffic, check, ms
from pipeline_truth import Sent, single

from sinks.queries import dead_letters
from sinks.topics import LETTER_RAW_BYTES_MAX

NOW = BASE + DAY
MIB = 2**20
NOISE = random.Random(6).randbytes(3 * MIB).hex()  # what no compression makes small


def slow_messages(traffic: Traffic) -> list[tuple[bytes, int]]:
    """(about a MiB that the careful path, or the walk of a splitter, has to look at byte by byte; events in it)."""
    odd = msgspec.json.encode(traffic.event(NOW, type="http", data={"requests": "1e", "bytes": 1, "ms": 1}))
    digits = msgspec.json.encode(traffic.event(NOW, type="http", data={"requests": "9" * 900_000, "bytes": 1, "ms": 1}))
    packed = msgspec.msgpack.encode(traffic.event(NOW, type="http", data={"requests": [], "bytes": 1, "ms": 1}))
    half = 500_000
    return [
        (b"[" + b",".join([odd] * 2_500) + b"]", 2_500),
        (b"\xdc" + (3_000).to_bytes(2) + packed * 3_000, 3_000),
        (digits, 1),
        (b"[" * half + b"]" * half, 1),
        (b"[" + b'{"a":' * 200_000, 1),  # never closed
        (b"\x91" * 1_000_000, 1),
        (b'["' + b'\\"' * half + b'"]', 1),
    ]


def test_i7_poison_is_refused_and_its_neighbours_are_counted(pipeline: Pipeline) -> None:
    traffic = Traffic(seed=61)
    traffic.fill(150, BASE, NOW)
    refused = 0
    for place, (value, events) in enumerate(slow_messages(traffic)):
        traffic.add(Sent(place % 3, ms(NOW), value, [None] * events))
        refused += events
        after = traffic.event(NOW)
        traffic.add(Sent(place % 3, ms(NOW), single(after), [after]))
    pipeline.send(traffic.messages())
    run = pipeline.catch_up()
    truth = check(pipeline, traffic.log)
    assert truth.ledger["invalid"] == refused
    assert run.tally.restarts == 0


def test_i7_a_message_larger_than_any_limit_is_one_letter_and_stops_nobody(
    make_pipeline: MakePipeline, kafka: Any
) -> None:
    """Three times Kafka's default: a topic may be set to take it, and the letter about it must still get out."""
    pipeline = make_pipeline(kafka.bootstrap, events_config={"max.message.bytes": str(16 * MIB)})
    traffic = Traffic(seed=62)
    traffic.fill(60, BASE, NOW)
    large = single(traffic.event(NOW, id=NOISE))
    assert len(large) > 6 * MIB
    for partition in range(3):
        traffic.add(Sent(partition, ms(NOW), large, [None]))
        after = traffic.event(NOW, subject=f"s-{partition}")
        traffic.add(Sent(partition, ms(NOW), single(after), [after]))
    pipeline.send(traffic.messages())
    run = pipeline.catch_up()
    assert run.tally.restarts == 0
    check(pipeline, traffic.log)
    letters = dead_letters(pipeline.client, 10)
    assert [letter.reason.partition(":")[0] for letter in letters] == ["size"] * 3
    assert all(letter.raw == large for letter in letters), "ClickHouse has it whole"
    on_topic = [msgspec.json.decode(value) for _, value in pipeline.topic("dead_letter") if value]
    assert len(on_topic) == 3
    assert all(len(one["raw"]) == -(-LETTER_RAW_BYTES_MAX // 3) * 4 for one in on_topic)


def test_a_record_stamped_beyond_the_calendar_closes_its_partition_and_no_other(
    make_pipeline: MakePipeline, services: Mapping[str, str]
) -> None:
    """Whoever may stamp records may close windows. Apache Kafka refuses such stamps; the embedded broker does not."""
    pipeline = make_pipeline(services["TOLLSTREAM_KAFKA__BOOTSTRAP"])
    traffic = Traffic(seed=63)
    messages = traffic.fill(60, BASE, NOW)
    pipeline.send(messages)
    last = [traffic.event(NOW, subject=f"s-{partition}") for partition in range(3)]
    pipeline.send([Message(0, 2**62, b"{"), *(Message(p, ms(NOW), single(one)) for p, one in enumerate(last))])
    pipeline.catch_up()
    found = pipeline.ledger()
    assert found.balanced
    assert found.consumed == sum(len(sent.events) for sent in traffic.log) + 4
    letters = dead_letters(pipeline.client, 10)
    assert [letter.raw for letter in letters] == [b"{"]
    late = {msgspec.json.decode(value)["offset"] for _, value in pipeline.topic("late") if value}
    assert late
