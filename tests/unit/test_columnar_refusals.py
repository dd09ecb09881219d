"""What is no columnar message as documented is one invalid event, its bytes kept; nothing crashes and nothing hangs."""

import random
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from events_samples import CATALOGUE, DECODER, KIND, RECORD_MS, SKEW_MS, decode, event, row_of, to_json

from config.settings import Limits
from processors import arrow_batch
from processors.arrow_frames import HEAD
from processors.decode_arrow import ArrowDecoder
from processors.decode_careful import CarefulDecoder
from processors.decode_shapes import compile_shapes
from processors.events import INVALID, Decoder, columnar_of
from processors.vocabulary import Vocabulary
from tests.fuzz.columnar import Batches
from tests.fuzz.columns import TEXT, batch, dictionary, message, stream

TIME = 1_793_534_400_000_000  # 2026-11-01T12:00:00Z
Columns = list[tuple[str, Any, list[Any]]]


def seats(count: int = 3, **more: tuple[Any, list[Any]]) -> Columns:
    columns: dict[str, tuple[Any, list[Any]]] = {
        "id": (TEXT, [f"e{place}" for place in range(count)]),
        "source": (dictionary(), ["s"] * count),
        "type": (dictionary(), ["seat"] * count),
        "subject": (dictionary(), ["zone-1"] * count),
        "time": (pa.timestamp("us", "UTC"), [TIME] * count),
        "data.user.id": (TEXT, [f"u{place}" for place in range(count)]),
    }
    return [(name, type_, values) for name, (type_, values) in (columns | more).items() if values]


def refusal(value: bytes, decoder: Decoder = DECODER) -> str:
    """Why a whole message is refused."""
    decoded = decode(value, decoder=decoder)
    assert decoded.kind.tolist() == [INVALID]
    assert [(one.row, one.raw) for one in decoded.refusals] == [(0, value)]
    assert decoder.raw(value, 0) == value
    return decoded.refusals[0].reason


def changed(**limits: int) -> Decoder:
    return Decoder(CATALOGUE, Limits(**limits), SKEW_MS)


GOOD = message(seats())


def test_a_good_message_is_read() -> None:
    decoded = decode(GOOD)
    assert decoded.kind.tolist() == [KIND["seat"]] * 3
    assert decoded.index.tolist() == [0, 1, 2]
    assert decoded.time_us.tolist() == [TIME] * 3


def test_the_end_of_the_stream_may_be_there_or_not() -> None:
    assert GOOD.endswith(HEAD + bytes(4))
    assert decode(GOOD[:-8]).kind.tolist() == [KIND["seat"]] * 3


def test_forms_may_be_mixed_in_any_order() -> None:
    single, both = to_json(event()), b"[" + to_json(event(id="a")) + b"," + to_json(event(id="b")) + b"]"
    values = [single, GOOD, None, both, GOOD, b"{", single]
    decoded = decode(*values)
    assert decoded.message.tolist() == [0, 1, 1, 1, 2, 3, 3, 4, 4, 4, 5, 6]
    row = 0
    for value in values:
        alone = decode(value)
        for place in range(len(alone.kind)):
            assert row_of(decoded, row) == row_of(alone, place)
            row += 1
    assert [one.row for one in decoded.refusals] == [4, 10]


def test_columnar_messages_are_told_by_their_first_bytes() -> None:
    values = [b"\xff\xff\xff\xfe" + bytes(20), b"\xff" * 3, HEAD, None, b"", GOOD, b"\xfe" * 9, b"{}"]
    assert columnar_of(values) == {2: HEAD, 5: GOOD}
    assert columnar_of(values[:2] + values[4:5] + values[6:]) == columnar_of([]) == {}
    assert [refusal(value).partition(":")[0] for value in values[:3]] == ["utf-8", "utf-8", "arrow"]


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_buffers_are_refused_before_they_are_unpacked(codec: str) -> None:
    bomb = stream(batch(seats(data_x=(TEXT, ["x" * 1_000_000] * 3))), compression=codec)
    assert len(bomb) < 50_000
    assert refusal(bomb) == "arrow: is compressed inside; leave that to Kafka"


