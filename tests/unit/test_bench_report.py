"""Documents and tables."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from benchmarks.floor import Floor
from benchmarks.fresh import fresh
from benchmarks.machine import Machine, machine
from benchmarks.observed import Spent
from benchmarks.pipeline import Pipeline, Process
from benchmarks.report import BEGIN, END, Document, markdown, write_into
from benchmarks.steps import measure

_MACHINE = Machine("a CPU", 2, 2**34, "6.1", "3.11.7", {"numpy": "2"}, "abc", datetime(2026, 11, 1, tzinfo=UTC))


def _pipeline(wrong: list[str]) -> Pipeline:
    return Pipeline(
        events=1000,
        workers=2,
        steady_events_s=500.0,
        whole_events_s=100.0,
        start_s=5.0,
        work_s=4.0,
        tail_s=1.0,
        taken=1000,
        rows=300,
        restarts=0,
        processes=[Process("worker 1", 0.010, 2**20), Process("broker", 0.002, 2**21)],
        meter=Spent(1.0, 0.006, 3, 1000),
        rate=Spent(1.0, 0.003, 3, 300),
        floors=[Floor(1000, 0.1, 0.0004), Floor(1000, 0.1, 0.0006)],
        differences=wrong,
        wrong=len(wrong),
        others_cores=0.5,
        load_average=1.0,
    )


def test_cost_is_given_an_event_and_as_a_ratio_to_the_floor() -> None:
    text = markdown(Document(_MACHINE, _pipeline([])))
    assert "| worker 1 | 10.00 | 20.0 | 1 |" in text
    assert "| everything | 12.00 | 24.0 |  |" in text
    assert "equal to the truth" in text


def test_a_wrong_answer_is_not_hidden_behind_its_speed() -> None:
    text = markdown(Document(_MACHINE, _pipeline(["accepted: expected 2, found 1"])))
    assert "NOT EQUAL: 1 differences: accepted: expected 2, found 1" in text


def test_a_document_survives_its_file() -> None:
    document = Document(machine(), _pipeline([]))
    assert msgspec.json.decode(msgspec.json.encode(document), type=Document) == document


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_into(page, Document(_MACHINE))
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n")
    assert "old" not in text and "a CPU" in text


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="lacks the lines"):
        write_into(page, Document(_MACHINE))


def test_every_step_of_both_stages_is_measured() -> None:
    steps = fresh(measure, 2000)
    assert steps.rows > 0 and steps.rated > 0
    assert [one.stage for one in steps.steps] == ["meter"] * 6 + ["rate"] * 3
    assert all(one.items > 0 for one in steps.steps)
