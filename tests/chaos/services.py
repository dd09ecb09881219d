"""The services of a run, each a process of ours that can be killed, stopped and started again on its data.

Sites (groups of workers) reach them through links of their own; the traffic and the checks go straight to them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import clickhouse_connect
import redis

from stack import embedded
from stack.apache_kafka import apache_kafka
from stack.child import Child, Recipe, choose_port, last_words
from tests.chaos.disk import Disk
from tests.chaos.proxy import Link, Network

SITES = ("one", "two")
_VALKEY_MIB, _CLICKHOUSE_MIB = 512, 2048  # room for an hour's run; tmpfs takes only what is used
_SYNC_S = 30.0


class Service:
    """One process. To be started from the main thread, whose end is its end, too."""

    def __init__(self, recipe: Recipe, log: Path) -> None:
        self.recipe, self._log = recipe, log
        self.child = Child(recipe, log)

    @property
    def pid(self) -> int:
        return self.child.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL; gone when this returns."""
        self.child.kill()

    def start(self) -> None:
        """Again, on its port and its data. Returns when it answers."""
        self.child = Child(self.recipe, self._log)
        self.wait()

    def wait(self) -> None:
        until = time.monotonic() + self.recipe.patience_s
        while not self.recipe.ready():
            reason = self.child.ended()
            if reason or time.monotonic() > until:
                raise ServiceError(reason or f"{self.recipe.title} does not answer:{last_words(self._log)}")
            time.sleep(0.02)


class ServiceError(Exception):
    """A service did not come back. The run ends: what it would find from here on is not the workers' fault."""


class ValkeyServer(Service):
    """After a full disk it can leave a file that it refuses to read itself (9.1.2: a short write is cut back to a stale
    offset on a server that once was a replica). Then it starts empty, which is what an operator is left with."""

    def __init__(self, recipe: Recipe, log: Path, data: Path) -> None:
        super().__init__(recipe, log)
        self._data = data
        self.started_empty = False

    def start(self) -> None:
        try:
            super().start()
        except ServiceError:
            if "Bad file format" not in last_words(self._log):
                raise
            shutil.rmtree(self._data)
            self._data.mkdir()
            self.started_empty = True
            super().start()


class Valkey:
    """Two servers: a primary and its replica, whose parts may be exchanged."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._disks: list[Disk] = []
        self.servers: list[ValkeyServer] = []
        for name in ("valkey-a", "valkey-b"):
            self._disks.append(Disk(directory / name, _VALKEY_MIB, partial(self._pid, len(self.servers))))
            data = directory / name / "data"
            recipe = embedded.valkey(choose_port(name, None), data)
            self.servers.append(ValkeyServer(recipe, directory / f"{name}.log", data))
        self.primary = 0
        for server in self.servers:
            server.wait()
        self._follow()

    def _pid(self, place: int) -> int:
        return self.servers[place].pid

    @property
    def server(self) -> Service:
        return self.servers[self.primary]

    @property
    def disk(self) -> Disk:
        return self._disks[self.primary]

    def client(self, place: int | None = None) -> redis.Redis:
        port = self.servers[self.primary if place is None else place].recipe.port
        return redis.Redis(port=port, socket_timeout=5)

    def aof(self) -> Path:
        """The primary's file that grows."""
        files = (self.disk.path / "data" / "appendonlydir").glob("*.incr.aof")
        return max(files, key=lambda path: int(path.name.split(".")[-3]))

    def _follow(self) -> None:
        """The other server copies the primary, and has caught up when this returns."""
        until = time.monotonic() + _SYNC_S
        with self.client(1 - self.primary) as replica:
            replica.execute_command("REPLICAOF", "127.0.0.1", str(self.server.recipe.port))
            while replica.info("replication").get("master_link_status") != "up":
                if time.monotonic() > until:
                    raise ServiceError("the replica does not follow")
                time.sleep(0.05)

    def detach(self) -> None:
        """The replica takes writes of its own from here on, and none of its primary's."""
        with self.client(1 - self.primary) as replica:
            replica.execute_command("REPLICAOF", "NO", "ONE")

    def fail_over(self) -> None:
        """The primary dies, and the detached replica takes its part."""
        self.server.kill()
        self.primary = 1 - self.primary

    def replace(self) -> None:
        """A new and empty replica in the place of the dead one."""
        dead = 1 - self.primary
        shutil.rmtree(self._disks[dead].path / "data")
        (self._disks[dead].path / "data").mkdir()
        self.servers[dead].start()
        self._follow()

    def notes(self) -> list[str]:
        """What happened that no fault did."""
        found = [
            f"{one.recipe.title} could not read its own file and started empty"
            for one in self.servers
            if one.started_empty
        ]
        for server in self.servers:
            server.started_empty = False
        return found

    def close(self) -> None:
        for server in self.servers:
            server.kill()
        for disk in self._disks:
            disk.close()


