"""The doctor's judgement of settings, without services."""

from config.settings import Kafka
from stack.doctor import judge_partitions, judge_redis, judge_retention, judge_topic

KAFKA = Kafka()
DAY_MS = 86_400_000
DURABLE = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"}


def test_redis_that_may_evict_keys_is_refused_with_what_to_set() -> None:
    [policy] = [check for check in judge_redis({**DURABLE, "maxmemory-policy": "allkeys-lru"}) if not check.ok]
    assert policy.ok is False
    assert policy.found == "allkeys-lru"
    assert "set maxmemory-policy noeviction" in policy.mend


def test_redis_without_an_append_only_file_is_refused() -> None:
    assert [check.name for check in judge_redis({**DURABLE, "appendonly": "no"}) if not check.ok] == [
        "redis appendonly"
    ]


def test_redis_that_syncs_always_is_only_a_warning() -> None:
    assert [check.ok for check in judge_redis({**DURABLE, "appendfsync": "always"})] == [True, True, None]


def test_redis_with_durable_settings_passes() -> None:
    assert all(check.ok for check in judge_redis({**DURABLE}))


def test_create_time_on_the_events_is_refused_on_kafka_and_a_warning_on_the_embedded_broker() -> None:
    config = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}

    def stamped(embedded: bool) -> bool | None:
        found = judge_topic(KAFKA, KAFKA.events_topic, config, embedded=embedded, log_reach_ms=None)
        return next(check.ok for check in found if check.name == "usage.events timestamps")

    assert stamped(embedded=False) is False
    assert stamped(embedded=True) is None


def test_a_catalogue_topic_that_deletes_old_records_is_refused() -> None:
    for policy in ("delete", "compact,delete"):
        [check] = judge_topic(
            KAFKA, KAFKA.catalogue_topic, {"cleanup.policy": policy}, embedded=False, log_reach_ms=None
        )
        assert check.ok is False
        assert "cleanup.policy=compact" in check.mend


def test_retention_must_exceed_what_a_restore_reads() -> None:
    assert judge_retention("usage.events", str(DAY_MS + 1), DAY_MS).ok is True
    assert judge_retention("usage.events", str(DAY_MS), DAY_MS).ok is False
    assert judge_retention("usage.events", "-1", DAY_MS).ok is True


def test_retention_that_cannot_be_judged_is_a_warning() -> None:
    assert judge_retention("usage.events", str(DAY_MS), None).ok is None
    assert judge_retention("usage.events", None, DAY_MS).ok is None


def test_the_partition_count_of_the_windows_must_be_the_configured_one_and_that_of_the_events_may_grow() -> None:
    assert [check.ok for check in judge_partitions(KAFKA, KAFKA.windows_topic, 8)] == [False]
    assert [check.ok for check in judge_partitions(KAFKA, KAFKA.events_topic, 8)] == [True]
