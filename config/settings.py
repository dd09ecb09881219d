"""Typed settings: where the services are, and every limit of the processors with its unit and its reason.

All frozen, unknown fields refused. `config.loader` fills them from TOML files and `TOLLSTREAM_SECTION__KEY` variables.
Secrets (passwords, and credentials inside a URL) never appear in `repr`.
"""

import re
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(ge=1, le=2**53)]  # 2**53: the largest integer that every JSON reader keeps exactly
NotNegative = Annotated[int, Meta(ge=0, le=2**53)]
Topic = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]  # Kafka's own rule for topic names

HIDDEN = "***"
EMBEDDED_CLUSTER = "tollstream-embedded"  # cluster id of the in-memory broker, whose end offsets are not to be trusted


def hide_credentials(url: str) -> str:
    """`scheme://user:secret@host?password=secret` with the secrets replaced; for messages and `repr`."""
    url = re.sub(r"(?<=://).*@", f"{HIDDEN}@", url)  # to the last @: a password may hold any character, unescaped too
    return re.sub(r"(?i)((?:^|[?&])password=)[^&#]*", rf"\g<1>{HIDDEN}", url)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of settings; subclasses that hold secrets override `shown`."""

    def shown(self) -> dict[str, object]:
        """The fields as they may be printed."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's own would show the secrets to Rich
        return list(self.shown().items())


class Kafka(Section, frozen=True):
    bootstrap: str = "127.0.0.1:9092"
    group: str = "tollstream"
    events_topic: Topic = "usage.events"
    windows_topic: Topic = "usage.windows"
    rated_topic: Topic = "usage.rated"
    alerts_topic: Topic = "usage.alerts"
    late_topic: Topic = "usage.late"
    dead_letter_topic: Topic = "usage.dead-letter"
    catalogue_topic: Topic = "usage.catalogue"
    marks_topic: Topic = "usage.marks"
    # Partitions of a topic that Tollstream creates: enough for four workers, few enough for a laptop. More may be added
    # to the events later; never to the windows, whose partition says which worker owns an account.
    partitions: Annotated[int, Meta(ge=1, le=10_000)] = 4
    windows_partitions: Annotated[int, Meta(ge=1, le=10_000)] = 4
    replication: Annotated[int, Meta(ge=1, le=9)] = 1  # one broker; a cluster wants 3
    session_timeout_ms: Positive = 6_000  # Kafka's default lower bound: a killed worker is replaced in seconds
    delivery_timeout_ms: Positive = 120_000  # Kafka's own default: outlasts a broker's restart
    socket_timeout_ms: Annotated[int, Meta(ge=1_000, le=300_000)] = 60_000  # for one answer: librdkafka's own default


class Redis(Section, frozen=True):
    url: Annotated[str, Meta(pattern=r"^(rediss?|unix)://")] = "redis://127.0.0.1:6379/0"
    timeout_ms: Positive = 10_000  # for one answer: many times the longest script, and then the connection is dead

    def shown(self) -> dict[str, object]:
        return {"url": hide_credentials(self.url), "timeout_ms": self.timeout_ms}


class ClickHouse(Section, frozen=True):
    url: Annotated[str, Meta(pattern=r"^https?://")] = "http://127.0.0.1:8123"
    user: str = "default"
    password: str = ""
    database: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")] = "tollstream"  # needs no quoting in SQL
    timeout_ms: Positive = 60_000  # for one answer: a large insert into a busy server, or a query over all usage

    def shown(self) -> dict[str, object]:
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return fields | {"url": hide_credentials(self.url), "password": HIDDEN if self.password else ""}


class Processing(Section, frozen=True):
    skew_ms: NotNegative = 300_000  # how far an event may be ahead of its record: clocks without NTP drift by minutes
    checkpoint_events: Positive = 50_000  # the packed checkpoint costs 0.14 us an event at this size
    checkpoint_interval_ms: Positive = 500  # what a reader waits for at low rates
    # Checkpoints and intervals are this many times larger while there is a backlog, which is where the newest records
    # taken are older than `behind_ms`: few large inserts cost ClickHouse a fifth of many small ones, a partial that
    # changes often goes out less often, and a reader of a backlog waits for its end anyway.
    behind_factor: Annotated[int, Meta(ge=1, le=100)] = 4
    behind_ms: Positive = 3_000  # the age of what is just late in coming; more than that is a backlog
    consume_messages_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000  # librdkafka refuses more than 1,000,000
    rate_interval_ms: Positive = 500  # an account is priced at most once in this time, however many partials arrive
    mark_interval_ms: Positive = 10_000  # bounds what a restore folds beyond the open windows
    # Closed hours of identities go to ClickHouse, about 18 bytes each: without them no event of a closed hour can come
    # back, as nobody could tell whether it was counted.
    archive_identities: bool = True
    # The compiled decoder, if it is built (`make kernel`): the same verdicts for a fifth of the CPU. It runs without
    # it too, so that nobody needs a compiler; false rules it out when a fault is looked for.
    kernel: bool = True
    start_at: NotNegative | None = None  # offset to start at where neither Redis nor a mark knows one; None: offset 0
    # No progress for this long while the log has more is unhealthy (I9). With a checkpoint that is still made of what
    # was taken, and the time until worker and supervisor have said it, that is known within 30 s.
    health_stall_ms: Positive = 25_000


class Limits(Section, frozen=True):
    message_bytes_max: Positive = 1_048_576  # Kafka's default max.message.bytes
    message_events_max: Positive = 10_000  # a 1 MiB message of the shortest events holds about this many
    # CloudEvents gives no bound; 256 bytes hold every id in the wild (UUIDs, URNs, ARNs) and keep a row key small.
    id_bytes_max: Positive = 256
    source_bytes_max: Positive = 256
    subject_bytes_max: Positive = 256
    dimension_bytes_max: Positive = 256
    unique_max: Positive = 1_000_000  # members of one partial: 16 MB of digests; a new value beyond it is invalid
    dimension_sets_max: Positive = 10_000  # dimension combinations of one meter, subject, window: a runaway label
    # Intervals of numbers that one source keeps for a day of event time, 16 bytes each: with four of them it takes 89
    # bytes of Redis, and two days are open at a lateness of 24 hours. What is beyond them costs 16 bytes an event.
    sequence_intervals_max: Annotated[int, Meta(ge=1, le=100)] = 4
    letters_bytes_max: Positive = 67_108_864  # of late and refused events in hand; more makes a checkpoint due
    state_segment_bytes_max: Annotated[int, Meta(ge=4_096, le=536_870_912)] = 67_108_864  # Redis: 512 MiB at most
    # Texts, and combinations of them, that a partition's decoder and fold have codes for before they begin anew: about
    # 150 bytes each, and a fresh start costs a microsecond for each that still comes.
    vocabulary_texts_max: Positive = 1_000_000
    sink_rows_max: Positive = 100_000  # rows of one insert: large parts, and about 100 MB of columns


class Budget(Section, frozen=True):
    """An alert is sent when the account's rated total of a period, in `currency`, passes `amount`."""

    account: str
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    amount: Decimal


class Alerts(Section, frozen=True):
    budgets: tuple[Budget, ...] = ()


class Settings(Section, frozen=True):
    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    clickhouse: ClickHouse = ClickHouse()
    processing: Processing = Processing()
    limits: Limits = Limits()
    alerts: Alerts = Alerts()
