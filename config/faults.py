"""What is wrong with a configuration, and where. Faults are gathered, never raised one by one."""

import difflib
import json
from collections.abc import Iterable
from typing import NamedTuple

SHOWN_CHARACTERS = 60  # of a wrong value, in a message


class Fault(NamedTuple):
    """`path` such as `meter[3].value` (indices count from 0, within `file`) or the name of a variable."""

    path: str
    message: str
    file: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in self if part) if not self.file else f"{self.file}: {self._replace(file='')}"


class ConfigError(Exception):
    """Every fault of a configuration; the message has one a line and says what to do."""

    def __init__(self, faults: Iterable[Fault], source: str) -> None:
        self.faults = list(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = [f"{source} has {count}:", *(f"  {fault}" for fault in self.faults)]
        super().__init__("\n".join([*lines, "Mend each of them and try again; nothing was read or changed."]))


class Place(NamedTuple):
    """Where in which file: the start of each fault's path."""

    file: str
    path: str = ""

    def at(self, name: str) -> "Place":
        return self._replace(path=f"{self.path}.{name}" if self.path else name)

    def item(self, index: int) -> "Place":
        return self._replace(path=f"{self.path}[{index}]")

    def fault(self, message: str) -> Fault:
        return Fault(self.path, message, self.file)

    def __str__(self) -> str:
        return f"{self.file}: {self.path}" if self.file else self.path


def quote(text: str) -> str:
    """A wrong value as one printable line of bounded length."""
    return json.dumps(text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "...")


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or the names there are, or nothing when there are none."""
    names = sorted(set(known))
    near = difflib.get_close_matches(wrong, names, n=1)
    if near:
        return f"; did you mean {quote(near[0])}?"
    shown = ", ".join(quote(name) for name in names[:12]) + (", ..." if len(names) > 12 else "")
    return f"; there is {shown}" if names else ""
