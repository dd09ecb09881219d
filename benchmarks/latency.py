"""From `produce` to the rated row that a reader sees, at several rates of load."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import msgspec
import numpy as np
from clickhouse_connect.driver.client import Client

from benchmarks.budget import Budget
from benchmarks.ground import Ground
from benchmarks.live import NAMES, WORKERS
from benchmarks.probes import PROBE, offer, probe
from benchmarks.processes import Use, use
from config.loader import Config
from processors.supervise import Supervisor
from sinks.clickhouse import reader
from stack.running import Stack

SHARES = (0.1, 0.5, 0.9)  # of the ceiling
_PROBES_S = 50.0  # probes a second
_SETTLED_S = 2.0  # the load has begun by then; probes sent before it don't count
_PATIENCE_S = 20.0  # after the last probe was sent
_POLL_S = 0.1  # at the most so often: each question costs ClickHouse some milliseconds of CPU
_GETTING_READY_S = 5.0  # for processes to start, and to make events: at least; 3 us an event on top
_MADE_S = 5e-6
_EMITTERS_EVENTS_S = 60_000  # that one process is asked for; it could do three times as many


class Latency(msgspec.Struct):
    """One rate. Times in milliseconds, from the call of `produce` to the answer that has the rated row in it."""

    rate: float  # events a second asked for
    why: str  # such as "half of the ceiling"
    seconds: float
    offered_events_s: float  # events a second that the emitters came to
    emitters: int
    probes: int
    unseen: int  # not seen within the patience: they count as slower than all others
    p50_ms: float
    p99_ms: float  # inf where that many were not seen
    max_ms: float
    resolution_ms: float  # the median time between two answers: a row was there up to so much earlier
    resolution_max_ms: float
    cpu_us: dict[str, float]  # an event offered: each worker, the services, the load, the probes
    hot: float = 0.0  # share of the load that one subject had


class Seen:
    """Asks the view for probes that were not seen yet. Their names ascend in the order of sending."""

    def __init__(self, client: Client, name: str, count: int) -> None:
        self._client = client
        self._waiting = {f"{PROBE}{name}-{number:06d}" for number in range(count)}
        self._name = name
        self.at_s: dict[str, float] = {}
        self.answers_s: list[float] = []

    def look(self) -> bool:
        """One question; whether probes are still missing."""
        query = """SELECT DISTINCT account FROM rated_usage
            WHERE account >= {first:String} AND account < {beyond:String} AND quantity_total > 0"""
        beyond = f"{PROBE}{self._name}." if self._waiting else ""  # "." follows "-"
        rows = self._client.query(query, {"first": min(self._waiting, default=""), "beyond": beyond}).result_rows
        now_s = time.monotonic()
        self.answers_s.append(now_s)
        for (account,) in rows:
            if account in self._waiting:
                self._waiting.discard(account)
                self.at_s[account] = now_s
        return bool(self._waiting)

    def until(self, end_s: Callable[[], float]) -> None:
        """Look until all are seen or the time has come; in between no more often than every 100 ms."""
        while self.look() and time.monotonic() < end_s():
            time.sleep(max(0.0, self.answers_s[-1] + _POLL_S - time.monotonic()))


def measure(
    ground: Ground,
    ceiling_events_s: float,
    rates: Sequence[float],
    seconds: float,
    hot: float,
    form: str,
    workers: int,
    budget: Budget,
    say: Callable[[str], None],
) -> Iterator[Latency]:
    """One run of the workers through all the rates, ascending: shares of the ceiling, and those asked for. The middle
    share once more with the share `hot` of the load on one subject."""
    wanted = [(share * ceiling_events_s, f"{share:.0%} of the ceiling", 0.0) for share in SHARES if ceiling_events_s]
    wanted += [(rate, "asked for", 0.0) for rate in rates]
    if hot:
        rate, why, _ = wanted[len(SHARES) // 2] if ceiling_events_s else min(wanted)
        wanted.append((rate, f"{why}, {hot:.0%} of it one subject's", hot))
    config = ground.fresh()
    with Running(ground.stack, config, workers) as running:
        for number, (rate, why, hot) in enumerate(sorted(wanted)):
            if budget.affords(f"latency at {rate:,.0f} events/s, {why}", seconds + 2 * _GETTING_READY_S):
                say(f"latency: {rate:,.0f} events/s for {seconds:.0f} s")
                yield _one(running, f"{number:02d}", rate, why, hot, seconds, form)
    ground.forget(config)


class Running:
    """Workers that go on until the `with` block ends, and have shown that they do before it begins."""

    def __init__(self, stack: Stack, config: Config, workers: int) -> None:
        kafka = config.settings.kafka
        self.stack, self.config = stack, config
        self.client = reader(config.settings.clickhouse)
        self.supervisor = Supervisor(
            config.settings, lambda: config.catalogue, workers, (kafka.partitions, kafka.windows_partitions), print
        )
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.supervisor.run(until_caught_up=False, watch=lambda _: None)

    def uses(self) -> dict[str, Use]:
        mine = {f"{WORKERS} {number}": use(pid) for number, pid in enumerate(self.supervisor.pids, 1)}
        return mine | {NAMES[name]: use(pid) for name, pid in self.stack.services.pids.items()}

    def __enter__(self) -> "Running":
        self._thread.start()
        kafka, count = self.config.settings.kafka, 4 * self.config.settings.kafka.partitions
        probe(kafka.bootstrap, kafka.events_topic, "ready", count, 1000, 0)
        seen, end_s = Seen(self.client, "ready", count), time.monotonic() + 3 * _PATIENCE_S
        seen.until(lambda: end_s)
        if len(seen.at_s) < count:
            self.__exit__()
            raise RuntimeError("the workers did not rate a single event in a minute: look at what they said above")
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()
        self._thread.join()
        self.client.close()


def _one(running: Running, name: str, rate: float, why: str, hot: float, seconds: float, form: str) -> Latency:
    kafka = running.config.settings.kafka
    emitters = max(1, round(rate / _EMITTERS_EVENTS_S + 0.5))
    probes = round(_PROBES_S * seconds)
    begin_s = time.monotonic() + _GETTING_READY_S + rate * seconds * _MADE_S
    where = kafka.bootstrap, kafka.events_topic
    with ProcessPoolExecutor(emitters + 1, mp_context=multiprocessing.get_context("spawn")) as pool:
        load = [
            pool.submit(offer, *where, form, int(name) * 100 + number + 2, seconds, rate / emitters, hot, begin_s)
            for number in range(emitters)
        ]
        sending = pool.submit(probe, *where, name, probes, _PROBES_S, begin_s)
        while time.monotonic() < begin_s:
            time.sleep(0.01)
        before = running.uses()
        seen = Seen(running.client, name, probes)
        done = [begin_s + 3 * seconds]  # probes that fall behind their rate end later; the patience begins then

        def patience() -> float:
            if sending.done() and len(done) == 1:
                done.append(time.monotonic() + _PATIENCE_S)
            return done[-1]

        seen.until(patience)
        after = running.uses()
        offered = [one.result() for one in load]
        sent, probes_cpu_s = sending.result()
    count = sum(one.sent.events for one in offered)
    spent = {one: now.cpu_s - before[one].cpu_s for one, now in after.items() if one in before}
    spent |= {"load": sum(one.sent.cpu_s for one in offered), "probes": probes_cpu_s}
    took = _milliseconds(((seen.at_s.get(subject), at_s) for subject, at_s in sent if at_s >= begin_s + _SETTLED_S))
    gaps = np.diff(seen.answers_s) * 1000
    return Latency(
        rate=rate,
        why=why,
        seconds=seconds,
        offered_events_s=sum(one.sent.events / (one.last_at_s - one.first_at_s) for one in offered),
        emitters=emitters,
        probes=len(took),
        unseen=sum(one == np.inf for one in took),
        p50_ms=quantile(took, 0.5),
        p99_ms=quantile(took, 0.99),
        max_ms=max(took, default=0.0),
        resolution_ms=float(np.median(gaps)) if len(gaps) else 0.0,
        resolution_max_ms=float(gaps.max()) if len(gaps) else 0.0,
        cpu_us={one: cpu_s / count * 1e6 for one, cpu_s in spent.items()},
        hot=hot,
    )


def _milliseconds(times: Iterable[tuple[float | None, float]]) -> list[float]:
    """From (seen at, sent at); inf for what was never seen."""
    return [float("inf") if seen_s is None else (seen_s - sent_s) * 1000 for seen_s, sent_s in times]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed; 0 of none."""
    if not values:
        return 0.0
    place = int(np.ceil(share * len(values))) - 1
    return sorted(values)[max(place, 0)]
