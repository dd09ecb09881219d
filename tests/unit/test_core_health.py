"""I9: progress is health. Times are given; no clock is read."""

from __future__ import annotations

from typing import Any

from processors.health import Health, Progress, past_the_end


class Deaf(Progress):
    """Broken: alive is healthy, whatever moves."""

    def look(self, now_s: float, positions: Any, behind: Any, trouble: str = "") -> Health:
        return super().look(now_s, positions, (), trouble)


class Sum(Progress):
    """Broken: one partition that moves hides another that stands."""

    def look(self, now_s: float, positions: Any, behind: Any, trouble: str = "") -> Health:
        return super().look(now_s, {0: sum(positions.values())}, {0} if behind else (), trouble)


def stalls(kind: type[Progress]) -> list[bool]:
    watch = kind(30_000)
    return [watch.look(at, {0: 5}, {0}).healthy for at in (100.5, 101.0, 130.4, 130.5, 500.0)]


def test_i9_a_position_that_stands_while_the_log_has_more_is_unhealthy_after_30_s() -> None:
    assert stalls(Progress) == [True, True, True, False, False]
    assert stalls(Deaf) == [True] * 5, "the broken variant is not caught"


def test_i9_a_partition_that_stands_is_not_hidden_by_one_that_moves() -> None:
    def last(watch: Progress) -> Health:
        return [watch.look(at, {0: 5, 1: int(at)}, {0, 1}) for at in (0.0, 10.0, 20.0, 31.0)][-1]

    assert not last(Progress(30_000)).healthy
    assert "partition 0" in last(Progress(30_000)).reason
    assert last(Sum(30_000)).healthy, "the broken variant is not caught"


def test_the_partition_that_stands_longest_is_named_whatever_its_number() -> None:
    watch = Progress(30_000)
    for at in (0.0, 10.0, 20.0, 29.98):
        assert watch.look(at, {0: int(at), 7: 5}, {0, 7}).healthy
    found = watch.look(30.0, {0: 30, 7: 5}, {0, 7})
    assert not found.healthy
    assert found.reason == "partition 7: no progress from 5 for 30 s: the log has more, and none of it arrives"


def test_a_healthy_worker_says_what_it_does() -> None:
    watch = Progress(30_000)
    said = [watch.look(at, *now).reason for at, now in enumerate([({}, ()), ({0: 5, 1: 5}, {1}), ({0: 5, 1: 6}, ())])]
    assert said == ["no partitions are ours yet", "working", "at the end of the log"]


def test_a_worker_without_partitions_is_healthy_however_long() -> None:
    watch = Progress(30_000)
    assert all(watch.look(at, {}, ()).healthy for at in (0.0, 100.0))


def test_moving_again_is_healthy_again() -> None:
    watch = Progress(30_000)
    assert not [watch.look(at, {0: 5}, {0}) for at in (0.0, 31.0)][1].healthy
    assert watch.look(32.0, {0: 6}, {0}).healthy
    assert watch.look(61.0, {0: 6}, {0}).healthy
    assert not watch.look(62.0, {0: 6}, {0}).healthy


def test_nothing_to_do_is_healthy_for_ever() -> None:
    watch = Progress(30_000)
    assert all(watch.look(at, {0: 5}, ()).healthy for at in (0.0, 31.0, 10_000.0))
    assert watch.look(10_020.0, {0: 5}, {0}).healthy, "the 30 s begin when there is more"
    assert not watch.look(10_050.0, {0: 5}, {0}).healthy


def test_waiting_for_a_service_is_unhealthy_after_30_s_and_says_for_which() -> None:
    watch = Progress(30_000)
    watch.look(0.0, {0: 5}, (), trouble="")
    assert watch.look(29.0, {0: 5}, (), trouble="Redis: away").reason == "Redis: away"
    found = watch.look(30.0, {0: 5}, (), trouble="Redis: away")
    assert not found.healthy
    assert "Redis: away" in found.reason


def test_i9_a_position_past_the_end_is_unhealthy() -> None:
    assert past_the_end(3, 10, 10) is None
    fault = past_the_end(3, 11, 10)
    assert fault is not None
    assert "partition 3" in fault
