"""States of the recount in the form that a price takes them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from rating.states import Count, High, Latest, Low, Mean, Members, State, Sum
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
