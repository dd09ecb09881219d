"""Workers die, come and go: totals and ledger stay the truth (I2), versions only grow (I4), and a drain is complete."""

import os
import signal
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pipeline import Pipeline
from pipeline_traffic import BASE, DAY, Traffic, check, check_usage
from pipeline_truth import Truth
from pipeline_versions import Versions

import processors.owner
import processors.supervise
from config.catalogue import Catalogue
from config.settings import Settings
from processors.meter_stage import MeterStage
from processors.owner import Owner
from processors.window_rows import WindowRows
from processors.worker import work
from sinks.clickhouse import ClickHouseSink

Point = tuple[type, str]
# The side effects of a worker in order; it dies right before each.
POINTS: dict[str, Point] = {
    "letters are acknowledged, and no checkpoint says so": (Owner, "checkpoint"),
    "a checkpoint is written, and nothing of it is sent": (MeterStage, "_release"),
    "usage is inserted, and the ledger is not": (ClickHouseSink, "insert_ledger"),
    "all is acknowledged, and not recorded": (Owner, "acknowledged"),
    "rated totals are sent, and not inserted": (ClickHouseSink, "insert_rated"),
}


def die_at(
    points: dict[str, Point], signs: Path, settings: Settings, catalogue: Catalogue, parent: Connection, alone: bool
) -> None:
    """A worker that kills itself once at each point, across all of its successors."""
    for name, (kind, method) in points.items():
        setattr(kind, method, _dying(getattr(kind, method), signs / name))
    work(settings, catalogue, parent, alone)


def _dying(method: Any, sign: Path) -> Any:
    def call(self: Any, *arguments: Any) -> Any:
        if _in_the_middle(self, arguments):
            try:
                sign.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return method(self, *arguments)

    return call


def _in_the_middle(self: Any, arguments: tuple[Any, ...]) -> bool:
    if isinstance(self, Owner):
        return self.state.ledger.late > 0  # by then there are letters, too
    if isinstance(self, MeterStage):
        return any(one.rows for one in arguments[0])
    return True


def die_without_republishing(
    signs: Path, settings: Settings, catalogue: Catalogue, parent: Connection, alone: bool
) -> None:
    """The broken variant: a new owner sends nothing of what its predecessor had checkpointed."""
    processors.owner.unpublished_rows = lambda *_: WindowRows()
    name = "a checkpoint is written, and nothing of it is sent"
    die_at({name: POINTS[name]}, signs, settings, catalogue, parent, alone)


def test_i2_a_worker_that_dies_between_any_two_side_effects_loses_and_doubles_nothing(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processors.supervise, "work", partial(die_at, POINTS, tmp_path))
    traffic = Traffic(seed=11)
    pipeline.send(traffic.fill(2_500, BASE, BASE + 3 * DAY))
    with Versions(pipeline) as versions:
        run = pipeline.catch_up()
    assert {path.name for path in tmp_path.iterdir()} == set(POINTS)
    assert run.supervisor.tally().restarts == len(POINTS)
    check(pipeline, traffic.log)
    assert versions.looks
    assert not versions.went_back, versions.went_back


def test_i2_without_republishing_the_same_death_loses_rows(
    one_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processors.supervise, "work", partial(die_without_republishing, tmp_path))
    traffic = Traffic(seed=12)
    one_pipeline.send(traffic.fill(1_000, BASE, BASE + 3 * DAY))
    one_pipeline.catch_up()
    with pytest.raises(AssertionError):
        check_usage(one_pipeline, Truth(one_pipeline.catalogue, traffic.log))


def test_i2_i4_workers_that_are_killed_join_and_leave_change_no_total(pipeline: Pipeline) -> None:
    traffic, hours = Traffic(seed=13), 0

    def send(events: int) -> None:
        nonlocal hours
        hours += 6
        end = BASE + DAY * hours / 24
        pipeline.send(traffic.fill(events, end - DAY / 4, end))

    with Versions(pipeline) as versions:
        send(500)
        with pipeline.running(workers=3) as run:
            run.until(lambda: pipeline.consumed() > 0, "the first output")
            for _ in range(3):
                send(300)
                run.kill()
                send(300)
            with pipeline.running(workers=1):  # joins, and leaves in order
                send(500)
                run.kill()
                all_sent = sum(len(sent.events) for sent in traffic.log)
                run.until(lambda: pipeline.consumed() == all_sent, f"all {all_sent} events")
                send(300)
        pipeline.catch_up()
    check(pipeline, traffic.log)
    assert not versions.went_back, versions.went_back


def test_a_stopped_run_has_acknowledged_all_it_took_and_the_next_one_takes_the_rest(pipeline: Pipeline) -> None:
    traffic = Traffic(seed=14)
    messages = traffic.fill(3_000, BASE, BASE + 3 * DAY)
    pipeline.send(messages)
    first = pipeline.start()
    first.until(lambda: first.tally.messages, "the first messages")
    first.stop()
    marks = {key: msgspec.json.decode(value) for key, value in pipeline.topic("marks") if value}
    for partition in pipeline.ledger().partitions:
        mark = marks[f"{partition.topic}/{partition.partition}".encode()]
        assert mark["offset"] == partition.offset
        assert mark["ledger"] == {name: getattr(partition, name) for name in mark["ledger"]}
    second = pipeline.catch_up()
    assert first.supervisor.tally().messages + second.supervisor.tally().messages == len(messages)
    check(pipeline, traffic.log)