class Services:
    """All of them, and the links that lead to them. `directory` keeps data and logs."""

    def __init__(self, directory: Path, network: Network, say: Callable[[str], None]) -> None:
        self._until = contextlib.ExitStack()
        self._directory, self._say = directory, say
        self.links: dict[tuple[str, str], Link] = {
            (site, name): network.link() for site in SITES for name in ("kafka", "valkey", "clickhouse")
        }

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._until.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._until.close()

    def _start(self) -> None:
        self.kafka = self._service(self._kafka_recipe())
        self.valkey = Valkey(self._directory)
        self._until.callback(self.valkey.close)
        path = self._directory / "clickhouse"
        self.clickhouse_disk = Disk(path, _CLICKHOUSE_MIB, lambda: self.clickhouse.pid)
        self._until.callback(self.clickhouse_disk.close)
        self.clickhouse = self._service(embedded.clickhouse(choose_port("clickhouse", None), path / "data"))
        self.clickhouse.wait()
        self.kafka.wait()
        self.point()

    def _service(self, recipe: Recipe) -> Service:
        made = Service(recipe, self._directory / f"{recipe.name}.log")
        self._until.callback(made.kill)
        return made

    def _kafka_recipe(self) -> Recipe:
        """As the stack runs it, with one more listener for each site: clients go where the broker tells them."""
        log = self._directory / "kafka.log"
        log.touch()
        recipe = apache_kafka(choose_port("kafka", None), self._directory / "kafka", log, self._say, lambda: None)
        properties = Path(recipe.argv[-1])
        own = {site: choose_port(f"kafka for {site}", None) for site in SITES}
        for site, port in own.items():
            self.links[site, "kafka"].target = port
        settings = dict(line.split("=", 1) for line in properties.read_text().splitlines())
        settings["listeners"] += "".join(f",{site.upper()}://127.0.0.1:{port}" for site, port in own.items())
        advertised = {site: self.links[site, "kafka"].port for site in SITES}
        settings["advertised.listeners"] += "".join(f",{n.upper()}://127.0.0.1:{p}" for n, p in advertised.items())
        names = ["PLAINTEXT", "CONTROLLER", *(site.upper() for site in SITES)]
        settings["listener.security.protocol.map"] = ",".join(f"{name}:PLAINTEXT" for name in names)
        settings["inter.broker.listener.name"] = "PLAINTEXT"
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return recipe

    def fill_clickhouse(self) -> None:
        """Where nothing can be mounted, ClickHouse is told that it needs more room than there is, and refuses inserts
        with the same error. (Below RLIMIT_FSIZE it merges parts with empty files, and can't read them any more.)"""
        if self.clickhouse_disk.mounted:
            self.clickhouse_disk.fill()
        else:
            self._alter("MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000")

    def free_clickhouse(self) -> None:
        if self.clickhouse_disk.mounted:
            self.clickhouse_disk.free()
        else:
            self._alter("RESET SETTING min_free_disk_bytes_to_perform_insert")

    def _alter(self, change: str) -> None:
        client = clickhouse_connect.get_client(dsn=self.clickhouse.recipe.setting[1])
        for table in ("usage_rows", "ledger_rows", "rated_rows", "late_event_rows", "dead_letter_rows"):
            client.command(f"ALTER TABLE tollstream.{table} {change}")
        client.close()

    def point(self) -> None:
        """The links lead to where the services are now."""
        for site in SITES:
            self.links[site, "valkey"].target = self.valkey.server.recipe.port
            self.links[site, "clickhouse"].target = self.clickhouse.recipe.port

    def ended(self) -> str | None:
        """Why a service is not there; None while all are."""
        services: list[Any] = [self.kafka, self.clickhouse, *self.valkey.servers]
        return next((reason for one in services if (reason := one.child.ended())), None)
