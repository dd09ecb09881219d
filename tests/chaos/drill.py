"""One run: services, workers and traffic up, fault after fault, each followed by the comparison with the truth."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from config.settings import Kafka, Settings
from sinks.catalogue_topic import publish_catalogue
from sinks.clickhouse import ClickHouseSink
from sinks.topics import admin, create_topics, partition_count, topic_settings
from stack.apache_kafka import version
from stack.errors import StackError
from tests.chaos.check import SETTLE_S, Checker
from tests.chaos.faults import Fault, World
from tests.chaos.proxy import Network
from tests.chaos.report import HEAD, Report, Row, line
from tests.chaos.services import SITES, ServiceError, Services
from tests.chaos.sites import Site, many_deaths, settings_for
from tests.chaos.traffic import PARTITIONS, Traffic, UndeliveredError
from tests.chaos.truth import CATALOGUE
from tests.integration.pipeline import wait_for

RATE = 300  # events a second
WORKERS = {"one": 2, "two": 1, "guest": 1}  # the guest joins and leaves
_WARM_S = 2.0  # of traffic before the first fault
_BETWEEN_S = 0.5  # of traffic, so that there is something to lose
_FAILURES_MAX = 3  # faults in a row that leave a difference: no more can be learned from the same run

Say = Callable[[str], None]


@contextlib.contextmanager
def running(seed: int, say: Say, keep: bool, settle_s: float) -> Iterator[tuple[World, Traffic, Checker]]:
    """Everything up, and traffic flowing. All is ended at the end; the directory stays where `keep` asks for it."""
    directory = Path(tempfile.mkdtemp(prefix="tollstream-chaos-"))
    try:
        with contextlib.ExitStack() as until:
            until.enter_context(many_deaths())
            network = until.enter_context(Network())
            services = until.enter_context(Services(directory, network, say))
            direct = settings_for(services, None)
            prepare(direct)
            sites = {
                name: Site(name, settings_for(services, name if name in SITES else "one"), workers, say)
                for name, workers in WORKERS.items()
            }
            for name, site in sites.items():
                until.callback(site.kill)
                if name in SITES:
                    site.start()
            rng = random.Random(seed)
            with Traffic(direct.kafka.bootstrap, direct.kafka.events_topic, seed, RATE) as traffic:
                checker = Checker(direct.clickhouse, traffic, settle_s)
                yield World(services, sites, rng), traffic, checker
    finally:
        if keep:
            say(f"data and logs are kept in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def prepare(settings: Settings) -> None:
    """Topics, tables and the catalogue. Events carry the traffic's own time."""
    kafka = settings.kafka
    config = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
    new = NewTopic(kafka.events_topic, PARTITIONS, 1, config=config)
    client = admin(kafka)  # named: an answer never comes once its client is collected
    client.create_topics([new])[new.topic].result(30)
    create_topics(kafka)
    wait_for(partial(_known, kafka), "the topics")  # made, and not yet told to everybody
    ClickHouseSink(settings.clickhouse).migrate()
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    found = publish_catalogue(kafka, CATALOGUE, int(long_ago.timestamp()) * 1000, 0)
    assert not found.faults, found.faults


def _known(kafka: Kafka) -> bool:
    try:
        return all(partition_count(kafka, topic) for topic in topic_settings(kafka))
    except KafkaException:
        return False


def drill(
    plan: Sequence[tuple[Fault, ...]],
    seed: int,
    path: Path | None,
    say: Say,
    keep: bool = False,
    settle_s: float = SETTLE_S,
) -> Report:
    """All faults of the plan in order. The report is written to `path` after each."""
    report = Report(seed, sum(map(len, plan)), disk="", kafka=f"Apache Kafka {version()}")
    began, bad = time.monotonic(), 0
    try:
        with running(seed, say, keep, settle_s) as (world, traffic, checker):
            report.disk = world.services.valkey.disk.kind
            _begin(traffic, checker)
            say(HEAD)
            for number, faults in enumerate(plan, 1):
                row = one(number, faults, world, traffic, checker, began)
                report.rows.append(row)
                report.duration_s = time.monotonic() - began
                say(line(row))
                bad = bad + 1 if row.differences else 0
                if bad == _FAILURES_MAX:
                    report.ended = f"given up: {bad} faults in a row left differences"
                    break
                if path is not None:
                    report.write(path)
            else:
                report.ended = "done"
    except (ServiceError, UndeliveredError, StackError, AssertionError, AskedToStop) as error:
        report.ended = f"could not go on: {error}"
    finally:
        report.duration_s = time.monotonic() - began
        if path is not None:
            report.write(path)
    return report


class AskedToStop(BaseException):
    """Not an Exception: nothing on the way may take it for a fault."""


def _begin(traffic: Traffic, checker: Checker) -> None:
    """Nothing is done before all works."""
    time.sleep(_WARM_S)
    assert checker.recovered() is not None, "the workers take nothing from the start"


def one(number: int, faults: tuple[Fault, ...], world: World, traffic: Traffic, checker: Checker, began: float) -> Row:
    """Let it happen, heal it, wait, compare."""
    time.sleep(_BETWEEN_S * (0.5 + world.random.random()))
    for site in world.sites.values():
        site.notes()
    at = time.monotonic()
    with contextlib.ExitStack() as happening:
        for place, fault in enumerate(faults):
            if place:
                time.sleep(world.random.random())
            happening.enter_context(fault.happen(world))
        time.sleep(max(fault.hold_s for fault in faults) * (0.7 + 0.6 * world.random.random()))
    lasted = time.monotonic() - at
    recovery = checker.recovered()
    differences = checker.differences()
    if reason := world.services.ended():
        raise ServiceError(f"a service ended, and nobody ended it: {reason}")
    if recovery is None:
        differences.insert(
            0, f"what was sent never arrived; ClickHouse said last: {checker.trouble or 'nothing wrong'}"
        )
    notes = [f"{site.name}: {note}" for site in world.sites.values() for note in site.notes()]
    notes += world.services.valkey.notes()
    if differences:
        notes += [f"{name}: {site.tally}" for name, site in world.sites.items()]
    return Row(
        number=number,
        fault=" + ".join(fault.name for fault in faults),
        target=" + ".join(fault.target for fault in faults),
        at_s=round(at - began, 1),
        lasted_s=round(lasted, 2),
        recovery_s=None if recovery is None else round(recovery, 2),
        differences=differences,
        notes=notes,
        events=traffic.truth.consumed,
    )
