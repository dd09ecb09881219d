"""`ledger`: where every event went."""

from typing import TYPE_CHECKING, Any

import msgspec
from cyclopts import App

from tollstream.failures import CHECK_FAILED, OK
from tollstream.place import Where
from tollstream.show import Format, print_document, print_records, print_table, say
from tollstream.usage import GROUP

if TYPE_CHECKING:
    from sinks.queries import Ledger

COUNTS = ("consumed", "accepted", "duplicate", "late", "invalid", "unmetered", "admitted")
PARTITION = ("topic", "partition", "offset", *COUNTS, "balanced", "clock")


def register(app: App) -> None:
    app.command(ledger, group=GROUP)


def ledger(*, format: Format = "table", place: Where) -> int:
    """Show where every event went: consumed = accepted + duplicate + late + invalid + unmetered.

    Exits with 1 where that does not hold for every partition. `admitted` tells how many of the accepted events came
    late or were refused at first. Says how many late and refused events still wait, and what to do about them.

    ```
    tollstream ledger
    tollstream ledger --format json | jq .balanced
    ```

    Parameters
    ----------
    format
        How to print it; `csv` has a line for each partition.
    """
    from sinks.clickhouse import reader
    from sinks.queries import ledger as read_ledger

    client = reader(place.load().settings.clickhouse)
    try:
        found = read_ledger(client)
    finally:
        client.close()
    partitions = [msgspec.structs.asdict(partition) for partition in found.partitions]
    if format == "json":
        print_document({**msgspec.structs.asdict(found), "partitions": partitions})
    elif format == "csv":
        print_records(partitions, PARTITION, format)
    else:
        _print_table(found, partitions)
    _say_waiting(found)
    if found.balanced:
        return OK
    say("the ledger is out of balance: tell the maintainers, with `tollstream ledger --format json`")
    return CHECK_FAILED


def _print_table(found: "Ledger", partitions: list[dict[str, Any]]) -> None:
    """With the sum of all partitions as last row."""
    columns = ("partition", "offset", *COUNTS, "balanced", "clock")
    total = {"partition": "all", "balanced": found.balanced} | {name: getattr(found, name) for name in COUNTS}
    several = len({partition["topic"] for partition in partitions}) > 1
    print_table([*partitions, total], [*(["topic"] if several else []), *columns])


def _say_waiting(found: "Ledger") -> None:
    if found.waiting_late:
        say(f"{found.waiting_late:,} late events wait: see `tollstream late list`, count them with `late admit`")
    if found.waiting_refused:
        say(
            f"{found.waiting_refused:,} refused events wait: see `tollstream dead-letter list`, mend what is wrong and "
            "send them again with `tollstream dead-letter replay`"
        )
