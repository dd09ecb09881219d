"""The doctor over real services."""

from typing import TYPE_CHECKING

import msgspec
import redis
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # it is public

from config.settings import ClickHouse, Kafka, Redis
from stack.doctor import check_broker, check_clickhouse, check_redis

if TYPE_CHECKING:
    from tests.conftest import Broker

NOWHERE = "127.0.0.1:1"
DAY_MS = 86_400_000


def named(unique: str, bootstrap: str) -> Kafka:
    """Settings whose topics no other test has."""
    kafka = Kafka(bootstrap=bootstrap)
    topics = {name: f"{unique}.{getattr(kafka, name)}" for name in kafka.__struct_fields__ if name.endswith("_topic")}
    return msgspec.structs.replace(kafka, **topics)


def test_absent_topics_are_named(kafka: "Broker", unique: str) -> None:
    settings = named(unique, kafka.bootstrap)
    absent = [check.name for check in check_broker(settings, None) if check.found == "absent"]
    assert len(absent) == 8
    assert f"topic {settings.events_topic}" in absent


def test_topics_as_they_should_be_pass_with_warnings_only_on_the_embedded_broker(kafka: "Broker", unique: str) -> None:
    settings = named(unique, kafka.bootstrap)
    configs: dict[str, dict[str, str]] = {
        settings.events_topic: {"message.timestamp.type": "LogAppendTime", "retention.ms": str(40 * DAY_MS)},
        settings.windows_topic: {"message.timestamp.type": "LogAppendTime"},
        settings.catalogue_topic: {"cleanup.policy": "compact"},
        settings.marks_topic: {"cleanup.policy": "compact"},
    }
    rest = (settings.rated_topic, settings.alerts_topic, settings.late_topic, settings.dead_letter_topic)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    made = admin.create_topics(
        [NewTopic(name, settings.partitions, 1, config=configs.get(name, {})) for name in (*configs, *rest)]
    )
    for future in made.values():
        future.result(30)
    found = check_broker(settings, 30 * DAY_MS)
    assert [check for check in found if check.ok is False] == []
    warnings = {check.name for check in found if check.ok is None}
    stamps = {f"{settings.events_topic} timestamps", f"{settings.windows_topic} timestamps"}
    assert warnings == ({"broker keeps its data", *stamps} if kafka.kind == "embedded" else set())


def test_redis_that_would_evict_is_refused(redis_url: str) -> None:
    settings = Redis(url=redis_url)
    assert [check.ok for check in check_redis(settings)] == [True] * 4
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        found = [check.name for check in check_redis(settings) if not check.ok]
        client.config_set("maxmemory-policy", "noeviction")
    assert found == ["redis maxmemory-policy"]


def test_clickhouse_sums_in_decimal256(clickhouse_url: str) -> None:
    assert [check.ok for check in check_clickhouse(ClickHouse(url=clickhouse_url))] == [True, True]


def test_services_out_of_reach_are_said_to_be_so_with_what_to_do() -> None:
    settings = (
        check_broker(Kafka(bootstrap=NOWHERE), None)
        + check_redis(Redis(url=f"redis://:secret@{NOWHERE}/0"))
        + check_clickhouse(ClickHouse(url=f"http://{NOWHERE}", password="secret"))
    )
    assert [(check.name, check.ok) for check in settings] == [
        ("broker", False),
        ("redis", False),
        ("clickhouse", False),
    ]
    assert all("tollstream up" in check.mend for check in settings)
    assert "secret" not in str(settings)
