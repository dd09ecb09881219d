"""Every bad input through a real broker: in one ledger column, its bytes and reason kept, its neighbours untouched."""

import random
from typing import Any

import msgspec
import pytest
from conftest import MakePipeline
from pipeline import Message, Pipeline
from pipeline_traffic import BASE, DAY, Traffic, check, ms
from pipeline_truth import Sent, single

from config.settings import Limits
from sinks.queries import Letter, dead_letters

NOW = BASE + DAY
NOISE = random.Random(5).randbytes(500_000).hex()  # a megabyte that no compression makes small


def bad_messages(traffic: Traffic) -> dict[str, tuple[bytes | None, str]]:
    """Name -> (message, start of its reason): each one event that must be refused."""

    def good(**changes: Any) -> dict[str, Any]:
        return traffic.event(NOW, type="http", data={"requests": 1, "bytes": 1, "ms": 1} | changes)

    def event(**changes: Any) -> bytes:
        return msgspec.json.encode(good() | changes)

    def value(text: str) -> bytes:
        return msgspec.json.encode(good(requests=msgspec.Raw(text.encode())))

    whole = event()
    nested = whole[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    return {
        "truncated JSON": (whole[:-9], "json"),
        "invalid UTF-8": (whole.replace(b"edge", b"\xff\xfe"), "utf-8"),
        "an id of the wrong type": (event(id=7), "id"),
        "data of the wrong type": (event(data=[1]), "dimension"),
        "a missing value": (event(data={"bytes": 1, "ms": 1}), "value"),
        "null": (value("null"), "value"),
        "NaN": (value("NaN"), "json"),
        "Infinity": (value("Infinity"), "json"),
        "NaN as text": (value('"NaN"'), "value"),
        "1e400": (value("1e400"), "value"),
        "10^30": (value("1" + "0" * 30), "value"),
        "20 decimals": (value("0.12345678901234567890"), "value"),
        "an underscore": (value('"1_000"'), "value"),
        "a negative value": (value("-1"), "value"),
        "an empty id": (event(id=""), "id"),
        "an empty subject": (event(subject=""), "subject"),
        "an id of a megabyte": (event(id=NOISE), "id"),
        "deep nesting": (nested, "nesting"),
        "a time without zone": (event(time="2026-03-31T00:00:00"), "time"),
        "year 1": (event(time="0001-01-01T00:00:00+01:00"), "time"),
        "year 9999": (event(time="9999-12-31T23:59:59-01:00"), "time"),
        "a day ahead": (event(time=(NOW + DAY).isoformat()), "time"),
        "an empty batch": (b"[]", "batch"),
        "a batch holding NaN": (b"[" + whole + b"," + value("NaN") + b"]", "json"),
        "no value": (None, "empty"),
        "truncated MessagePack": (msgspec.msgpack.encode(good())[:-3], "messagepack"),
        "NaN in MessagePack": (msgspec.msgpack.encode(good(requests=float("nan"))), "value"),
    }


def test_every_bad_input_is_in_one_column_and_found_with_its_reason_and_bytes(pipeline: Pipeline) -> None:
    traffic = Traffic(seed=31)
    messages = traffic.fill(200, BASE, NOW)
    at_ms = ms(NOW)
    cases = bad_messages(traffic)
    kept: dict[tuple[int, int], tuple[str, bytes, str]] = {}  # (message of all, index) -> name, bytes, reason

    def add(partition: int, value: bytes | None, events: list[dict[str, Any] | None]) -> int:
        traffic.add(Sent(partition, at_ms, value, events))
        messages.append(Message(partition, at_ms, value))
        return len(messages) - 1

    for place, (name, (value, reason)) in enumerate(cases.items()):
        partition = place % 3
        before, after = traffic.event(NOW), traffic.event(NOW)
        add(partition, single(before), [before])
        kept[(add(partition, value, [None]), 0)] = (name, value or b"", reason)
        add(partition, single(after, packed=True), [after])
    # Good ones that look bad: ten thousand fields, nanoseconds at the edge of a window.
    edge = traffic.event(BASE, time="2026-03-30T09:59:59.999999999Z", type="http", id="edge", subject="s-1")
    edge["data"] = {"requests": 1, "bytes": "0.001", "ms": 1} | {f"d{n}": n for n in range(10_000)}
    add(1, single(edge), [edge | {"time": "2026-03-30T09:59:59.999999Z"}])
    # One bad event among good ones in a batch.
    batch = [traffic.event(NOW), traffic.event(NOW, id=""), traffic.event(NOW)]
    kept[(add(2, msgspec.json.encode(batch), [batch[0], None, batch[2]]), 1)] = (
        "a bad one in a batch",
        msgspec.json.encode(batch[1]),
        "id",
    )
    pipeline.send(messages)
    pipeline.catch_up()
    truth = check(pipeline, traffic.log)
    assert truth.ledger["invalid"] == len(kept)

    offsets: dict[int, int] = {}
    coordinates = {}
    for number, message in enumerate(messages):
        offset = offsets[message.partition] = offsets.get(message.partition, -1) + 1
        coordinates[number] = (message.partition, offset)
    found = {(one.partition, one.offset, one.index): one for one in dead_letters(pipeline.client, 1_000)}
    assert len(found) == len(kept)
    for (number, index), (name, raw, reason) in kept.items():
        letter: Letter = found[(*coordinates[number], index)]
        assert (letter.raw, letter.reason.partition(":")[0]) == (raw, reason), name
    on_topic = {key: msgspec.json.decode(value) for key, value in pipeline.topic("dead_letter") if value}
    assert len(on_topic) == len(kept)


@pytest.mark.parametrize("meter", ["unique_max", "dimension_sets_max"])
def test_i7_a_limit_refuses_what_is_new_with_its_reason_and_nothing_else(
    make_pipeline: MakePipeline, kafka: Any, meter: str
) -> None:
    limits = Limits(**{meter: 5})
    pipeline = make_pipeline(kafka.bootstrap, limits=limits, consume_messages_max=7)
    traffic = Traffic(seed=32)
    traffic.fill(60, BASE, NOW)
    if meter == "unique_max":
        many = [{"level": 1, "plan": "x", "user": {"id": f"n{n % 9}"}} for n in range(40)]
        events = [traffic.event(NOW, type="seat", subject="s-100", data=data) for data in many]
    else:
        many = [{"requests": 1, "bytes": 1, "ms": 1, "zone": f"z{n % 9}"} for n in range(40)]
        events = [traffic.event(NOW, type="http", subject="s-100", data=data) for data in many]
    for place, event in enumerate(events):
        # Of nine values in turn the first five are known when the other four come, each time again.
        expected = event if place % 9 < 5 else None
        traffic.add(Sent(traffic.partition("s-100"), ms(NOW), single(event), [expected]))
    pipeline.send(traffic.messages())
    pipeline.catch_up()
    truth = check(pipeline, traffic.log)
    letters = dead_letters(pipeline.client, 100)
    assert len(letters) == truth.ledger["invalid"] == 16
    assert all(letter.reason.startswith("limit:") and f"{meter}=5" in letter.reason for letter in letters)
    assert {letter.subject for letter in letters} == {"s-100"}
