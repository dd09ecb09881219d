"""The alert stage as its own process on a real broker, killed and started again."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from config.settings import Alerts, Budget, Kafka, Settings
from processors.budgets import Alert
from processors.rate import RatedRow
from sinks.topics import DurableProducer, admin, create_topics, topic_settings
from tests.conftest import Broker

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, msgspec
sys.path.insert(0, sys.argv[1])
from config.settings import Settings
from processors import alert
alert.run(msgspec.json.decode(sys.argv[2], type=Settings))
"""
WAIT_S = 120  # a bound on a hang, not a claim about speed
NOVEMBER = date(2026, 11, 1)

Launch = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def settings(kafka: Broker, unique: str) -> Settings:
    accounts = ("acme", "while-down", "first", "second")
    made = Settings(
        kafka=Kafka(
            bootstrap=kafka.bootstrap,
            group=unique,
            events_topic=f"{unique}.events",
            windows_topic=f"{unique}.windows",
            rated_topic=f"{unique}.rated",
            alerts_topic=f"{unique}.alerts",
            late_topic=f"{unique}.late",
            dead_letter_topic=f"{unique}.dead-letter",
            catalogue_topic=f"{unique}.catalogue",
            marks_topic=f"{unique}.marks",
        ),
        alerts=Alerts(tuple(Budget(account, "USD", Decimal(100)) for account in accounts)),
    )
    create_topics(made.kafka)
    return made


@pytest.fixture
def launch(settings: Settings, tmp_path: Path) -> Iterator[Launch]:
    """Starts the stage in an empty directory; what is left running is killed at the end."""
    here = tmp_path / "here"
    here.mkdir()
    with contextlib.ExitStack() as until:

        def launch() -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(ROOT), msgspec.json.encode(settings).decode()],
                cwd=here,
                env=os.environ | {"TMPDIR": str(tmp_path)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            until.callback(process.wait)
            until.callback(process.kill)
            return process

        yield launch


def publish(settings: Settings, *rows: tuple[str, str, str, int]) -> None:
    """Rows of (account, price, amount_total, version), in this order: all on one partition."""
    producer = DurableProducer(settings.kafka)
    for account, price, amount, version in rows:
        total = Decimal(amount)
        row = RatedRow(
            account=account,
            plan="pro",
            plan_version=1,
            price=price,
            model="per_unit",
            meter="http_requests",
            currency="USD",
            period_start=NOVEMBER,
            segment_start=NOVEMBER,
            day=NOVEMBER,
            opening=False,
            part="",
            quantity=Decimal(1),
            quantity_total=Decimal(1),
            amount=total,
            amount_total=total,
            unrated_reason="",
            generation=1,
            version=version,
        )
        producer.send(settings.kafka.rated_topic, msgspec.json.encode(row), account.encode(), 0)
    assert producer.acknowledged(WAIT_S)


def alerts_until(settings: Settings, account: str, process: subprocess.Popen[str]) -> list[Alert]:
    """Every alert from the first one to that of `account`. Rows before its own were handled before it."""
    consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap, "group.id": "unused"})
    consumer.assign([TopicPartition(settings.kafka.alerts_topic, 0, 0)])
    found: list[Alert] = []
    deadline = time.monotonic() + WAIT_S
    while not any(alert.account == account for alert in found):
        assert time.monotonic() < deadline, f"no alert for {account}, only {found}"
        assert process.poll() is None, process.communicate()
        message = consumer.poll(0.2)
        if message is not None:
            assert message.error() is None
            alert = msgspec.json.decode(message.value() or b"", type=Alert)
            assert message.key() == alert.key()
            found.append(alert)
    consumer.close()
    return found


def test_each_crossing_is_announced_once_through_a_kill_and_none_is_missed(
    settings: Settings, launch: Launch, tmp_path: Path
) -> None:
    process = launch()
    publish(
        settings,
        ("acme", "base", "60", 1),
        ("acme", "requests", "39", 2),
        ("acme", "requests", "41", 3),
        ("acme", "requests", "45", 4),
        ("first", "requests", "101", 1),
    )
    alerts = alerts_until(settings, "first", process)
    assert [(alert.account, alert.total, alert.version) for alert in alerts] == [
        ("acme", "101", 3),
        ("first", "101", 1),
    ]

    process.kill()
    process.wait()
    publish(settings, ("while-down", "requests", "101", 1), ("acme", "requests", "30", 5))
    process = launch()
    publish(settings, ("acme", "requests", "50", 6), ("first", "requests", "102", 2), ("second", "base", "101", 1))
    alerts = alerts_until(settings, "second", process)
    assert [alert.account for alert in alerts] == ["acme", "first", "while-down", "second"]

    process.terminate()
    out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out, err) == (0, "", "")
    made = {name for name in admin(settings.kafka).list_topics().topics if name.startswith(settings.kafka.group)}
    assert made == set(topic_settings(settings.kafka)), "Faust makes no topics of its own"
    assert list((tmp_path / "here").iterdir()) == []


def test_a_message_that_is_no_rated_row_ends_the_process_and_says_why(settings: Settings, launch: Launch) -> None:
    producer = DurableProducer(settings.kafka)
    producer.send(settings.kafka.rated_topic, b"{}", b"", 0)
    assert producer.acknowledged(WAIT_S)
    process = launch()
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert "ValidationError" in err
