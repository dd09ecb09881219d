"""Are the services set up so that nothing can be lost? Looks only; changes nothing."""

import shutil
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import clickhouse_connect
import redis
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined] # it is public
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import EMBEDDED_CLUSTER, ClickHouse, Kafka, Redis, Settings
from stack.apache_kafka import java
from stack.errors import Unavailable

ANSWER_S = 5  # a service that takes longer to say how it is set up counts as out of reach
NO_LIMIT = -1  # Kafka's retention.ms for "keep all"

REDIS_WANTED = {
    "maxmemory-policy": ("noeviction", "with any other policy keys vanish while the offset moves on"),
    "appendonly": ("yes", "without it a restart loses the state, and each start folds the log again"),
    "appendfsync": (
        "everysec",
        "`no` may lose minutes in a power cut; `always` makes each checkpoint wait for the disk",
    ),
}


class Check(NamedTuple):
    """`ok` is None where it is only a warning. `mend` says what to do, and is empty when `ok`."""

    name: str
    ok: bool | None
    found: str
    mend: str = ""


def checks(settings: Settings, log_reach_ms: int | None = None) -> list[Check]:
    """All checks, the services in the order of the flow.

    `log_reach_ms`: how far back the log must reach for a restore, lateness + a day + skew, if known.
    """
    return [
        *check_broker(settings.kafka, log_reach_ms),
        *check_redis(settings.redis),
        *check_clickhouse(settings.clickhouse),
        *check_java(),
    ]


def check_broker(kafka: Kafka, log_reach_ms: int | None) -> list[Check]:
    client = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    try:
        cluster = client.list_topics(timeout=ANSWER_S)
        wanted = _topics(kafka)
        there = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in wanted if name in cluster.topics]
        asked = client.describe_configs(there) if there else {}  # it raises ValueError when asked for nothing
        configs = {
            resource.name: {key: entry.value for key, entry in answer.result(ANSWER_S).items()}
            for resource, answer in asked.items()
        }
    except KafkaException as error:
        mend = "start it (`tollstream up`), or correct kafka.bootstrap"
        return [Check("broker", False, f"{kafka.bootstrap}: {error.args[0].str()}", mend)]
    embedded = cluster.cluster_id == EMBEDDED_CLUSTER
    found = [Check("broker", True, f"{kafka.bootstrap}, cluster {cluster.cluster_id}")]
    if embedded:
        mend = "for data that must last, run Apache Kafka (`tollstream up --kafka apache`) or name a broker of yours"
        found.append(Check("broker keeps its data", None, "embedded broker: in memory, gone when it ends", mend))
    for name in wanted:
        if name in configs:
            found += judge_topic(kafka, name, configs[name], embedded=embedded, log_reach_ms=log_reach_ms)
            found += judge_partitions(kafka, name, len(cluster.topics[name].partitions))
        else:
            found.append(Check(f"topic {name}", False, "absent", f"create the topic {name}"))
    return found


def judge_topic(
    kafka: Kafka, name: str, config: Mapping[str, str], *, embedded: bool, log_reach_ms: int | None
) -> list[Check]:
    """What the configuration of a topic means for us. A broker may leave out settings that nobody made."""
    found = []
    if name in (kafka.events_topic, kafka.windows_topic):
        stamped = config.get("message.timestamp.type", "not set")
        mend = f"set message.timestamp.type=LogAppendTime on {name}: the clock is the broker's, not the producers'"
        right: bool | None = stamped == "LogAppendTime"
        if embedded:  # it shows the setting and ignores it
            right, stamped, mend = None, f"{stamped}, which the embedded broker ignores", "use Apache Kafka"
        found.append(Check(f"{name} timestamps", right, stamped, "" if right else mend))
    if name == kafka.events_topic:
        found.append(judge_retention(name, config.get("retention.ms"), log_reach_ms))
    if name in (kafka.catalogue_topic, kafka.marks_topic):
        policy = config.get("cleanup.policy", "not set")
        mend = f"set cleanup.policy=compact on {name}: with `delete` the newest record of a key goes, too"
        found.append(Check(f"{name} cleanup", policy == "compact", policy, "" if policy == "compact" else mend))
    return found


