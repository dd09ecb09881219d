"""I9: progress is health. Times are given; no clock is read."""

from __future__ import annotations

from processors.health import Progress, past_the_end


class Deaf(Progress):
    """Broken: alive is healthy, whatever moves."""

    def look(self, now_s: float, position: int, behind: bool, trouble: str = "") -> object:  # type: ignore[override]
        return super().look(now_s, position, False, trouble)


def stalls(kind: type[Progress]) -> list[bool]:
    watch = kind(30_000, 100.0)
    return [watch.look(at, 5, behind=True).healthy for at in (100.5, 101.0, 130.4, 130.5, 500.0)]


def test_i9_a_position_that_stands_while_the_log_has_more_is_unhealthy_after_30_s() -> None:
    assert stalls(Progress) == [True, True, True, False, False]
    assert stalls(Deaf) == [True] * 5, "the broken variant is not caught"


def test_moving_again_is_healthy_again() -> None:
    watch = Progress(30_000, 0.0)
    assert not [watch.look(at, 5, behind=True) for at in (0.0, 31.0)][1].healthy
    assert watch.look(32.0, 6, behind=True).healthy
    assert watch.look(61.0, 6, behind=True).healthy
    assert not watch.look(62.0, 6, behind=True).healthy


def test_nothing_to_do_is_healthy_for_ever() -> None:
    watch = Progress(30_000, 0.0)
    assert all(watch.look(at, 5, behind=False).healthy for at in (0.0, 31.0, 10_000.0))
    assert watch.look(10_020.0, 5, behind=True).healthy, "the 30 s begin when there is more"
    assert not watch.look(10_050.0, 5, behind=True).healthy


def test_waiting_for_a_service_is_unhealthy_after_30_s_and_says_for_which() -> None:
    watch = Progress(30_000, 0.0)
    watch.look(0.0, 5, behind=False, trouble="")
    assert watch.look(29.0, 5, behind=False, trouble="Redis: away").reason == "Redis: away"
    found = watch.look(30.0, 5, behind=False, trouble="Redis: away")
    assert not found.healthy
    assert "Redis: away" in found.reason


def test_i9_a_position_past_the_end_is_unhealthy() -> None:
    assert past_the_end(3, 10, 10) is None
    fault = past_the_end(3, 11, 10)
    assert fault is not None
    assert "partition 3" in fault
