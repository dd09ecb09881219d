"""What the totals must be, and in words how somebody's differ."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from benchmarks.peers.job import Key, Totals, add
from benchmarks.peers.reading import PRECISION
from edge.truth import rows


class Answer(msgspec.Struct):
    """How one side's totals compare with the truth."""

    totals: int  # that there must be
    missing: int = 0
    low: int = 0
    high: int = 0
    unknown: int = 0  # totals that must not be there
    share: float = 0.0  # of all quantities, meter by meter, the one that is furthest off: 0.02 is 2% too much

    @property
    def equal(self) -> bool:
        return not (self.missing or self.low or self.high or self.unknown)

    def __str__(self) -> str:
        if self.equal:
            return "equal"
        parts = [
            f"{count:,} {name}"
            for count, name in (
                (self.missing + self.low, "too low"),
                (self.high, "too high"),
                (self.unknown, "unheard of"),
            )
            if count
        ]
        return f"DIFFERS in {', '.join(parts)} of {self.totals:,} totals; worst meter {self.share:+.3%}"


def expected(truths: Iterable[Mapping[str, Any]]) -> Totals:
    """The totals of several loads on one topic, from what their generator says."""
    totals: Totals = {}
    for truth in truths:
        hours = {text: int(datetime.fromisoformat(text).timestamp()) // 3600 for text in truth["hours"]}
        for meter in truth["meters"]:
            scale = 10 ** PRECISION.get(meter, 0)
            for row in rows(truth, meter):
                ((_, dimension),) = row.dimensions
                add(totals, (meter, row.subject, dimension, hours[row.hour]), int(row.quantity * scale))
    return totals


def compare(wanted: Mapping[Key, int], found: Mapping[Key, int]) -> Answer:
    """Total by total. A total of zero is as good as none: a sum of nothing but zeros need not be kept."""
    answer = Answer(len(wanted))
    by_meter: dict[str, list[int]] = {}
    for key in wanted.keys() | found.keys():
        want, have = wanted.get(key, 0), found.get(key, 0)
        both = by_meter.setdefault(key[0], [0, 0])
        both[0] += want
        both[1] += have
        if want == have:
            continue
        answer.unknown += key not in wanted
        answer.missing += key not in found
        if key in wanted and key in found:
            answer.low += have < want
            answer.high += have > want
    shares = [(have - want) / want if want else 1.0 for want, have in by_meter.values() if want != have]
    answer.share = max(shares, key=abs, default=0.0)
    return answer
