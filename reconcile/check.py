"""The whole check: every partition of the events topic against Redis, ClickHouse and the ledger, and then the money."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

from clickhouse_connect.driver.client import Client

from config.catalogue import BEGIN_MS, Catalogue, epoch_ms
from config.settings import Settings
from processors.held import Held, look
from processors.partials import DamagedError
from processors.state import RedisSlot, connect
from reconcile.differences import Difference, Outcome, at_ms
from reconcile.evidence import Evidence
from reconcile.log import Log
from reconcile.partition import Frozen, PartitionCheck
from reconcile.rated import compare_rated
from reconcile.rates import Rates
from reconcile.recount import Recount
from reconcile.tables import Tables
from sinks.clickhouse import reader
from sinks.topics import partition_count, topic_id

PATIENCE_S = 15.0  # for rows on their way: longer than a checkpoint and an insert take together
RATED_PATIENCE_S = 5.0  # longer than processing.rate_interval_ms while there is no more to read, and an insert
_LOOK_S = 0.5
_DAY_MS = 86_400_000

Counted = Callable[[int], None]


class Begin:
    """Where a partition's check begins: at offset `start`, from where windows that start at `since_ms` are whole."""

    def __init__(self, start: int, since_ms: int) -> None:
        self.start, self.since_ms = start, since_ms


