"""ClickHouse's side: versioned tables as read through their views, and a sink that refuses, is late, doubles, and
stops half way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from config.catalogue import Catalogue
from processors.window_rows import WindowRow
from sinks.errors import Retryable
from sinks.rows import AdmissionRows, IdentityRows, LedgerRows, LetterRows, NumberRows, RatedRows, UsageRows
from sinks.superseded import RatedKey
from tests.simulation.scheduling import Killed, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

RATED_KEY = ("account", "period_start", "segment_start", "price", "meter", "opening", "day", "part")
_FAULTS = ("refused", "lost", "late", "late", "half", "twice", "twice", "before", "after")


class VersionedTable:
    """Of rows with one key the highest version is seen, on a tie the last inserted. A tie of unlike rows is a fault."""

    def __init__(self) -> None:
        self.rows: dict[Any, tuple[Any, Any]] = {}
        self.faults: list[str] = []

    def insert(self, key: Any, version: Any, row: Any) -> None:
        held = self.rows.get(key)
        if held is not None and held[0] == version and held[1] != row:
            self.faults.append(f"{key} version {version} was {held[1]} and now is {row}")
        if held is None or version >= held[0]:
            self.rows[key] = (version, row)


class Tables:
    """All of the database."""

    def __init__(self) -> None:
        self.usage, self.ledger, self.rated = VersionedTable(), VersionedTable(), VersionedTable()
        self.late, self.dead = VersionedTable(), VersionedTable()
        self.identities: set[tuple[str, int, int, bytes]] = set()  # topic, partition, hour, identity
        self.numbers: set[tuple[str, int, int, bytes, int, int]] = set()  # ... day, source, first, last
        self.admissions = VersionedTable()


class SimSink:
    """ClickHouseSink's methods. An insert is rows one after the other, so that half of it can be there."""

    def __init__(self, world: World, process: Process, catalogue: Catalogue) -> None:
        self._world, self._process, self._catalogue = world, process, catalogue

    def insert_usage(self, rows: UsageRows) -> None:
        self._insert([lambda row=row: self._world.take_usage(row) for row in window_rows(rows, self._catalogue)])

    def insert_ledger(self, rows: LedgerRows) -> None:
        table = self._world.tables.ledger
        self._insert(
            [
                lambda row=row: table.insert((row["topic"], row["partition"]), row["offset"], row)
                for row in as_rows(rows)
            ]
        )

    def insert_identities(self, rows: IdentityRows) -> None:
        place, held = (rows.topic, rows.partition, rows.hour), self._world.tables.identities
        self._insert([lambda one=one: held.add((*place, one.tobytes())) for one in rows.identity])

    def insert_numbers(self, rows: NumberRows) -> None:
        place, held = (rows.topic, rows.partition, rows.day), self._world.tables.numbers
        intervals = zip(rows.source, rows.first, rows.last, strict=True)
        self._insert([lambda one=one: held.add((*place, one[0].tobytes(), *map(int, one[1:]))) for one in intervals])

    def insert_admissions(self, rows: AdmissionRows) -> None:
        table = self._world.tables.admissions
        place = ("topic", "partition", "offset", "index")
        self._insert(
            [lambda row=row: table.insert(tuple(row[name] for name in place), 0, row) for row in as_rows(rows)]
        )

    def insert_late(self, rows: LetterRows) -> None:
        self._letters(self._world.tables.late, rows)

    def insert_dead_letters(self, rows: LetterRows) -> None:
        self._letters(self._world.tables.dead, rows)

    def _letters(self, table: VersionedTable, rows: LetterRows) -> None:
        place = ("topic", "partition", "offset", "index")
        self._insert(
            [lambda row=row: table.insert(tuple(row[name] for name in place), 0, row) for row in as_rows(rows)]
        )

    def insert_rated(self, rows: RatedRows) -> None:
        table = self._world.tables.rated
        self._insert(
            [
                lambda row=row: table.insert(
                    tuple(row[name] for name in RATED_KEY), (row["generation"], row["version"]), row
                )
                for row in as_rows(rows)
            ]
        )

    def close(self) -> None:
        """Nothing is open."""

    def _insert(self, rows: list[Callable[[], None]]) -> None:
        if not rows:
            return
        self._process.pause()
        world, fault = self._world, self._world.fault("insert", _FAULTS, 2.0)

        def arrive(upto: int = len(rows)) -> None:
            for row in rows[:upto]:
                row()

        if fault == "before":
            self._process.die()
            raise Killed
        if fault in ("late", "twice"):
            world.later(arrive)
        if fault == "half":
            arrive(world.rng.randint(0, len(rows)))
        if fault in ("refused", "late", "half"):
            raise Retryable(f"ClickHouse: {fault}", world.rng.choice((1, 1_000)))
        arrive()
        if fault == "lost":
            raise Retryable("ClickHouse: no answer", 1)
        if fault == "after":
            self._process.die()
            raise Killed
        self._process.pause()


def rated_before(tables: Tables, generation: int) -> list[RatedKey]:
    """sinks.superseded.rated_before: keys whose newest row is of an older generation and says anything but zero."""
    return [
        RatedKey(**{name: row[name] for name in RatedKey.__struct_fields__} | {"opening": bool(row["opening"])})
        for (older, _), row in tables.rated.rows.values()
        if older < generation and row["amount"] != 0
    ]


def as_rows(columns: Any, without: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """A batch of columns as rows by name, of plain values."""
    held = {name: getattr(columns, name) for name in columns.__struct_fields__ if name not in without}
    plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in held.values()]
    return [dict(zip(held, values, strict=True)) for values in zip(*plain, strict=True)]


def window_rows(columns: UsageRows, catalogue: Catalogue) -> list[WindowRow]:
    """What usage_columns was given: the analysts' rows as partials again."""
    meters = {(meter.id, meter.version): meter for meter in catalogue.meters}
    none = [()] * len(columns.meter)
    plain = as_rows(columns, without=("members", "samples"))
    found = []
    for row, members, samples in zip(plain, columns.members or none, columns.samples or none, strict=True):
        meter = meters[(row["meter"], row["meter_version"])]
        held = samples if meter.aggregation == "gauge" else members
        dims = json.loads(row["dims"])
        value = {"min": row["min"], "max": row["max"], "latest": row["latest_value"], "gauge": row["latest_value"]}.get(
            meter.aggregation, 0
        )
        found.append(
            WindowRow(
                *(row["meter"], row["meter_version"], row["subject"], [dims[path] for path in meter.dimensions]),
                *(row["account"], row["window_start_ms"], row["topic"], row["partition"], row["chunk"], row["offset"]),
                *(row["events"], row["sum_hi"], row["sum_lo"], value, row["latest_time_us"]),
                *(row["latest_id_hi"], row["latest_id_lo"], np.asarray(held, np.uint64).tobytes(), row["admission"]),
            )
        )
    return found
