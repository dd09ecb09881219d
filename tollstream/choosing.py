"""Which letters a command is about: the options that `late` and `dead-letter` share."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tollstream.failures import UsageError
from tollstream.instants import instant

if TYPE_CHECKING:
    from sinks.letters import Choice

Status = Literal["waiting", "admitted", "duplicate", "unmetered"]
_COORDINATE = re.compile(r"([0-9]{1,9}):([0-9]{1,18}):([0-9]{1,9})", re.ASCII)


@Parameter(name="*")
@dataclass(frozen=True)
class Which:
    """Conditions that an event meets, all of them."""

    subject: Annotated[str | None, Parameter(help="Only events of this subject.")] = None
    type: Annotated[str | None, Parameter(help="Only events of this type.")] = None
    between: Annotated[
        tuple[str, str] | None,
        Parameter(
            negative=(),
            help="Only what came in at the first instant or later, and before the second; RFC 3339 or a day.",
        ),
    ] = None
    coordinate: Annotated[
        tuple[str, ...],
        Parameter(negative=(), help="Only this event, as PARTITION:OFFSET:INDEX; may be given many times."),
    ] = ()

    def chosen(self, status: Status | None = None) -> "Choice":
        """Raises UsageError for what cannot be read."""
        from sinks.letters import Choice, Coordinate

        start = end = None
        if self.between is not None:
            start, end = (instant(written, "--between") for written in self.between)
            if start >= end:
                raise UsageError(f"--between {self.between[0]} {self.between[1]}: the first is not before the second")
        places = []
        for written in self.coordinate:
            match = _COORDINATE.fullmatch(written)
            if match is None:
                raise UsageError(f"--coordinate {written!r} is none: write PARTITION:OFFSET:INDEX, such as 0:153:0")
            places.append(Coordinate(*map(int, match.groups())))
        return Choice(self.subject, self.type, start, end, tuple(places), status)


EVERY = Which()
