"""The careful path: one event at a time, exactly what it holds or why it is refused.

It reads field by field from raw bytes, so that a fault in a field that nobody reads does no harm. It defines what is
valid; the hot path only accepts what this accepts, with the same values.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Raw

from config.catalogue import Meter
from config.formulas import Formula
from config.settings import Limits
from processors.decode_sequences import NO_NUMBER, SEQUENCE_TYPE, number_of
from processors.decode_shapes import MISSING, UNMETERED, Node, Shape, reads_number, text_paths
from processors.formulas import result
from processors.instants import InstantError, instant_us
from processors.numbers import NumberError, canonical_number, scale

# What msgspec raises for bad input; OverflowError for instants of the extension type at the ends of the calendar.
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError)

# CloudEvents refuses control characters in attributes; they would also break joined keys. It refuses surrogates too: a
# text that msgspec reads holds none.
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WHOLE = re.compile(rb"-?[0-9]+")

Form = Literal["JSON", "MessagePack"]


class RefusedError(ValueError):
    """The event's fault; the message is the reason: a stable code, ": ", what to do."""


class Judged(NamedTuple):
    """A valid event (or one that no meter has the type of: `kind` UNMETERED, nothing of its data read).

    `time_us` microseconds, floored; `numbers` scaled, None where missing or unreadable but not needed; `texts` "" and
    `members` None likewise. `sequence`: the number that it is known by, if it asks for that.
    """

    kind: int
    id: str
    source: str
    subject: str
    time_us: int
    numbers: dict[tuple[str | Formula, int], int | None]
    texts: dict[str, str]
    members: dict[str, str | None]
    sequence: int | None = None


class RawEnvelope(msgspec.Struct, gc=False):
    """The fields of a CloudEvent, unread."""

    specversion: Raw = MISSING
    id: Raw = MISSING
    source: Raw = MISSING
    type: Raw = MISSING
    subject: Raw = MISSING
    time: Raw = MISSING
    data: Raw = MISSING
    sequencetype: Raw = MISSING
    sequence: Raw = MISSING


class Fault(NamedTuple):
    """A value that cannot be read; the reason goes behind "data.x "."""

    reason: str


NOT_AN_OBJECT = Fault("lies in something that is not an object; send an object")
NOT_A_TEXT = Fault("is neither text, integer nor boolean; send it as a string")
NO_SCALAR = Fault("is an array, an object or binary; send a single value")


class Digits(str):
    """A JSON number as it was written."""

    __slots__ = ()


