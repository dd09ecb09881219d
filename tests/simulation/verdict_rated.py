"""What must hold of money after a run: the rated rows, usage.rated, and the alerts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from config.catalogue import Catalogue
from edge.murmur2 import partition_of
from rating.invoices import MeterTotal, SegmentUsage, preview
from rating.periods import month_of
from rating.prices import needs_totals
from tests.simulation.alerting import alert_faults
from tests.simulation.bills import Bills, Owed, RatedKey
from tests.simulation.oracle import quantity
from tests.simulation.readers import RatedPlace, newest_rated
from tests.simulation.usage_states import exactly

if TYPE_CHECKING:
    from tests.simulation.world import World


def clocks_of(world: World) -> dict[int, date]:
    """Of each partition of windows the day of its newest record: what a rater knows of the time."""
    logs = world.broker.topics[world.settings.kafka.windows_topic].partitions
    newest = [max((one.timestamp_ms for one in log.records), default=None) for log in logs]
    days = [date.min if at is None else datetime.fromtimestamp(at // 1000, UTC).date() for at in newest]
    return dict(enumerate(days))


def rated_faults(world: World) -> list[str]:
    """I6, and the alerts that follow from it."""
    catalogue = world.published()
    count = world.windows_partitions
    bills = Bills(catalogue, world.oracles, clocks_of(world), lambda account: partition_of(account.encode(), count))
    wanted = bills.rows()
    faults = _rows(world, catalogue, wanted) + _topic(world, wanted) + _previews(bills, wanted)
    return faults + alert_faults(world, wanted)


def _rows(world: World, catalogue: Catalogue, wanted: dict[RatedKey, Owed]) -> list[str]:
    """Each row is the difference of two prices."""
    faults = []
    found: dict[RatedKey, Any] = {}
    for row in (row for _, row in world.tables.rated.rows.values()):
        if row["amount"] is None and row["generation"] < catalogue.generation:
            faults.append(f"I6: unrated by an older catalogue, and still so: {row}")
        if row["plan"] == "" and row["amount"] == 0:
            continue  # taken back
        place = (row["account"], row["period_start"], row["segment_start"], row["price"], row["meter"], row["part"])
        key = (*place, bool(row["opening"]), row["day"])
        if key in found:
            faults.append(f"I6: readers see two rows: {row} and {found[key]}")
        found[key] = row
    for key in sorted(found.keys() | wanted.keys()):
        row, owed = found.get(key), wanted.get(key)
        if row and owed is None and row["generation"] < catalogue.generation and row["amount"] == 0:
            continue  # worth nothing, and of an older catalogue
        said = row and (row["quantity_total"], row["amount"])
        if said != (owed and (owed.quantity_total, owed.amount)):
            faults.append(f"I6: {key} is {row}, the recount {owed}")
    return faults


def _topic(world: World, wanted: dict[RatedKey, Owed]) -> list[str]:
    """The highest version of each key of usage.rated says what is owed in all."""
    owed: dict[RatedPlace, Owed] = {}
    for key in sorted(wanted, key=lambda key: (not key[-2], key[-1])):
        owed[key[:6]] = wanted[key]
    found = newest_rated(world.broker.topics[world.settings.kafka.rated_topic].partitions)
    faults = []
    for place in sorted(found.keys() | owed.keys()):
        row, due = found.get(place), owed.get(place)
        if row is not None and due is None and row.amount_total == 0:
            continue  # taken back, or worth nothing
        said = row and (row.quantity_total, row.amount_total, row.currency)
        if said != (due and (due.quantity_total, due.total, due.currency)):
            faults.append(f"I6: usage.rated of {place} is {row}, the recount {due}")
    return faults


def _previews(bills: Bills, wanted: dict[RatedKey, Owed]) -> list[str]:
    """Together the rows are the price of the whole, as previewed: of plain prices, by months."""
    together: dict[Any, Decimal] = {}
    for key, owed in wanted.items():
        together[key[:4]] = exactly(owed.amount or Decimal(0), together.get(key[:4], Decimal(0)))
    faults = []
    kinds = {meter: kind for meter, kind in bills.aggregation.items() if kind != "gauge"}
    for account, period in sorted({(key[0], month_of(key[1])) for key in wanted}):
        segments = [one for one in bills.tariff.segments(account, period) if one.contract is None]
        prices = [price for one in segments if one.plan for price in one.plan.price]
        if any(needs_totals(price) or price.meter not in (None, *kinds) for price in prices):
            continue
        usage = []
        for segment in segments:
            totals = {}
            for meter, kind in kinds.items():
                states = bills.states(account, meter, segment.start, segment.end)
                if states:
                    totals[meter] = MeterTotal(quantity(kind, states), sum(one.events for one in states))
            usage.append(SegmentUsage(segment, totals))
        for line in preview(account, period, usage).lines:
            place = (account, period.start, line.segment_start, line.price)
            found = together.get(place, Decimal(0))
            if found != line.amount_unrounded:
                faults.append(f"I6: {place} adds up to {found}, the preview says {line.amount_unrounded}")
    return faults
