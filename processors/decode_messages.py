"""From message values to event structs: many at once where all is well, one by one where it is not."""

from collections.abc import Sequence
from operator import length_hint
from typing import Any, Union

import msgspec
import numpy as np
import numpy.typing as npt

from config.settings import Limits
from processors.decode_careful import DECODE_ERRORS, FORBIDDEN, CarefulDecoder, Form, Judged, RefusedError
from processors.decode_columns import Columns
from processors.decode_sequences import SEQUENCE_TYPE
from processors.decode_shapes import NO_TIME, UNMETERED, Envelope, Invalid, Nothing, Shape, Unmetered
from processors.decode_split import NESTING_MAX, SplitError, form_of, may_nest, nests, split
from processors.vocabulary import Vocabulary

CHUNK_EVENTS = 2_000  # as many event objects live at once: they fit the processor's cache
JOINED_BYTES_MAX = 4_096  # messages of at most this size are screened together; larger ones one by one

NO_UTF8 = "utf-8: the message is not UTF-8; encode it so"
FORMS: tuple[Form, Form] = ("JSON", "MessagePack")


class HotDecoders:
    """msgspec's decoders for one event and for an array of them, by form; an error means the careful path."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        events = [shape.event for shape in shapes if shape.hot]
        event: Any = Union[tuple(events)] if events else Nothing  # noqa: UP007 - built from a list
        self.one = {
            "JSON": msgspec.json.Decoder(event, float_hook=str).decode,
            "MessagePack": msgspec.msgpack.Decoder(event).decode,
        }
        self.any = {
            "JSON": msgspec.json.Decoder(Envelope).decode,
            "MessagePack": msgspec.msgpack.Decoder(Envelope).decode,
        }
        self.many = {
            "JSON": msgspec.json.Decoder(list[event], float_hook=str).decode,
            "MessagePack": msgspec.msgpack.Decoder(list[event]).decode,
        }


class Refused(msgspec.Struct):
    reason: str
    raw: bytes


class Messages:
    """Walks the values of one `decode` call and fills `columns`.

    `counts` int32[len(values)]: rows of each message, at least 1; `judged` and `refused`: what the careful path found,
    by row. Rows in neither were taken by the hot path.
    """

    def __init__(
        self,
        values: Sequence[bytes | None],
        timestamps_ms: npt.NDArray[np.int64],
        hot: HotDecoders,
        careful: CarefulDecoder,
        shapes: Sequence[Shape],
        vocabulary: Vocabulary,
        limits: Limits,
    ) -> None:
        self.columns = Columns(shapes, vocabulary, limits)
        self.counts = np.ones(len(values), np.int32)
        self.judged: dict[int, Judged] = {}
        self.refused: dict[int, Refused] = {}
        self._values = values
        self._timestamps_ms = timestamps_ms
        self._hot = hot
        self._careful = careful
        self._shapes = {shape.kind: shape for shape in shapes}
        self._known_types = {shape.type for shape in shapes}
        self._limits = limits
        self._short_max = min(
            limits.id_bytes_max, limits.source_bytes_max, limits.subject_bytes_max, limits.dimension_bytes_max
        )
        self._form: Form = "JSON"  # of the message before: a topic rarely mixes them
        self._split_of: tuple[bytes, list[bytes]] = (b"", [])

    def walk(self) -> None:
        """Only the messages that msgspec refuses cost more than the loop inside `extend`."""
        for start in range(0, len(self._values), CHUNK_EVENTS):
            chunk: list[Any] = list(self._values[start : start + CHUNK_EVENTS])
            plain, short = self._screen(chunk)
            messages = iter(chunk)
            events: list[Any] = []
            while True:
                try:
                    events.extend(map(self._hot.one[self._form], messages))
                    break
                except DECODE_ERRORS:  # `extend` has kept the events before this one
                    place = start + len(chunk) - length_hint(messages) - 1
                    events += self._message(place, self.columns.events + len(events))
                if len(events) >= CHUNK_EVENTS:
                    self.columns.add(events, plain, short)
                    events = []
            if events:
                self.columns.add(events, plain, short)

    def _screen(self, chunk: list[Any]) -> tuple[bool, bool]:
        """Empties, in `chunk`, the values that the hot path could take by mistake; it then refuses them, and
        `_message` looks at what they were.

        Returns whether no text in the chunk can hold a forbidden character, and whether none can be too long. What is
        ASCII without escapes can hold none but DEL, since JSON allows no raw control character in a text.
        """
        try:
            longest = max(map(len, chunk))
        except TypeError:  # a message without a value
            chunk[:] = [value or b"" for value in chunk]
            longest = max(map(len, chunk))
        texts: list[bytes] = [b"\n".join(chunk)] if longest <= JOINED_BYTES_MAX else chunk.copy()
        ascii_only = all(map(bytes.isascii, texts))
        plain = ascii_only and not any(b"\\" in text or b"\x7f" in text for text in texts)
        if longest > self._limits.message_bytes_max:
            chunk[:] = [value if len(value) <= self._limits.message_bytes_max else b"" for value in chunk]
        if longest > NESTING_MAX:
            chunk[:] = [b"" if could_nest(value) else value for value in chunk]
        if not ascii_only and not all(map(is_utf8, texts)):  # MessagePack spoils what it is joined to
            chunk[:] = [value if value.isascii() or not is_broken_text(value) else b"" for value in chunk]
        return plain, plain and longest <= self._short_max

    def _message(self, place: int, row: int) -> list[Any]:
        """The structs of a message that the hot path did not take whole; `row` is that of its first event."""
        value = self._values[place]
        if not value or value.isspace():
            return [self._refuse(row, "empty: the message has no value; send an event, or nothing", value or b"")]
        if len(value) > self._limits.message_bytes_max:
            reason = f"size: the message is larger than {self._limits.message_bytes_max} bytes; split it"
            return [self._refuse(row, reason, value)]
        form, many = form_of(value)
        if is_broken_text(value):
            return [self._refuse(row, NO_UTF8, value)]
        self._form = form
        events = self._batch(place, value, form, row) if many else [self._event(place, value, form, row)]
        self.counts[place] = len(events)
        return events

    def _batch(self, place: int, value: bytes, form: Form, row: int) -> list[Any]:
        try:
            events: list[Any] = self._hot.many[form](value)
        except DECODE_ERRORS:
            events = []
        if 0 < len(events) <= self._limits.message_events_max and not may_nest(value, form, len(events)):
            return events
        try:
            parts = self._split(value)
        except SplitError as error:
            return [self._refuse(row, str(error), value)]
        if not parts:
            return [self._refuse(row, "batch: holds no event; send at least one", value)]
        if len(parts) > self._limits.message_events_max:
            reason = f"batch: holds more than {self._limits.message_events_max} events; split it"
            return [self._refuse(row, reason, value)]
        deep = max(map(len, parts)) > NESTING_MAX and any(may_nest(part, form) for part in parts)
        if events and not deep:
            return events
        # What is empty msgspec refuses, so that `_event` looks at it.
        hot = [b"" if may_nest(part, form) else part for part in parts] if deep else parts
        return self._events(place, parts, hot, form, row)

    def _events(self, place: int, parts: list[bytes], hot: list[bytes], form: Form, row: int) -> list[Any]:
        """The structs of a batch that msgspec refused as a whole: most of its events are as good as any. `hot`: what it
        is given of each."""
        events: list[Any] = []
        left = iter(hot)
        while True:
            try:
                events.extend(map(self._hot.one[form], left))
                return events
            except DECODE_ERRORS:  # `extend` has kept the events before this one
                events.append(self._event(place, parts[len(events)], form, row + len(events)))

    def _event(self, place: int, event: bytes, form: Form, row: int) -> Any:
        """The struct of one event: of the hot path, or a blank one while `judged` or `refused` says what it is."""
        if nests(event, form):
            return self._refuse(row, f"nesting: is deeper than {NESTING_MAX} levels; flatten it", event)
        try:
            return self._hot.one[form](event)
        except DECODE_ERRORS:
            unknown = self._unknown(event, form)
        if unknown is not None:
            return unknown
        judged = self.judge(place, event, form, row)
        if judged is None:
            return Invalid()
        blank: Any = Unmetered if judged.kind == UNMETERED else self._shapes[judged.kind].blank_event
        number = {} if judged.sequence is None else {"sequencetype": SEQUENCE_TYPE, "sequence": str(judged.sequence)}
        return blank(id=judged.id, source=judged.source, subject=judged.subject, time=NO_TIME, **number)

    def _unknown(self, event: bytes, form: Form) -> Unmetered | None:
        """The struct of an event of a type that the catalogue does not have, quickly: they may be many."""
        try:
            found = self._hot.any[form](event)
        except DECODE_ERRORS:
            return None
        if found.type in self._known_types or not found.type or FORBIDDEN.search(found.type):
            return None
        number = {"sequencetype": found.sequencetype, "sequence": found.sequence}
        return Unmetered(found.id, found.source, found.subject, found.time, **number)

    def judge(self, place: int, event: bytes, form: Form, row: int) -> Judged | None:
        """The careful path for one row; None, and an entry in `refused`, for an invalid event."""
        try:
            judged = self._careful.judge(event, form, int(self._timestamps_ms[place]))
        except RefusedError as error:
            self._refuse(row, str(error), event)
            return None
        self.judged[row] = judged
        return judged

    def rejudge(self, place: int, index: int, row: int) -> Judged | None:
        """As `judge`, for a row that the hot path took and then found odd; `index`: its place in the message."""
        value = self._values[place] or b""
        form, many = form_of(value)
        return self.judge(place, self._split(value)[index] if many else value, form, row)

    def _split(self, value: bytes) -> list[bytes]:
        """Of the latest message asked for, once: a batch may hold thousands of odd events."""
        if self._split_of[0] is not value:
            self._split_of = (value, split(value, form_of(value)[0]))
        return self._split_of[1]

    def _refuse(self, row: int, reason: str, raw: bytes) -> Invalid:
        self.refused[row] = Refused(reason, raw)
        return Invalid()


def could_nest(value: bytes) -> bool:
    """`may_nest` of one event; True for a long array of them, since `_batch` looks into it anyway."""
    if len(value) <= NESTING_MAX:
        return False
    form, many = form_of(value)
    return many or may_nest(value, form)


def is_broken_text(value: bytes) -> bool:
    """Whether a JSON message is not UTF-8. MessagePack is binary: there msgspec checks the texts that are read."""
    return bool(value) and form_of(value)[0] == "JSON" and not is_utf8(value)


def is_utf8(value: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    if value.isascii():
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
