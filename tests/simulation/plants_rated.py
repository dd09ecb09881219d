"""Bugs to plant in what is rated and what follows from it, beside those of the other plants."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from datetime import date
from typing import Any
from unittest import mock

import msgspec

from config.catalogue import BEGIN_MS
from processors import rate_contracts, rate_stage
from processors.account_usage import AccountUsage
from processors.budgets import Alert, Budgets
from processors.rate import RatedRow, Rater
from rating.calendar import Anchor, BillingPeriod
from rating.contracts import Contract
from rating.gauges import Reading, levels
from tests.simulation import mischief
from tests.simulation.plants import Patch, planted
from tests.simulation.plants_admission import PLANTS

__all__ = ["PLANTS"]  # with those of here


@planted("I6")
def a_gauge_that_midnight_ends() -> Patch:
    """Each slot knows its own readings alone."""

    def forgetful(readings: set[Reading], every_ms: int, start_ms: int, end_ms: int) -> Iterator[Any]:
        for at in range(start_ms, end_ms, every_ms):
            within = [one for one in readings if at * 1000 <= one.time_us < (at + every_ms) * 1000]
            if within:
                yield from levels(within, every_ms, at, at + every_ms)

    return mock.patch("processors.series.levels", forgetful)


@planted("I6")
def days_that_pass_owe_nothing() -> Patch:
    """Levels are carried only once something else is used."""
    return mock.patch.object(Rater, "_carry_on", lambda self, due: None)


@planted("I6")
def a_clock_that_stands_still() -> Patch:
    """As if records of usage.windows had no timestamps."""
    add = Rater.add

    def timeless(self: Rater, values: list[bytes], clock_ms: int = BEGIN_MS) -> None:
        add(self, values)

    return mock.patch.object(Rater, "add", timeless)


@planted("I4", "I6")
def a_version_that_days_do_not_raise() -> Patch:
    """The total of a gauge grows with the day, and its version does not."""
    versions = AccountUsage.versions

    def timeless(self: AccountUsage, account: str, meters: Any, since: date, days: list[date]) -> dict[date, int]:
        carried, self.carried = self.carried, frozenset()
        try:
            return versions(self, account, meters, since, days)
        finally:
            self.carried = carried

    return mock.patch.object(AccountUsage, "versions", timeless)


@planted("I4", "I6")
def a_rated_version_that_goes_back() -> Patch:
    """The number of rows in the batch, which was high at the start."""
    totals = rate_stage._totals

    def counted(rows: list[RatedRow]) -> Any:
        return {
            place: msgspec.structs.replace(row, version=len(rows)) if row.version > 0 else row
            for place, row in totals(rows).items()
        }

    return mock.patch.object(rate_stage, "_totals", counted)


@planted("I6", "bug")
def a_contracts_period_taken_as_the_calendar_month() -> Patch:
    honest = rate_contracts.periods_of

    def by_months(contract: Contract, start: date, end: date) -> Iterator[BillingPeriod]:
        return honest(msgspec.structs.replace(contract, anchor=Anchor(), time_zone="UTC"), start, end)

    return mock.patch("processors.rate.periods_of", by_months)


@planted("I6")
def a_change_of_plan_that_waits_for_the_next_period() -> Patch:
    honest = rate_contracts.rate_period

    def unchanged(contract: Contract, *args: Any, **named: Any) -> Any:
        return honest(msgspec.structs.replace(contract, change=()), *args, **named)

    return mock.patch.object(rate_contracts, "rate_period", unchanged)


@planted("I6")
def parts_told_apart_by_nothing() -> Patch:
    """One message for all parts of a price."""
    place = rate_stage._PLACE
    return mock.patch.object(rate_stage, "_PLACE", lambda row: (*place(row)[:5], ""))


@planted("I6")
def periods_told_apart_by_their_segments_alone() -> Patch:
    """What this looks for is a contract that changes on the day on which its next period begins."""
    place = rate_stage._PLACE

    def without_period(row: Any) -> Any:
        account, _, *rest = place(row)
        return (account, date.min, *rest)

    return mock.patch.object(rate_stage, "_PLACE", without_period)


@planted("I4", "I6")
def openings_sent_again() -> Patch:
    """Alone on the topic, the opening row of a period takes the place of its total. Looked for where that topic is
    compacted often."""
    stack = contextlib.ExitStack()
    whole = Rater._whole

    def again(self: Rater, due: Any) -> Any:
        self._begun.clear()
        return whole(self, due)

    stack.enter_context(mock.patch.object(Rater, "_whole", again))
    stack.enter_context(mock.patch.multiple(mischief, WINDOWS="usage.rated", MARKS="usage.rated"))
    stack.enter_context(mock.patch.dict(mischief._KINDS, {mischief.compact: 40}))
    return stack


@planted("I6")
def the_topic_told_before_the_tables() -> Patch:
    """What died between the two is on the topic for ever, as a newer catalogue looks into the tables."""
    taken_back = rate_stage._taken_back

    def all_of_it(back: list[RatedRow], rows: list[RatedRow]) -> Any:
        return taken_back(back, rows) | rate_stage._totals(rows)

    return mock.patch.object(rate_stage, "_taken_back", all_of_it)


@planted("I6")
def usage_beside_a_contract_left_out() -> Patch:
    """Of the day within which it ends, and of the one within which the next begins."""
    return mock.patch.object(Rater, "_gaps", lambda self, due: iter(()))


@planted("I6")
def the_topic_told_of_nothing_taken_back() -> Patch:
    return mock.patch.object(rate_stage, "_taken_back", lambda back, rows: {})


@planted("alerts")
def an_alert_keyed_by_attempt() -> Patch:
    attempts = itertools.count()
    honest = Alert.key

    def key(self: Alert) -> bytes:
        return json.dumps([*json.loads(honest(self)), next(attempts)]).encode()

    return mock.patch.object(Alert, "key", key)


@planted("alerts")
def alerts_remembered_by_nobody() -> Patch:
    """A new start does not ask what was announced."""
    begin = Budgets.__init__
    return mock.patch.object(Budgets, "__init__", lambda self, budgets, announced: begin(self, budgets, ()))


@planted("alerts")
def alerts_that_add_up_what_comes() -> Patch:
    """Totals taken for deltas: a row that is read twice counts twice."""
    crossed, serial = Budgets.crossed, itertools.count()

    def adding(self: Budgets, row: RatedRow) -> list[Alert]:
        return crossed(self, msgspec.structs.replace(row, part=f"{row.part}{next(serial)}"))

    return mock.patch.object(Budgets, "crossed", adding)


@planted("alerts")
def announced_before_it_is_sent() -> Patch:
    """A process that dies in between has told nobody, and the next one finds nothing to tell."""
    crossed = Budgets.crossed
    said: set[bytes] = set()

    def once(self: Budgets, row: RatedRow) -> list[Alert]:
        alerts = [alert for alert in crossed(self, row) if alert.key() not in said]
        said.update(alert.key() for alert in alerts)
        return alerts

    @contextlib.contextmanager
    def plant() -> Iterator[None]:
        said.clear()
        with mock.patch.object(Budgets, "crossed", once):
            yield

    return plant()
