"""Runs every side over the same topic, one after the other, each in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

import msgspec
import redis

from benchmarks import load
from benchmarks.machine import Machine, machine
from benchmarks.peers.answer import Answer, compare, expected
from benchmarks.peers.job import Job, Taken, Totals
from benchmarks.peers.sides import FLOOR, SIDES, STAGE, Side
from config.loader import Config
from processors.compiled import built, status
from sinks.topics import create_topics
from stack.apache_kafka import version as apache_version
from stack.child import last_words, leashed
from stack.running import Kafka, Stack

PEERS_PYTHON: Final = Path(__file__).parent.parent.parent / ".venv-peers" / "bin" / "python"
_NAMES: Final = {"kafka": "broker", "redis": "Valkey", "clickhouse": "ClickHouse"}
_PATIENCE_S, _SLOWEST_A_SECOND = 120, 1000  # a side that takes fewer events than that is given up
_LOOK_S = 0.02


class Result(msgspec.Struct):
    """One run of one side. `failed`: why there is no `taken`. Its totals are compared, not kept."""

    name: str
    title: str
    kind: str
    setup: str
    events: int  # of the topic, when it ran
    taken: Taken | None = None
    answer: Answer | None = None
    failed: str = ""

    @property
    def cpu_us(self) -> float:
        """CPU microseconds an event; zero where it failed."""
        return self.taken.cpu_s / self.taken.events * 1e6 if self.taken else 0.0


class Document(msgspec.Struct):
    """One run of all. The floor is there before and after each part of it."""

    machine: Machine
    broker: str
    events: int
    prefix: int
    results: list[Result] = []
    load_average: float = 0.0  # of the last minute, at the end

    @property
    def floors(self) -> list[Result]:
        """The floor's runs over the most events: over few, starting to fetch is most of it."""
        ran = [one for one in self.results if one.name == FLOOR and one.taken]
        most = max((one.events for one in ran), default=0)
        return [one for one in ran if one.events == most]

    @property
    def floor_us(self) -> float:
        """CPU microseconds an event of the floor, the mean of those; zero without any."""
        return sum(one.cpu_us for one in self.floors) / max(1, len(self.floors))


class _Beside:
    """The topic as it stands, and what is known to be true of it."""

    def __init__(self, directory: Path, stack: Stack, peers_python: Path, document: Document) -> None:
        self._directory, self._python, self._document = directory, peers_python, document
        self._services = stack.services
        self._config: Config = load.configuration(self._services.environ)
        self._truths: list[dict[str, Any]] = []
        self._wanted: Totals = {}
        create_topics(self._config.settings.kafka)

    def put(self, events: int, say: Callable[[str], None]) -> None:
        """More of the seeded load on the topic."""
        self._truths.append(load.emit(self._config, events, say, load.SEED + len(self._truths)))
        self._wanted = expected(self._truths)

    def run(self, sides: Collection[Side], say: Callable[[str], None]) -> None:
        for number, side in enumerate(sides):
            say(f"{side.title}")
            directory = self._directory / f"{self.events}-{number}-{side.name}"
            directory.mkdir()
            result = Result(side.name, side.title, side.kind, side.setup, self.events)
            python = self._python_of(side)
            if side.kernel and built() is None:
                result.failed = f"the kernel is {status(wanted=True)}"
            elif python is None:
                result.failed = (
                    f"package {side.package} is not installed: `make bench-peers` installs what requirements/peers.txt "
                    "has for this Python and platform"
                )
            else:
                self._measure(side, python, directory, result)
            self._document.results.append(result)

    @property
    def events(self) -> int:
        return sum(int(truth["ledger"]["consumed"]) for truth in self._truths)

    def _python_of(self, side: Side) -> Path | None:
        """The interpreter that has what the side needs."""
        if not side.package:
            return Path(sys.executable)
        has = f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{side.package}') is None)"
        if self._python.exists() and subprocess.run([self._python, "-c", has], check=False).returncode == 0:
            return self._python
        return Path(sys.executable) if side.works_without else None

    def _measure(self, side: Side, python: Path, directory: Path, result: Result) -> None:
        with redis.Redis.from_url(self._services.environ["TOLLSTREAM_REDIS__URL"]) as client:
            client.flushall()  # nobody pays for another's keys
        kafka = self._config.settings.kafka
        job = Job(
            topic=kafka.events_topic,
            partitions=kafka.partitions,
            events=self.events,
            directory=str(directory),
            environ=self._services.environ,
            servers={_NAMES[name]: pid for name, pid in self._services.pids.items()},
            variant=side.variant,
        )
        path, log = directory / "job.json", directory / "log"
        path.write_bytes(msgspec.json.encode(job))
        process = leashed((str(python), "-m", f"benchmarks.peers.{side.module}", str(path)), log)
        limit_s = _PATIENCE_S + self.events / _SLOWEST_A_SECOND
        try:
            end = time.monotonic() + limit_s
            while process.poll() is None and time.monotonic() < end:
                time.sleep(_LOOK_S)
        finally:
            process.kill()
            code = process.wait()
        answered = directory / "taken.json"
        if not answered.exists():
            how = f"gave no answer within {limit_s:.0f} s" if code == -9 else f"ended with exit code {code}"
            result.failed = how + last_words(log)
            return
        result.taken = msgspec.json.decode(answered.read_bytes(), type=Taken)
        if result.taken.totals is not None:
            found = {(meter, subject, one, hour): q for meter, subject, one, hour, q in result.taken.totals}
            result.answer = compare(self._wanted, found)
            result.taken.totals = None


def measure(
    directory: Path,
    events: int,
    prefix: int,
    kafka: Kafka,
    only: Collection[str],
    peers_python: Path,
    say: Callable[[str], None],
) -> Document:
    """The slow ones over the first `prefix` events or fewer, then the others over all. Raises StackError.

    `only`: names of `SIDES`, all where empty; the floor always runs.
    """
    chosen = [side for side in SIDES if not only or side.name in only]
    floor = [side for side in SIDES if side.name == FLOOR]
    services = ["kafka", "redis", *(["clickhouse"] if any(side.name.startswith(STAGE) for side in chosen) else [])]
    broker = f"Apache Kafka {apache_version()}" if kafka == "apache" else "embedded (Tansu)"
    document = Document(machine(), broker, events, min(prefix, events))
    with Stack(directory / "stack", kafka, only=services, say=lambda _: None) as stack:
        beside = _Beside(directory, stack, peers_python, document)
        for part in sorted({side.events(events, prefix) for side in chosen} or {events}):
            beside.put(part - beside.events, say)
            sides = [side for side in chosen if side.events(events, prefix) == part and side.name != FLOOR]
            beside.run([*floor, *sides, *floor], say)
    document.load_average = os.getloadavg()[0]
    return document