def test_sizes_are_bounded() -> None:
    assert refusal(GOOD, changed(message_bytes_max=100)).startswith("size: the message is larger than 100 bytes")
    assert refusal(GOOD, changed(message_events_max=2)) == "batch: holds more than 2 events; split it"
    assert decode(GOOD, decoder=changed(message_events_max=3)).kind.tolist() == [KIND["seat"]] * 3
    assert refusal(message(seats(0))) == "batch: holds no event; send at least one"


def test_columns_are_bounded() -> None:
    most: Columns = [*seats(), *((f"data.x{place}", pa.null(), [None] * 3) for place in range(250))]
    assert decode(message(most)).kind.tolist() == [KIND["seat"]] * 3
    assert refusal(message([*most, ("more", pa.null(), [None] * 3)])).startswith("arrow: has more than 256 columns")
    assert "a name of more than 256 bytes" in refusal(message([*seats(), ("x" * 257, pa.null(), [None] * 3)]))


def test_a_text_of_a_dictionary_in_every_row_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_batch, "EXPANDED_BYTES_MAX", 100_000)
    found = seats(20, plan=(dictionary(), ["x" * 10_000] * 20))
    assert refusal(message(found)).startswith("arrow: comes to more than 100000 bytes as JSON")
    once = seats(20, plan=(dictionary(), ["x" * 10_000] + [None] * 19))
    assert decode(message(once)).kind.tolist() == [KIND["seat"]] * 20


def several(*batches: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for one in batches:
            writer.write_batch(one)
    return bytes(sink.getvalue().to_pybytes())


def test_a_message_is_one_record_batch_and_each_dictionary_once() -> None:
    first = batch(seats())
    assert refusal(several(first, first)).startswith("arrow: cannot be read")
    assert refusal(GOOD + GOOD).startswith("arrow: cannot be read")
    assert refusal(GOOD[:-8] + b"x").startswith("arrow: cannot be read")
    only_schema = several(first)[: GOOD.index(HEAD, 4)]
    assert refusal(only_schema).startswith("arrow: cannot be read")
    repeated = GOOD[: GOOD.index(HEAD, 4)] + GOOD[GOOD.index(HEAD, 4) : GOOD.index(HEAD, GOOD.index(HEAD, 4) + 4)] * 2
    rest = GOOD[GOOD.index(HEAD, GOOD.index(HEAD, 4) + 4) :]
    assert refusal(repeated + rest).startswith("arrow: has a delta or a second dictionary")


@pytest.mark.parametrize(
    "type_",
    [
        pa.float64(),
        pa.float16(),
        pa.timestamp("us", "UTC"),
        pa.date32(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.list_(pa.string()),
        pa.struct([("x", pa.string())]),
        pa.map_(pa.string(), pa.string()),
        pa.decimal256(40, 2),
        pa.decimal128(10, -2),
        pa.dictionary(pa.int8(), pa.int64()),
        pa.run_end_encoded(pa.int32(), pa.string()),
        pa.uuid(),
        pa.json_(),
    ],
    ids=str,
)
def test_a_column_of_another_type_is_refused(type_: Any) -> None:
    made = batch(seats())
    value = stream(made.append_column(pa.field("data.x", type_), pa.nulls(3, type_)))
    assert refusal(value).startswith('arrow: has a column "data.x" of type ')


def test_times_need_a_zone_and_paths_are_spread() -> None:
    assert "of type timestamp[us]" in refusal(message(seats(time=(pa.timestamp("us"), [TIME] * 3))))
    assert 'a column named "data"' in refusal(message(seats(data=(TEXT, ["x"] * 3))))


def test_a_value_is_said_once() -> None:
    twice: Columns = [*seats(), ("data.user.id", pa.int64(), [None, 5, None])]
    assert refusal(message(twice)) == 'arrow: gives a row two values under "data.user.id"; keep one'
    within: Columns = [*seats(), ("data.user", pa.int64(), [None, 5, None])]
    assert refusal(message(within)) == 'arrow: gives a row two values under "data.user"; keep one'
    same: Columns = [*seats(), ("data.user.id", dictionary(), [None] * 3)]
    assert refusal(message(same)).startswith("arrow: has two columns of one name and kind")


def test_entries_of_a_dictionary_may_be_null_or_unused_or_twice() -> None:
    odd = pa.DictionaryArray.from_arrays(pa.array([3, 0, 3], pa.int8()), pa.array(["seat", None, "x", "seat", "\x00"]))
    made = batch(seats())
    found = decode(stream(made.set_column(2, "type", odd)))
    assert found.kind.tolist() == [KIND["seat"]] * 3
    gone = pa.DictionaryArray.from_arrays(pa.array([3, 1, None], pa.int8()), odd.dictionary)
    refused = decode(stream(made.set_column(2, "type", gone)))
    assert refused.kind.tolist() == [KIND["seat"], INVALID, INVALID]
    assert refused.refusals[0].reason.startswith("type: is missing")


def test_dictionaries_of_several_messages_become_one_whatever_their_types() -> None:
    types = [dictionary(index) for index in (pa.int8(), pa.int32(), pa.uint64(), pa.int64())]
    types += [pa.dictionary(pa.int32(), TEXT, ordered=True), TEXT]
    found = [seats(120, subject=(type_, [f"{place}-{row}" for row in range(120)])) for place, type_ in enumerate(types)]
    decoded = decode(*map(message, found), message(seats(1)))
    said = [decoded.vocabulary.seen[code] for code in decoded.types[KIND["seat"]].subject.tolist()]
    assert said == [text for columns in found for text in {one[0]: one[2] for one in columns}["subject"]] + ["zone-1"]


def test_a_source_is_one_however_often_dictionaries_name_it() -> None:
    """Events of one source and one number are one event, which its row tells."""
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 2, 1], pa.int8()), pa.array(["s", "other", "s"]))
    numbers = {"sequencetype": (TEXT, ["tollstream"] * 3), "sequence": (pa.int64(), [7, 7, 7])}
    made = batch(seats(3, **numbers))
    odd = stream(made.set_column(1, "source", twice))
    decoded = decode(odd, message(seats(3, **numbers)), message(seats(1)))
    assert len(decoded.sources) == 2
    assert decoded.sequence.tolist() == [7] * 6 + [-1]
    source = decoded.source.tolist()
    assert source[0] == source[1] == source[3] == source[4] == source[5] != source[2]
    assert source[6] == -1
    alone = decode(odd).source.tolist()
    assert alone[0] == alone[1] != alone[2]


