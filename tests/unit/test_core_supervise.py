"""I9 of a whole run: what a supervisor says of its workers, with its clock in the test's hand."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

from config.catalogue import Catalogue
from config.settings import Settings
from processors.health import Health
from processors.supervise import Child, Nursery, Supervisor, WorkersFailedError
from processors.worker import Anew, Refusal, Status


class Process:
    """Stands for a worker that is a pipe."""

    pid, exitcode = 7, 0

    def join(self, _timeout_s: float | None = None) -> None:
        """Ended already."""

    def is_alive(self) -> bool:
        return False


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Toys(Nursery):
    """Workers that say what the test has them say; time passes a second whenever they are listened to."""

    def __init__(self, script: list[Any]) -> None:
        self.clock: Any = Clock()
        self.script, self.started = script, 0

    def start(self, settings: Settings, catalogue: Catalogue, alone: bool) -> Child:
        self.started += 1
        ours, self.theirs = multiprocessing.Pipe()
        return Child(ours, Process(), self.clock.monotonic())

    def heard(self, children: list[Child], timeout_s: float) -> list[Child]:
        self.clock.now_s += 1
        said = self.script.pop(0) if self.script else None
        if said is not None:
            self.theirs.send(said)
        return children if said is not None else []


def fine(reason: str = "working") -> Status:
    return Status(Health(True, reason), [], [], False, 0, 0)


def looks(script: list[Any], seconds: int) -> list[Health]:
    """The run's health after each second."""
    toys, found = Toys(script), list[Health]()
    run = Supervisor(Settings(), lambda: Catalogue(1), 1, (1, 1), lambda _: None, toys)

    def watch(tally: Any) -> None:
        found.append(tally.health)
        if len(found) == seconds:
            run.stop()

    run.run(until_caught_up=False, watch=watch)
    return found


def first_unhealthy(found: list[Health]) -> int | None:
    return next((second for second, one in enumerate(found, 1) if not one.healthy), None)


def test_i9_a_silent_worker_is_unhealthy_within_30_s_and_well_again_when_it_speaks() -> None:
    found = looks([fine(), *[None] * 39, fine(), fine()], 42)
    assert first_unhealthy(found) == 27  # it spoke in the first second, and 25 s without a word may pass
    assert "silent" in found[35].reason
    assert found[40].healthy


def test_i9_a_worker_that_was_fenced_is_unhealthy_at_once_and_says_why() -> None:
    found = looks([fine(), Anew("partition 3: another owner"), *[fine()] * 40], 40)
    assert first_unhealthy(found) == 2
    assert "partition 3: another owner" in found[1].reason
    assert [one.healthy for one in found[2:28]] == [False] * 24 + [True] * 2


def test_i9_two_runs_that_take_a_partition_from_each_other_never_look_well() -> None:
    found = looks([fine(), *[Anew("partition 0: another owner"), *[fine()] * 9] * 8], 80)
    assert not any(one.healthy for one in found[1:])


def test_i9_a_position_past_the_end_ends_the_run_with_its_reason() -> None:
    with pytest.raises(WorkersFailedError, match="was cut or made again"):
        looks([fine(), Refusal("partition 0: the log was cut or made again")], 5)


def test_what_a_worker_says_of_itself_is_what_the_run_says() -> None:
    unwell = Status(Health(False, "partition 1: no progress"), [], [], False, 0, 0)
    assert [one.healthy for one in looks([fine(), unwell, fine()], 3)] == [True, False, True]
