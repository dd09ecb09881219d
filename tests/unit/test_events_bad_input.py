import msgspec
import pytest
from events_samples import CATALOGUE, RECORD_MS, SKEW_MS, decode, event, row_of, to_json, to_msgpack, traffic

from config.settings import Limits
from processors.events import INVALID, UNMETERED, Decoder

GOOD = to_json(traffic())


def number(text: str) -> bytes:
    return to_json(traffic(bytes=msgspec.Raw(text.encode())))


def without(name: str) -> bytes:
    return to_json({key: value for key, value in event().items() if key != name})


def nested(levels: int) -> bytes:
    return GOOD[:-1] + b',"deep":' + b"[" * levels + b"]" * levels + b"}"


DEEP_PACKED = b"\x88" + to_msgpack(event())[1:] + b"\xa1x" + b"\x91" * 5_000 + b"\xc0"

BAD_MESSAGES = {
    "no value": (None, "empty"),
    "an empty value": (b"", "empty"),
    "only spaces": (b" \n ", "empty"),
    "truncated JSON": (GOOD[:-20], "json"),
    "trailing bytes": (GOOD + b"{}", "json"),
    "no JSON at all": (b"hello", "json"),
    "a JSON text": (b'"hello"', "event"),
    "invalid UTF-8 in a read field": (GOOD.replace(b"zone-1", b"zone-\xff"), "utf-8"),
    "invalid UTF-8 in a skipped field": (GOOD[:-1] + b',"x":"\xff"}', "utf-8"),
    "a lone surrogate": (GOOD.replace(b"zone-1", b"\\ud800"), "json"),
    "a bare NaN": (number("NaN"), "json"),
    "a bare Infinity": (number("-Infinity"), "json"),
    "NaN as text": (number('"NaN"'), "value"),
    "Infinity as text": (number('"Infinity"'), "value"),
    "1e400": (number("1e400"), "value"),
    "an exponent bomb": (number("1E+1000000"), "value"),
    "an exponent bomb as text": (number('"1E+1000000000000000000000"'), "value"),
    "10^30": (number("1" + "0" * 30), "value"),
    "more than 10^18": (number("1000000000000000001"), "value"),
    "an integer of 5000 digits": (number("1" * 5000), "value"),
    "20 decimals": (to_json(traffic(meta={"ms": msgspec.Raw(b"0.12345678901234567890")})), "value"),
    "one decimal too many": (to_json(traffic(units="1.555")), "value"),
    "an underscore": (number('"1_000"'), "value"),
    "a space": (number('" 1"'), "value"),
    "Arabic digits": (number('"\u0661"'), "value"),
    "an empty text as number": (number('""'), "value"),
    "a boolean as number": (number("true"), "value"),
    "an array as number": (number("[1]"), "value"),
    "a null number": (number("null"), "value"),
    "a missing number": (to_json(event("traffic", data={})), "value"),
    "no data": (to_json(event("traffic", data=None)), "value"),
    "data of the wrong type": (to_json(event("traffic", data="x")), "value"),
    "a negative number": (number("-1"), "value"),
    "an inner object of the wrong type": (to_json(traffic(meta=3)), "dimension"),
    "a dimension of the wrong type": (to_json(traffic(zone=[1])), "dimension"),
    "a fraction as dimension": (to_json(traffic(zone=msgspec.Raw(b"1.5"))), "dimension"),
    "a long dimension": (to_json(traffic(zone="x" * 257)), "dimension"),
    "a dimension long in bytes": (to_json(traffic(zone="é" * 129)), "dimension"),
    "a control character in a dimension": (to_json(traffic(zone="a\x00b")), "dimension"),
    "a filter of the wrong type": (to_json(traffic(tier={})), "dimension"),
    "a unique value of the wrong type": (to_json(event(data={"user": {"id": []}})), "unique"),
    "a missing id": (without("id"), "id"),
    "an empty id": (to_json(event(id="")), "id"),
    "a number as id": (to_json(event(id=7)), "id"),
    "an id of 1 MB": (to_json(event(id="x" * 1_000_000)), "id"),
    "DEL in an id": (to_json(event(id="a\x7f")), "id"),
    "an escaped control character in an id": (to_json(event(id="a\x1fb")), "id"),
    "a C1 control character in an id": (to_json(event(id="a\x85")), "id"),
    "a long source": (to_json(event(source="s" * 257)), "source"),
    "an empty source": (to_json(event(source="")), "source"),
    "an empty subject": (to_json(event(subject="")), "subject"),
    "a missing subject": (without("subject"), "subject"),
    "an empty type": (to_json(event(type="")), "type"),
    "a missing type": (without("type"), "type"),
    "a type that is a number": (to_json(event(type=1)), "type"),
    "another specversion": (to_json(event(specversion="0.3")), "specversion"),
    "a missing specversion": (without("specversion"), "specversion"),
    "a missing time": (without("time"), "time"),
    "a number as time": (to_json(event(time=1_793_577_600)), "time"),
    "a time without zone": (to_json(event(time="2026-11-01T12:00:00")), "time: has no zone"),
    "a time with a space": (to_json(event(time="2026-11-01 12:00:00Z")), "time: is not RFC 3339"),
    "a time without seconds": (to_json(event(time="2026-11-01T12:00Z")), "time: is not RFC 3339"),
    "a day that is none": (to_json(event(time="2026-02-29T12:00:00Z")), "time: is not RFC 3339"),
    "a leap second": (to_json(event(time="2016-12-31T23:59:60Z")), "time: is in a leap second"),
    "year 1": (to_json(event(time="0001-01-01T00:00:00+01:00")), "time: is outside"),
    "year 9999": (to_json(event(time="9999-12-31T23:59:59-01:00")), "time: is outside"),
    "year 2262": (to_json(event(time="2262-01-01T00:00:00Z")), "time: is outside"),
    "a time in a day": (to_json(event(time="2026-11-03T00:00:00Z")), "time: is more than 300000 ms ahead"),
    "an unknown type in a day": (to_json(event("strange", time="2026-11-03T00:00:00Z")), "time"),
    "an unknown type with an empty id": (to_json(event("strange", id="")), "id"),
    "a type without meters with an empty id": (to_json(event("nobody", id="")), "id"),
    "100,000 levels": (nested(100_000), "nesting"),
    "600 levels": (nested(600), "nesting"),
    "10,000 levels that never close": (GOOD[:-1] + b',"deep":' + b"[" * 10_000, "nesting"),
    "too many bytes": (to_json(event(x="x" * 1_048_576)), "size"),
    "an empty batch": (b"[]", "batch"),
    "an empty MessagePack batch": (b"\x90", "batch"),
    "a batch cut short": (b"[" + GOOD + b"," + GOOD, "json"),
    "a batch holding NaN": (b"[" + GOOD + b"," + number("NaN") + b"]", "json"),
    "a batch of too many": (b"[" + b"{}," * 10_000 + b"{}]", "batch"),
    "truncated MessagePack": (to_msgpack(traffic())[:-3], "messagepack"),
    "MessagePack with texts as binary": (to_msgpack(event(id=b"x")), "id"),
    "a MessagePack timestamp": (to_msgpack(event(time=msgspec.msgpack.Ext(-1, b"\0" * 4))), "time"),
    "MessagePack with a number as key": (b"\x81\x01\x02", "event"),
    "invalid UTF-8 in MessagePack": (to_msgpack(event()).replace(b"zone-1", b"zone-\xff"), "subject"),
    "a binary float that is no short decimal": (
        to_msgpack(traffic(meta={"ms": 0.1})),
        "value: data.meta.ms is a binary",
    ),
    "NaN in MessagePack": (to_msgpack(traffic(bytes=float("nan"))), "value"),
    "Infinity in MessagePack": (to_msgpack(traffic(bytes=float("inf"))), "value"),
    "a boolean as number in MessagePack": (to_msgpack(traffic(bytes=True)), "value"),
    "a float as dimension in MessagePack": (to_msgpack(traffic(zone=1.0)), "dimension"),
    "deep MessagePack": (DEEP_PACKED, "nesting"),
}


