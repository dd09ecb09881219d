"""`up` and `down`: the embedded stack, and the topics and tables that everything else needs."""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Group, Parameter

from tollstream.failures import OK
from tollstream.place import SERVICE_SETTINGS, Where, check_broker, log_reach_ms, unnamed_services
from tollstream.show import say

if TYPE_CHECKING:
    from config.loader import Config

GROUP = Group("Services", sort_key=1)


def register(app: App) -> None:
    app.command(up, group=GROUP)
    app.command(down, group=GROUP)


def up(
    *,
    kafka: Annotated[Literal["embedded", "apache"], Parameter(show_choices=True)] = "embedded",
    place: Where,
) -> int:
    """Start broker, Valkey and ClickHouse engine, and make topics and tables.

    They go on after this command until `tollstream down`. Commands with the same `--state` find them. Services named
    in the environment (TOLLSTREAM_KAFKA__BOOTSTRAP, TOLLSTREAM_REDIS__URL, TOLLSTREAM_CLICKHOUSE__URL) are used
    instead of starting any.

    ```
    tollstream up                     # everything from Python packages; the broker forgets all when it ends
    tollstream up --kafka apache      # Apache Kafka, durable; needs Java 17 and, the first time, Maven
    ```

    Parameters
    ----------
    kafka
        The broker: `embedded` starts at once and lives in memory, `apache` keeps its data.
    """
    import stack

    place.load(services={})  # faults of the configuration are told before anything starts
    wanted = unnamed_services()
    for name in sorted({*SERVICE_SETTINGS} - {*wanted}):
        say(f"{name}: named by {SERVICE_SETTINGS[name]}, so none is started")
    if wanted:
        stack.up(place.state, kafka, only=wanted, say=say)
    prepare(place.load())
    say("topics and tables are there; next: `tollstream catalogue publish`")
    return OK


def down(*, place: Where) -> int:
    """Stop the services that `up` started, in order. Nothing running is fine, too.

    ```
    tollstream down
    tollstream down --state /tmp/other
    ```
    """
    import stack

    stopped = stack.down(place.state)
    say(f"stopped the services of {place.state}" if stopped else f"nothing runs on {place.state}")
    return OK


def prepare(config: "Config") -> None:
    """Make the topics that are missing, and the tables and views. Safe to repeat."""
    from sinks.clickhouse import ClickHouseSink
    from sinks.topics import create_topics

    kafka = config.settings.kafka
    check_broker(kafka)
    made = create_topics(kafka, log_reach_ms(config))
    if made:
        say(f"made the topics {', '.join(made)}")
    sink = ClickHouseSink(config.settings.clickhouse)
    try:
        sink.migrate()
    finally:
        sink.close()
