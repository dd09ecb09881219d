"""Documents, tables and goals."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from benchmarks import beside
from benchmarks.document import Asked, Document
from benchmarks.floor import Floor
from benchmarks.fresh import fresh
from benchmarks.goals import RATE, goals
from benchmarks.history import Point as HistoryPoint
from benchmarks.kept import Kept
from benchmarks.latency import Latency
from benchmarks.live import Process, Run
from benchmarks.load import Sent
from benchmarks.machine import Machine, machine
from benchmarks.observed import Part, Spent
from benchmarks.open_state import Filled, OpenState, Restart
from benchmarks.pipeline import Pipeline
from benchmarks.report import FIGURES, GOALS, markdown, write_into
from benchmarks.steps import measure
from benchmarks.sweeps import Point, Sweeps
from benchmarks.tables_inside import steps_table

_MACHINE = Machine("a CPU", 2, 2**34, "6.1", "3.11.7", {"numpy": "2"}, "abc", datetime(2026, 11, 1, tzinfo=UTC))
_ASKED = Asked(["pipeline"], ["json"], "embedded", 1000, 2, RATE, None)


def _run(part: Part, worker_s: float = 0.010) -> Run:
    return Run(
        part=part,
        events=1000,
        workers=2,
        steady_events_s=500.0,
        steady_us=0.0,
        whole_events_s=100.0,
        start_s=5.0,
        work_s=4.0,
        tail_s=1.0,
        taken=1000,
        rows=300,
        restarts=0,
        processes=[Process("worker 1", worker_s, 2**20), Process("broker", 0.002, 2**21)],
        meter=Spent(1.0, 0.006, 3, 1000),
        rate=Spent(1.0, 0.003, 3, 300),
        others_cores=0.5,
        load_average=1.0,
    )


def _pipeline(wrong: list[str], form: str = "json", *, kernel: bool = False, worker_s: float = 0.010) -> Pipeline:
    return Pipeline(
        form=form,
        kernel=kernel,
        events=1000,
        partitions=4,
        sent=Sent(1000, 1000, 0.005, 1.0),
        floors=[Floor(1000, 0.1, 0.0004), Floor(1000, 0.1, 0.0006)],
        runs=[_run("meter", worker_s), _run("whole", worker_s)],
        kept=Kept(900, 18_000, 30_000, {"usage": 4_000, "rated": 2_000}, {"usage": 100, "rated": 50}),
        differences=wrong,
        wrong=len(wrong),
    )


def _latency(p99_ms: float, sent: float = RATE) -> Latency:
    return Latency(RATE, "asked for", 10, sent, 2, 500, 0, 900.0, p99_ms, p99_ms, 50.0, 90.0, {"load": 2.0})


def _met(document: Document) -> dict[str, tuple[str, bool | None]]:
    return {one.what: (one.measured, one.met) for one in goals(document)}


def test_cost_is_given_an_event_and_as_a_ratio_to_the_floor() -> None:
    text = markdown(Document(_MACHINE, _ASKED, [_pipeline([])]))
    assert "| workers, from the first message to the end | 10.00 | 10.00 |" in text
    assert "| everything | 12.00 | 12.00 |" in text
    assert "| floor: consume() and count, this form | 0.50 | 0.50 |" in text
    assert "| workers, over the floor of single messages | 20.0 | 20.0 |" in text
    assert "equal to the truth" in text


def test_bytes_are_given_an_id_and_an_event() -> None:
    text = markdown(Document(_MACHINE, _ASKED, [_pipeline([])]))
    assert "| Redis: bytes an id |  | 20.0 |" in text
    assert "| disk: usage, bytes an event |  | 4.0 |" in text


def test_batches_are_held_against_the_floor_of_single_messages() -> None:
    """A floor of their own says nothing: an event of a batch has hardly one."""
    batch = _pipeline([], "json-500", worker_s=0.001)
    batch.floors = [Floor(2, 0.1, 0.00001)]
    text = markdown(Document(_MACHINE, _ASKED, [batch, _pipeline([])]))
    assert "| workers, over the floor of single messages | 2.0 | 2.0 |" in text
    assert "| workers, over the floor of single messages | 20.0 | 20.0 |" in text
    assert text.index("### json-500: ") < text.index("### json: ")


def test_a_wrong_answer_is_not_hidden_behind_its_speed() -> None:
    text = markdown(Document(_MACHINE, _ASKED, [_pipeline(["accepted: expected 2, found 1"])]))
    assert "NOT EQUAL: 1 differences: accepted: expected 2, found 1" in text


def test_a_goal_that_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {met for _, met in _met(Document(_MACHINE, _ASKED)).values()} == {None}


def test_a_goal_of_the_pure_stage_is_not_met_by_the_kernel() -> None:
    document = Document(_MACHINE, _ASKED, [_pipeline([], kernel=True, worker_s=0.0009)])
    found = _met(document)
    assert found["meter stage, single JSON messages, pure Python: CPU"] == ("not measured", None)
    assert found["the same with the kernel: CPU"] == ("1.8", True)


def test_latency_at_a_rate_that_was_not_reached_misses_the_goal() -> None:
    name = "produce to visible rated row, at 100,000 events/s"
    assert _met(Document(_MACHINE, _ASKED, latency=[_latency(1999.0)]))[name] == ("2.0 s", True)
    assert _met(Document(_MACHINE, _ASKED, latency=[_latency(float("inf"))]))[name] == ("not seen in time", False)
    assert _met(Document(_MACHINE, _ASKED, latency=[_latency(500.0, 60_000.0)]))[name][1] is False


def test_growth_is_that_of_the_worst_point_over_the_first() -> None:
    history = [HistoryPoint(10**6, 2.0, 9.0), HistoryPoint(10**7, 3.2, 9.0), HistoryPoint(10**8, 2.9, 9.0)]
    found = _met(Document(_MACHINE, _ASKED, history=history))
    assert found["history, 1 to 100 million ids: decode and fold"] == ("1.60x", False)


def test_growth_over_a_part_of_the_range_meets_nothing() -> None:
    history = [HistoryPoint(10**6, 2.0, 9.0), HistoryPoint(10**7, 2.2, 9.0)]
    found = _met(Document(_MACHINE, _ASKED, history=history))
    assert found["history, 1 to 100 million ids: decode and fold"] == ("1.10x in a part of it", None)


def test_state_of_a_smaller_size_says_nothing_about_the_goals_for_ten_million() -> None:
    small = OpenState(Filled(10**6, 10**5, 1, 2, 3, 17, 18), Restart(1.0, 0.1, 0.2, 0.3, 0.4, 1.5, 5))
    large = OpenState(Filled(10**7, 10**6, 1, 2, 3 * 2**20, 165_000_000, 18), small.restart)
    assert _met(Document(_MACHINE, _ASKED, open_state=small))["ids in Redis, at 10 million"][1] is None
    assert _met(Document(_MACHINE, _ASKED, open_state=large))["ids in Redis, at 10 million"] == ("16.50", True)


def test_the_goals_beside_others_are_read_from_their_own_run(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    assert beside.read(path) is None
    runs = [("tollstream-stage", 2.0), ("faust", 90.0), ("quix", 20.0)]
    results = [{"name": name, "more": 1, "taken": {"events": 1000, "cpu_s": cpu_s}} for name, cpu_s in runs]
    path.write_bytes(
        msgspec.json.encode({"machine": {"commit": "abc"}, "results": [*results, {"name": "handwritten"}]})
    )
    found = _met(Document(_MACHINE, _ASKED, peers=beside.read(path)))
    assert found["meter stage beside Faust"] == ("45.0x", True)
    assert found["meter stage beside Quix Streams"] == ("10.0x", False)
    assert found["meter stage beside the hand-written loop"] == ("not measured", None)


def test_a_document_survives_its_file() -> None:
    document = Document(machine(), _ASKED, [_pipeline([])], [_latency(5.0)])
    assert msgspec.json.decode(msgspec.json.encode(document), type=Document) == document


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{GOALS[0]}\nx{GOALS[1]}\n{FIGURES[0]}\nold\n{FIGURES[1]}\nafter\n")
    write_into(page, Document(_MACHINE, _ASKED))
    text = page.read_text()
    assert text.startswith(f"before\n{GOALS[0]}\n") and text.endswith(f"{FIGURES[1]}\nafter\n")
    assert "\nold\n" not in text and "a CPU" in text
    assert text.index("600,000 events/s a core") < text.index(FIGURES[0])


def test_plots_are_written_beside_the_page_that_shows_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n".join((*GOALS, *FIGURES)))
    points = [Point(1, 100.0, 90.0, 5.0, 6.0, 10), Point(2, 180.0, 150.0, 5.1, 6.2, 10)]
    write_into(page, Document(_MACHINE, _ASKED, sweeps=Sweeps(100, points, [], [], [])))
    assert [one.name for one in (tmp_path / "img").iterdir()] == ["bench-workers.svg"]
    assert "(img/bench-workers.svg)" in page.read_text()


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="lacks the lines"):
        write_into(page, Document(_MACHINE, _ASKED))


def test_every_step_of_both_stages_is_measured() -> None:
    measured = [fresh(measure, 2000, form) for form in ("json", "json-500", "columnar")]
    for steps in measured:
        assert steps.rows > 0 and steps.rated > 0
        assert {one.stage for one in steps.steps} == {"meter", "rate"}
        assert all(one.items > 0 for one in steps.steps)
    table = steps_table(measured)
    assert table.columns == ["", "json", "json-500", "columnar", "each", "of what"]
    assert {len(row) for row in table.rows} == {6}
    assert [row[0] for row in table.rows[-4:]] == ["meter: all", "rate: all", "rows an event", "rated rows an event"]
