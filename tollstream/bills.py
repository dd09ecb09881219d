"""Billing periods of an account, rated from the usage that ClickHouse has: for what days in UTC cannot express."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from config.catalogue import Catalogue
    from rating.calendar import BillingPeriod
    from rating.contracts import Contract
    from rating.periods import Period
    from rating.prices import Price
    from rating.rate import Tariff
    from rating.rated import RatedPeriod
    from rating.totals import Total


def month_instants(period: "Period") -> "BillingPeriod":
    """A month of days in UTC, as instants."""
    from rating.calendar import BillingPeriod

    start, end = (datetime.combine(day, time(), UTC) for day in (period.start, period.end))
    return BillingPeriod(start, end)


def agreed(tariff: "Tariff", account: str, period: "Period") -> "list[tuple[Contract, BillingPeriod]]":
    """What prices an account in a month, ascending, and when that is: a contract's in its time zone, of the default
    plan in UTC."""
    from rating.calendar import BillingPeriod, midnight

    month, own = month_instants(period), tariff.contracts_of(account)
    found = [(one, month) for one in tariff.agreements(account, *month) if one not in own]
    for one in own:
        local = BillingPeriod(midnight(period.start, one.time_zone), midnight(period.end, one.time_zone))
        if one.from_ < local.end and (one.to is None or one.to > local.start):
            found.append((one, local))
    return sorted(found, key=lambda one: one[0].from_)


def needs_windows(catalogue: "Catalogue", account: str, period: "Period") -> bool:
    """Whether the month of an account is more than the prices of its totals: terms, own periods, rollups, gauges."""
    from rating.prices import meters_of, needs_totals
    from rating.rate import is_priced_by_day

    tariff = catalogue.tariff()
    gauges = {meter.id for meter in catalogue.meters if meter.aggregation == "gauge"}
    for contract, month in agreed(tariff, account, period):
        if not is_priced_by_day(contract, tariff, month):
            return True
        if any(needs_totals(price) or gauges & meters_of(price) for price in _prices(catalogue, contract)):
            return True
    return False


def rated_periods(
    client: "Client", catalogue: "Catalogue", account: str, period: "Period", now: datetime
) -> "Iterator[RatedPeriod]":
    """The billing periods that begin in a month, or else the one that goes on in it, of each contract, ascending. The
    month is that of the contract's time zone.

    `now` is the instant up to which a period that is not over is known.
    """
    from rating.billing import rate_contract
    from rating.openings import Opening

    tariff = catalogue.tariff()
    for contract, month in agreed(tariff, account, period):
        calendar = contract.calendar
        first = calendar.period_of(max(contract.from_, month.start))
        if first.start < month.start <= first.end < month.end:
            first = calendar.next(first)
        last = first
        while calendar.next(last).start < month.end and (
            contract.to is None or calendar.next(last).start < contract.to
        ):
            last = calendar.next(last)
        begin = contract.from_ if _carries_on(catalogue, contract) else max(contract.from_, first.start)
        totals = list(_totals(client, catalogue, contract, begin, last.end))
        for rated in rate_contract(contract, totals, tariff, last.end, Opening(begin), now=now):
            if rated.start >= first.start:
                yield rated


def _prices(catalogue: "Catalogue", contract: "Contract") -> "Iterator[Price]":
    versions = catalogue.tariff().versions
    for id in contract.plans:
        for plan in versions.get(id, ()):
            yield from plan.price
    yield from (override.price for override in contract.override)


def _carries_on(catalogue: "Catalogue", contract: "Contract") -> bool:
    """Whether a period depends on those before it: by a balance, by what was billed ahead, or by a carried value."""
    from rating.usage import carries

    if contract.commitment or contract.credit:
        return True
    return any(getattr(price, "billed", "") == "advance" or carries(price) for price in _prices(catalogue, contract))


def _totals(
    client: "Client", catalogue: "Catalogue", contract: "Contract", start: datetime, end: datetime
) -> "Iterator[Total]":
    from rating.prices import meters_of, needs_totals
    from sinks.window_totals import gauge_totals, window_totals

    end = end if contract.to is None else min(end, contract.to)
    apart = {meter for price in _prices(catalogue, contract) if needs_totals(price) for meter in meters_of(price)}
    yield from window_totals(client, contract.account, start, end, apart)
    slots_ms = {meter.id: meter.window_ms for meter in catalogue.meters if meter.aggregation == "gauge"}
    if slots_ms:
        yield from gauge_totals(client, contract.account, slots_ms, end, catalogue.account_of)
