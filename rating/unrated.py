"""Usage that nothing prices, and why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from rating.calendar import BillingPeriod
from rating.charges import instant_of, ms
from rating.numbers import ZERO, shown
from rating.prices import meters_of
from rating.rated import UnratedRow
from rating.states import State, merged
from rating.timeline import Span, Stretch
from rating.totals import Total

Priced = Mapping[str, Sequence[tuple[int, int]]]  # of each meter, when it has a price


def priced_times(spans: Iterable[Span]) -> Priced:
    """When each meter has a price, in milliseconds."""
    found: dict[str, list[tuple[int, int]]] = {}
    for span in spans:
        for meter in meters_of(span.price):
            found.setdefault(meter, []).append((ms(span.start), ms(span.end)))
    return found


def unrated_rows(
    totals: Iterable[Total], priced: Priced, stretches: Sequence[Stretch], period: BillingPeriod
) -> Iterator[UnratedRow]:
    """A row for each meter and reason, for totals that begin in the period and while their meter has no price."""
    first = ms(period.start)
    found: dict[tuple[str, str, datetime, datetime], list[State]] = {}
    for total in totals:
        at = total.start_ms
        if at < first or any(start <= at < end for start, end in priced.get(total.meter, ())):
            continue
        found.setdefault((total.meter, *_reason(instant_of(at), stretches, period)), []).append(total.state)
    for (meter, reason, start, end), states in sorted(found.items()):
        state = merged(states)
        yield UnratedRow(meter, ZERO if state is None else shown(state.quantity()), reason, start, end)


def _reason(at: datetime, stretches: Sequence[Stretch], period: BillingPeriod) -> tuple[str, datetime, datetime]:
    for stretch in stretches:
        if stretch.end is not None and stretch.start <= at < stretch.end:
            names = dict.fromkeys(f"{plan.id!r} version {plan.version}" for _, plan in stretch.held)
            if stretch.plan is not None:
                names.setdefault(f"{stretch.plan.id!r} version {stretch.plan.version}")
            reasons = [*stretch.missing]
            if names:
                verb = "plans {} have" if len(names) > 1 else "plan {} has"
                reasons.append(f"{verb.format(', '.join(names))} no price for this meter")
            return "; ".join(reasons), stretch.start, stretch.end
    return "no contract at that time", period.start, period.end