@pytest.mark.parametrize(("message", "reason"), BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
def test_a_bad_message_is_one_invalid_row_with_its_reason_and_bytes(message: bytes | None, reason: str) -> None:
    decoded = decode(message)
    assert decoded.kind.tolist() == [INVALID]
    assert decoded.time_us.tolist() == [0]
    assert decoded.digest.tolist() == [[0, 0]]
    assert decoded.types == {}
    (refusal,) = decoded.refusals
    assert refusal.reason.startswith(reason)
    code, _, advice = refusal.reason.partition(": ")
    assert code in reason and advice
    assert (refusal.row, refusal.raw) == (0, message or b"")


@pytest.mark.parametrize(("message", "reason"), BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
def test_good_events_beside_a_bad_one_are_not_affected(message: bytes | None, reason: str) -> None:
    alone = row_of(decode(GOOD), 0)
    packed = to_msgpack(traffic())
    decoded = decode(GOOD, message, packed, message, GOOD, b"[" + GOOD + b"," + GOOD + b"]")
    assert [row for row, kind in enumerate(decoded.kind) if kind == INVALID] == [1, 3]
    assert [refusal.row for refusal in decoded.refusals] == [1, 3]
    assert decoded.message.tolist() == [0, 1, 2, 3, 4, 5, 5]
    assert decoded.index.tolist() == [0, 0, 0, 0, 0, 0, 1]
    for row in (0, 2, 4, 5, 6):
        assert row_of(decoded, row) == alone


# These make the whole array unreadable, as any JSON reader would have it.
_WHOLE = ("json", "messagepack", "utf-8", "empty", "size", "batch")
BAD_ELEMENTS = {
    name: (message, reason)
    for name, (message, reason) in BAD_MESSAGES.items()
    if message and reason not in _WHOLE and len(message) < 500_000 and name != "10,000 levels that never close"
}


@pytest.mark.parametrize(("element", "reason"), BAD_ELEMENTS.values(), ids=BAD_ELEMENTS.keys())
def test_one_bad_event_in_a_batch_is_refused_alone_with_its_own_bytes(element: bytes, reason: str) -> None:
    packed = element[0] >= 0x80
    good = to_msgpack(traffic()) if packed else GOOD
    batch = b"\x93" + good + element + good if packed else b"[" + good + b" ,\n" + element + b"," + good + b"]"
    decoded = decode(batch)
    assert (decoded.kind == INVALID).tolist() == [False, True, False]
    (refusal,) = decoded.refusals
    assert (refusal.row, refusal.raw) == (1, element)
    assert refusal.reason.startswith(reason)
    alone = row_of(decode(GOOD), 0)
    assert row_of(decoded, 0) == alone
    assert row_of(decoded, 2) == alone


def test_nesting_up_to_the_limit_is_read() -> None:
    assert INVALID not in decode(nested(511), b"[" + nested(511) + b"]").kind


def test_ten_thousand_fields_that_no_meter_reads_do_no_harm() -> None:
    many = {f"d{place}": str(place) for place in range(10_000)}
    assert INVALID not in decode(to_json(traffic(**many)), to_msgpack(traffic(**many))).kind


def test_a_time_just_within_the_skew_is_taken() -> None:
    assert decode(to_json(event(time="2026-11-02T00:05:00Z"))).time_us.tolist() == [(RECORD_MS + SKEW_MS) * 1_000]
    assert decode(to_json(event(time="2026-11-02T00:05:00.000001Z"))).kind.tolist() == [INVALID]


def test_types_that_no_meter_has_are_unmetered() -> None:
    for name in ("strange", "nobody"):
        decoded = decode(
            to_json(event(name)), to_msgpack(event(name, data=b"\xff")), b"[" + to_json(event(name)) + b"]"
        )
        assert decoded.kind.tolist() == [UNMETERED] * 3
        assert decoded.types == {}
        assert decoded.time_us.tolist() == [1_793_534_400_250_000] * 3


def test_limits_come_from_the_settings() -> None:
    limits = Limits(message_bytes_max=300, message_events_max=2, id_bytes_max=3, dimension_bytes_max=2)
    decoder = Decoder(CATALOGUE, limits, SKEW_MS)
    reasons = [
        decode(message, decoder=decoder).refusals[0].reason.partition(":")[0]
        for message in (
            to_json(event(x="x" * 300)),
            b"[{},{},{}]",
            to_json(event(id="e-12")),
            to_json(event(data={"user": {"id": "u1"}, "plan": "pro"})),
        )
    ]
    assert reasons == ["size", "batch", "id", "dimension"]
