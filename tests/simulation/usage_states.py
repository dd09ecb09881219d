"""States of the recount in the form that a price takes them, and what gauges were."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, localcontext
from itertools import pairwise

from rating.states import Count, High, Latest, Level, Low, Mean, Members, State, Sum
from tests.simulation.oracle import State as Counted


def state_of(aggregation: str, states: Iterable[Counted]) -> State:
    """What the parts of one window come to together; not for gauges, whose states depend on the time before."""
    held = list(states)
    events, total = sum(one.events for one in held), sum((one.sum for one in held), Decimal(0))
    match aggregation:
        case "count":
            return Count(events)
        case "sum":
            return Sum(total)
        case "avg":
            return Mean(total, events)
        case "min":
            return Low(min(one.lowest for one in held if one.lowest is not None))
        case "max":
            return High(max(one.highest for one in held if one.highest is not None))
        case "latest":
            time_us, value = max(one.latest for one in held if one.latest is not None)
            return Latest(time_us, 0, 0, value)
    return Members(frozenset(str(value).encode() for one in held for value, _ in one.members))


def level_of(readings: list[tuple[int, Decimal]], begin_us: int, end_us: int) -> Level | None:
    """What a gauge was in [begin_us, end_us), reading by reading; None where it was not there yet."""
    edges = [begin_us, *(at for at, _ in readings if begin_us < at < end_us), end_us]
    area, seen = Decimal(0), list[Decimal]()
    for since, until in pairwise(edges):
        held = [value for at, value in readings if at <= since]
        if held:
            area = exactly(area, held[-1], until - since)
            seen.append(held[-1])
    return Level(area, end_us - begin_us, max(seen), min(seen), seen[-1], end_us) if seen else None


def exactly(one: Decimal, other: Decimal, times: int = 1) -> Decimal:
    """one + other * times, however many digits that has."""
    with localcontext(prec=200):
        return one + other * times
