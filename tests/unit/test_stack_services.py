"""What the files in a state directory say of a stack."""

import os
from pathlib import Path

import pytest

from stack.errors import Ended, InUse, StackError
from stack.services import Services, Status, held_by, lock, services, write

FOUND = Services(
    kafka="embedded", environ={"TOLLSTREAM_REDIS__URL": "redis://127.0.0.1:1/0"}, pids={}, logs={}, supervisor=1
)


def test_a_directory_where_nothing_was_started_has_no_services(tmp_path: Path) -> None:
    assert services(tmp_path) is None
    assert services(tmp_path / "absent") is None


def test_a_directory_belongs_to_one_at_a_time(tmp_path: Path) -> None:
    first = lock(tmp_path)
    assert held_by(tmp_path) == os.getpid()
    with pytest.raises(InUse, match=rf"process {os.getpid()}.*tollstream down"):
        lock(tmp_path)
    os.close(first)
    assert held_by(tmp_path) is None
    os.close(lock(tmp_path))


def test_services_are_found_only_while_their_process_holds_the_directory(tmp_path: Path) -> None:
    held = lock(tmp_path)
    write(tmp_path / "services.json", FOUND)
    write(tmp_path / "status.json", Status("running"))
    assert services(tmp_path) == FOUND
    os.close(held)
    with pytest.raises(Ended, match=r"was killed.*tollstream up"):
        services(tmp_path)


def test_a_stack_that_is_starting_is_not_taken_for_none(tmp_path: Path) -> None:
    held = lock(tmp_path)
    write(tmp_path / "status.json", Status("starting"))
    with pytest.raises(StackError, match="still starting"):
        services(tmp_path)
    os.close(held)


def test_a_failed_stack_says_why(tmp_path: Path) -> None:
    write(tmp_path / "status.json", Status("failed", "valkey ended with exit code 1"))
    with pytest.raises(Ended, match="valkey ended with exit code 1"):
        services(tmp_path)


def test_a_stopped_stack_is_none(tmp_path: Path) -> None:
    write(tmp_path / "status.json", Status("stopped"))
    assert services(tmp_path) is None