class Check:
    """One check of one events topic. `from_`: only windows that start then or later."""

    def __init__(self, settings: Settings, catalogue: Catalogue, from_: datetime | None = None) -> None:
        self.outcome = Outcome()
        self._settings, self._catalogue, self._from = settings, catalogue, from_
        kafka = settings.kafka
        self.topic = topic_id(kafka, kafka.events_topic)
        self.partitions = partition_count(kafka, kafka.events_topic)
        self._log = Log(kafka)
        self._redis = connect(settings.redis.url)
        self._client: Client = reader(settings.clickhouse)
        self._tables = Tables(self._client, self.topic)
        self._rates = Rates(catalogue)
        self._begins: dict[int, Begin] = {}
        self._targets: dict[int, int] = {}

    def close(self) -> None:
        self._log.close()
        self._redis.close()
        self._client.close()

    # -- once

    def once(self, counted: Counted, evidence_max: int) -> Outcome:
        """All of it. `counted` is told the number of messages read; events are found for `evidence_max` differences."""
        self._look_around()
        heads = {}
        for partition in range(self.partitions):
            frozen = self._freeze(partition, whole=True)
            heads[partition] = frozen.redis_offset
            check = self._begin(partition)
            self._round(check, frozen, counted)
            self._settle(check)
            check.take_rest()
            self._verify(check, counted)
        self._compare_rated(heads)
        self._find_evidence(evidence_max, counted)
        return self.outcome

    def _round(self, check: PartitionCheck, frozen: Frozen, counted: Counted, *, more: bool = False) -> None:
        self._targets[check.partition] = frozen.target
        check.read(self._log.read(check.partition, check.recount.offset, frozen.target), frozen, counted)
        check.compare_tables(later_rounds=more)
        if not more and check.reach > check.recount.offset:
            self._targets[check.partition] = check.reach
            check.read_on(self._log.read(check.partition, check.recount.offset, check.reach), counted)

    def _settle(self, check: PartitionCheck) -> None:
        """A second look at rows that were on their way."""
        until = time.monotonic() + PATIENCE_S
        while check.waiting and time.monotonic() < until:
            time.sleep(_LOOK_S)
            check.look_again(self._freeze(check.partition, whole=False).acknowledged)
        if check.waiting:
            self.outcome.waiting += check.waiting
            self.outcome.leave_out(
                f"partition {check.partition}: {check.waiting:,} rows are in Redis, and no owner has sent them to "
                "ClickHouse yet; `tollstream run` sends them: then check again"
            )

    def _verify(self, check: PartitionCheck, counted: Counted) -> None:
        """Whether what commands said of the archive was true: one more reading, where events came back."""
        partition, claims = check.partition, check.claims
        if claims.made:
            begin, end = self._begins[partition], self._targets[partition]
            recount = self._fresh(partition)
            letters = claims.letters(self.topic, partition)
            if letters:
                claims.identify(recount, self._log.read(partition, min(letters), max(letters) + 1))
            claims.count(recount, self._log.read(partition, begin.start, end), counted)
            claims.compare(self.outcome, partition)

    def _fresh(self, partition: int) -> Recount:
        skew_ms, since_ms = self._settings.processing.skew_ms, self._begins[partition].since_ms
        return Recount(self._catalogue, self._settings.limits, skew_ms, since_ms)

    # -- again and again

    def follow(self, counted: Counted) -> Iterator[int]:
        """Rounds behind the running processors: yields the number of messages behind each, when it is over.

        Of Redis each round looks at the head alone: ledger, clock and the number of identities. Money is not rated.
        """
        self._look_around()
        checks = [self._begin(partition, take=False) for partition in range(self.partitions)]
        while True:
            read = 0
            for check in checks:
                before = check.recount.offset
                self._round(check, self._freeze(check.partition, whole=False), counted, more=True)
                read += check.recount.offset - before
            self.outcome.waiting = sum(check.waiting for check in checks)
            yield read

    # -- what stands where

    def _begin(self, partition: int, *, take: bool = True) -> PartitionCheck:
        begin = self._begins[partition] = self._where(partition)
        return PartitionCheck(
            partition,
            self._catalogue,
            self._settings,
            self._tables,
            self.outcome,
            begin.start,
            begin.since_ms,
            self._rates.take if take else None,
        )

    def _where(self, partition: int) -> Begin:
        """Offset 0; or where windows from the instant asked for begin; or what a shortened log still has whole."""
        low = self._log.low(partition)
        skew = self._settings.processing.skew_ms
        since, start = BEGIN_MS, 0
        if self._from is not None:
            since = self._whole(epoch_ms(self._from))
            found = self._log.first_at(partition, since - skew)
            start = self._freeze(partition, whole=False).target if found is None else found
        if start >= low and not (start == low > 0):
            return Begin(start, since)
        first = next(iter(self._log.read(partition, low, low + 1)), None)
        whole = BEGIN_MS if first is None else self._whole(first[1] + skew)
        if since < whole:
            self.outcome.leave_out(
                f"partition {partition}: the log begins at offset {low}: messages 0 to {low - 1} are gone, so the "
                f"ledger and windows that start before {at_ms(whole)} are not checked; --from asks for less"
            )
        return Begin(low, max(since, whole))

    def _whole(self, at_ms: int) -> int:
        """The first instant at or after this one that no window, no hour of ids and no day of numbers straddles."""
        return -(-at_ms // _DAY_MS) * _DAY_MS

    def _freeze(self, partition: int, *, whole: bool) -> Frozen:
        """The ledger first: usage below its offset was acknowledged before it, and Redis is ahead of both."""
        ledger = self._tables.ledgers().get(partition)
        slot = RedisSlot(self._redis, self.topic, partition)
        held: Held | None = None
        head = None
        what = ""
        try:
            head = slot.peek()
            held = look(slot, self._catalogue, self._settings) if whole else None
            head = held.head if held else head
        except DamagedError as error:
            what = f"the state cannot be read: {error}"
        if head is None and ledger is not None and not what:
            what = f"there is no state, while the ledger has reached offset {ledger[0]}"
        if what and whole:
            self.outcome.differ(Difference(place="redis", what=what, partition=partition))
        counts = None
        if head is not None:
            ledger_counts = {name: getattr(head.ledger, name) for name in head.ledger.__struct_fields__}
            hours = {hour: length // 16 for hour, length in head.manifest.hours.items()}
            counts = ({**ledger_counts, "clock_ms": head.clock_ms}, hours)
        return Frozen(
            redis_offset=head.offset if head else None,
            acknowledged=max(head.published if head else 0, ledger[0] if ledger else 0),
            held=held,
            head=counts,
            ledger=ledger,
        )

    def _look_around(self) -> None:
        """Rows that belong to no partition, meter or topic that we go through."""
        known = {(one.id, one.version) for one in self._catalogue.meters}
        for partition, meter, version, count in self._tables.sources():
            if partition >= self.partitions or (meter, version) not in known:
                what = f"{count:,} rows of a partition that the topic, or a meter that the catalogue, does not have"
                self.outcome.differ(
                    Difference(place="usage", what=what, partition=partition, meter=meter, meter_version=version)
                )
        for partition in self._tables.ledgers():
            if partition >= self.partitions:
                what = "a ledger of a partition that the topic does not have"
                self.outcome.differ(Difference(place="ledger", what=what, partition=partition))
        for topic in self._tables.others() if self._from is None else ():
            self.outcome.leave_out(f"usage of topic {topic}: its log is gone, so there is nothing to compare it with")

    # -- money

    def _compare_rated(self, heads: dict[int, int | None]) -> None:
        """Only where usage stands still, since rated rows carry no offset to compare at."""
        if self._tables.others():
            self.outcome.leave_out("rated usage: it holds usage of other topics as well, whose logs are gone")
            return
        kinds = {(one.id, one.aggregation) for one in self._catalogue.meters}
        if len(kinds) > len({meter for meter, _ in kinds}):
            self.outcome.leave_out("rated usage: a meter changes its aggregation from one version to the next")
            return
        since_ms = max(one.since_ms for one in self._begins.values())
        since = date.min if since_ms == BEGIN_MS else _month_after(since_ms)
        until = time.monotonic() + RATED_PATIENCE_S
        while True:
            trial = Outcome()
            compare_rated(self._rates, self._client, trial, since)
            if not trial.count or time.monotonic() > until:
                break
            time.sleep(_LOOK_S)
        moved = [p for p, offset in heads.items() if self._freeze(p, whole=False).redis_offset != offset]
        if trial.count and (moved or self.outcome.waiting):
            self.outcome.leave_out("rated usage: usage moved on while it was compared; check when `run` has caught up")
            return
        for difference, trail in trial.differences:
            self.outcome.differ(difference, trail)
        self.outcome.count += trial.count - len(trial.differences)
        self.outcome.compared += trial.compared

    # -- evidence

    def _find_evidence(self, most: int, counted: Counted) -> None:
        chosen = self.outcome.sample(most)
        for partition in range(self.partitions):
            evidence = Evidence(partition, chosen)
            if evidence.wanted:
                messages = self._log.read(partition, self._begins[partition].start, self._targets[partition])
                evidence.collect(self._fresh(partition), messages)


def _month_after(at_ms: int) -> date:
    """The first month that begins at this instant or later."""
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms - 1)).date() + timedelta(days=1)
    return day if day.day == 1 else (day.replace(day=1) + timedelta(days=32)).replace(day=1)
