"""The state in Redis against the recount, both at the offset of the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.catalogue import Catalogue, Meter
from processors.held import Held
from reconcile.compare import compare_identities, named
from reconcile.differences import Difference, Outcome, Trail, differing
from reconcile.recount import MeterKey, Recount, WindowKey
from reconcile.states import Row

_HOUR_MS = 3_600_000


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

    def compare_numbers(self, hours: Mapping[int, int]) -> None:
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
        """Open partials must be there and equal; a closed one may be gone, as it is acknowledged.

        `done_ms`: windows of a meter that start before it were compared with ClickHouse, and are forgotten here.
        """
        seen: set[tuple[WindowKey, int]] = set()
        for one in held.rows():
            if one.start_ms < self._since_ms:
                continue
            window: WindowKey = (*one.key, one.series, one.start_ms)
            state = self._recount.windows[one.key].get(one.start_ms, {}).get(one.series)
            if state is None and one.start_ms < done_ms[one.key]:
                continue
            self._outcome.compared["partials"] += 1
            wanted = dict(state.rows()).get(one.chunk) if state is not None else None
            found = Row(*one[4:])
            if wanted != found:
                self._differ("a partial differs" if wanted else "a partial of no event", window, wanted, found)
            seen.add((window, one.chunk))
        for window, state in self._recount.states():
            if window[3] + self._meters[window[:2]].window_ms <= self._recount.open_since_ms(window[:2]):
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
