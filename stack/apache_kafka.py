"""Apache Kafka from Maven Central: resolved by Maven into a cache folder, run by Java as one node with KRaft.

It writes to disk: what it acknowledged is still there after a SIGKILL and a restart. (Not after a power cut: as Kafka
is meant to be used, it leaves fsync to the system and safety to replicas, of which one node has none.)
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from stack.child import Recipe, choose_port, last_words, leashed
from stack.embedded import broker_answers
from stack.errors import StackError, Unavailable

HERE = Path(__file__).with_name("kafka")
JAVA_VERSION_MIN = 17  # Kafka 4's server refuses older ones
HEAP_MB = 512  # a laptop's share; enough for the loads in benchmarks/
FETCH_S = 600  # 44 MB; a slow line, not a dead one
FORMAT_S = 60


def version() -> str:
    """Kafka's version, as pinned in pom.xml."""
    found = re.search(r"<kafka\.version>(.+?)</kafka\.version>", (HERE / "pom.xml").read_text())
    assert found, "pom.xml names kafka.version"
    return found[1]


def java() -> str:
    """The path of a Java that can run it. Raises Unavailable."""
    binary = shutil.which("java")
    advice = f"install a Java {JAVA_VERSION_MIN} runtime or newer (Debian: openjdk-17-jre-headless)"
    if binary is None:
        raise Unavailable(f"Apache Kafka needs Java, and there is no `java` on the PATH: {advice}")
    said = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False, timeout=30).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < JAVA_VERSION_MIN:
        raise Unavailable(f"Apache Kafka can't run on this Java ({said.partition(chr(10))[0]}): {advice}")
    return binary


def cache_dir() -> Path:
    """Where the jars are kept: below $TOLLSTREAM_CACHE, or else below ~/.cache/tollstream."""
    root = os.environ.get("TOLLSTREAM_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "tollstream") / f"kafka-{version()}"


def intact(jars: Path) -> bool:
    """Whether the folder holds every jar of jars.sha256, each with its digest."""
    for line in (HERE / "jars.sha256").read_text().splitlines():
        digest, name = line.split()
        jar = jars / name
        if not jar.is_file() or hashlib.sha256(jar.read_bytes()).hexdigest() != digest:
            return False
    return True


def resolve(say: Callable[[str], None], meanwhile: Callable[[], None]) -> Path:
    """The folder with the jars, fetched if it is not there yet. Raises Unavailable when they can't be had."""
    jars = cache_dir()
    if intact(jars):
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("Apache Kafka is fetched with Maven, and there is no `mvn` on the PATH: install Maven 3")
    say(f"fetching Apache Kafka {version()} with Maven into {jars} (44 MB, once)")
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=jars.parent) as scratch:
        copy = Path(scratch) / "jars"
        goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={copy}")
        # -C: a file whose checksum is not the registry's fails the fetch; intact() then compares with our own list.
        command = (maven, "-B", "-q", "-C", "-f", str(HERE / "pom.xml"), *goal)
        log = Path(scratch) / "maven.log"
        if run_to_end(command, log, FETCH_S, meanwhile) != 0:
            raise Unavailable(f"Maven could not fetch Apache Kafka; is its registry reachable?{last_words(log)}")
        if not intact(copy):
            raise Unavailable(f"Maven fetched other files than stack/kafka/jars.sha256 names; not using {copy.name}")
        shutil.rmtree(jars, ignore_errors=True)
        try:
            copy.rename(jars)  # whole or not at all, whoever is killed when
        except OSError:
            if not intact(jars):  # else somebody else fetched it at the same time
                raise
    return jars


def run_to_end(command: tuple[str, ...], log: Path, limit_s: float, meanwhile: Callable[[], None]) -> int:
    """Run a program on a leash, calling `meanwhile` (which may raise) as it runs. Returns its exit code."""
    process = leashed(command, log)
    try:
        end = time.monotonic() + limit_s
        while process.poll() is None and time.monotonic() < end:
            meanwhile()
            time.sleep(0.05)
    finally:
        process.kill()
        code = process.wait()
    return code


def apache_kafka(port: int, data: Path, log: Path, say: Callable[[str], None], meanwhile: Callable[[], None]) -> Recipe:
    """A node with its logs in `data`, formatted if it is new. Raises Unavailable, StackError."""
    binary = java()
    jars = resolve(say, meanwhile)
    data.mkdir(parents=True, exist_ok=True)
    scratch = data / "tmp"  # native libraries are unpacked here; a killed server leaves them behind
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    properties = data / "server.properties"
    properties.write_text(server_properties(port, choose_port("kafka's controller", None), data / "logs"))
    start = (
        *(binary, f"-Xmx{HEAP_MB}m", "-XX:+UseSerialGC", f"-Djava.io.tmpdir={scratch}"),
        *(f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}", "-cp", f"{jars}/*"),
    )
    if not (data / "logs" / "meta.properties").exists():
        form = (*start, "kafka.tools.StorageTool", "format", "-t", new_cluster_id(), "-c", str(properties))
        if run_to_end(form, log, FORMAT_S, meanwhile) != 0:
            raise StackError(f"Apache Kafka could not format {data / 'logs'}; log: {log}{last_words(log)}")
    return Recipe(
        name="kafka",
        title=f"kafka (Apache Kafka {version()})",
        argv=(*start, "kafka.Kafka", str(properties)),
        port=port,
        setting=("TOLLSTREAM_KAFKA__BOOTSTRAP", f"127.0.0.1:{port}"),
        ready=lambda: broker_answers(port),
        patience_s=120,  # recovery of a large log after a kill
    )


def new_cluster_id() -> str:
    """A random id in Kafka's form; one that starts with a dash would read as an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def server_properties(port: int, controller_port: int, logs: Path) -> str:
    """One node that is broker and controller, with nothing in it that waits for others."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "log.dirs": str(logs),
        "auto.create.topics.enable": "false",  # a misspelt topic is an error, not a new topic
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # After a SIGKILL the controller waits until the dead broker's session is over: 14 s with the default of 9 s.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "group.initial.rebalance.delay.ms": "0",  # nobody else is about to join
        "group.min.session.timeout.ms": "1000",  # tests that kill a consumer need not wait 6 s
        "log.cleaner.dedupe.buffer.size": str(16 * 2**20),  # the default is a quarter of the heap
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
