"""The arithmetic behind the pipeline's figures."""

import os
import time

import pytest

from benchmarks.fresh import fresh
from benchmarks.live import steady, steady_us
from benchmarks.processes import machine_busy_s, peak_resident_bytes, resident_bytes, use

_NO_PROCESS = 2**22 + 1  # above the highest that Linux gives


def test_the_steady_rate_leaves_out_both_ends() -> None:
    """Ten messages a second, but for a slow begin and a slow end."""
    one = [(9.0, 10, 0.0), *((10.0 + n, 10 + 10 * n, 0.0) for n in range(1, 9)), (100.0, 100, 0.0)]
    assert steady([one]) == pytest.approx(80 / 9)


def test_the_steady_rate_adds_up_workers_whose_clocks_interleave() -> None:
    one = [(float(n), 10 * n, 0.0) for n in range(1, 101)]
    other = [(n + 0.5, 10 * n, 0.0) for n in range(1, 101)]
    assert steady([one, other]) == pytest.approx(20, rel=0.02)


def test_cost_leaves_out_what_a_worker_spends_once() -> None:
    """A millisecond a message, but for a second at either end; the other worker takes two."""
    one = [(float(n), 10 * n, 1.0 + 0.01 * n + (n == 100)) for n in range(1, 101)]
    other = [(float(n), 10 * n, 0.02 * n) for n in range(1, 101)]
    assert steady_us([one]) == pytest.approx(1000)
    assert steady_us([one, other]) == pytest.approx(1500)


def test_too_few_messages_to_tell_give_no_rate() -> None:
    assert steady([]) == steady([[(1.0, 5, 0.1)]]) == steady_us([[(1.0, 5, 0.1)]]) == 0.0


def test_cpu_time_of_a_process_includes_its_children() -> None:
    before_s = use(os.getpid()).cpu_s
    spent_s = fresh(_spin)
    assert use(os.getpid()).cpu_s - before_s >= spent_s - 0.05
    assert machine_busy_s() > 0


def test_memory_is_that_of_the_process_asked_for() -> None:
    assert 0 < resident_bytes(os.getpid()) <= peak_resident_bytes(os.getpid())
    assert peak_resident_bytes(_NO_PROCESS) == 0 == use(_NO_PROCESS).cpu_s


def _spin() -> float:
    while time.process_time() < 0.2:
        sum(range(10_000))
    return time.process_time()
