"""The state in Redis against the recount, both at the offset of the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.catalogue import Catalogue, Meter
from processors.held import Held, HeldNumbers, HeldRow
from reconcile.compare import compare_identities, named
from reconcile.differences import Difference, Outcome, Trail, at_ms, differing
from reconcile.recount import Recount, WindowKey
from reconcile.states import Row, Sample
from reconcile.takes import MeterKey
from reconcile.values import numbered_identity

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


class RedisSide:
    """Of one partition. Only hours and windows that begin at `since_ms` or later count."""

    def __init__(self, outcome: Outcome, catalogue: Catalogue, partition: int, recount: Recount, since_ms: int) -> None:
        self._outcome, self._catalogue, self._partition = outcome, catalogue, partition
        self._recount, self._since_ms = recount, since_ms
        self._meters: dict[MeterKey, Meter] = {(one.id, one.version): one for one in catalogue.meters}
        late = max((one.lateness_ms for one in catalogue.events), default=0)
        self._first_hour = max((recount.clock_ms - late) // _HOUR_MS, -(-since_ms // _HOUR_MS))

    def _open(self, hour: int) -> bool:
        return hour >= self._first_hour

    def compare_identities(self, hours: Mapping[int, set[int]]) -> None:
        """Every identity of every hour that is open."""
        compare_identities(self._outcome, self._partition, self._recount.hours, hours, self._open)

    def compare_numbers(self, days: Mapping[int, HeldNumbers]) -> None:
        """The numbered events of every open day: the sum of their identities, and the newest of each source."""
        recount, since_day = self._recount, -(-self._since_ms // _DAY_MS)
        first_day = max(self._first_hour // 24, since_day)
        for day in sorted(day for day in {*recount.days, *days} if day >= first_day):
            sources = recount.days.get(day, {})
            total = [0, 0]
            for source, numbers in sources.items():
                for number in numbers.held:
                    one = numbered_identity(source, number)
                    total = [(total[0] + (one >> 64)) % 2**64, (total[1] + one % 2**64) % 2**64]
            self._outcome.compared["numbers"] += sum(len(numbers.held) for numbers in sources.values())
            newest = {f"{source:032x}": numbers.newest_ms for source, numbers in sources.items()}
            there = days.get(day, HeldNumbers(0, 0, {}))
            theirs = {f"{source:032x}": newest_ms for source, newest_ms in there.newest_ms.items()}
            expected, found = differing(
                {**dict.fromkeys(theirs), **newest, "sum of identities": total},
                {**theirs, "sum of identities": [there.high, there.low]},
            )
            if expected:
                self._outcome.differ(
                    Difference(
                        place="redis",
                        what="the numbers of sources differ",
                        partition=self._partition,
                        window_start=at_ms(day * _DAY_MS),
                        expected=expected,
                        found=found,
                    )
                )

    def compare_lengths(self, hours: Mapping[int, int]) -> None:
        """How many identities each open hour holds: all that the head alone tells."""
        mine = {f"hour {hour}": len(ids) for hour, ids in self._recount.hours.items() if self._open(hour)}
        theirs = {f"hour {hour}": count for hour, count in hours.items() if self._open(hour)}
        expected, found = differing({**dict.fromkeys(theirs, 0), **mine}, theirs)
        if expected:
            what = "the numbers of identities differ"
            self._outcome.differ(
                Difference(place="redis", what=what, partition=self._partition, expected=expected, found=found)
            )

    def compare_partials(self, held: Held, done_ms: Mapping[MeterKey, int]) -> None:
        """Open partials must be there and equal; a closed one may be gone, and so may one of events that came back, if
        it is acknowledged.

        `done_ms`: windows of a meter that start before it were compared with ClickHouse, and are forgotten here.
        """
        seen: set[tuple[WindowKey, int]] = set()
        for one in held.rows():
            if one.start_ms < self._since_ms:
                continue
            window: WindowKey = (*one.key, one.series, one.start_ms, one.admission)
            state = self._recount.state_of(window)
            if state is None and not one.admission and one.start_ms < done_ms[one.key]:
                continue
            self._outcome.compared["partials"] += 1
            wanted = dict(state.rows()).get(one.chunk) if state is not None else None
            found = stored_row(one)
            if wanted != found:
                self._differ("a partial differs" if wanted else "a partial of no event", window, wanted, found)
            seen.add((window, one.chunk))
        for window, state in self._recount.states():
            if window[4]:
                gone = state.offset < held.head.published
            else:
                gone = window[3] + self._meters[window[:2]].window_ms <= self._recount.open_since_ms(window[:2])
            if gone:
                continue
            for chunk, row in state.rows():
                if (window, chunk) not in seen:
                    self._differ("a partial is missing", window, row, None)

    def _differ(self, what: str, window: WindowKey, wanted: Row | None, found: Row | None) -> None:
        mine: Any = None if wanted is None else wanted._asdict()
        theirs: Any = None if found is None else found._asdict()
        if mine is not None and theirs is not None:
            mine, theirs = differing(mine, theirs)
        self._outcome.differ(
            Difference(
                place="redis",
                what=what,
                partition=self._partition,
                expected=mine,
                found=theirs,
                **named(self._catalogue, window),
            ),
            Trail(self._partition, key=window),
        )


def stored_row(one: HeldRow) -> Row:
    """As the recount has it."""
    members = one.members
    if members is not None:
        members = frozenset(Sample(*member) if isinstance(member, tuple) else member for member in members)
    return Row(one.offset, one.events, one.sum, one.value, one.time_us, one.identity, members)
