"""Every fault: what it does, for how long, and how it heals. Leaving the block of a fault heals it."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from tests.chaos.services import SITES, Service, Services
from tests.chaos.sites import SESSION_MS, Site

BEYOND_SESSION_S = SESSION_MS / 1000 + 1.5
LOST_S = 1.0  # what `appendfsync everysec` may lose with the machine
DELAY_S = 0.3


class World(NamedTuple):
    """What faults happen to."""

    services: Services
    sites: dict[str, Site]
    random: random.Random


Happening = Callable[[World], AbstractContextManager[None]]


class Fault(NamedTuple):
    """`hold_s`: how long it lasts beyond what it does itself. Two that share a `group` never happen at once."""

    name: str
    target: str  # worker, kafka, valkey, clickhouse, or a link to one of them
    group: str
    hold_s: float
    happen: Happening


def _a_worker(world: World) -> tuple[Site, int]:
    """A worker and its site; one that is just being started again has none to offer, so wait for it."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        site = world.sites[world.random.choice(SITES)]
        if site.pids:
            return site, world.random.choice(site.pids)
        time.sleep(0.05)
    raise AssertionError("there is no worker to do anything to")


# -- workers


@contextlib.contextmanager
def worker_killed(world: World) -> Iterator[None]:
    site, pid = _a_worker(world)
    site.send(signal.SIGKILL, pid)
    yield


@contextlib.contextmanager
def all_workers_killed(world: World) -> Iterator[None]:
    for site in world.sites.values():
        for pid in site.pids:
            site.send(signal.SIGKILL, pid)
    yield


@contextlib.contextmanager
def worker_stopped(world: World) -> Iterator[None]:
    """A zombie: its partitions go to others, and then it goes on where it was."""
    site, pid = _a_worker(world)
    site.send(signal.SIGSTOP, pid)
    try:
        yield
    finally:
        site.send(signal.SIGCONT, pid)


@contextlib.contextmanager
def workers_leave(world: World) -> Iterator[None]:
    """A whole site leaves in order, and comes back."""
    site = world.sites["two"]
    site.stop()
    yield
    site.start()


@contextlib.contextmanager
def workers_join(world: World) -> Iterator[None]:
    """A third run joins, and leaves in order."""
    site = world.sites["guest"]
    site.start()
    yield
    site.stop()


# -- services


def killed(of: Callable[[Services], Service]) -> Happening:
    """SIGKILL, and a start on the same data."""

    @contextlib.contextmanager
    def happen(world: World) -> Iterator[None]:
        service = of(world.services)
        service.kill()
        yield
        service.start()

    return happen


def stopped(of: Callable[[Services], Service]) -> Happening:
    """SIGSTOP: it takes connections, and answers nothing. After SIGCONT it does all that was asked meanwhile."""

    @contextlib.contextmanager
    def happen(world: World) -> Iterator[None]:
        service = of(world.services)
        service.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            service.signal(signal.SIGCONT)

    return happen


@contextlib.contextmanager
def valkey_power_cut(world: World) -> Iterator[None]:
    """SIGKILL, and what was appended in the last second was not on the disk."""
    valkey = world.services.valkey
    path = valkey.aof()
    kept = path.stat().st_size
    time.sleep(LOST_S)
    valkey.server.kill()
    if path == valkey.aof():  # else it was rewritten in that second
        _truncate(path, kept)
    yield
    valkey.server.start()


def _truncate(path: Path, length: int) -> None:
    with path.open("r+b") as file:
        file.truncate(length)


@contextlib.contextmanager
def valkey_failed_over(world: World) -> Iterator[None]:
    """The primary dies, and its replica, which missed the last second, takes its place."""
    valkey = world.services.valkey
    valkey.detach()
    time.sleep(LOST_S)
    valkey.fail_over()
    for site in SITES:  # the name leads to the other server now
        world.services.links[site, "valkey"].cut()
    world.services.point()
    for site in SITES:
        world.services.links[site, "valkey"].heal()
    yield
    valkey.replace()


@contextlib.contextmanager
def valkey_flushed(world: World) -> Iterator[None]:
    with world.services.valkey.client() as client:
        client.flushall()
    yield


