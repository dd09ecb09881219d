"""Bytes of a message to events, read after docs/events.md by a reader of the check's own."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Raw

from config.catalogue import Catalogue, Meter
from config.settings import Limits
from reconcile import columnar, values
from reconcile.nesting import NESTING_MAX, deep_parts, deeper_than_allowed
from reconcile.values import Unfit

Form = Literal["JSON", "MessagePack"]
_FAULTS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError, ValueError)
_SPACE = b" \t\r\n"
_MISSING = Raw(b"")
_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "sequencetype", "sequence")


class Event(NamedTuple):
    """A valid event. `values` holds, by dotted path, what was found in `data`: None for nothing, or a Fault."""

    type: str
    id: str
    source: str
    subject: str
    time_us: int
    identity: int
    values: dict[str, Any]
    raw: bytes
    number: int | None = None  # by which it asks to be known, instead of its id
    source_digest: int = 0  # where it has a number


class Refused(NamedTuple):
    """An event, or a whole message, that is invalid by itself; `raw` is what its letter must hold."""

    raw: bytes
    why: str


class Fault(NamedTuple):
    """A value that is there and cannot be read; it matters only to a meter that reads it."""

    why: str


class _Whole(msgspec.Struct, gc=False):
    """An event, read all at once. Where that fails its fields are read one by one."""

    specversion: Any = None
    id: Any = None
    source: Any = None
    type: Any = None
    subject: Any = None
    time: Any = None
    sequencetype: Any = None
    sequence: Any = None
    data: Any = None


class _Apart(msgspec.Struct, gc=False):
    """Its fields unread: a fault in one that nobody reads does no harm."""

    specversion: Raw = _MISSING
    id: Raw = _MISSING
    source: Raw = _MISSING
    type: Raw = _MISSING
    subject: Raw = _MISSING
    time: Raw = _MISSING
    sequencetype: Raw = _MISSING
    sequence: Raw = _MISSING
    data: Raw = _MISSING


class _Codec:
    """Decoders of one form."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._one_field: dict[str, Any] = {}  # name -> a struct of this field alone
        if form == "JSON":
            self.whole: Any = msgspec.json.Decoder(_Whole, float_hook=values.json_number).decode
            self.any: Any = msgspec.json.Decoder(Any, float_hook=values.json_number).decode
            self.apart: Any = msgspec.json.Decoder(_Apart).decode
            self._decode: Any = msgspec.json.decode
            self.parts: Any = msgspec.json.Decoder(list[Raw]).decode
        else:
            self.whole = msgspec.msgpack.Decoder(_Whole).decode
            self.any = msgspec.msgpack.Decoder(Any).decode
            self.apart = msgspec.msgpack.Decoder(_Apart).decode
            self._decode = msgspec.msgpack.decode
            self.parts = msgspec.msgpack.Decoder(list[Raw]).decode

    def one(self, raw: Raw) -> Any:
        """A field by itself; Fault where it cannot be read."""
        if not raw:
            return None
        try:
            return self.any(raw)
        except _FAULTS:
            return Fault("cannot be read")

    def field(self, raw: Raw, name: str) -> Any:
        """One field of an object, unread; None where there is none, a Fault where it is no object.

        Other fields, and their names, may hold anything: nobody reads them.
        """
        if not raw or bytes(raw) in (b"null", b"\xc0"):
            return None
        if name not in self._one_field:
            self._one_field[name] = msgspec.defstruct("OneField", [("it", Raw, _MISSING)], rename={"it": name})
        try:
            found = self._decode(raw, type=self._one_field[name]).it
        except _FAULTS:
            return Fault("no object")
        return _Unread(self, found) if found else None


class _Unread(NamedTuple):
    codec: _Codec
    raw: Raw


