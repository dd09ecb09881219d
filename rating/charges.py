"""The amounts of a piece: for its whole time as parts, and window by window for what is drawn in time order."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from msgspec.structs import replace

from rating.calendar import BillingPeriod
from rating.changes import Piece
from rating.commitments import Charge
from rating.kernels import flat_step
from rating.numbers import EXACT, ZERO, Quantity
from rating.prices import Matrix, Price, meters_of, price_amount
from rating.states import State, merged
from rating.totals import Total
from rating.usage import Combination, Part, Priced, Refused, Span, price_span

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def ms(instant: datetime) -> int:
    """Milliseconds since 1970."""
    return (instant - _EPOCH) // _MS


def instant_of(at_ms: int) -> datetime:
    """The UTC instant of milliseconds since 1970."""
    return _EPOCH + at_ms * _MS


def usage_of(piece: Piece, totals: Sequence[Total]) -> list[Total]:
    """The totals of a piece's meters up to its end. Raises ValueError for a window that its bounds would cut."""
    meters, start, end = meters_of(piece.price), ms(piece.start), ms(piece.end)
    found = [total for total in totals if total.start_ms < end and total.meter in meters]
    for total in found:
        if total.end_ms > end or total.start_ms < start < total.end_ms:
            raise ValueError(
                f"a window of meter {total.meter!r}, {instant_of(total.start_ms)} to {instant_of(total.end_ms)}, is cut"
                f" where price {piece.price.id!r} begins or ends: {piece.start} to {piece.end}"
            )
    return found


def price_piece(piece: Piece, totals: Sequence[Total], period: BillingPeriod, steps: bool) -> Priced:
    """The parts of a piece, from the totals of `usage_of`."""
    span = span_of_piece(piece, period)
    whole = price_span(piece.price, totals, span, steps=steps)
    if piece.since == piece.start:
        return whole
    start = ms(piece.start)
    earlier = [total for total in totals if total.start_ms < start]
    before = price_span(piece.price, earlier, span)  # the same span, so that slots without usage count alike
    added = tuple(_between(before.parts, whole.parts, steps))
    return Priced(added, tuple(_newly_refused(before.refused, whole.refused)))


def span_of_piece(piece: Piece, period: BillingPeriod) -> Span:
    """What is cumulated for a piece, in milliseconds."""
    return Span(
        start_ms=ms(piece.since),
        through_ms=ms(piece.through),
        end_ms=ms(piece.end),
        divisor_ms=ms(period.end) - ms(period.start),
    )


def _key(part: Part | Refused) -> Combination:
    return tuple(part.values.items())


def _between(before: Sequence[Part], after: Sequence[Part], steps: bool) -> Iterator[Part]:
    """What was added; a part that had no usage before is whole, and one that is gone is taken back.

    A cell of a matrix is the same part whatever joins it; what its own minimum adds is gone once it does not bite.
    """
    was = {key: part for part in before for key in _cumulated_as(part)}
    gone = {id(part): part for part in before}
    for part in after:
        old = next((was[key] for key in _cumulated_as(part) if key in was), None)
        if old is None:
            yield part
        else:
            yield _added(part, old, steps)
            del gone[id(old)]
    for old in gone.values():
        yield _added(Part(old.values, ZERO, ZERO), old, steps)


def _cumulated_as(part: Part) -> list[tuple[bool, Combination]]:
    """What a part has in common with itself before the change; a cell's and the whole matrix's are told apart."""
    return [(bool(part.joined), combination) for combination in part.combinations]


def _added(part: Part, old: Part, steps: bool) -> Part:
    taken = flat_step("less what was priced before the change", EXACT.minus(old.amount))
    return replace(
        part,
        quantity=_less(part.quantity, old.quantity),
        amount=EXACT.subtract(part.amount, old.amount),
        steps=(*part.steps, taken) if steps and old.amount else part.steps,
    )


def _newly_refused(before: Sequence[Refused], after: Sequence[Refused]) -> Iterator[Refused]:
    was = {_key(refused): refused.quantity for refused in before}
    for refused in after:
        quantity = _less(refused.quantity, was.get(_key(refused), ZERO))
        if quantity:
            yield Refused(refused.values, quantity, refused.reason)


def _less(one: Quantity, other: Quantity) -> Quantity:
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return EXACT.subtract(one, other)
    return Fraction(one) - Fraction(other)


def window_charges(piece: Piece, totals: Sequence[Total], period: BillingPeriod) -> Iterator[Charge]:
    """What each window adds to a piece, and its opening at the start; together they are the piece, exactly.

    What a rollup makes of a period is known when it is over, so such a price is one charge, at the end of the piece.
    """
    price = piece.price
    inner = [*price.cells.values(), price.fallback] if isinstance(price, Matrix) else []
    if any(one is not None and one.rollup is not None for one in (price, *inner)):
        for part in price_piece(piece, totals, period, False).parts:
            yield Charge(piece.end - _MS, piece.place, _key(part), price.id, part.amount)
    elif price.combine is not None or price.discount is not None or isinstance(price, Matrix):
        yield from _by_repricing(piece, totals, period)
    else:
        groups: dict[Combination, list[Total]] = {} if price.per else {(): []}
        for total in totals:
            groups.setdefault(tuple((name, total.label(name)) for name in price.per), []).append(total)
        for key, group in groups.items():
            yield from _by_merging(piece, key, group)


def _by_merging(piece: Piece, key: Combination, totals: Sequence[Total]) -> Iterator[Charge]:
    """Of one accumulator: its state grows window by window."""
    price, since, start = piece.price, ms(piece.since), ms(piece.start)
    windows: dict[int, list[State]] = {}
    before: list[State] = []
    for total in totals:
        if total.start_ms >= start:
            windows.setdefault(total.start_ms, []).append(total.state)
        elif total.start_ms >= since:
            before.append(total.state)
    state = merged(before)
    owed = ZERO
    if state is not None or not price.per:
        owed = _owed(price, state)
        if since == start:
            yield Charge(piece.start, piece.place, key, price.id, owed)
    for at in sorted(windows):
        state = merged([*([] if state is None else [state]), *windows[at]])
        now = _owed(price, state)
        yield Charge(instant_of(at), piece.place, key, price.id, EXACT.subtract(now, owed))
        owed = now


def _owed(price: Price, state: State | None) -> Decimal:
    return price_amount(price, ZERO if state is None else state.quantity())


def _by_repricing(piece: Piece, totals: Sequence[Total], period: BillingPeriod) -> Iterator[Charge]:
    """Of a price that looks at more than one quantity: all of it is priced again after each window."""
    start, span = ms(piece.start), span_of_piece(piece, period)
    owed = price_span(piece.price, totals, replace(span, through_ms=start)).amount
    if piece.since == piece.start:
        yield Charge(piece.start, piece.place, (), piece.price.id, owed)
    for at in sorted({total.start_ms for total in totals if total.start_ms >= start}):
        now = price_span(piece.price, totals, replace(span, through_ms=at + 1)).amount
        yield Charge(instant_of(at), piece.place, (), piece.price.id, EXACT.subtract(now, owed))
        owed = now
