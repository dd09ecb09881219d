"""Numbers of an emitter: never one twice, and everything else of a line as it was."""

import msgspec
import pytest

from edge.numbering import Numbering

LINE = b'{"id":"1","source":"edge/fra","data":{"n": 1.10, "big": 123456789012345678901234567890, "t":"\\u00e9"}}'


def test_a_line_gets_a_number_and_keeps_the_rest_byte_for_byte() -> None:
    stamped = Numbering().stamp(LINE, 3)
    fields = msgspec.json.decode(stamped, type=dict[str, msgspec.Raw])
    before = msgspec.json.decode(LINE, type=dict[str, msgspec.Raw])
    assert {name: bytes(raw) for name, raw in fields.items() if name not in ("source", "sequence", "sequencetype")} == {
        name: bytes(raw) for name, raw in before.items() if name != "source"
    }
    event = msgspec.json.decode(stamped)
    assert event["sequence"] == "0"
    assert event["sequencetype"] == "tollstream"
    assert event["source"].startswith("edge/fra#")
    assert event["source"].endswith(".3")


def test_each_source_counts_for_itself_on_each_partition() -> None:
    numbering, found = Numbering(), []
    for source, partition in (("a", 0), ("a", 0), ("a", 1), ("b", 0), ("a", 0)):
        event = msgspec.json.decode(numbering.stamp(b'{"source":"%s"}' % source.encode(), partition))
        found.append((event["source"][0], event["source"][-1], event["sequence"]))
    assert found == [("a", "0", "0"), ("a", "0", "1"), ("a", "1", "0"), ("b", "0", "0"), ("a", "0", "2")]


def test_no_two_incarnations_have_the_same_source() -> None:
    sources = {msgspec.json.decode(Numbering().stamp(LINE, 0))["source"] for _ in range(50)}
    assert len(sources) == 50


def test_a_source_never_gets_a_number_twice_even_with_too_many_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.numbering._COUNTERS_MAX", 3)
    numbering, seen = Numbering(), set()
    for turn in range(40):
        event = msgspec.json.decode(numbering.stamp(b'{"source":"s%d"}' % (turn % 5), 0))
        assert (event["source"], event["sequence"]) not in seen
        seen.add((event["source"], event["sequence"]))


@pytest.mark.parametrize(
    "line",
    [
        b'{"source":"a","sequence":"7"}',
        b'{"source":"a","sequencetype":"Integer"}',
        b'{"id":"1"}',
        b'{"source":""}',
        b'{"source":7}',
        b"nonsense",
        b"[1]",
        b'{"source":"a","deep":' + b"[" * 3_000 + b"]" * 3_000 + b"}",
    ],
)
def test_a_line_with_a_sequence_of_its_own_or_without_a_source_stays_as_it_is(line: bytes) -> None:
    assert Numbering().stamp(line, 0) == line
