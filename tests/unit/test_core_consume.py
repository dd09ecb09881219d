"""What a consumer knows of its logs without asking the broker."""

from __future__ import annotations

from typing import Any
from unittest import mock

from confluent_kafka import KafkaError

from config.settings import Kafka
from processors.consume import PartitionConsumer, Portion

NOW_MS = 1_793_491_200_000


def message(partition: int, offset: int, timestamp_ms: int, error: Any = None) -> Any:
    return mock.Mock(
        **{
            "error.return_value": error,
            "partition.return_value": partition,
            "offset.return_value": offset,
            "timestamp.return_value": (1, timestamp_ms),
        }
    )


def end(partition: int, offset: int) -> Any:
    return message(partition, offset, -1, KafkaError(KafkaError._PARTITION_EOF))


def consuming() -> tuple[mock.Mock, PartitionConsumer]:
    """A client, and a consumer that reads with it from the start."""
    client = mock.Mock()
    return client, PartitionConsumer(
        Kafka(), "events", "group", lambda taken: dict.fromkeys(taken, 0), lambda lost: None,
        leaves=True, client=lambda settings: client,
    )  # fmt: skip


def test_a_backlog_is_more_to_read_behind_records_of_long_ago() -> None:
    client, consumer = consuming()

    def take(*messages: Any) -> bool:
        client.consume.return_value = list(messages)
        consumer.take(10, 0)
        return consumer.behind(NOW_MS, 3_000)

    assert not consumer.behind(NOW_MS, 3_000)
    subscribed = client.subscribe.call_args.kwargs
    subscribed["on_assign"](client, [mock.Mock(partition=0), mock.Mock(partition=1)])
    assert consumer.behind(NOW_MS, 3_000)  # nothing was taken yet, and nothing was said of an end
    assert take(message(0, 0, NOW_MS - 10), end(1, 0)) is False
    assert take(message(0, 1, NOW_MS - 3_001)) is True
    assert take(end(0, 2)) is False
    assert take(message(1, 0, NOW_MS - 60_000)) is True
    subscribed["on_revoke"](client, [mock.Mock(partition=1)])
    assert not consumer.behind(NOW_MS, 3_000)


def test_a_short_wait_keeps_a_few_messages_and_a_long_one_pauses() -> None:
    client, consumer = consuming()
    client.subscribe.call_args.kwargs["on_assign"](client, [mock.Mock(partition=0)])
    log = [message(0, offset, NOW_MS) for offset in range(30)]
    left = iter(log)
    client.consume.side_effect = lambda most, timeout_s: [next(left) for _ in range(most)]
    for _ in range(20):
        consumer.keep_alive()
    assert not client.pause.called, "what it has fetched would be lost"
    client.consume.side_effect = lambda most, timeout_s: []
    consumer.keep_alive()
    consumer.keep_alive()
    assert [one.partition for one in client.pause.call_args.args[0]] == [0]
    assert client.pause.call_count == 1
    client.resume.reset_mock()
    client.consume.side_effect = lambda most, timeout_s: [next(left) for _ in range(most)]
    assert consumer.take(5, 0) == {0: log[:25]}, "in order, each once"
    assert client.resume.call_count == 1
    assert consumer.take(5, 0) == {0: log[25:]}


def test_a_portion_is_as_many_messages_as_hold_so_many_events() -> None:
    portion = Portion(20_000)
    assert portion.messages == 20  # one may hold thousands
    portion.took(20, 20)
    assert portion.messages == 20_000
    portion.took(200, 100_000)
    assert portion.messages == 40
    portion.took(0, 0)
    assert portion.messages == 40
    portion.took(40, 0)  # nothing but refused batches: as if of one event each
    assert portion.messages == 20_000
    portion.took(1, 10**9)
    assert portion.messages == 1
    assert Portion(1).messages == 1