@contextlib.contextmanager
def valkey_torn(world: World) -> Iterator[None]:
    """Half of the keys are gone, whichever they are."""
    with world.services.valkey.client() as client:
        keys = sorted(client.scan_iter())
        gone = world.random.sample(keys, max(len(keys) // 2, 1)) if keys else []
        if gone:
            client.delete(*gone)
    yield


@contextlib.contextmanager
def valkey_disk_full(world: World) -> Iterator[None]:
    disk, aof = world.services.valkey.disk, world.services.valkey.aof()
    disk.fill(aof.stat().st_size)
    try:
        yield
    finally:
        disk.free()


@contextlib.contextmanager
def clickhouse_disk_full(world: World) -> Iterator[None]:
    world.services.fill_clickhouse()
    try:
        yield
    finally:
        world.services.free_clickhouse()


# -- links


def linked(service: str, how: str, everywhere: bool) -> Happening:
    """The links of one site, or of all, to a service."""

    @contextlib.contextmanager
    def happen(world: World) -> Iterator[None]:
        sites = SITES if everywhere else (world.random.choice(SITES),)
        links = [world.services.links[site, service] for site in sites]
        for link in links:
            if how == "delay":
                link.delay(DELAY_S)
            else:
                {"cut": link.cut, "half-open": link.silence, "held": link.hold}[how]()
        try:
            yield
        finally:
            for link in links:
                link.heal()

    return happen


def kafka_of(services: Services) -> Service:
    return services.kafka


def valkey_of(services: Services) -> Service:
    return services.valkey.server


def clickhouse_of(services: Services) -> Service:
    return services.clickhouse


def _all() -> Iterator[Fault]:
    yield Fault("worker SIGKILL", "worker", "worker", 0.5, worker_killed)
    yield Fault("all workers SIGKILL", "worker", "worker", 0.5, all_workers_killed)
    yield Fault("worker SIGSTOP past its session", "worker", "worker", BEYOND_SESSION_S, worker_stopped)
    yield Fault("workers leave and come back", "worker", "worker", 1, workers_leave)
    yield Fault("workers join and leave", "worker", "worker", 3, workers_join)
    for name, of, hold_s in (("kafka", kafka_of, 3), ("valkey", valkey_of, 2), ("clickhouse", clickhouse_of, 2)):
        yield Fault(f"{name} SIGKILL", name, name, 0.5, killed(of))
        yield Fault(f"{name} SIGSTOP", name, name, hold_s, stopped(of))
    yield Fault("valkey power cut, last second lost", "valkey", "valkey", 0.5, valkey_power_cut)
    yield Fault("valkey fails over, last second lost", "valkey", "valkey", 1, valkey_failed_over)
    yield Fault("valkey FLUSHALL", "valkey", "valkey", 0, valkey_flushed)
    yield Fault("valkey loses half of its keys", "valkey", "valkey", 0, valkey_torn)
    yield Fault("valkey disk full", "valkey", "valkey", 2, valkey_disk_full)
    yield Fault("clickhouse disk full", "clickhouse", "clickhouse", 2, clickhouse_disk_full)
    for service in ("kafka", "valkey", "clickhouse"):
        for how in ("cut", "delay", "half-open", "held"):
            target = f"worker-{service}"
            yield Fault(f"{target} {how}", target, service, 2.5, linked(service, how, everywhere=True))
            yield Fault(f"{target} {how}, one site", target, service, 2.5, linked(service, how, everywhere=False))


FAULTS: dict[str, Fault] = {fault.name: fault for fault in _all()}
SHORT = (
    "worker SIGKILL",
    "worker SIGSTOP past its session",
    "workers leave and come back",
    "kafka SIGKILL",
    "valkey power cut, last second lost",
    "valkey fails over, last second lost",
    "valkey FLUSHALL",
    "valkey disk full",
    "clickhouse SIGKILL",
    "clickhouse disk full",
    "worker-kafka cut, one site",
    "worker-valkey held, one site",
    "worker-clickhouse half-open",
)
_PAIR_SHARE = 0.25


def schedule(count: int, rng: random.Random) -> list[tuple[Fault, ...]]:
    """Each fault once before any comes again, and some in pairs of different groups, which happen at once."""
    bag: list[Fault] = []

    def draw(unless: str = "") -> Fault:
        place = next((n for n, fault in enumerate(bag) if fault.group != unless), None)
        if place is None:
            fresh = list(FAULTS.values())
            rng.shuffle(fresh)
            bag.extend(fresh)
            return draw(unless)
        return bag.pop(place)

    plan: list[tuple[Fault, ...]] = []
    while sum(map(len, plan)) < count:
        first = draw()
        plan.append((first, draw(first.group)) if rng.random() < _PAIR_SHARE else (first,))
    return plan
