"""The benchmark itself, small: what it measures is the real pipeline, and its answers are compared with the truth."""

from pathlib import Path

import pytest

from benchmarks import latency, pipeline
from benchmarks.budget import Budget
from benchmarks.ground import Ground
from benchmarks.live import Run


def _say(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> "Ground":  # type: ignore[misc]
    with Ground(tmp_path_factory.mktemp("bench") / "stack", "embedded", {}) as one:
        yield one


def test_each_stage_alone_and_the_whole_give_the_right_answers_and_their_costs(ground: Ground, tmp_path: Path) -> None:
    (done,) = pipeline.measure(ground, tmp_path, ["json-500"], 3_000, 1, Budget(None), _say)
    assert not done.differences
    assert [run.part for run in done.runs] == ["meter", "rate", "whole"]
    assert done.sent.events == 3_000 > done.sent.messages
    assert done.floor_us > 0 < done.send_us
    for run in done.runs:
        assert {"worker 1", "broker", "Valkey", "ClickHouse", "supervisor"} == {one.name for one in run.processes}
        assert run.workers_us > 0
        assert run.all_us >= run.workers_us
    assert _messages(done.run("meter")) == (done.sent.messages, 0)
    assert _messages(done.run("rate"))[0] == 0 < _messages(done.run("rate"))[1]
    assert done.kept.identities > 2_500
    assert done.kept.redis_identity_bytes >= 16 * done.kept.identities
    assert done.kept.disk_bytes["usage"] > 0 < done.kept.disk_bytes["rated"]


def _messages(run: Run) -> tuple[int, int]:
    return run.taken, run.rows


def test_every_probe_is_seen_as_a_rated_row_after_it_was_sent(ground: Ground) -> None:
    even, hot = latency.measure(ground, 0, [500.0], 3.0, 0.9, "json", 1, Budget(None), _say)
    assert (even.why, even.hot) == ("asked for", 0)
    assert (hot.why, hot.hot) == ("asked for, 90% of it one subject's", 0.9)
    for found in even, hot:
        assert found.probes > 0 == found.unseen
        assert 0 < found.p50_ms <= found.p99_ms <= found.max_ms
        assert found.cpu_us["load"] > 0


def test_what_does_not_fit_the_budget_is_left_out_and_said_to_be(ground: Ground, tmp_path: Path) -> None:
    budget = Budget(0)
    assert not list(latency.measure(ground, 0, [500.0], 1.0, 0.0, "json", 1, budget, _say))
    assert budget.left_out == ["latency at 500 events/s, asked for"]
