"""What is in ClickHouse against the truth. Every difference is a line of text; none is the only good answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from config.settings import ClickHouse
from rating.periods import Period
from sinks.clickhouse import reader
from sinks.errors import Retryable
from sinks.queries import ledger, usage
from tests.chaos.traffic import Traffic
from tests.chaos.truth import Truth
from tests.integration.pipeline_truth import COUNTS, Owed
from tollstream.invoices import draw

RECOVER_S = 90.0  # then it counts as not recovered
SETTLE_S = 20.0  # for the last of the traffic before a pause to be rated
_LOOK_S = 0.1
_SHOWN = 5  # differences of one kind that are told one by one

Differences = list[str]


class Checker:
    """Asks ClickHouse directly, not through a link."""

    def __init__(self, settings: ClickHouse, traffic: Traffic, settle_s: float) -> None:
        self._settings, self._traffic, self._settle_s = settings, traffic, settle_s
        self._client: Client | None = None
        self.trouble = ""

    def recovered(self) -> float | None:
        """Seconds until all that was sent before this call is in ClickHouse, traffic running; None: it never was."""
        sent, began = self._traffic.truth.consumed, time.monotonic()
        while time.monotonic() - began < RECOVER_S:
            found = self._ask(lambda client: ledger(client).consumed)
            if found is not None and found >= sent:
                return time.monotonic() - began
            time.sleep(_LOOK_S)
        return None

    def differences(self) -> Differences:
        """Of all since the run began. The traffic pauses until there are none, or `settle_s` have passed."""
        with self._traffic.paused() as truth:
            found: Differences = ["nothing could be asked"]
            until = time.monotonic() + self._settle_s
            expected = Expected(truth)
            while found and time.monotonic() < until:
                asked = self._ask(lambda client: list(compare(client, expected)))
                found = [f"ClickHouse does not answer: {self.trouble}"] if asked is None else asked
                if found:
                    time.sleep(_LOOK_S)
            return found

    def _ask(self, question: Callable[[Client], Any]) -> Any:
        """None where ClickHouse can't be reached just now."""
        try:
            if self._client is None:
                self._client = reader(self._settings)
            return question(self._client)
        except (Error, Retryable) as error:
            self._client, self.trouble = None, str(error)
            return None


class Expected:
    """The truth in the form of what is asked, computed once for each pause."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.counts = {partition: dict(counts) for partition, counts in truth.counts.items()}
        self.usage = {one.id: truth.usage(one) for one in truth.catalogue.meters}
        self.amounts, self.unrated = truth.rated()
        self.invoices = {
            (account, month): truth.invoice(account, month)
            for account in ("acme", "globex", "s-5")
            for month in truth.months()
        }


def compare(client: Client, expected: Expected) -> Iterator[str]:
    """The ledger first: while it is behind, all else is."""
    found = ledger(client)
    counts = {one.partition: {name: getattr(one, name) for name in COUNTS} for one in found.partitions}
    differences = list(_unequal("ledger", counts, expected.counts))
    if not found.balanced:
        differences.append(f"the ledger is out of balance: {found}")
    yield from differences
    if differences:
        return
    yield from _letters(client, expected)
    for meter in expected.truth.catalogue.meters:
        records = usage(
            client,
            meter.id,
            window="day" if meter.window == "1d" else "hour",
            group_by=("subject", *meter.dimensions),
        )
        there = {
            (record.subject, *(record.dimensions[path] for path in meter.dimensions), record.window_start): (
                record.quantity,
                record.events,
            )
            for record in records
        }
        yield from _unequal(f"usage of {meter.id}", there, expected.usage[meter.id])
    yield from _money(client, expected)


def _letters(client: Client, expected: Expected) -> Iterator[str]:
    for view, verdict in (("late_events", "late"), ("dead_letters", "invalid")):
        there = client.query(f"SELECT partition, count() FROM {view} GROUP BY partition").result_rows
        wanted = {p: counts[verdict] for p, counts in expected.counts.items() if counts[verdict]}
        yield from _unequal(view, dict(map(tuple, there)), wanted)


def _money(client: Client, expected: Expected) -> Iterator[str]:
    columns = "account, segment_start, price, meter, toBool(opening), day, amount, quantity, unrated_reason"
    amounts, unrated, months = {}, {}, expected.truth.months()
    for *key, amount, quantity, _ in client.query(f"SELECT {columns} FROM rated_usage").result_rows:
        if amount is None:
            unrated[Owed(*key)] = quantity
        elif amount and key[1].replace(day=1) in months:  # flat prices are owed in months without traffic, too
            amounts[Owed(*key)] = amount
    yield from _unequal("rated amounts", amounts, expected.amounts)
    yield from _unequal("unrated quantities", unrated, expected.unrated)
    for (account, month), wanted in expected.invoices.items():
        after = (month + timedelta(days=32)).replace(day=1)
        invoice = draw(client, expected.truth.catalogue, account, Period(month, after))
        lines = {(line.segment_start, line.price): (line.quantity, line.amount) for line in invoice.lines}
        yield from _unequal(f"invoice of {account} for {month:%Y-%m}", lines, wanted)
        if invoice.total != sum(amount for _, amount in lines.values()):
            yield f"invoice of {account}: the total {invoice.total} is not the sum of its lines"


def _unequal(what: str, there: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> Iterator[str]:
    keys = [key for key in sorted({*there, *wanted}, key=str) if there.get(key) != wanted.get(key)]
    for key in keys[:_SHOWN]:
        place = " ".join(map(str, key)) if isinstance(key, tuple) else key
        yield f"{what}: {place}: found {_shown(there.get(key))}, the truth is {_shown(wanted.get(key))}"
    if len(keys) > _SHOWN:
        yield f"{what}: and {len(keys) - _SHOWN} more of {len(wanted)}"


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
