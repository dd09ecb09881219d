"""A site: one `tollstream run` with its workers, behind links of its own. The same code as in production."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from unittest import mock

from config.settings import ClickHouse, Kafka, Processing, Redis, Settings
from processors.supervise import Supervisor, Tally
from tests.chaos.services import Services
from tests.chaos.traffic import PARTITIONS
from tollstream.running import Following

SESSION_MS = 2_000
WINDOWS_PARTITIONS = 2
STOP_S = 60.0  # longer than the supervisor's own bound
_ENDED = re.compile(r"worker (\d+) ended with exit code (-?\d+)")


def settings_for(services: Services, site: str | None) -> Settings:
    """Of a site, through its links; None: straight to the services. Short waits, so that a fault takes seconds."""
    valkey, clickhouse = services.valkey.server.recipe.port, services.clickhouse.recipe.port
    bootstrap = f"127.0.0.1:{services.kafka.recipe.port}"
    if site is not None:
        bootstrap = f"127.0.0.1:{services.links[site, 'kafka'].port}"
        valkey, clickhouse = services.links[site, "valkey"].port, services.links[site, "clickhouse"].port
    return Settings(
        kafka=Kafka(
            bootstrap=bootstrap,
            group="chaos",
            partitions=PARTITIONS,
            windows_partitions=WINDOWS_PARTITIONS,
            session_timeout_ms=SESSION_MS,
            socket_timeout_ms=3_000,
        ),
        redis=Redis(url=f"redis://127.0.0.1:{valkey}/0", timeout_ms=2_000),
        clickhouse=ClickHouse(url=f"http://127.0.0.1:{clickhouse}", timeout_ms=3_000),
        processing=Processing(
            checkpoint_interval_ms=200,
            behind_factor=2,
            rate_interval_ms=300,
            mark_interval_ms=1_000,
            health_stall_ms=3_000,
        ),
    )


class Site:
    """Runs until `stop`; a run that ends by itself is started again by `tend`, as a service's keeper does."""

    def __init__(self, name: str, settings: Settings, workers: int, say: Callable[[str], None]) -> None:
        self.name, self.workers = name, workers
        self._settings, self._say = settings, say
        self._run: threading.Thread | None = None
        self._supervisor: Supervisor | None = None
        self._failure: str | None = None
        self._killed: set[int] = set()
        self._notes: list[str] = []
        self._wanted = False
        self.tally = Tally()

    def start(self) -> None:
        self._wanted = True
        self._run = threading.Thread(target=self._keep, name=f"site-{self.name}", daemon=True)
        self._run.start()

    def _keep(self) -> None:
        while self._wanted:
            try:
                self._supervisor = Supervisor(
                    self._settings,
                    Following(self._settings.kafka, self._hear),
                    self.workers,
                    (PARTITIONS, WINDOWS_PARTITIONS),
                    self._hear,
                )
                if self._wanted:
                    self._supervisor.run(until_caught_up=False, watch=self._watch)
            except Exception as error:  # noqa: BLE001 - it is the finding
                self._failure = f"{type(error).__name__}: {error}"
                self._note(f"the run of site {self.name} ended: {self._failure}")
                time.sleep(0.5)

    def _watch(self, tally: Tally) -> None:
        self.tally = tally

    def _hear(self, line: str) -> None:
        ended = _ENDED.match(line)
        if ended is None or int(ended[1]) not in self._killed:
            self._note(line)

    def _note(self, line: str) -> None:
        self._notes.append(line)
        self._say(f"    site {self.name}: {line}")

    def notes(self) -> list[str]:
        """What was said since this was last asked, but for the deaths that we caused."""
        found, self._notes = self._notes, []
        return found

    @property
    def pids(self) -> list[int]:
        return [] if self._supervisor is None else self._supervisor.pids

    def send(self, number: signal.Signals, pid: int) -> None:
        """A signal to one of our workers, if it still is there."""
        if pid in self.pids:
            if number is signal.SIGKILL:
                self._killed.add(pid)
            os.kill(pid, number)

    def stop(self) -> None:
        """In order, as SIGTERM does it."""
        self._wanted = False
        if self._supervisor is not None:
            self._supervisor.stop()
        if self._run is not None:
            self._run.join(STOP_S)
            if self._run.is_alive():
                self.kill()
                self._run.join(STOP_S)
        self._run = self._supervisor = None

    def kill(self) -> None:
        """Every worker at once, and no new ones."""
        self._wanted = False
        if self._supervisor is not None:
            self._supervisor.stop()
        for pid in self.pids:
            self.send(signal.SIGKILL, pid)


def many_deaths() -> contextlib.AbstractContextManager[object]:
    """We kill more workers in a minute than accidents do; a death that is not ours stands in the report instead."""
    return mock.patch("processors.supervise._RESTARTS_MAX", 10**6)
