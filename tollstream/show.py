"""How answers are printed: tables for people, JSON and CSV for scripts. Data go to stdout, everything else to stderr.

JSON carries quantities and amounts as decimal strings without exponent, instants as RFC 3339 in UTC, days as ISO dates.
"""

import csv
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

Format = Literal["table", "json", "csv"]
Record = Mapping[str, Any]

TABLE_ROWS_MAX = 1_000  # more is for programs; Rich lays out 10,000 rows in about a second
_PIPED_WIDTH = 10_000  # wide enough that nothing is cut; a table takes only what it needs
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def console(*, stderr: bool = False) -> Console:
    """Made for each use, as streams may be exchanged; never cuts what is piped."""
    made = Console(stderr=stderr, highlight=False, markup=False)
    if not made.is_terminal:
        made.width = _PIPED_WIDTH
    return made


def say(line: str) -> None:
    """A line for the person at the terminal, which no script reads."""
    console(stderr=True).print(printable(line), soft_wrap=True)


def printable(text: str) -> str:
    """Without anything that could steer a terminal or turn the direction of the text; line ends stay."""
    return "\n".join(_UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", line) for line in text.split("\n"))


def plain(value: Any) -> Any:
    """What JSON takes: exact numbers as decimal strings, instants and days in ISO form."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def spoken(value: Any) -> str:
    """A value as people read it: thousands separated, instants without what is always the same."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | Decimal):
        return format(value, ",f" if isinstance(value, Decimal) else ",d")
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M" if value.second == 0 else "%Y-%m-%d %H:%M:%S")
    if isinstance(value, Mapping):
        return ", ".join(f"{spoken(name)}={spoken(inner)}" for name, inner in value.items())
    return printable(str(value)).replace("\n", "\\n")


def print_records(records: Sequence[Record], columns: Sequence[str], format: Format) -> None:
    """The records as an array, lines of CSV or a table, whose columns are `columns`.

    A column `a.b` is the entry b of the mapping in a; in a table its title is b alone.
    """
    if format == "json":
        lines = (msgspec.json.encode(plain(record)).decode() for record in records)
        sys.stdout.write("[" + ",".join(f"\n  {line}" for line in lines) + ("\n]\n" if records else "]\n"))
    elif format == "csv":
        print_csv(records, columns)
    else:
        print_table(records, columns)


def print_document(document: Record) -> None:
    """One JSON object, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(plain(document)), indent=2).decode() + "\n")


def print_csv(records: Iterable[Record], columns: Sequence[str]) -> None:
    """With a line of column names; a missing value is empty."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for record in records:
        writer.writerow([_csv_cell(plain(_pick(record, column))) for column in columns])


def _csv_cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def print_table(records: Sequence[Record], columns: Sequence[str], title: str = "") -> None:
    """Numbers to the right. Shows the first thousand records and says how many more there are."""
    table = Table(title=Text(printable(title), style="bold") if title else None, title_justify="left", box=SIMPLE_HEAD)
    shown = records[:TABLE_ROWS_MAX]
    for column in columns:
        numbers = any(isinstance(_pick(record, column), int | Decimal) for record in shown)
        name = column.partition(".")[2] or column.replace("_", " ")
        table.add_column(Text(printable(name)), justify="right" if numbers else "left", overflow="fold")
    for record in shown:
        table.add_row(*(Text(spoken(_pick(record, column))) for column in columns))
    console().print(table)
    if len(records) > len(shown):
        say(f"... and {len(records) - len(shown):,} more: --format json or csv shows all")


def _pick(record: Record, column: str) -> Any:
    if column in record:
        return record[column]
    outer, _, inner = column.partition(".")
    return record.get(outer, {}).get(inner) if inner else None
