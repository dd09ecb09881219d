"""The pipeline on this machine, for each form of events: the meter stage alone, the rate stage alone, and the whole."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks import floor, load
from benchmarks.budget import Budget
from benchmarks.floor import Floor
from benchmarks.fresh import fresh
from benchmarks.ground import Ground
from benchmarks.kept import Kept, kept
from benchmarks.live import Run, live
from benchmarks.load import Lines, Sent
from benchmarks.observed import Part
from config.loader import Config
from sinks.clickhouse import reader

_SHOWN = 10


class Pipeline(msgspec.Struct):
    """All runs over one topic."""

    form: str
    kernel: bool  # decoded by the compiled kernel
    events: int
    partitions: int
    sent: Sent
    floors: list[Floor]  # before and after
    runs: list[Run]  # meter, rate, whole
    kept: Kept  # after the whole
    differences: list[str]  # the first few, of all runs; none: the answers are right
    wrong: int

    @property
    def title(self) -> str:
        return f"{self.form} +kernel" if self.kernel else self.form

    @property
    def floor_us(self) -> float:
        """CPU microseconds an event that taking and counting the messages costs, in the same minutes."""
        return sum(one.cpu_s for one in self.floors) / len(self.floors) / self.events * 1e6

    @property
    def send_us(self) -> float:
        """CPU microseconds an event of the process that sent them, before."""
        return self.sent.cpu_s / self.events * 1e6

    def run(self, part: str) -> Run:
        return next(run for run in self.runs if run.part == part)


def measure(
    ground: Ground,
    directory: Path,
    forms: Sequence[str],
    events: int,
    workers: int,
    budget: Budget,
    say: Callable[[str], None],
    *,
    kernel: bool = False,
    profile: bool = False,
) -> Iterator[Pipeline]:
    """One after the other, over the same lines, and with the kernel if asked. Profiled workers are much slower."""
    say(f"making {events:,} events")
    lines = load.make(directory / "events.ndjson", events)
    for number, form in enumerate(forms):
        # Six passes over the events at 100,000 a second, and their starts.
        if not number or budget.affords(f"pipeline of {load.FORMS[form].title}", 20 + 6 * events / 100_000):
            topic = _Topic(ground, lines, form, workers, say)
            yield topic.measured(kernel=False, profile=profile)
            if kernel:
                yield topic.measured(kernel=True, profile=profile)


class _Topic:
    """The events on a topic, in one form."""

    def __init__(self, ground: Ground, lines: Lines, form: str, workers: int, say: Callable[[str], None]) -> None:
        self._ground, self._lines, self._form, self._workers = ground, lines, form, workers
        self._tell = say
        self._say("sending")
        self._first = ground.fresh()
        self._sent = load.send(self._first, lines, form)
        self._wrong: list[str] = []

    def _say(self, what: str) -> None:
        self._tell(f"{load.FORMS[self._form].title}: {what}")

    def measured(self, *, kernel: bool, profile: bool) -> Pipeline:
        """The runs between two looks at the floor. The rate stage alone is the same with a kernel and without."""
        settings = load.kernel_settings(on=kernel)
        kafka, part = self._first.settings.kafka, " with the kernel" if kernel else ""
        self._wrong = []
        counted = kafka.bootstrap, kafka.events_topic, kafka.partitions, self._sent.messages
        self._say("the floor")
        floors = [fresh(floor.count, *counted)]
        self._say(f"the meter stage alone{part}")
        alone = self._ground.again(self._first, "events", settings=settings)
        runs = [self._run(alone, "meter")]
        if not kernel:
            self._say("the rate stage alone")
            rate = self._ground.again(alone, "events", "windows", settings=settings)
            runs.append(self._run(rate, "rate"))
            self._ground.forget(rate)
        self._ground.forget(alone)
        self._say(f"the whole{part}, {self._workers} workers")
        whole = self._ground.again(self._first, "events", settings=settings)
        runs.append(self._run(whole, "whole", profile=profile))
        left = kept(whole)
        self._ground.forget(whole)
        self._say("the floor again")
        floors.append(fresh(floor.count, *counted))
        return Pipeline(
            form=self._form,
            kernel=kernel,
            events=self._lines.events,
            partitions=kafka.partitions,
            sent=self._sent,
            floors=floors,
            runs=runs,
            kept=left,
            differences=self._wrong[:_SHOWN],
            wrong=len(self._wrong),
        )

    def _run(self, config: Config, part: Part, *, profile: bool = False) -> Run:
        """One run, and the comparison with the truth of what it says."""
        done = live(self._ground.stack, config, self._lines.events, part, self._workers, profile=profile)
        client = reader(config.settings.clickhouse)
        self._wrong += load.differences(client, self._lines.truth, usage=part != "rate", rated=part != "meter")
        client.close()
        return done