class Reader:
    """Reads the messages of a topic under one catalogue."""

    def __init__(self, catalogue: Catalogue, limits: Limits, skew_ms: int) -> None:
        self._limits, self._skew_ms = limits, skew_ms
        self._json, self._packed = _Codec("JSON"), _Codec("MessagePack")
        self._paths = {one.type: _paths(catalogue, one.type) for one in catalogue.events}

    def events(self, value: bytes | None, timestamp_ms: int) -> list[Event | Refused]:
        """What a message holds, in order; one Refused where it cannot be split."""
        if not value or value.isspace():
            return [Refused(value or b"", "no value")]
        if len(value) > self._limits.message_bytes_max:
            return [Refused(value, "too large")]
        if value.startswith(columnar.MARK):
            rows = columnar.events_of(value, self._limits)
            if rows is None:
                return [Refused(value, "no columnar message as documented")]
            return [self._event(row, self._json, timestamp_ms) for row in rows]
        codec, many = self._form(value)
        if codec.form == "JSON" and not value.isascii():
            try:
                value.decode()
            except UnicodeDecodeError:
                return [Refused(value, "no UTF-8")]
        if not many:
            return [self._event(value, codec, timestamp_ms)]
        parts = self._split(value, codec)
        if parts is None or not 0 < len(parts) <= self._limits.message_events_max:
            return [Refused(value, "no array of events, or too many")]
        return [self._event(part, codec, timestamp_ms) for part in parts]

    def single(self, value: bytes, timestamp_ms: int) -> Event | Refused:
        """An event that comes back by itself; an array of events cannot."""
        found = self.events(value, timestamp_ms)
        if value and (value.startswith(columnar.MARK) or self._form(value)[1]):
            return Refused(value, "an array")
        return found[0]

    def _form(self, value: bytes) -> tuple[_Codec, bool]:
        first = value[0]
        if first == 0x7B:  # {
            return self._json, False
        if 0x80 <= first <= 0x8F or first in (0xDE, 0xDF):
            return self._packed, False
        if 0x90 <= first <= 0x9F or first in (0xDC, 0xDD):
            return self._packed, True
        return self._json, value.lstrip(_SPACE)[:1] == b"["

    @staticmethod
    def _split(value: bytes, codec: _Codec) -> list[bytes] | None:
        try:
            return [bytes(part) for part in codec.parts(value)]
        except _FAULTS:
            return deep_parts(value, codec.form)

    def _event(self, raw: bytes, codec: _Codec, timestamp_ms: int) -> Event | Refused:
        if len(raw) > NESTING_MAX and deeper_than_allowed(raw, codec.form):
            return Refused(raw, "nests too deep")
        try:
            found = codec.whole(raw)
        except _FAULTS:
            try:
                fields = codec.apart(raw)
            except _FAULTS:
                return Refused(raw, "no object that can be read")
            parts = {name: codec.one(getattr(fields, name)) for name in _ATTRIBUTES}
            found = _Whole(**parts, data=_Unread(codec, fields.data))
        try:
            return self._checked(found, raw, timestamp_ms, codec is self._packed)
        except Unfit as unfit:
            return Refused(raw, str(unfit))

    def _checked(self, found: _Whole, raw: bytes, timestamp_ms: int, packed: bool) -> Event:
        if found.specversion.__class__ is not str or found.specversion != "1.0":
            raise Unfit("specversion")
        limits = self._limits
        event_id = values.attribute(found.id, limits.id_bytes_max)
        source = values.attribute(found.source, limits.source_bytes_max)
        kind = values.attribute(found.type, None)
        subject = values.attribute(found.subject, limits.subject_bytes_max)
        number = values.number(found.sequencetype, found.sequence) if found.sequencetype is not None else None
        if found.time.__class__ is not str:
            raise Unfit("time is missing or no text")
        time_us = values.instant_us(found.time)
        if time_us > (timestamp_ms + self._skew_ms) * 1_000:
            raise Unfit("time is too far ahead")
        paths = self._paths.get(kind)
        held = {path: _look(found.data, names, packed) for path, names in paths} if paths else {}
        if number is None:
            identity = values.identity(source, event_id, time_us)
            return Event(kind, event_id, source, subject, time_us, identity, held, raw)
        digest = values.source_digest(source)
        identity = values.numbered_identity(digest, number)
        return Event(kind, event_id, source, subject, time_us, identity, held, raw, number, digest)


def _paths(catalogue: Catalogue, event_type: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Every path that some meter of the type reads, with its names."""
    read: dict[str, None] = {}
    for span in catalogue.meters_of(event_type):
        read |= dict.fromkeys(paths_of(span.meter))
    return tuple((path, tuple(path.split("."))) for path in read)


def paths_of(meter: Meter) -> tuple[str, ...]:
    """What a meter reads of an event's data."""
    return (*meter.value_paths, *meter.dimensions, *meter.filter)


def _look(data: Any, names: tuple[str, ...], packed: bool) -> Any:
    for name in names:
        if data is None or data.__class__ is Fault:
            return data
        if data.__class__ is _Unread:
            data = data.codec.field(data.raw, name)
            continue
        if data.__class__ is not dict or (packed and not all(key.__class__ is str for key in data)):
            return Fault("lies in something that is no object")
        data = data.get(name)
    if data.__class__ is _Unread:
        data = data.codec.one(data.raw)
    if data.__class__ in (str, int, bool, float, values.Digits, type(None), Fault):
        return data
    return Fault("no single value")
