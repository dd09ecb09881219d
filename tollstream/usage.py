"""`usage`: what was used, by window and group."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from tollstream.failures import OK, UsageError
from tollstream.instants import instant
from tollstream.place import Where
from tollstream.show import Format, print_records, say

if TYPE_CHECKING:
    from config.catalogue import Catalogue
    from sinks.queries import UsageRecord

GROUP = Group("Answers", sort_key=5)
WHO = ("subject", "account")


def register(app: App) -> None:
    app.command(usage, group=GROUP)


def usage(
    *,
    meter: str,
    subject: str | None = None,
    account: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    window: Literal["hour", "day", "month", "total"] = "hour",
    group_by: str = "",
    format: Format = "table",
    place: Where,
) -> int:
    """Show the usage of a meter, exact, by UTC hour, day, month or altogether.

    What is not grouped by is merged: states, not numbers, so averages, maxima and distinct counts are right, too.

    ```
    tollstream usage --meter http_requests --window day
    tollstream usage --meter egress_bytes --account acme --group-by subject,region --window month
    tollstream usage --meter http_requests --from 2026-11-01 --to 2026-12-01 --window total --format json
    ```

    Parameters
    ----------
    meter
        Id of the meter.
    subject
        Only what this one used.
    account
        Only what this one pays for.
    from_
        Only windows that start at this instant or later: RFC 3339, or a day.
    to
        Only windows that start before this instant.
    window
        Length of a row. A meter's own longer windows stay whole.
    group_by
        Names with commas between: `subject`, `account` and dimensions of the meter, by dotted path.
    format
        How to print it. In JSON, quantities are decimal strings.
    """
    from sinks.clickhouse import reader
    from sinks.queries import usage as read_usage

    config = place.load()
    names = [name.strip() for name in group_by.split(",") if name.strip()]
    check_group(config.catalogue, meter, names)
    start = None if from_ is None else instant(from_, "--from")
    end = None if to is None else instant(to, "--to")
    if start is not None and end is not None and start >= end:
        raise UsageError(f"--from {from_} is not before --to {to}: nothing lies between")
    client = reader(config.settings.clickhouse)
    try:
        found = read_usage(client, meter, subject, account, start, end, window, names)
    finally:
        client.close()
    if not found:
        say(_nothing(config.catalogue, meter))
    print_records(records(found), columns(found, names), format)
    return OK


def check_group(catalogue: "Catalogue", meter: str, names: Sequence[str]) -> None:
    """Raises UsageError for a name given twice, or that no version of the meter has. A meter that the files of
    `--config` do not have passes, as it may be published from elsewhere."""
    known = {path for one in catalogue.meters if one.id == meter for path in one.dimensions}
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"--group-by names {', '.join(sorted(repeated))} twice")
    unknown = [name for name in names if name not in WHO and name not in known]
    if unknown and any(one.id == meter for one in catalogue.meters):
        raise UsageError(
            f"meter {meter} has no dimension {', '.join(unknown)}: --group-by takes {', '.join([*WHO, *sorted(known)])}"
        )


def records(found: Sequence["UsageRecord"]) -> list[dict[str, Any]]:
    """The stable shape of the command line: subject and account stand only where they were asked for.

    `aggregation` is added only where versions of the meter differ in it, as their quantities are not of one kind.
    """
    mixed = len({record.aggregation for record in found}) > 1
    return [
        {
            "meter": record.meter,
            "window_start": record.window_start,
            "window_end": record.window_end,
            **{name: getattr(record, name) for name in WHO if getattr(record, name) is not None},
            "dimensions": record.dimensions,
            "quantity": record.quantity,
            "events": record.events,
            **({"aggregation": record.aggregation} if mixed else {}),
        }
        for record in found
    ]


def columns(found: Sequence["UsageRecord"], names: Sequence[str]) -> list[str]:
    """For table and CSV, in the order of the shape; dimensions as `dimensions.PATH`."""
    who = [name for name in WHO if name in names or any(getattr(record, name) is not None for record in found)]
    mixed = len({record.aggregation for record in found}) > 1
    dimensions = [f"dimensions.{name}" for name in names if name not in WHO]
    last = ["aggregation"] if mixed else []
    return ["meter", "window_start", "window_end", *who, *dimensions, "quantity", "events", *last]


def _nothing(catalogue: "Catalogue", meter: str) -> str:
    ids = sorted({one.id for one in catalogue.meters})
    if meter in ids:
        return "no usage there; what is emitted shows after `tollstream run`"
    return f"no usage of a meter {meter}; the configuration has {', '.join(ids) or 'none'}"
