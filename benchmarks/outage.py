"""`python -m benchmarks.outage`: ClickHouse away with traffic going on; what is held, and what comes after."""

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import msgspec
from cyclopts import App

from benchmarks import load
from benchmarks.processes import resident_bytes
from config.loader import Config
from edge.emitter import Emitter
from edge.generate import Shape, Traffic
from processors.supervise import Supervisor, Tally
from sinks.clickhouse import ClickHouseSink, reader
from sinks.queries import ledger
from sinks.topics import create_topics
from stack.running import Stack

_BEFORE_S = 15.0  # of traffic before ClickHouse goes
_LINES = 12  # of the table, while it is away
_LOOK_S = 0.25
_MIB = 2**20

app = App(name="outage", help="ClickHouse away with traffic going on: what is held meanwhile, and how it comes back.")


class Look(msgspec.Struct):
    """One look at the run. `at_s` since ClickHouse went; `unread`: events emitted and not taken by any worker."""

    at_s: float
    emitted: int
    unread: int
    worker_bytes: int  # resident, of all workers together
    healthy: bool
    reason: str


class Outage:
    """One run: traffic at a steady rate, before, during and after."""

    def __init__(self, stack: Stack, config: Config, events: int, rate: float, workers: int) -> None:
        self._stack, self._config, self._rate = stack, config, rate
        kafka = config.settings.kafka
        self.traffic = Traffic(Shape(seed=load.SEED, events=events, base_time=datetime.now(UTC)))
        self.emitted, self.tally = 0, Tally()
        self.supervisor = Supervisor(
            config.settings, lambda: config.catalogue, workers, (kafka.partitions, kafka.windows_partitions), print
        )
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._emit, self._run)]
        self._gone_at = 0.0

    def _emit(self) -> None:
        def progress(lines: int, _size: int) -> None:
            self.emitted += lines

        kafka = self._config.settings.kafka
        with Emitter(kafka.bootstrap, kafka.events_topic) as emitter:
            lines = chain.from_iterable(self.traffic.blocks())
            emitter.emit_lines(lines, rate=self._rate, progress=progress)

    def _run(self) -> None:
        self.supervisor.run(until_caught_up=False, watch=self._watch)

    def _watch(self, tally: Tally) -> None:
        self.tally = tally

    def look(self) -> Look:
        held = sum(map(resident_bytes, self.supervisor.pids))
        unread, health = max(self.emitted - self.tally.messages, 0), self.tally.health
        return Look(time.monotonic() - self._gone_at, self.emitted, unread, held, health.healthy, health.reason)

    def looks(self, seconds: float) -> list[Look]:
        """With ClickHouse there, and then for `seconds` without it."""
        for thread in self._threads:
            thread.start()
        time.sleep(_BEFORE_S)
        self._gone_at = time.monotonic()
        found = [self.look()]
        self._stack.kill("clickhouse")
        while found[-1].at_s < seconds:
            time.sleep(_LOOK_S)
            found.append(self.look())
        return found

    def recover(self) -> tuple[float, list[str]]:
        """(seconds from the return of ClickHouse until all is counted, differences from the truth)."""
        self._stack.restart("clickhouse")
        back_at = time.monotonic()
        self._threads[0].join()
        client = reader(self._config.settings.clickhouse)
        truth: dict[str, Any] = self.traffic.truth()
        while ledger(client).consumed < self.traffic.shape.events:
            time.sleep(_LOOK_S)
        took_s = time.monotonic() - back_at
        self.supervisor.stop()
        self._threads[1].join()
        return took_s, load.differences(client, truth)


@app.default
def run(
    *, seconds: float = 60, rate: float = 5_000, workers: int = 1, kafka: Literal["embedded", "apache"] = "embedded"
) -> int:
    """Measure and show a table.

    Parameters
    ----------
    seconds
        How long ClickHouse is away; 3600 for the hour that is promised.
    rate
        Events a second, all the while and for a while after.
    workers
        Worker processes.
    kafka
        The broker. The embedded one keeps its log in memory.
    """
    with tempfile.TemporaryDirectory(prefix="tollstream-") as directory, Stack(Path(directory), kafka) as stack:
        config = load.configuration(stack.services.environ)
        create_topics(config.settings.kafka)
        ClickHouseSink(config.settings.clickhouse).migrate()
        outage = Outage(stack, config, int(rate * (_BEFORE_S * 2 + seconds)), rate, workers)
        found = outage.looks(seconds)
        took_s, wrong = outage.recover()
    _show(found, print)
    print(f"back: all of {outage.emitted:,} events counted {took_s:.0f} s after ClickHouse, {len(wrong)} differences")
    return 1 if wrong else 0


def _show(found: list[Look], say: Callable[[str], None]) -> None:
    say(f"{'away s':>8} {'emitted':>12} {'in the log, not taken':>22} {'workers MiB':>12}  health")
    for look in found[:: max(1, len(found) // _LINES)]:
        said = "healthy" if look.healthy else look.reason
        say(f"{look.at_s:8.1f} {look.emitted:12,} {look.unread:22,} {look.worker_bytes / _MIB:12.1f}  {said}")
    unwell = next((look.at_s for look in found if not look.healthy), None)
    highest = max(look.worker_bytes for look in found)
    say(f"unhealthy after {unwell:.1f} s" if unwell is not None else "never unhealthy: shorter than health_stall_ms")
    say(f"workers: {found[0].worker_bytes / _MIB:.1f} MiB before, {highest / _MIB:.1f} MiB at most while it was away")


if __name__ == "__main__":
    sys.exit(app())
