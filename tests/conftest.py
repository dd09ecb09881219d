"""Real services for tests: those named in the environment, else containers, else the embedded ones.

A service that can't be had skips the test, with its reason; in CI (CI=true) it fails it.
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

import hypothesis
import pytest
import redis

import stack
from processors.compiled import built
from processors.events import Decoder

SETTINGS = {
    "kafka": "TOLLSTREAM_KAFKA__BOOTSTRAP",
    "redis": "TOLLSTREAM_REDIS__URL",
    "clickhouse": "TOLLSTREAM_CLICKHOUSE__URL",
}


# The same examples on every run of CI: what explores is a run at home, and a change must not fail for another's luck.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


class Broker(NamedTuple):
    """`kind`: embedded, apache, docker, or named (in the environment)."""

    bootstrap: str
    kind: str


Start = Callable[[str, str], str]


def missing(reason: str) -> NoReturn:
    """A service is not here: no reason to fail on somebody's laptop, but CI must not pass by skipping."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def docker_answers() -> bool:
    if not (os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists()):
        return False
    import docker  # type: ignore[import-untyped]

    try:
        return bool(docker.from_env(timeout=5).ping())
    except docker.errors.DockerException:
        return False


def container(name: str, until: contextlib.ExitStack) -> str:
    """The address of a fresh container. Written after testcontainers' documentation."""
    from testcontainers.community.clickhouse import ClickHouseContainer
    from testcontainers.community.kafka import KafkaContainer
    from testcontainers.community.redis import RedisContainer

    if name == "kafka":
        broker = KafkaContainer("confluentinc/cp-kafka:7.9.0").with_kraft()
        return str(
            until.enter_context(broker.with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")).get_bootstrap_server()
        )
    if name == "redis":
        command = "redis-server --appendonly yes --appendfsync everysec --maxmemory-policy noeviction --save ''"
        server = until.enter_context(RedisContainer("redis:8").with_command(command))
        return f"redis://{server.get_container_host_ip()}:{server.get_exposed_port(6379)}/0"
    image = ClickHouseContainer("clickhouse/clickhouse-server:25.8").with_env("CLICKHOUSE_SKIP_USER_SETUP", "1")
    database = until.enter_context(image)
    return f"http://{database.get_container_host_ip()}:{database.get_exposed_port(8123)}"


def kafka_kinds() -> list[object]:
    if os.environ.get(SETTINGS["kafka"]):
        return ["named"]
    if docker_answers():
        return ["docker"]
    return ["embedded", pytest.param("apache", marks=pytest.mark.apache)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kafka" in metafunc.fixturenames:
        metafunc.parametrize("kafka", kafka_kinds(), indirect=True, scope="session")
    # Here and not beside the decoder's tests: a second module named conftest would hide that of the integration tests
    # from the processes that they spawn.
    if metafunc.module.__name__.startswith("test_events_"):
        metafunc.fixturenames.append("reader")
        metafunc.parametrize("reader", ["python", "kernel"], indirect=True, scope="module")


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a service the first time it is asked for, and stops all at the end of the session."""
    addresses: dict[tuple[str, str], str] = {}
    failures: dict[tuple[str, str], str] = {}
    with contextlib.ExitStack() as until:

        def start(name: str, kind: str) -> str:
            if kind == "named":
                return os.environ[SETTINGS[name]]
            key = (name, kind)
            if key in failures:
                missing(failures[key])
            if key not in addresses:
                try:
                    addresses[key] = container(name, until) if kind == "docker" else embedded(name, kind)
                except stack.StackError as error:
                    failures[key] = str(error)
                    missing(failures[key])
            return addresses[key]

        def embedded(name: str, kind: str) -> str:
            state = tmp_path_factory.mktemp(f"{name}-{kind}")
            running = until.enter_context(
                stack.running(state, "apache" if kind == "apache" else "embedded", only=[name])
            )
            return running.environ[SETTINGS[name]]

        yield start


def kind_of(name: str) -> str:
    if os.environ.get(SETTINGS[name]):
        return "named"
    return "docker" if docker_answers() else "embedded"


@pytest.fixture(scope="session")
def services(start: Start) -> Mapping[str, str]:
    """A whole stack, as the environment-style settings that point at it."""
    return {setting: start(name, kind_of(name)) for name, setting in SETTINGS.items()}


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, start: Start) -> Broker:
    """A broker; a test that takes it runs once over each kind that there is. Start topic names with `unique`."""
    return Broker(start("kafka", request.param), request.param)


@pytest.fixture
def redis_url(start: Start) -> Iterator[str]:
    """An empty Redis database. One named in the environment must be empty already: it might be somebody's."""
    url = start("redis", kind_of("redis"))
    with redis.Redis.from_url(url) as client:
        if kind_of("redis") == "named" and client.dbsize():
            missing(f"the database named by {SETTINGS['redis']} holds keys: name an empty one")
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture(scope="session")
def clickhouse_url(start: Start) -> str:
    """A ClickHouse server; take a database named by `unique`."""
    return start("clickhouse", kind_of("clickhouse"))


@pytest.fixture
def unique() -> str:
    """A short name that no other test has: to start topic names with, or for a database."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="module")
def reader(request: pytest.FixtureRequest) -> Iterator[None]:
    """Decoders that are made without saying so read with this one."""
    if request.param == "python":
        yield
        return
    if built() is None:
        pytest.skip("the kernel is not built (`make kernel`)")
    import events_samples

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Decoder.__init__, "__kwdefaults__", {"kernel": True})
        reads = Decoder(events_samples.CATALOGUE, events_samples.Limits(), events_samples.SKEW_MS)
        patch.setattr(events_samples.DECODER, "_kernel", reads._kernel)
        yield
