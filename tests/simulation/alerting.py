"""The alert stage without Faust: its pure crossing logic over usage.rated, dying and starting again at any time.

As in processors.alert: what was announced is read from usage.alerts at the start, the rows from the beginning of
usage.rated, and an alert counts as announced when it is acknowledged.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import KafkaException

from config.settings import Budget
from processors.budgets import Alert, Budgets
from processors.rate import RatedRow
from sinks.topics import DurableProducer
from tests.simulation.bills import Owed, RatedKey
from tests.simulation.clients import SimProducer
from tests.simulation.readers import RatedPlace, place_of, rated_row, version_of
from tests.simulation.scheduling import Process
from tests.simulation.usage_states import exactly

if TYPE_CHECKING:
    from tests.simulation.world import World

_DECODER = msgspec.json.Decoder(Alert)
_WAIT_S = 0.2
BUDGETS = tuple(
    Budget(account, currency, Decimal(amount))
    for account, currency, amount in (
        ("acme", "USD", "4.5"),
        ("acme", "USD", "12.75"),
        ("acme", "USD", "1000000"),
        ("acme", "EUR", "1"),
        ("umbra", "USD", "9"),
        ("s3", "EUR", "0.01"),
    )
)
_Crossing = tuple[str, date, str, Decimal]  # account, period, currency, amount of the budget


class Alerts:
    """The one alert process of a run, and what must hold of what it sends."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.process: Alerter | None = None
        self.repeats: Counter[bytes] = Counter()  # keys on their way when their process died: they may come twice
        self.faults: list[str] = []

    def mend(self) -> None:
        """Start it, again if need be."""
        if self.process is None or self.process.dead:
            if self.process is not None and self.process.sending is not None:
                self.repeats[self.process.sending] += 1
            self.process = Alerter(self._world, self)

    def end(self) -> None:
        """It dies, if it runs."""
        if self.process is not None:
            self.process.die()


class Alerter(Process):
    """One life of it."""

    def __init__(self, world: World, alerts: Alerts) -> None:
        super().__init__(world.scheduler, "alerts")
        self._world, self._alerts = world, alerts
        self.sending: bytes | None = None
        self._seen: dict[RatedPlace, RatedRow] = {}
        self.begin(self._work)

    def _work(self) -> None:
        world, kafka = self._world, self._world.settings.kafka
        self.pause()
        known = [record.key or b"" for record in world.broker.topics[kafka.alerts_topic].partitions[0].records]
        budgets = Budgets(world.settings.alerts.budgets, known)
        producer = DurableProducer(kafka, lambda config: SimProducer(world, self, config))
        logs = world.broker.topics[kafka.rated_topic].partitions
        places = dict.fromkeys(range(len(logs)), 0)
        try:
            while True:
                more = [partition for partition, log in enumerate(logs) if places[partition] < log.end]
                if not more:
                    if world.calm:
                        break
                    self.pause(_WAIT_S)
                    continue
                partition = world.rng.choice(more)
                records = logs[partition].read(places[partition], world.rng.randint(1, 30))
                for record in records:
                    self._handle(rated_row(record), budgets, producer)
                places[partition] = records[-1].offset + 1 if records else logs[partition].end
        except KafkaException:
            world.seen["death: alerts"] += 1
        self.die()

    def _handle(self, row: RatedRow, budgets: Budgets, producer: DurableProducer) -> None:
        held = self._seen.get(place_of(row))
        if held is None or version_of(row) > version_of(held):
            self._seen[place_of(row)] = row
        for alert in budgets.crossed(row):
            self._judge(alert)
            self.sending = alert.key()
            producer.send(self._world.settings.kafka.alerts_topic, msgspec.json.encode(alert), alert.key(), 0)
            while not producer.acknowledged(_WAIT_S):
                pass
            budgets.announce(alert)
            self.sending = None

    def _judge(self, alert: Alert) -> None:
        """Whether what this process has read so far says so."""
        total = Decimal(0)
        for row in self._seen.values():
            if (row.account, row.period_start, row.currency) == (alert.account, alert.period_start, alert.currency):
                total = exactly(total, row.amount_total or Decimal(0))
        if total != Decimal(alert.total) or total <= Decimal(alert.budget):
            self._alerts.faults.append(f"alerts: {alert} where the rows come to {total}")


def alert_faults(world: World, rows: dict[RatedKey, Owed]) -> list[str]:
    """Each crossing once, under its key; none of those that the final totals have is missing."""
    faults, count = list(world.alerts.faults), Counter[bytes]()
    for record in world.broker.topics[world.settings.kafka.alerts_topic].partitions[0].records:
        alert = _DECODER.decode(record.value or b"")
        key = [alert.account, alert.period_start.isoformat(), alert.currency, alert.budget]
        if json.loads(record.key or b"") != key:
            faults.append(f"alerts: {alert} has the key {record.key!r}")
        count[record.key or b""] += 1
    for key_, times in count.items():
        if times > 1 + world.alerts.repeats[key_]:
            faults.append(f"alerts: {key_!r} was sent {times} times")
    said = {tuple(json.loads(key_)) for key_ in count}
    for account, period, currency, amount in crossings(world, rows):
        if (account, period.isoformat(), currency, f"{amount:f}") not in said:
            faults.append(f"alerts: {account} passed {amount} {currency} in the period of {period}, and nobody said so")
    return faults


def crossings(world: World, rows: dict[RatedKey, Owed]) -> set[_Crossing]:
    """The budgets that the final totals have passed."""
    totals: dict[tuple[str, date, str], Decimal] = {}
    for (account, period, *_), owed in rows.items():
        if owed.amount is not None:
            place = (account, period, owed.currency)
            totals[place] = exactly(owed.amount, totals.get(place, Decimal(0)))
    return {
        (account, period, currency, budget.amount)
        for (account, period, currency), total in totals.items()
        for budget in world.settings.alerts.budgets
        if (budget.account, budget.currency) == (account, currency) and total > budget.amount
    }
