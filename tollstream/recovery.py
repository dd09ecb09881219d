"""`republish` and `recover`: what to do when a service lost what it held. See docs/recovery.md."""

from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter, validators

from tollstream.failures import OK
from tollstream.place import Where, check_broker, now_ms, published_catalogue
from tollstream.running import GROUP
from tollstream.services import prepare
from tollstream.show import Format, print_records, say
from tollstream.traffic import progress

if TYPE_CHECKING:
    from processors.recovery import Recovery

COLUMNS = ("partition", "log_begins", "log_ends", "redis", "acknowledged", "mark", "ledger", "begun")

Number = Annotated[int, Parameter(validator=validators.Number(gte=0))]


def register(app: App) -> None:
    app.command(republish, group=GROUP)
    group = App(name="recover", help="Decide where going on by itself would be guessing.", group=GROUP)
    group.command(show, name="show")
    group.command(topic, name="topic")
    group.command(partitions, name="partitions")
    group.command(gap, name="gap")
    group.command(windows, name="windows")
    app.command(group)


def republish(*, place: Where) -> int:
    """Write every row of ClickHouse anew: usage, rated usage, ledger, late events, dead letters and admissions.

    For tables that were lost, or restored from an older backup. Rows come from usage.windows, the topics of letters,
    the marks and Redis; usage is rated anew, and what became of events that came back is told from the log, folded
    again. They are absolute and versioned: it may run beside the processors, and again. The archive of identities is
    on no topic: it begins anew, and until when is said.

    ```
    tollstream republish
    tollstream reconcile          # is it whole?
    ```
    """
    config = place.load()
    prepare(config)
    catalogue = published_catalogue(config.settings.kafka)
    from processors.republish import republish as write_all
    from tollstream.catalogue import copy_catalogue

    copy_catalogue(config, catalogue)
    with progress("republishing", None, "rows") as advance:
        written = write_all(config.settings, catalogue, advance, lambda trouble: say(trouble) if trouble else None)
    say(", ".join(f"{count:,} rows of {name}" for name, count in msgspec.structs.asdict(written).items()))
    return OK


def show(*, format: Format = "table", place: Where) -> int:
    """Show where each partition stands: in the log, in Redis, in the marks and in ClickHouse.

    Offsets are of the next message. `acknowledged`: below it every row is in ClickHouse. `begun`: nothing below it
    counts, as somebody decided with `recover gap` or `recover topic`.

    ```
    tollstream recover show
    ```

    Parameters
    ----------
    format
        How to print it.
    """
    recovery = _recovery(place)
    try:
        records = [msgspec.structs.asdict(one) for one in recovery.standings()]
    finally:
        recovery.close()
    print_records(records, COLUMNS, format)
    return OK


def topic(*, start_at: Number = 0, place: Where) -> int:
    """Let an events topic that was deleted and made again count, from an offset on.

    Usage counted from the old one stays. Events of the old one that are sent again to the new one count twice: it knows
    nothing of them. Stop the workers before.

    ```
    tollstream recover topic
    ```

    Parameters
    ----------
    start_at
        The first offset of each partition that counts.
    """
    recovery = _recovery(place)
    try:
        others = recovery.adopt_topic(start_at)
    finally:
        recovery.close()
    say(f"topic {recovery.topic} counts from offset {start_at} on; what topic {', '.join(others)} brought stays")
    return OK


def partitions(*, sure: bool = False, place: Where) -> int:
    """Let partitions that were added to the events topic count.

    With more partitions a subject may belong to another one, which does not know its earlier events: a retry across the
    change would count twice. So this agrees only when every event counted on the old partitions is late by the time of
    the first record on a new one: when producers rested for the longest lateness. Stop the workers before.

    ```
    tollstream recover partitions
    tollstream recover partitions --sure
    ```

    Parameters
    ----------
    sure
        You know that each event goes to the partition that its first try went to, whatever their number.
    """
    recovery = _recovery(place)
    try:
        before, after = recovery.agree_to_partitions(now_ms(), sure=sure)
    finally:
        recovery.close()
    say(f"{after} partitions count, where {before} did")
    return OK


def gap(partition: Number, /, *, accept: bool = False, place: Where) -> int:
    """Show what of a partition can never be counted, since the log is too short, and with --accept go on behind it.

    With a state in Redis that is all that is missing from the log. Without one it is the smallest range behind which no
    event can double one that is counted already, and no window can lose what it has. The gap is written down as a dead
    letter. Stop the workers before.

    ```
    tollstream recover gap 2
    tollstream recover gap 2 --accept
    ```

    Parameters
    ----------
    partition
        Of the events topic.
    accept
        Give the messages up.
    """
    recovery = _recovery(place)
    try:
        found = recovery.plan_gap(partition)
        count = found.last - found.first + 1
        say(f"partition {partition}: {count:,} messages, {found.first} to {found.last}, are not counted: {found.why}")
        if accept:
            recovery.accept_gap(found)
            say(f"accepted and written down (see `tollstream dead-letter list`); the fold goes on at {found.last + 1}")
        else:
            say("nothing was changed; --accept gives them up")
    finally:
        recovery.close()
    return OK


def windows(*, place: Where) -> int:
    """Fill a lost usage.windows again from the usage in ClickHouse, so that money follows usage again.

    Rows have the versions that they had, so rated usage becomes what it was, and goes on from there. Do not publish
    another catalogue before: a new generation rated from half of the usage would take the rest back.

    ```
    tollstream recover windows
    tollstream run --until-caught-up
    tollstream reconcile          # is it whole?
    ```
    """
    config = place.load()
    prepare(config)
    catalogue = published_catalogue(config.settings.kafka)
    from processors.refill import refill

    with progress("filling usage.windows", None, "rows") as advance:
        count = refill(config.settings, catalogue, advance)
    say(f"{count:,} rows of usage are on {config.settings.kafka.windows_topic} again")
    return OK


def _recovery(place: Where) -> "Recovery":
    config = place.load()
    check_broker(config.settings.kafka)
    catalogue = published_catalogue(config.settings.kafka)
    from processors.recovery import Recovery

    return Recovery(config.settings, catalogue)
