"""msgspec structs compiled from the meters: of each event type exactly the fields that its meters read.

Two structs for each object in the data: one for the hot path, with the types a good event has, and one whose fields are
left raw, for the careful path that says what is wrong.
"""

from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import astuple

from config.catalogue import Catalogue, Meter, MeterSpan
from config.formulas import Formula

UNMETERED, INVALID = -1, -2
Version = Literal["1.0"]  # of the CloudEvents specification
MISSING = Raw(b"")

# The hook of the JSON decoders turns a number with a point or an exponent into its own text, digit for digit. A field
# that is also read as text must tell 1.5 from "1.5", so it takes no such number and leaves it to the careful path.
Number = Any
Text = str | int | bool | None


NO_TIME = "1970-01-01T00:00:00Z"  # in the struct of an event whose time is known otherwise, or not needed


class Unmetered(Struct, gc=False):
    """Stands in a chunk for an event of a type that the catalogue does not have. Every event has these fields."""

    id: str
    source: str
    subject: str
    time: str
    data: None = None
    specversion: str = "1.0"
    sequencetype: str | None = None
    sequence: Any = None


class Envelope(Struct, gc=False):
    """The attributes of an event of any type."""

    id: str
    source: str
    type: str
    subject: str
    time: str
    specversion: Version
    sequencetype: str | None = None
    sequence: Any = None


class Invalid(Struct, gc=False):
    """Stands in a chunk for an event that was refused."""

    id: str = "-"
    source: str = "-"
    subject: str = "-"
    time: str = NO_TIME
    data: None = None
    specversion: str = "1.0"
    sequencetype: None = None
    sequence: None = None


class Nothing(Struct, gc=False):
    """What no event is: a catalogue without types leaves every one to the careful path."""

    nothing: Annotated[int, Meta(ge=1, le=0)]


class Node:
    """An object in the data, its fields as the careful path reads them; `leaf` when it is (also) a value itself."""

    def __init__(self) -> None:
        self.leaf = False
        self.children: dict[str, Node] = {}
        self.raw: Any = None  # the struct whose fields `f0`, `f1`.. are the children, unread

    def add(self, path: list[str]) -> None:
        if path:
            self.children.setdefault(path[0], Node()).add(path[1:])
        else:
            self.leaf = True

    def compile(self) -> bool:
        """Makes the raw structs; False when some field is read both as a value and as an object."""
        fields = [(f"f{place}", Raw, MISSING) for place in range(len(self.children))]
        self.raw = msgspec.defstruct("RawData", fields, rename=self.names(), gc=False)
        clear = [child.compile() for child in self.children.values()]
        return all(clear) and not (self.leaf and self.children)

    def names(self) -> dict[str, str]:
        """Attribute -> field; paths may hold what no Python name can."""
        return {f"f{place}": name for place, name in enumerate(self.children)}


class Shape:
    """What is read of one event type.

    `kind`: its place in the catalogue, or UNMETERED; `texts`, `numbers`, `members`: the paths read as dimension or
    filter, as (path, precision), and as the value of a unique meter; `paths`: all of them; `event`: the struct of the
    hot path.
    """

    def __init__(self, kind: int, event_type: str, spans: tuple[MeterSpan, ...]) -> None:
        self.kind = kind
        self.type = event_type
        self.spans = spans
        meters = [span.meter for span in spans]
        self.texts = _unique([path for meter in meters for path in text_paths(meter)])
        self.formulas = _unique([(m.value, m.precision) for m in meters if isinstance(m.value, Formula)])
        self.numbers = _unique([key for meter in meters if reads_number(meter) for key in numbers_of(meter)])
        self.members = _unique([meter.value for meter in meters if meter.aggregation == "unique"])
        self.paths: list[str] = _unique([*self.texts, *(path for path, _ in self.numbers), *self.members])
        self.root = Node()
        for path in self.paths:
            self.root.add(path.split("."))
        self.hot = self.root.compile()  # else every event of the type takes the careful path
        self._text_like = {*self.texts, *self.members}
        self._places: dict[str, str] = {}
        data = self._struct(self.root if self.hot else Node(), "", "")
        # A type of which no value is read may carry anything as data.
        field = ("data", data, msgspec.field(default_factory=data)) if self.paths else ("data", Raw, MISSING)
        self.event: Any = msgspec.defstruct(
            "Event",
            [
                *(("id", str), ("source", str), ("subject", str), ("time", str), field, ("specversion", Version)),
                *(("sequencetype", str | None, None), ("sequence", Any, None)),  # last: few events have them
            ],
            tag_field="type",
            tag=event_type,
            gc=False,
            kw_only=True,
        )
        # Stands for an event of this type whose values the careful path knows; takes the attributes by name.
        self.blank_event = partial(self.event, specversion="1.0")
        places = [self._places[path] for path in self.paths] if self.hot else []
        self._values: Any = attrgetter(*places) if places else _nothing
        if len(places) > 1 and not any("." in place for place in places):
            self._values = astuple  # the same, as all lie side by side in the order of the paths; half the time

    def values(self, datas: Sequence[Any]) -> list[Sequence[Any]]:
        """The values of each path, from the structs of the data."""
        rows = map(self._values, datas)
        return [*zip(*rows, strict=True)] if len(self.paths) > 1 and self.hot else [list(rows)] * len(self.paths)

    def _struct(self, node: Node, path: str, place: str) -> Any:
        """The struct of the hot path for an object; notes where each leaf lies in it."""
        fields: list[Any] = []
        for index, (name, child) in enumerate(node.children.items()):
            below, there = f"{path}.{name}" if path else name, f"{place}.f{index}" if place else f"f{index}"
            if child.leaf:
                # An absent text is "", as null and a missing value are for texts; a member tells it by None.
                self._places[below] = there
                fields.append((f"f{index}", Text if below in self._text_like else Number, None))
            else:
                inner = self._struct(child, below, there)
                fields.append((f"f{index}", inner, msgspec.field(default_factory=inner)))
        return msgspec.defstruct("Data", fields, rename=node.names(), gc=False)


def _nothing(_: object) -> None:
    return None


def _unique(items: list[Any]) -> list[Any]:
    return list(dict.fromkeys(items))


def text_paths(meter: Meter) -> tuple[str, ...]:
    """Dimensions and filters."""
    return (*meter.dimensions, *meter.filter)


def numbers_of(meter: Meter) -> tuple[tuple[str, int], ...]:
    """(path, decimals) of each number that a meter reads of an event."""
    if isinstance(meter.value, Formula):
        return meter.value.factors(meter.precision)
    return tuple((path, meter.precision) for path in meter.value_paths)


def reads_number(meter: Meter) -> bool:
    return meter.aggregation not in ("count", "unique")


def compile_shapes(catalogue: Catalogue) -> list[Shape]:
    """One for each event type of the catalogue, in its order; of kind UNMETERED where it has no meter."""
    found = ((kind, event.type, catalogue.meters_of(event.type)) for kind, event in enumerate(catalogue.events))
    return [Shape(kind if spans else UNMETERED, event_type, spans) for kind, event_type, spans in found]
