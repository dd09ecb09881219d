"""The exact truth of generated traffic: what every ledger column and every total must come to.

The file is JSON:

    format      1
    generator   the parameters of the run
    ledger      {consumed, accepted, duplicate, late, invalid, unmetered}
    numbered    lines with a number of their source, repeats aside
    malformed   {kind of malformed line: count}
    hours       starts of the hours, RFC 3339, UTC
    meters      {meter: {"dimensions": [name], "values": [[text]], "subject": [..], "dimension": [[..]], "hour": [..],
                         "quantity": [..], "events": [..]}}

Row i of a meter: subject `zone-{subject[i]}`, for the dimension d the text `values[d][dimension[d][i]]`, the hour
`hours[hour[i]]`, the exact quantity as a decimal string and the number of accepted events behind it. What no accepted
event belongs to has no row.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

LEDGER = ("consumed", "accepted", "duplicate", "late", "invalid", "unmetered")


class Tally:
    """Exact sums of whole-number columns by one whole-number key, in memory bounded by the number of different keys."""

    def __init__(self, columns: int) -> None:
        self._keys: Ints = np.empty(0, np.int64)
        self._sums: Ints = np.empty((columns, 0), np.int64)

    def add(self, keys: Ints, *columns: Ints) -> None:
        """Add row by row. A sum must stay below 2**63: at 10**12 a row that is 9 million rows on one key."""
        self._keys, place = np.unique(np.concatenate((self._keys, keys)), return_inverse=True)
        sums = np.zeros((len(self._sums), len(self._keys)), np.int64)
        for total, before, column in zip(sums, self._sums, columns, strict=True):
            np.add.at(total, place, np.concatenate((before, column)))
        self._sums = sums

    def read(self) -> tuple[Ints, list[Ints]]:
        """(keys ascending, the sums of each column)."""
        return self._keys, list(self._sums)


class Row(NamedTuple):
    """One total of the truth: a meter, a subject, an hour and a set of dimensions."""

    subject: str
    dimensions: tuple[tuple[str, str], ...]
    hour: str
    quantity: Decimal
    events: int


def meter_table(
    names: tuple[str, ...], values: list[list[str]], keys: Ints, hours: int, quantity: list[str], events: Ints
) -> dict[str, Any]:
    """The part of the file for one meter. `keys` count through subject, dimensions and hour, the last fastest."""
    rest, hour = np.divmod(keys, hours)
    codes: list[list[int]] = []
    for texts in reversed(values):
        rest, code = np.divmod(rest, len(texts))
        codes.insert(0, code.tolist())
    return {
        "dimensions": list(names),
        "values": values,
        "subject": rest.tolist(),
        "dimension": codes,
        "hour": hour.tolist(),
        "quantity": quantity,
        "events": events.tolist(),
    }


def rows(truth: Mapping[str, Any], meter: str) -> Iterator[Row]:
    """The totals of one meter; KeyError if the traffic has no such meter."""
    table, hours = truth["meters"][meter], truth["hours"]
    names, values = table["dimensions"], table["values"]
    texts = [[values[d][code] for code in codes] for d, codes in enumerate(table["dimension"])]
    for subject, dimensions, hour, quantity, events in zip(
        table["subject"], zip(*texts, strict=True), table["hour"], table["quantity"], table["events"], strict=True
    ):
        pairs = tuple(zip(names, dimensions, strict=True))
        yield Row(f"zone-{subject}", pairs, hours[hour], Decimal(quantity), events)


def path_of(traffic: Path) -> Path:
    """Where the truth of a traffic file lies: beside it."""
    return traffic.with_name(traffic.name + ".truth.json")


def load(path: Path) -> dict[str, Any]:
    """Read a truth file; ValueError if it is not one that this code can read."""
    document = msgspec.json.decode(path.read_bytes())
    if not isinstance(document, dict) or document.get("format") != 1:
        raise ValueError(f"{path} is not a truth file of format 1; write it anew with `tollstream generate`")
    return document
