"""Who pays (accounts) and on which plan from when to when (contracts)."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec.structs import force_setattr

from rating.prices import Id

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """The subjects that an account pays for, from an instant on (None: always); `from` in files."""

    id: Id
    subjects: tuple[Id, ...] = ()
    from_: Instant | None = None

    def __post_init__(self) -> None:
        if self.from_ is not None:
            force_setattr(self, "from_", _utc(self.from_, "from"))


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """An account is on a plan in [from, to), both UTC midnights since days are what is priced; no `to`: no end."""

    account: Id
    plan: Id
    from_: Instant
    to: Instant | None = None

    def __post_init__(self) -> None:
        faults = []
        for field, name in (("from_", "from"), ("to", "to")):
            written = getattr(self, field)
            if written is None:
                continue
            instant = _utc(written, name)
            force_setattr(self, field, instant)
            if (instant.hour, instant.minute, instant.second, instant.microsecond) != (0, 0, 0, 0):
                faults.append(f"{name}: {instant.isoformat()} must be midnight UTC")
        if self.to is not None and self.to <= self.from_:
            faults.append(f"to: {self.to.isoformat()} must be after from, {self.from_.isoformat()}")
        if faults:
            raise ValueError("; ".join(faults))


def _utc(instant: datetime, name: str) -> datetime:
    if instant.tzinfo is None:  # msgspec refuses this on conversion; the constructor does not check
        raise ValueError(f"{name}: {instant.isoformat()} has no zone; end it with Z")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name}: {instant.isoformat()} is outside the years 1 to 9999 in UTC") from None
