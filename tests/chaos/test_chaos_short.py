"""A short drill in every run of the suite: each kind of target once, and planted bugs that must be found.

The long one is `make chaos`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import processors.supervise
from stack import Unavailable
from stack.apache_kafka import java, resolve
from tests.chaos import broken, faults
from tests.chaos.drill import drill
from tests.chaos.faults import FAULTS, SHORT, Fault, Happening, World, clickhouse_of
from tests.chaos.report import Report
from tests.conftest import missing

pytestmark = pytest.mark.apache


@pytest.fixture(scope="module", autouse=True)
def apache_kafka() -> None:
    try:
        java()
        resolve(print, lambda: None)
    except Unavailable as error:
        missing(str(error))


@contextmanager
def clickhouse_stops_and_the_workers_die(world: World) -> Iterator[None]:
    """What waits for ClickHouse dies with its workers."""
    with faults.stopped(clickhouse_of)(world):
        time.sleep(2)
        with faults.all_workers_killed(world):
            yield


@pytest.mark.timeout(600)  # a hundred seconds on a quiet machine
def test_i2_no_fault_changes_a_total(tmp_path: Path) -> None:
    path = tmp_path / "chaos.json"
    report = drill([(FAULTS[name],) for name in SHORT], 1, path, print)
    assert report.ended == "done"
    assert report.differences == []
    assert msgspec.json.decode(path.read_bytes(), type=Report, strict=True).faults == len(SHORT)
    assert {FAULTS[name].target.removeprefix("worker-") for name in SHORT} >= {
        "worker",
        "kafka",
        "valkey",
        "clickhouse",
    }


@contextmanager
def nothing_happens(_: World) -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("work", "happen", "hold_s"),
    [
        (broken.acknowledge_early, clickhouse_stops_and_the_workers_die, 0.5),
        (broken.drop_inserts, nothing_happens, 5.0),
    ],
)
def test_a_planted_bug_is_found(
    work: Callable[..., Any], happen: Happening, hold_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors.supervise, "work", work)
    report = drill([(Fault("planted", "worker", "worker", hold_s, happen),)], 1, None, print, settle_s=3)
    assert report.differences