def judge_retention(name: str, retention: str | None, log_reach_ms: int | None) -> Check:
    """Whether a restore finds the records that it needs."""
    title = f"{name} retention"
    if retention is not None and int(retention) == NO_LIMIT:
        return Check(title, True, "unlimited")
    shown = "not set" if retention is None else f"{retention} ms"
    if log_reach_ms is None or retention is None:
        return Check(title, None, shown, "make sure that it exceeds lateness + a day + skew")
    if int(retention) > log_reach_ms:
        return Check(title, True, shown)
    return Check(title, False, shown, f"set retention.ms on {name} above {log_reach_ms}: lateness + window + skew")


def judge_partitions(kafka: Kafka, name: str, count: int) -> list[Check]:
    """The windows' partition says who owns an account, so that count is fixed; the events' may have grown."""
    shown = f"{count} partitions"
    if name == kafka.windows_topic and count != kafka.windows_partitions:
        mend = f"set kafka.windows_partitions to {count}; the topic's count must never change"
        return [Check(f"{name} partitions", False, shown, mend)]
    return [Check(f"topic {name}", True, shown)]


def check_redis(settings: Redis) -> list[Check]:
    client = redis.Redis.from_url(
        settings.url, socket_timeout=ANSWER_S, retry=Retry(NoBackoff(), 0), decode_responses=True
    )
    try:
        version = client.info("server")["redis_version"]
    except redis.RedisError as error:
        return [Check("redis", False, str(error), "start it (`tollstream up`), or correct redis.url")]
    found = [Check("redis", True, f"version {version}")]
    try:
        config = client.config_get(*REDIS_WANTED)
    except redis.RedisError as error:  # hosted services often forbid CONFIG
        mend = f"make sure in your provider's console: {', '.join(f'{k} {v[0]}' for k, v in REDIS_WANTED.items())}"
        return [*found, Check("redis settings", None, f"not shown: {error}", mend)]
    finally:
        client.close()
    return found + judge_redis({str(name): str(value) for name, value in config.items()})


def judge_redis(config: Mapping[str, str]) -> list[Check]:
    """The settings without which acknowledged state can vanish."""
    found = []
    for name, (wanted, why) in REDIS_WANTED.items():
        value = config.get(name, "not known")
        mend = "" if value == wanted else f"set {name} {wanted}: {why}"
        # Slower, but nothing is lost: a matter of taste.
        harmless = (name, value) == ("appendfsync", "always")
        found.append(Check(f"redis {name}", None if harmless else value == wanted, value, mend))
    return found


def check_clickhouse(settings: ClickHouse) -> list[Check]:
    address = urlsplit(settings.url)
    reach = "start it (`tollstream up`), or correct clickhouse.url, user and password"
    try:
        client = clickhouse_connect.get_client(
            host=address.hostname,
            port=address.port or (8443 if address.scheme == "https" else 8123),
            interface=address.scheme,
            username=settings.user,
            password=settings.password,
            connect_timeout=ANSWER_S,
            send_receive_timeout=ANSWER_S,
            query_retries=0,
        )
    except ClickHouseError as error:
        return [Check("clickhouse", False, first_line(error), reach)]
    try:
        found = [Check("clickhouse", True, f"version {client.server_version}")]
        wide = "SELECT toString(sum(toDecimal256('99999999999999999999999999.000000000001', 12))) FROM numbers(2)"
        total = str(client.command(wide))
        exact = total == "199999999999999999999999998.000000000002"
        mend = "" if exact else "use a full build: the views sum money in Decimal256 (chdb, not chdb-core-lite)"
        return [*found, Check("clickhouse Decimal256", exact, total, mend)]
    except ClickHouseError as error:
        return [*found, Check("clickhouse Decimal256", False, first_line(error), "use a full build of ClickHouse")]
    finally:
        client.close()


def check_java() -> list[Check]:
    """For information: only a stack with Apache Kafka needs them, and Maven only until its jars are in the cache."""
    try:
        found = [Check("java", True, java())]
    except Unavailable as error:
        found = [Check("java", None, error.reason, "needed only for `tollstream up --kafka apache`")]
    maven = shutil.which("mvn")
    mend = "" if maven else "needed only to fetch Apache Kafka: install Maven 3"
    return [*found, Check("maven", True if maven else None, maven or "not on the PATH", mend)]


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _topics(kafka: Kafka) -> list[str]:
    return [
        kafka.events_topic,
        kafka.windows_topic,
        kafka.rated_topic,
        kafka.alerts_topic,
        kafka.late_topic,
        kafka.dead_letter_topic,
        kafka.catalogue_topic,
        kafka.marks_topic,
    ]
