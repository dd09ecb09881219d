"""`ledger`, `dead-letter` and `late`: where every event went."""

import base64
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter, validators

from tollstream.failures import CHECK_FAILED, OK
from tollstream.place import Where
from tollstream.show import Format, print_document, print_records, print_table, say
from tollstream.usage import GROUP

if TYPE_CHECKING:
    from sinks.queries import Ledger, Letter

COUNTS = ("consumed", "accepted", "duplicate", "late", "invalid", "unmetered")
PARTITION = ("topic", "partition", "offset", *COUNTS, "balanced", "clock")
LETTER = ("topic", "partition", "offset", "index", "reason", "type", "subject", "record_timestamp", "raw", "raw_base64")
SHORT = ("partition", "offset", "index", "record_timestamp", "reason", "raw")
_RAW_SHOWN = 120  # characters of an event in a table
LIMIT_MAX = 1_000_000

Limit = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=LIMIT_MAX))]


def register(app: App) -> None:
    app.command(ledger, group=GROUP)
    dead_letter = App(name="dead-letter", help="Events that were refused.", group=GROUP)
    dead_letter.command(list_dead_letters, name="list")
    app.command(dead_letter)
    late = App(name="late", help="Events that came too late.", group=GROUP)
    late.command(list_late, name="list")
    app.command(late)


def ledger(*, format: Format = "table", place: Where) -> int:
    """Show where every event went: consumed = accepted + duplicate + late + invalid + unmetered.

    Exits with 1 where that does not hold for every partition.

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
    if found.balanced:
        return OK
    say("the ledger is out of balance: tell the maintainers, with `tollstream ledger --format json`")
    return CHECK_FAILED


def list_dead_letters(*, limit: Limit = 50, format: Format = "table", place: Where) -> int:
    """Show refused events, the newest first: why, and what came.

    ```
    tollstream dead-letter list
    tollstream dead-letter list --limit 1000 --format json | jq -r '.[].reason' | sort | uniq -c
    ```

    Parameters
    ----------
    limit
        How many at most.
    format
        How to print them. JSON and CSV hold the exact bytes as `raw_base64`; `raw` is their text.
    """
    from sinks.queries import dead_letters

    return _list(place, dead_letters, limit, format, "no event was refused")


def list_late(*, limit: Limit = 50, format: Format = "table", place: Where) -> int:
    """Show events that came too late to count, the newest first.

    ```
    tollstream late list --limit 10
    ```

    Parameters
    ----------
    limit
        How many at most.
    format
        How to print them. JSON and CSV hold the exact bytes as `raw_base64`; `raw` is their text.
    """
    from sinks.queries import late_events

    return _list(place, late_events, limit, format, "no event came too late")


def letter_records(letters: "list[Letter]") -> list[dict[str, Any]]:
    """`raw` is text, with U+FFFD for what is no UTF-8; `raw_base64` is exact."""
    return [
        {
            **msgspec.structs.asdict(letter),
            "raw": letter.raw.decode(errors="replace"),
            "raw_base64": base64.b64encode(letter.raw).decode(),
        }
        for letter in letters
    ]


def _list(place: Where, read: Any, limit: int, format: Format, nothing: str) -> int:
    from sinks.clickhouse import reader

    client = reader(place.load().settings.clickhouse)
    try:
        letters = letter_records(read(client, limit))
    finally:
        client.close()
    if not letters:
        say(nothing)
    if format == "table":
        short = [{**letter, "raw": _cut(letter["raw"])} for letter in letters]
        print_table(short, SHORT)
    else:
        print_records(letters, LETTER, format)
    return OK


def _cut(text: str) -> str:
    return text if len(text) <= _RAW_SHOWN else f"{text[:_RAW_SHOWN]}... ({len(text):,} characters)"


def _print_table(found: "Ledger", partitions: list[dict[str, Any]]) -> None:
    """With the sum of all partitions as last row."""
    columns = ("partition", "offset", *COUNTS, "balanced", "clock")
    total = {"partition": "all", "balanced": found.balanced} | {name: getattr(found, name) for name in COUNTS}
    several = len({partition["topic"] for partition in partitions}) > 1
    print_table([*partitions, total], [*(["topic"] if several else []), *columns])
