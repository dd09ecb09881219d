"""The compiled kernel (`kernel/`, built by `make kernel`) as one more reader of messages.

It takes single events and batches in JSON that it can read exactly as the Python path does. It hands back whole every
other message, and single events of a batch that are odd and yet well-formed. It is optional: where it is not built, the
Python path reads everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from config.settings import Limits
from processors.compiled import Module
from processors.decode_join import Part, joined
from processors.decode_shapes import UNMETERED, Node, Shape, reads_number
from processors.decode_types import complete
from processors.decoded import Decoded, TypeRows
from processors.instants import END_US
from processors.vocabulary import Vocabulary

IntArray = npt.NDArray[np.int64]
Read = Callable[[Sequence[bytes | None], IntArray], Decoded]  # of message values and their timestamps in ms


class _Field(NamedTuple):
    """A member of an object that is read: its name, the slot of its value, or else the node of the object it is."""

    name: str
    slot: int | None
    node: int


class _Need(NamedTuple):
    """From `from_us` on and before `to_us` the number at that place is needed, and may not be negative."""

    number: int
    from_us: int
    to_us: int
    allow_negative: bool


class _Shape(NamedTuple):
    """`decode_shapes.Shape` with places instead of paths; `nodes`: objects in the data, the data itself first."""

    event_type: str
    kind: int
    taken: bool
    nodes: list[list[_Field]]
    slots: int
    texts: list[int]
    numbers: list[tuple[int, int]]
    members: list[int]
    needs: list[_Need]


class _Units:
    """What is taken or handed back, each as one: an event of a message that the kernel reads, or a whole message.

    `counts` int32[messages]: its events, 0 where it is handed back whole; `odd`: (message, index, start, end) of events
    that are handed back alone. `message` int32[units]; `taken` and `back`: int32 units, ascending.
    """

    def __init__(self, counts: npt.NDArray[np.int32], odd: list[tuple[int, int, int, int]]) -> None:
        units = np.maximum(counts, 1)
        self.message = np.repeat(np.arange(len(counts), dtype=np.int32), units)
        self._first = np.cumsum(units, dtype=np.int32) - units
        self._span_of: dict[int, slice | None] = dict.fromkeys(self._first[counts == 0].tolist())
        self._span_of |= {int(self._first[message]) + index: slice(start, end) for message, index, start, end in odd}
        self.back = np.array(sorted(self._span_of), np.int32)
        everything = np.arange(len(self.message), dtype=np.int32)
        self.taken = np.delete(everything, self.back) if len(self.back) else everything

    def index(self, units: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """int32[n]: the place of each in its message."""
        return units - self._first[self.message[units]]

    def left(self) -> list[tuple[int, slice | None]]:
        """Of each in `back` its message, and where in it an event lies that is handed back alone."""
        return [(int(self.message[unit]), self._span_of[unit]) for unit in self.back.tolist()]


class KernelDecoder:
    """Reads the messages that the kernel can read. `skew_ms` as for `Decoder`."""

    def __init__(self, module: Module, shapes: Sequence[Shape], limits: Limits, skew_ms: int) -> None:
        self._shapes = shapes
        self._skew_ms = skew_ms
        self._kernel = module.Kernel([_compiled(shape) for shape in shapes], limits)
        # The kernel numbers texts on its own, so as to touch no Python object: its code -> code in the vocabulary.
        self._codes = np.zeros(1, np.int64)
        self._vocabulary: Vocabulary | None = None

    def decode(
        self, values: Sequence[bytes | None], timestamps_ms: IntArray, vocabulary: Vocabulary, rest: Read
    ) -> Decoded:
        """Arguments as for `Decoder.decode`; `rest` reads, likewise and into `vocabulary`, what is handed back."""
        if vocabulary is not self._vocabulary:
            self._kernel.forget()
            self._codes, self._vocabulary = np.zeros(1, np.int64), vocabulary
        limits_us = ((timestamps_ms + self._skew_ms) * 1_000).tobytes()
        messages = list(values)
        while True:
            raw_counts, *columns, news, odd = self._kernel.decode(messages, limits_us)
            if news:
                self._codes = np.concatenate([self._codes, vocabulary.codes(news, len(news))])
            units = _Units(np.frombuffer(raw_counts, np.int32), odd)
            decoded, wrong = self._decoded(columns, vocabulary)
            if not len(wrong):
                break
            for place in units.message[units.taken[wrong]].tolist():
                messages[place] = None  # a formula fails: rare, so all is read again without these messages
        if len(units.taken) == len(units.message):
            decoded.message, decoded.index = units.message, units.index(units.taken)
            return decoded
        left = [values[place] if span is None else values[place][span] for place, span in units.left()]  # type: ignore[index]
        parts: list[Part] = [(units.back, rest(left, timestamps_ms[units.message[units.back]]))]
        if len(units.taken):
            parts.append((units.taken, decoded))
        whole = joined(parts)
        unit = whole.message
        whole.message, whole.index = units.message[unit], whole.index + units.index(unit)
        return whole

    def _decoded(self, columns: list[Any], vocabulary: Vocabulary) -> tuple[Decoded, IntArray]:
        """What the kernel took, each row as a message of its own; and the rows that lack what a formula needs."""
        kinds, times, digests, types = columns
        time_us = np.frombuffer(times, np.int64)
        found: dict[int, TypeRows] = {}
        wrong = [np.empty(0, np.int64)]
        for shape, of_type in zip(self._shapes, types, strict=True):
            if shape.kind != UNMETERED and of_type[0]:
                rows = found[shape.kind] = self._type_rows(shape, of_type)
                if shape.formulas:
                    wrong.append(rows.row[complete(rows, shape, time_us[rows.row])])
        count = len(time_us)
        sequence, source = np.full((2, count), -1, np.int64)
        decoded = Decoded(
            message=np.arange(count, dtype=np.int32),
            index=np.zeros(count, np.int32),
            kind=np.frombuffer(kinds, np.int16),
            time_us=time_us,
            digest=_pairs(digests),
            types=found,
            refusals=[],
            sequence=sequence,
            source=source,
            sources=np.empty((0, 2), np.uint64),
            vocabulary=vocabulary,
        )
        return decoded, np.concatenate(wrong)

    def _type_rows(self, shape: Shape, columns: tuple[Any, ...]) -> TypeRows:
        rows, subjects, texts, numbers, members = columns
        return TypeRows(
            np.frombuffer(rows, np.int64),
            self._coded(subjects),
            {path: self._coded(codes) for path, codes in zip(shape.texts, texts, strict=True)},
            {
                key: (np.frombuffer(scaled, np.int64), np.frombuffer(present, np.bool_))
                for key, (scaled, present) in zip(shape.numbers, numbers, strict=True)
            },
            {
                path: (_pairs(digest), np.frombuffer(present, np.bool_))
                for path, (digest, present) in zip(shape.members, members, strict=True)
            },
        )

    def _coded(self, codes: bytearray) -> IntArray:
        coded: IntArray = self._codes[np.frombuffer(codes, np.int64)]
        return coded


def _pairs(digests: bytearray) -> npt.NDArray[np.uint64]:
    return np.frombuffer(digests, np.uint64).reshape(-1, 2)


def _compiled(shape: Shape) -> _Shape:
    slots: dict[str, int] = {}
    nodes: list[list[_Field]] = []

    def add(node: Node, above: str) -> int:
        place = len(nodes)
        fields: list[_Field] = []
        nodes.append(fields)
        for name, child in node.children.items():
            if child.leaf:
                fields.append(_Field(name, slots.setdefault(above + name, len(slots)), 0))
            else:
                fields.append(_Field(name, None, add(child, f"{above}{name}.")))
        return place

    if shape.paths and shape.hot:
        add(shape.root, "")
    needs = [
        _Need(
            shape.numbers.index((span.meter.value, span.meter.precision)),
            max(span.from_ms * 1_000, 0),
            min(span.to_ms * 1_000, END_US),
            span.meter.allow_negative,
        )
        for span in shape.spans
        if reads_number(span.meter) and isinstance(span.meter.value, str)
    ]
    return _Shape(
        event_type=shape.type,
        kind=shape.kind,
        taken=shape.hot,
        nodes=nodes,
        slots=len(slots),
        texts=[slots[path] for path in shape.texts] if shape.hot else [],
        numbers=[(slots[path], precision) for path, precision in shape.numbers] if shape.hot else [],
        members=[slots[path] for path in shape.members] if shape.hot else [],
        needs=needs,
    )