class Reader:
    """Reads raw fields of one of the two forms."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._codec: Any = msgspec.json if form == "JSON" else msgspec.msgpack
        self.read_envelope = self._codec.Decoder(RawEnvelope).decode

    def text(self, raw: Raw) -> str | None:
        """None for anything but a text."""
        try:
            found: str = self._codec.decode(raw, type=str)
        except DECODE_ERRORS:
            return None
        return found

    def fields(self, raw: Raw, node: Node) -> Any | None:
        """The children of an object as a struct of raw fields; None for anything but an object."""
        try:
            return self._codec.decode(raw, type=node.raw)
        except DECODE_ERRORS:
            return None

    def is_absent(self, raw: Raw) -> bool:
        """Missing or null."""
        return not raw or bytes(raw) == (b"null" if self.form == "JSON" else b"\xc0")

    def scalar(self, raw: Raw) -> Any:
        """A text, an int (Digits for a JSON number with a point or exponent), a bool, a float (MessagePack), a Fault.

        An integer of thousands of digits stays Digits."""
        written = bytes(raw)
        if self.form == "JSON" and written[:1] in b"-0123456789":
            return int(written) if _WHOLE.fullmatch(written) and len(written) < 1_000 else Digits(written.decode())
        if self.form == "JSON" and written[:1] in b"[{":
            return NO_SCALAR
        try:
            value = self._codec.decode(raw)
        except DECODE_ERRORS:
            return NO_SCALAR
        return value if isinstance(value, str | int | float) else NO_SCALAR


class CarefulDecoder:
    """`judge` is the definition of a valid event. `skew_ms`: how far its time may be ahead of its record."""

    def __init__(self, shapes: Iterable[Shape], limits: Limits, skew_ms: int) -> None:
        self._shapes = {shape.type: shape for shape in shapes if shape.kind != UNMETERED}
        self._limits = limits
        self._skew_ms = skew_ms
        self._readers: dict[Form, Reader] = {"JSON": Reader("JSON"), "MessagePack": Reader("MessagePack")}

    def judge(self, event: bytes, form: Form, timestamp_ms: int) -> Judged:
        """One event that nests no deeper than msgspec can read. Raises RefusedError."""
        reader = self._readers[form]
        try:
            envelope: RawEnvelope = reader.read_envelope(event)
        except msgspec.ValidationError:
            raise RefusedError(
                "event: is not an object with text keys; send a CloudEvent or an array of them"
            ) from None
        except DECODE_ERRORS as error:
            raise RefusedError(unparsable(form, error)) from None
        if reader.text(envelope.specversion) != "1.0":
            raise RefusedError('specversion: is missing or not "1.0"; send CloudEvents 1.0')
        event_id = self._attribute(reader, "id", envelope.id, self._limits.id_bytes_max)
        source = self._attribute(reader, "source", envelope.source, self._limits.source_bytes_max)
        event_type = self._attribute(reader, "type", envelope.type, None)
        subject = self._attribute(reader, "subject", envelope.subject, self._limits.subject_bytes_max)
        numbered = reader.text(envelope.sequencetype) == SEQUENCE_TYPE
        sequence = number_of(reader.text(envelope.sequence)) if numbered else None
        if numbered and sequence is None:
            raise RefusedError(NO_NUMBER)
        time_us = self._time(reader, envelope.time, timestamp_ms)
        shape = self._shapes.get(event_type)
        if shape is None:
            return Judged(UNMETERED, event_id, source, subject, time_us, {}, {}, {}, sequence)
        leaves = self._leaves(reader, envelope.data, shape)
        judged = _Values(leaves, self._limits).judge(shape, event_id, source, subject, time_us)
        return judged._replace(sequence=sequence)

    def _attribute(self, reader: Reader, name: str, raw: Raw, bytes_max: int | None) -> str:
        text = reader.text(raw) if raw else None
        if not text:
            raise RefusedError(f"{name}: is missing, empty or not a text; every event needs one")
        if FORBIDDEN.search(text):
            raise RefusedError(f"{name}: holds a control character; remove it")
        if bytes_max is not None and len(text.encode()) > bytes_max:
            raise RefusedError(f"{name}: is longer than {bytes_max} bytes; shorten it")
        return text

    def _time(self, reader: Reader, raw: Raw, timestamp_ms: int) -> int:
        text = reader.text(raw) if raw else None
        if text is None:
            raise RefusedError("time: is missing or not a text; every event needs one, as RFC 3339")
        try:
            time_us = instant_us(text)
        except InstantError as error:
            raise RefusedError(f"time: {error}") from None
        if time_us > (timestamp_ms + self._skew_ms) * 1_000:
            raise RefusedError(f"time: is more than {self._skew_ms} ms ahead of its record; check the source's clock")
        return time_us

    def _leaves(self, reader: Reader, data: Raw, shape: Shape) -> dict[str, Any]:
        """path -> value as `Reader.scalar` gives it, None for a missing one, Fault for one that cannot be read."""
        leaves: dict[str, Any] = {}
        todo: list[tuple[str, Node, Raw | Fault]] = [("", shape.root, data)]
        while todo:
            path, node, raw = todo.pop()
            absent = not isinstance(raw, Fault) and reader.is_absent(raw)
            if node.leaf:
                leaves[path] = raw if isinstance(raw, Fault) else None if absent else reader.scalar(raw)
            if not node.children:
                continue
            fields = None if isinstance(raw, Fault) or absent else reader.fields(raw, node)
            for place, (name, child) in enumerate(node.children.items()):
                below: Raw | Fault = MISSING if absent else NOT_AN_OBJECT
                if fields is not None:
                    below = getattr(fields, f"f{place}")
                todo.append((f"{path}.{name}" if path else name, child, below))
        return leaves


class _Values:
    """The leaves of one event, read as its meters need them."""

    def __init__(self, leaves: dict[str, Any], limits: Limits) -> None:
        self._leaves = leaves
        self._text_bytes_max = limits.dimension_bytes_max

    def judge(self, shape: Shape, event_id: str, source: str, subject: str, time_us: int) -> Judged:
        numbers: dict[tuple[str | Formula, int], int | Fault | None]
        numbers = {key: self._number(*key) for key in shape.numbers}
        for formula, precision in shape.formulas:
            numbers[formula, precision] = _formula(formula, precision, numbers)
        texts = {path: self._text(path) for path in shape.texts}
        members = {path: self._member(path) for path in shape.members}
        for meter, from_ms, to_ms in shape.spans:
            if not from_ms * 1_000 <= time_us < to_ms * 1_000:
                continue
            if reads_number(meter):
                _check_number(meter, numbers[meter.value or "", meter.precision])
            elif meter.aggregation == "unique":
                path = meter.value_paths[0]
                _check("unique", path, members[path])
            for path in text_paths(meter):
                _check("dimension", path, texts[path])
        return Judged(
            shape.kind,
            event_id,
            source,
            subject,
            time_us,
            {key: None if isinstance(value, Fault) else value for key, value in numbers.items()},
            {path: "" if isinstance(value, Fault) else value for path, value in texts.items()},
            {path: None if isinstance(value, Fault) else value for path, value in members.items()},
        )

    def _number(self, path: str, precision: int) -> int | Fault | None:
        value = self._leaves[path]
        if value is None or isinstance(value, Fault):
            return value
        try:
            return scale(value, precision)
        except NumberError as error:
            return Fault(str(error))

    def _text(self, path: str) -> str | Fault:
        value = self._leaves[path]
        if value is None:
            return ""
        if isinstance(value, Fault):
            return value
        if isinstance(value, float | Digits):
            return NOT_A_TEXT
        text = canonical_text(value)
        if FORBIDDEN.search(text):
            return Fault("holds a control character; remove it")
        if len(text.encode()) > self._text_bytes_max:
            return Fault(f"is longer than {self._text_bytes_max} bytes; shorten it")
        return text

    def _member(self, path: str) -> str | Fault | None:
        value = self._leaves[path]
        if value is None or isinstance(value, Fault):
            return value
        if isinstance(value, bool) or (isinstance(value, str) and not isinstance(value, Digits)):
            return canonical_text(value)
        try:
            return canonical_number(value)
        except NumberError as error:
            return Fault(str(error))


def _formula(
    formula: Formula, precision: int, numbers: Mapping[tuple[str | Formula, int], int | Fault | None]
) -> int | Fault | None:
    factors: list[int] = []
    for path, digits in formula.factors(precision):
        factor = numbers[path, digits]
        if isinstance(factor, Fault):
            return Fault(f"cannot be told: data.{path} {factor.reason}")
        if factor is None:
            return Fault(f"cannot be told: data.{path} is missing")
        factors.append(factor)
    try:
        return result(formula, precision, factors)
    except NumberError as error:
        return Fault(str(error))


def _check(code: str, path: str, value: object) -> None:
    if isinstance(value, Fault):
        raise RefusedError(f"{code}: data.{path} {value.reason}")


def _check_number(meter: Meter, value: int | Fault | None) -> None:
    _check("value", str(meter.value), value)
    if value is None:
        raise RefusedError(f"value: data.{meter.value} is missing; meter {meter.id} needs it")
    if isinstance(value, int) and value < 0 and not meter.allow_negative:
        raise RefusedError(f"value: data.{meter.value} is negative; meter {meter.id} does not allow that")


def canonical_text(value: str | int) -> str:
    """A text as it is, integers in decimal, booleans as "true" and "false"."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value)


def unparsable(form: Form, error: Exception) -> str:
    """The reason for bytes that msgspec cannot read."""
    if isinstance(error, RecursionError):
        return "nesting: is too deep to be read; flatten it"
    if isinstance(error, UnicodeDecodeError):
        return "utf-8: a text is not UTF-8; encode it so"
    return f"{form.lower()}: cannot be parsed; send one whole CloudEvent, or an array of them"
