"""When an alert counts as announced: after the broker's acknowledgement, never before."""

import asyncio
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaException

from config.settings import Budget
from processors.alert import handle
from processors.budgets import Alert, Budgets

VALUE = (
    b'{"account":"acme","plan":"pro","plan_version":1,"price":"base","model":"flat","meter":"","currency":"USD",'
    b'"period_start":"2026-11-01","segment_start":"2026-11-01","day":"2026-11-01","opening":true,"part":"","quantity":"0",'
    b'"quantity_total":"0","amount":"101","amount_total":"101","unrated_reason":"","generation":1,"version":0}'
)


class ScriptedProducer:
    """Answers each question for acknowledgement with the next of `answers`; an exception is raised."""

    def __init__(self, *answers: bool | Exception) -> None:
        self._answers: Iterator[bool | Exception] = iter(answers)
        self.sent: list[tuple[str, bytes | None, bytes | None]] = []

    def send(self, topic: str, value: bytes | None, key: bytes | None) -> None:
        self.sent.append((topic, value, key))

    def acknowledged(self, _timeout_s: float) -> bool:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def take(value: bytes | None, budgets: Budgets, producer: Any) -> None:
    asyncio.run(handle(value, budgets, producer, "alerts"))


@pytest.fixture
def budgets() -> Budgets:
    return Budgets([Budget("acme", "USD", Decimal(100))], [])


def test_an_alert_is_sent_under_its_key_and_waited_for(budgets: Budgets) -> None:
    producer = ScriptedProducer(False, False, True)
    take(VALUE, budgets, producer)
    ((topic, value, key),) = producer.sent
    alert = msgspec.json.decode(value or b"", type=Alert)
    assert (topic, key) == ("alerts", alert.key())
    assert alert == Alert("acme", date(2026, 11, 1), date(2026, 12, 1), "USD", "100", "101", 1, 0)


def test_an_announced_alert_is_not_sent_again(budgets: Budgets) -> None:
    producer = ScriptedProducer(True)
    take(VALUE, budgets, producer)
    take(VALUE, budgets, producer)
    assert len(producer.sent) == 1


def test_an_alert_that_was_not_acknowledged_stops_the_worker_and_is_not_announced(budgets: Budgets) -> None:
    with pytest.raises(KafkaException):
        take(VALUE, budgets, ScriptedProducer(KafkaException("timed out")))
    again = ScriptedProducer(True)
    take(VALUE, budgets, again)
    assert len(again.sent) == 1


def test_a_message_without_a_value_says_nothing(budgets: Budgets) -> None:
    take(None, budgets, ScriptedProducer())


def test_a_message_that_is_no_rated_row_is_not_passed_over(budgets: Budgets) -> None:
    with pytest.raises(msgspec.ValidationError, match="period_start"):
        take(VALUE.replace(b"2026-11-01", b"November"), budgets, ScriptedProducer())