def test_letters_hold_the_event_as_json() -> None:
    columns = seats(2, id=(TEXT, ["e0", None]), sequencetype=(TEXT, ["tollstream"] * 2), sequence=(pa.int64(), [7, 8]))
    columns += [("data.x.y", pa.decimal128(9, 2), [None, Decimal("1.50")]), ("data.b", pa.bool_(), [None, True])]
    value = message(columns)
    decoded = decode(value)
    expected = (
        b'{"specversion":"1.0","source":"s","type":"seat","subject":"zone-1","time":"2026-11-01T12:00:00.000000Z",'
        b'"data":{"user":{"id":"u1"},"x":{"y":1.50},"b":true},"sequencetype":"tollstream","sequence":"8"}'
    )
    assert [(one.row, one.raw) for one in decoded.refusals] == [(1, expected)]
    assert DECODER.raw(value, 1) == expected


def test_what_is_refused_leaves_no_text_behind() -> None:
    decoder = changed()
    decode(message(seats(subject=(dictionary(), ["zone-1", "x" * 300, "\x00"]))), decoder=decoder)
    assert [text for text in decoder.vocabulary.seen if len(text) > 10 or "\x00" in text] == []


def test_mutated_bytes_never_crash_and_say_the_same_alone() -> None:
    rng = random.Random(20_261_123)
    limits = Limits(message_events_max=1000)
    shapes = compile_shapes(CATALOGUE)
    decoder = ArrowDecoder(shapes, CarefulDecoder(shapes, limits, SKEW_MS), limits, SKEW_MS)
    whole = 0
    for _ in range(1500):
        value = bytearray(message(Batches(rng).columns(rng.choice((1, 5, 40)))))
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(4, len(value))
            value[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, value[at] ^ 1 << rng.randrange(8)))
        if rng.random() < 0.1:
            del value[rng.randrange(4, len(value)) :]
        decoded = decoder.decode([bytes(value)], np.array([RECORD_MS]), Vocabulary())
        whole += len(decoded.refusals) == 1 and decoded.refusals[0].raw == value
        assert (decoded.kind == INVALID).sum() == len(decoded.refusals)
    assert 300 < whole < 1200
