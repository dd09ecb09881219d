"""The catalogue: what is measured (events, meters), and who pays what (plans, accounts, contracts). Immutable values.

The structs are both the TOML tables and the published records. `config.loader` checks what spans several of them;
code that builds them by hand gets no cross checks. Instants are UTC.
"""

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from config.formulas import Formula
from rating.contracts import Account, Contract
from rating.plans import Plan
from rating.prices import Id
from rating.rate import Tariff
from rating.timeline import Versions

Aggregation = Literal["sum", "count", "min", "max", "avg", "latest", "unique", "gauge"]
Window = Literal["1m", "5m", "15m", "1h", "1d"]
WINDOW_MS: dict[str, int] = {"1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000, "1d": 86_400_000}

# Stand for -infinity and +infinity as integers: 31,000 years off, and still an int64 when counted in microseconds.
BEGIN_MS, END_MS = -(10**15), 10**15

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_ms(instant: datetime) -> int:
    """Milliseconds since 1970, floored; exact, as no float is involved."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def instant_of(at_ms: int) -> datetime:
    """The UTC instant; OverflowError beyond the year 9999."""
    return _EPOCH + timedelta(milliseconds=at_ms)


class EventType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`lateness_ms`: an event is late when its time is more than this behind the partition's clock."""

    type: Id
    lateness_ms: Annotated[int, Meta(ge=1)]


class Meter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """One version of a meter. `value` and `dimensions` are dotted paths in `data`; `value` may be a formula over some.

    `filter` maps a path to the texts that it lets through. The version takes events with time >= `from_` (None: all),
    until the next version begins.
    """

    id: Id
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    event_type: Id
    aggregation: Aggregation
    value: Id | Formula | None = None
    dimensions: tuple[Id, ...] = ()
    filter: dict[str, tuple[str, ...]] = {}
    window: Window = "1h"
    precision: Annotated[int, Meta(ge=0, le=12)] = 0  # decimal digits kept exactly
    allow_negative: bool = False
    from_: datetime | None = None

    @property
    def window_ms(self) -> int:
        return WINDOW_MS[self.window]

    @property
    def value_paths(self) -> tuple[str, ...]:
        """The paths in `data` that the value comes from; none for count."""
        if isinstance(self.value, Formula):
            return self.value.product
        return () if self.value is None else (self.value,)

    @property
    def from_ms(self) -> int:
        return BEGIN_MS if self.from_ is None else epoch_ms(self.from_)


class MeterSpan(NamedTuple):
    """A meter version and the event times it takes: `from_ms <= time < to_ms`."""

    meter: Meter
    from_ms: int  # inclusive; BEGIN_MS for no bound
    to_ms: int  # exclusive; END_MS for no bound


class Catalogue(msgspec.Struct, frozen=True, dict=True):  # dict: room for the cached look-ups, which are no fields
    generation: int = 0  # 0: not published
    default_plan: str | None = None
    events: tuple[EventType, ...] = ()
    meters: tuple[Meter, ...] = ()
    plans: tuple[Plan, ...] = ()
    accounts: tuple[Account, ...] = ()
    contracts: tuple[Contract, ...] = ()

    def lateness_ms(self, event_type: str) -> int:
        """KeyError for a type that the catalogue does not have."""
        return self._lateness_ms[event_type]

    def meters_of(self, event_type: str) -> tuple[MeterSpan, ...]:
        """Every meter version of this event type with its span, by meter id and version; empty where it has none."""
        return self._spans.get(event_type, ())

    def account_of(self, subject: str, at_ms: int) -> str:
        """Who pays for `subject` at an instant: the mapping that began last, by default the subject itself."""
        for from_ms, account in self.mappings.get(subject, ()):
            if from_ms <= at_ms:
                return account
        return subject

    def account_ids(self) -> tuple[str, ...]:
        """The accounts that the catalogue names, sorted. A subject without a mapping is an account not listed here."""
        return tuple(sorted({a.id for a in self.accounts} | {c.account for c in self.contracts}))

    def tariff(self) -> Tariff:
        return self._tariff

    @property
    def versions(self) -> Versions:
        """The versions of each plan, ascending: what `rating.rate_period` asks of a catalogue."""
        return self._tariff.versions

    @cached_property
    def mappings(self) -> dict[str, tuple[tuple[int, str], ...]]:
        """subject -> ((from_ms, account), ...), the newest first."""
        owners: dict[str, list[tuple[int, str]]] = {}
        for account in self.accounts:
            from_ms = BEGIN_MS if account.from_ is None else epoch_ms(account.from_)
            for subject in account.subjects:
                owners.setdefault(subject, []).append((from_ms, account.id))
        return {subject: tuple(sorted(dated, reverse=True)) for subject, dated in owners.items()}

    @cached_property
    def _lateness_ms(self) -> dict[str, int]:
        return {event.type: event.lateness_ms for event in self.events}

    @cached_property
    def _spans(self) -> dict[str, tuple[MeterSpan, ...]]:
        spans: dict[str, list[MeterSpan]] = {}
        versions = sorted(self.meters, key=lambda meter: (meter.id, meter.version))
        for meter, after in zip(versions, [*versions[1:], None], strict=True):
            to_ms = after.from_ms if after is not None and after.id == meter.id else END_MS
            spans.setdefault(meter.event_type, []).append(MeterSpan(meter, meter.from_ms, to_ms))
        return {event_type: tuple(found) for event_type, found in spans.items()}

    @cached_property
    def _tariff(self) -> Tariff:
        return Tariff(self.default_plan, self.plans, self.contracts)
