"""What was used: the state of one meter for one series (subject and dimensions) in one window."""

from collections.abc import Mapping
from datetime import date

import msgspec

from rating.states import State

_EPOCH_DAY = date(1970, 1, 1).toordinal()
DAY_MS = 86_400_000
Series = tuple[str, str, str, tuple[tuple[str, str], ...]]


class Total(msgspec.Struct, frozen=True):
    """One window, or one day, of a series: [start_ms, end_ms) in milliseconds since 1970, UTC.

    A period's usage is a sequence of these in any order, each (series, window) once or as states that merge.
    """

    meter: str
    start_ms: int
    end_ms: int
    state: State
    subject: str = ""
    dimensions: Mapping[str, str] = {}
    account: str = ""

    def label(self, name: str) -> str:
        """The value of a dimension; else `subject` and `account` mean what uses and who pays; else the empty text."""
        value = self.dimensions.get(name)
        if value is None:
            value = self.subject if name == "subject" else self.account if name == "account" else ""
        return value

    @property
    def series(self) -> Series:
        """What tells this series from others."""
        return self.meter, self.account, self.subject, tuple(sorted(self.dimensions.items()))


def day_ms(day: date) -> int:
    """The instant at which a day begins, UTC, in milliseconds since 1970."""
    return (day.toordinal() - _EPOCH_DAY) * DAY_MS
