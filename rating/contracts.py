"""Who pays (accounts), and what was agreed with them from when to when (contracts)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec

from rating.calendar import Anchor, Calendar
from rating.checks import Limit
from rating.commitments import Commitment
from rating.coupons import Coupon
from rating.credits import Credit
from rating.instants import Dated, Instant, instant_text
from rating.prices import Amount, Id, Price
from rating.proration import Proration

Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
TiersOnChange = Literal["restart", "prorate", "continue", "reprice"]


class Account(Dated, frozen=True):
    """The subjects that an account pays for, from an instant on (None: always); `from` in files."""

    id: Id
    subjects: tuple[Id, ...] = ()
    from_: Instant | None = None


class Change(Dated, frozen=True):
    """From `at` on the contract's plan is this one. `version` None: the highest in effect at each instant."""

    at: Instant
    plan: Id
    version: Version | None = None


class AddOn(Dated, frozen=True):
    """A plan held beside the contract's own in [from, to), by default as long as the contract."""

    plan: Id
    version: Version | None = None
    from_: Instant | None = None
    to: Instant | None = None


class Override(Dated, frozen=True):
    """`price` takes the place of the price of the same id, for this contract, in [from, to)."""

    price: Price
    from_: Instant | None = None
    to: Instant | None = None


class Contract(Dated, frozen=True):
    """What holds for an account in [from, to); no `to`: no end. Of one account, one contract at a time.

    `plan` changes at each `change`, and each `add_on` is a plan at the same time. Periods begin on the `anchor` at
    midnight of `time_zone`. `currency` None: that of its plans, which all have the same.

    `tiers_on_change` says what becomes of tiers and allowances when the price of an id changes within a period:
    restart (each part prices its own usage anew), prorate (the same, with bounds and amounts of the tiers by the share
    of the period), continue (each part prices its usage on top of what came before), reprice (the last price prices the
    whole period). `proration` is how flat prices and the minimum are shared out when held for part of a period.
    """

    limits: ClassVar[Mapping[str, Limit]] = {"minimum": "not negative"}
    account: Id
    plan: Id
    from_: Instant
    to: Instant | None = None
    version: Version | None = None
    currency: str | None = None
    anchor: Anchor = Anchor()
    time_zone: str = "UTC"
    tiers_on_change: TiersOnChange | None = None
    proration: Proration = "none"
    late_policy: Literal["reprice_original", "marginal_in_current"] = "reprice_original"
    minimum: Amount | None = None
    change: tuple[Change, ...] = ()
    add_on: tuple[AddOn, ...] = ()
    override: tuple[Override, ...] = ()
    commitment: tuple[Commitment, ...] = ()
    credit: tuple[Credit, ...] = ()
    coupon: tuple[Coupon, ...] = ()

    @property
    def calendar(self) -> Calendar:
        """Where its periods begin."""
        return Calendar(self.anchor, self.time_zone)

    @property
    def name(self) -> str:
        """What tells it from other contracts: the account, and the instant from which it holds."""
        return f"{self.account}/{instant_text(self.from_)}"

    @property
    def plans(self) -> tuple[str, ...]:
        """The ids of all plans that it ever names."""
        return (self.plan, *(change.plan for change in self.change), *(add_on.plan for add_on in self.add_on))

    def instants(self) -> list[tuple[str, datetime]]:
        """Every instant that is written in it and at which prices change, as (path, instant)."""
        found: list[tuple[str, datetime | None]] = [("from", self.from_), ("to", self.to)]
        found += [(f"change[{place}].at", change.at) for place, change in enumerate(self.change)]
        named: list[tuple[str, Sequence[AddOn | Override | Commitment]]] = [
            ("add_on", self.add_on),
            ("override", self.override),
            ("commitment", self.commitment),
        ]
        for name, parts in named:
            for place, part in enumerate(parts):
                found += [(f"{name}[{place}].from", part.from_), (f"{name}[{place}].to", part.to)]
        return [(path, instant) for path, instant in found if instant is not None]
