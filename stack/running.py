"""The services of one state directory, started, watched and stopped as one by the process that holds them."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

from stack import embedded
from stack.apache_kafka import apache_kafka
from stack.child import Child, Recipe, choose_port, last_words
from stack.errors import Ended, StackError
from stack.services import Services, Status, lock, write

Kafka = Literal["embedded", "apache"]
SERVICES = ("kafka", "redis", "clickhouse")
GRACE_S = 15.0  # Kafka closes its logs in order within 2 s; the rest is for a busy machine


def nothing() -> None:
    """What `meanwhile` does unless told: nobody else is waited for."""


def check_names(names: Collection[str]) -> None:
    """Raises StackError for a service that there is not."""
    if unknown := {*names} - {*SERVICES}:
        raise StackError(f"there is no service {', '.join(sorted(unknown))}: choose from {', '.join(SERVICES)}")


class Stack:
    """Services that live no longer than the thread that starts them.

    With the embedded broker everything is new on each start, in DIR/fresh: topics live in memory, and state that
    outlives its topics is wrong. With Apache Kafka, or without a broker, everything is kept in DIR/kept.
    """

    def __init__(
        self,
        state_dir: Path,
        kafka: Kafka = "embedded",
        *,
        only: Collection[str] = SERVICES,
        ports: Mapping[str, int] | None = None,
        say: Callable[[str], None] = print,
        meanwhile: Callable[[], None] = nothing,
    ) -> None:
        """`only`: which services; `ports`: by service, any free one otherwise; `meanwhile` is called while waiting."""
        check_names([*only, *(ports or {})])
        self._dir = state_dir.absolute()
        self._kafka: Literal["embedded", "apache", "elsewhere"] = kafka if "kafka" in only else "elsewhere"
        self._only = [name for name in SERVICES if name in only]
        self._ports = dict(ports or {})
        self._say = say
        self._meanwhile = meanwhile
        self._lock: int | None = None
        self._children: dict[str, Child] = {}

    def start(self) -> Services:
        """Start all and wait until each answers. Raises StackError; then nothing is left running."""
        self._take_directory()
        try:
            self._start()
            found = self.services
            write(self._dir / "services.json", found)
            write(self._dir / "status.json", Status("running"))
        except StackError as error:
            self.stop(failed=str(error))
            raise
        except BaseException:
            self.stop()
            raise
        return found

    @property
    def services(self) -> Services:
        """Where the services are."""
        return Services(
            kafka=self._kafka,
            environ=dict(child.recipe.setting for child in self._children.values()),
            pids={name: child.pid for name, child in self._children.items()},
            logs={name: str(child.log) for name, child in self._children.items()},
            supervisor=os.getpid(),
        )

    def ended(self) -> str | None:
        """Why a service is no longer there, or None while all run."""
        return next((reason for child in self._children.values() if (reason := child.ended())), None)

    def kill(self, name: str) -> None:
        """End one service with SIGKILL, for tests of what follows."""
        self._children[name].kill()

    def restart(self, name: str) -> None:
        """Start a service that ended again, on its port and its data. Raises StackError."""
        if name == "kafka" and self._kafka == "embedded":
            raise StackError("the embedded broker forgets everything when it ends: start the whole stack again")
        recipe = self._children[name].recipe
        choose_port(name, recipe.port)
        self._children[name] = Child(recipe, self._log(name))
        self._wait([name])

    def stop(self, failed: str = "") -> None:
        """Stop all in order, and give the state directory back. `failed`: why, if nobody asked for it."""
        if self._lock is None:
            return
        for child in self._children.values():
            child.ask_to_stop()
        end = time.monotonic() + GRACE_S
        for child in self._children.values():
            child.wait_or_kill(max(0.0, end - time.monotonic()))
        self._children = {}
        (self._dir / "services.json").unlink(missing_ok=True)
        write(self._dir / "status.json", Status("failed", failed) if failed else Status("stopped"))
        os.close(self._lock)
        self._lock = None

    def __enter__(self) -> "Stack":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _take_directory(self) -> None:
        try:
            (self._dir / "logs").mkdir(parents=True, exist_ok=True)
            self._lock = lock(self._dir)
            write(self._dir / "status.json", Status("starting"))
        except OSError as error:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None
            raise StackError(f"can't write to {self._dir} ({error.strerror}): name a directory that you own") from error

    def _start(self) -> None:
        began = time.monotonic()
        if self._kafka == "embedded" and (self._dir / "fresh").exists():
            self._say(f"the embedded broker starts empty, so everything starts empty: {self._dir / 'fresh'} is wiped")
            shutil.rmtree(self._dir / "fresh")
        for name in self._only:
            self._log(name).write_bytes(b"")
        for recipe in [self._recipe(name) for name in self._only]:
            self._children[recipe.name] = Child(recipe, self._log(recipe.name))
        self._wait(self._only)
        for child in self._children.values():
            self._say(f"{child.recipe.title}: {child.recipe.setting[1]}")
        self._say(f"ready in {time.monotonic() - began:.1f} s")

    def _recipe(self, name: str) -> Recipe:
        port = choose_port(name, self._ports.get(name))
        data = self._dir / ("fresh" if self._kafka == "embedded" else "kept") / name
        if name == "redis":
            return embedded.valkey(port, data)
        if name == "clickhouse":
            return embedded.clickhouse(port, data)
        if self._kafka == "apache":
            return apache_kafka(port, data, self._log(name), self._say, self._meanwhile)
        return embedded.tansu(port)

    def _log(self, name: str) -> Path:
        return self._dir / "logs" / f"{name}.log"

    def _wait(self, names: Collection[str]) -> None:
        """Until each of them answers, in order: the slowest decides how long it takes."""
        for name in names:
            child = self._children[name]
            end = time.monotonic() + child.recipe.patience_s
            while not child.recipe.ready():
                self._meanwhile()
                if reason := self.ended():
                    raise Ended(reason)
                if time.monotonic() > end:
                    raise StackError(
                        f"{child.recipe.title} did not answer within {child.recipe.patience_s:.0f} s; "
                        f"log: {child.log}{last_words(child.log)}"
                    )
                time.sleep(0.02)
        if reason := self.ended():  # somebody else may have answered on the port of a child that is gone
            raise Ended(reason)


@contextlib.contextmanager
def running(
    state_dir: Path,
    kafka: Kafka = "embedded",
    *,
    only: Collection[str] = SERVICES,
    ports: Mapping[str, int] | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[Services]:
    """A stack for as long as the block lasts, and no longer than this thread. Raises StackError."""
    with Stack(state_dir, kafka, only=only, ports=ports, say=say) as stack:
        yield stack.services
