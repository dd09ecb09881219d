"""`run`: the processors, in the foreground."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cyclopts import App, Group
from rich.live import Live
from rich.text import Text

from tollstream.checks import refuse_unsafe
from tollstream.failures import OK, Unreachable, UsageError, first_line
from tollstream.place import Where, published_catalogue
from tollstream.services import prepare
from tollstream.show import console, printable, say

if TYPE_CHECKING:
    from config.catalogue import Catalogue
    from config.settings import Kafka
    from processors.supervise import Supervisor, Tally

GROUP = Group("Processors", sort_key=4)
WORKERS_MAX = 256
_PLAIN_LINE_S = 5.0  # between two lines where nobody looks at a terminal
_RATE_S = 1.0  # over which messages a second are measured


def register(app: App) -> None:
    app.command(run, group=GROUP)


def run(
    *,
    workers: int = 1,
    until_caught_up: bool = False,
    health_port: int | None = None,
    place: Where,
) -> int:
    """Process events: remove duplicates, aggregate, rate, and write usage and rated usage to ClickHouse.

    Makes missing topics and tables, refuses services whose settings could lose data, and goes by the published
    catalogue. Each worker is a process and takes a share of the partitions; one that dies is replaced. SIGTERM or
    Ctrl-C lets every worker finish and save what it has; then the exit code is 0.

    ```
    tollstream run --workers 2
    tollstream run --until-caught-up               # for scripts: end once all is processed, rated and acknowledged
    tollstream run --health-port 8080 &            # curl http://127.0.0.1:8080/health
    ```

    Parameters
    ----------
    workers
        Processes. More than there are partitions have nothing to do.
    until_caught_up
        End with 0 once all that was on the topics at the start is processed, rated and acknowledged.
    health_port
        Answer GET /health on this port of 127.0.0.1, as JSON: 200 while work moves on, 503 where it does not.
    """
    if not 1 <= workers <= WORKERS_MAX:
        raise UsageError(f"--workers {workers} is out of range: give 1 to {WORKERS_MAX}")
    config = place.load()
    settings, kafka = config.settings, config.settings.kafka
    prepare(config)
    refuse_unsafe(config)

    from processors.compiled import status
    from processors.supervise import Supervisor
    from sinks.topics import partition_count
    from tollstream.health import HealthDoor

    partitions = partition_count(kafka, kafka.events_topic), partition_count(kafka, kafka.windows_topic)
    say(f"kernel: {status(wanted=settings.processing.kernel)}")
    following = Following(kafka, say)
    supervisor = Supervisor(settings, following, workers, partitions, say)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    with contextlib.ExitStack() as until:
        watchers: list[Callable[[Tally], None]] = [announce_pids(supervisor)]
        if health_port is not None:
            door = until.enter_context(HealthDoor(health_port, settings.processing.health_stall_ms / 1000))
            say(f"health: {door.url}")
            watchers.append(door.tell)
        watchers.append(until.enter_context(status_line(partitions)))

        done = supervisor.tally()

        def watch(tally: "Tally") -> None:
            nonlocal done
            done = tally
            for watcher in watchers:
                watcher(tally)

        supervisor.run(until_caught_up=until_caught_up, watch=watch)
    say(f"ended in order after {done.messages:,} messages and {done.rows:,} window rows")
    return OK


class Following:
    """Reads the published catalogue. Once it has one, a broker that is away for a while is no reason to end."""

    def __init__(self, kafka: "Kafka", say: Callable[[str], None]) -> None:
        self._kafka, self._say = kafka, say
        self._last: Catalogue | None = None

    def __call__(self) -> "Catalogue":
        from confluent_kafka import KafkaException

        from sinks.errors import Retryable

        try:
            self._last = published_catalogue(self._kafka)
        except (KafkaException, Retryable, Unreachable) as error:
            if self._last is None:
                raise
            self._say(
                f"the catalogue can't be read just now, so generation {self._last.generation} stays: "
                f"{first_line(error)}"
            )
        return self._last


def announce_pids(supervisor: "Supervisor") -> Callable[["Tally"], None]:
    """Says who the workers are, at the start and whenever it changes."""
    known: list[int] = []

    def watch(tally: "Tally") -> None:
        pids = supervisor.pids
        if pids and pids != known:
            known[:] = pids
            say(f"worker pids: {' '.join(map(str, pids))}")

    return watch


@contextlib.contextmanager
def status_line(partitions: tuple[int, int]) -> Iterator[Callable[["Tally"], None]]:
    """A live line on a terminal; elsewhere a line every few seconds, while it says something new."""
    terminal = console(stderr=True)
    pace = Pace()
    if terminal.is_terminal:
        with Live(console=terminal, refresh_per_second=4) as live:
            yield lambda tally: live.update(
                Text(describe(tally, partitions, pace.of(tally.messages, time.monotonic())))
            )
        return
    said, said_at = "", time.monotonic()

    def line(tally: "Tally") -> None:
        nonlocal said, said_at
        now = time.monotonic()
        rate = pace.of(tally.messages, now)
        text = describe(tally, partitions, rate)
        if now - said_at >= _PLAIN_LINE_S and text != said:
            said, said_at = text, now
            say(text)

    yield line


class Pace:
    """Messages a second, over about a second."""

    def __init__(self) -> None:
        self._messages, self._at, self._rate = 0, 0.0, 0

    def of(self, messages: int, now_s: float) -> int:
        """Times are seconds of a monotonic clock."""
        if not self._at:
            self._messages, self._at = messages, now_s
        elif now_s - self._at >= _RATE_S:
            self._rate = max(0, round((messages - self._messages) / (now_s - self._at)))
            self._messages, self._at = messages, now_s
        return self._rate


def describe(tally: "Tally", partitions: tuple[int, int], rate: int) -> str:
    """One line about all workers."""
    health = "healthy" if tally.health.healthy else "UNHEALTHY"
    restarts = f" · {tally.restarts} restarts" if tally.restarts else ""
    return printable(
        f"{rate:,} messages/s · {tally.messages:,} in all · partitions at their end: "
        f"{tally.metered}/{partitions[0]} metered, {tally.rated}/{partitions[1]} rated · "
        f"{tally.workers} workers{restarts} · {health}: {tally.health.reason}"
    )
