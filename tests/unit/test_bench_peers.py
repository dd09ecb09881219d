"""What the side-by-side benchmark reads, expects and calls different."""

import os
import time
from datetime import UTC, datetime

import pytest

from benchmarks.machine import Machine
from benchmarks.peers.answer import Answer, compare, expected
from benchmarks.peers.job import Job, Taken, Totals, Watch, add
from benchmarks.peers.reading import read
from benchmarks.peers.report import markdown
from benchmarks.peers.run import Document, Result
from edge.generate import Shape, Traffic

_NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_NOW_MS = int(_NOW.timestamp() * 1000)
_KEY = ("http_requests", "zone-1", "eu", 5)


def test_reading_every_line_once_by_its_identity_gives_the_generator_s_truth() -> None:
    """All kinds of lines: malformed, late, without a meter, repeated."""
    totals, truths = Totals(), []
    for seed in (1, 2):
        traffic, seen = Traffic(Shape(seed=seed, events=20_000, base_time=_NOW, malformed=0.02)), set[str]()
        for line in (line for lines in traffic.blocks() for line in lines):
            reading = read(line, _NOW_MS)
            if reading is not None and reading.identity not in seen:
                seen.add(reading.identity)
                for meter, dimension, quantity in reading.usage:
                    add(totals, (meter, reading.subject, dimension, reading.hour), quantity)
        truths.append(traffic.truth())
    assert str(compare(expected(truths), totals)) == "equal"


def test_an_answer_names_what_is_lost_doubled_and_unheard_of() -> None:
    other, third = ("http_requests", "zone-2", "eu", 5), ("egress_bytes", "zone-2", "eu", 5)
    answer = compare({_KEY: 100, other: 10, third: 7}, {_KEY: 102, third: 7, ("egress_bytes", "x", "eu", 5): 1})
    assert (answer.missing, answer.low, answer.high, answer.unknown) == (1, 0, 1, 1)
    assert str(answer) == "DIFFERS in 1 too low, 1 too high, 1 unheard of of 3 totals; worst meter +14.286%"


def test_a_total_of_zero_need_not_be_kept() -> None:
    assert compare({_KEY: 0}, {}).equal


def test_a_watch_counts_the_cpu_time_between_its_ends_and_that_of_the_servers() -> None:
    watch = Watch(Job("topic", 1, 10, "", {}, {"broker": os.getpid()}))
    assert not watch.begun
    watch.begin()
    spent_s = time.process_time()
    while time.process_time() < spent_s + 0.05:
        sum(range(10_000))
    watch.end()
    taken = watch.taken(10, ("msgspec",), {_KEY: 3})
    assert taken.cpu_s >= 0.03
    assert taken.servers_cpu_s["broker"] >= 0.03
    assert taken.totals == [(*_KEY, 3)]
    assert taken.peak_bytes > 0


def _result(name: str, kind: str, cpu_s: float, answer: Answer | None = None, failed: str = "") -> Result:
    taken = None if failed else Taken(100, 1.0, cpu_s, {"broker": 1e-4}, 2**20, {})
    return Result(name, name, kind, "", 100, taken, answer, failed)


def test_the_table_has_ratios_to_ours_and_what_is_over_the_mean_of_the_floors() -> None:
    machine = Machine("cpu", 2, 2**30, "6.1", "3.11", {}, "abc", _NOW)
    results = [
        _result("floor", "floor", 1e-4),
        _result("tollstream", "ours", 4e-4, Answer(3)),
        _result("handwritten", "peer", 32e-4, Answer(3, low=1, share=-0.5)),
        _result("quix", "peer", 0, failed="no\n  such package"),
        _result("floor", "floor", 3e-4),
    ]
    text = markdown(Document(machine, "embedded", 100, 100, results))
    assert "| floor | 100 | 100 | 2.00 |  |" in text
    assert "| handwritten | 100 | 100 | 32.00 | 30.00 | 8.0 |  |  | 1.00 |" in text
    assert "DIFFERS in 1 too low of 3 totals; worst meter -50.000%" in text
    assert "| quix | no such package |" in text


@pytest.mark.parametrize("line", [b"", b"[1]", b'{"type":"http.request"}'])
def test_what_is_no_event_counts_nothing(line: bytes) -> None:
    assert read(line, _NOW_MS) is None
