"""Late and refused events come back through the real pipeline: into usage, rated amounts and ledger, each once."""

import os
import signal
import threading
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from conftest import MakePipeline
from pipeline import PARTITIONS, Message, Pipeline, Run
from pipeline_traffic import BASE, DAY, Traffic, check, check_rated, check_truth, check_usage, ms
from pipeline_truth import Truth
from pipeline_versions import Versions

import processors.supervise
import sinks.topics
from config.catalogue import Catalogue
from config.settings import Limits, Settings
from processors import admission
from processors.meter_stage import MeterStage
from processors.owner import Owner
from processors.worker import work
from sinks.clickhouse import ClickHouseSink
from sinks.letters import Choice, View
from sinks.queries import dead_letters, late_events
from tollstream.admitting import Admitter, Summary

WAITING = Choice(status="waiting")
END = BASE + 6 * DAY


def bring_back(
    pipeline: Pipeline, view: View = "late_events", chosen: Choice = WAITING, *, dry_run: bool = False
) -> Summary:
    """As the commands do."""
    config: Any = SimpleNamespace(settings=pipeline.settings)
    admitter = Admitter(config, view, 60, lambda line: None)
    try:
        return admitter.run(chosen, 1_000_000, dry_run=dry_run)
    finally:
        admitter.close()


def caught_up(pipeline: Pipeline, run: Run, consumed: int) -> None:
    run.until(lambda: pipeline.consumed() >= consumed, f"all {consumed} events")


def with_late(pipeline: Pipeline, seed: int, events: int = 400) -> tuple[Traffic, Truth, dict[str, int]]:
    """Traffic of some days on the topic, many events late, some of them retries of what was accepted; the truth once
    all of them have come back, and what the last step came to."""
    traffic = Traffic(seed)
    pipeline.send(traffic.fill(events, BASE, END))
    truth = Truth(pipeline.catalogue, traffic.log)
    said = [truth.admit(*one) for one in list(truth.late)]
    counts = {name: said.count(name) for name in ("accepted", "duplicate")}
    assert min(counts.values()) > 0, "both kinds of late events"
    return traffic, truth, counts


def test_i1_i2_i6_late_events_come_back_once_into_usage_amounts_and_ledger(pipeline: Pipeline) -> None:
    traffic, truth, counts = with_late(pipeline, seed=51)
    waiting = sum(counts.values())
    with Versions(pipeline) as versions:
        pipeline.catch_up()
        check(pipeline, traffic.log)
        assert pipeline.ledger().waiting_late == waiting
        tried = bring_back(pipeline, dry_run=True)
        assert (tried.chosen, tried.admitted + tried.duplicate) == (waiting, waiting)
        assert pipeline.ledger().waiting_late == waiting
        with pipeline.running():
            found = bring_back(pipeline)
            assert (found.admitted, found.duplicate) == (counts["accepted"], counts["duplicate"])
            assert bring_back(pipeline) == Summary()
        pipeline.catch_up()
    check_truth(pipeline, truth)
    assert pipeline.ledger().admitted == counts["accepted"]
    assert pipeline.ledger().waiting_late == 0
    status = [one.status for one in late_events(pipeline.client, 10_000)]
    assert (status.count("admitted"), status.count("duplicate")) == (counts["accepted"], counts["duplicate"])
    assert not versions.went_back, versions.went_back


def test_i2_two_commands_at_once_and_one_that_is_killed_count_nothing_twice(
    one_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = one_pipeline
    _, truth, counts = with_late(pipeline, seed=52)
    pipeline.catch_up()
    monkeypatch.setattr("tollstream.admitting.RECORD_EVENTS_MAX", 3)
    send, sent = sinks.topics.RecordProducer.send, []

    def dies(self: Any, *arguments: Any) -> int:
        if len(sent) == 4:
            raise KeyboardInterrupt
        sent.append(send(self, *arguments))
        return sent[-1]

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(sinks.topics.RecordProducer, "send", dies)
        bring_back(pipeline)
    both = [threading.Thread(target=bring_back, args=(pipeline,)) for _ in range(2)]
    with pipeline.running(workers=2):
        for one in both:
            one.start()
        for one in both:
            one.join()
    pipeline.catch_up()
    check_usage(pipeline, truth)
    check_rated(pipeline, truth)
    ledger = pipeline.ledger()
    assert ledger.balanced
    assert (ledger.admitted, ledger.waiting_late) == (counts["accepted"], 0)


def forget(settings: Settings, catalogue: Catalogue, parent: Connection, alone: bool) -> None:
    """The broken variant of a worker: closed hours are forgotten."""
    ClickHouseSink.insert_identities = lambda self, rows: None  # type: ignore[method-assign]
    work(settings, catalogue, parent, alone)


def test_i2_without_the_archive_a_retry_that_came_late_is_counted_twice(
    one_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors.supervise, "work", forget)
    _, truth, _ = with_late(one_pipeline, seed=53)
    one_pipeline.catch_up()
    with one_pipeline.running():
        bring_back(one_pipeline)
    with pytest.raises(AssertionError):
        check_usage(one_pipeline, truth)


def test_where_nothing_is_archived_the_command_says_so_and_sends_nothing(
    make_pipeline: MakePipeline, services: Any
) -> None:
    pipeline = make_pipeline(services["TOLLSTREAM_KAFKA__BOOTSTRAP"], archive_identities=False)
    _, truth, counts = with_late(pipeline, seed=54)
    with pipeline.running() as run:
        caught_up(pipeline, run, truth.consumed - sum(counts.values()))
        found = bring_back(pipeline)
    assert found.chosen == sum(counts.values())
    assert found.not_archived == pipeline.ledger().waiting_late > 0
    assert found.decided == found.chosen  # an hour that is open still needs no archive


def test_a_refused_event_is_counted_once_its_fault_is_mended(one_pipeline: Pipeline) -> None:
    """A later catalogue gives its time a meter version that does not need what it lacks."""
    traffic, at = Traffic(seed=55), BASE + 40 * DAY
    good, bad = traffic.event(at, type="http", subject="s-1"), traffic.event(at, type="http", subject="s-1")
    good["data"], bad["data"] = {"requests": 1, "bytes": 1, "ms": 1}, {"bytes": 5, "ms": 2}
    one_pipeline.send([Message(1, ms(at), msgspec.json.encode([good, bad])), Message(1, ms(at), b"{")])
    one_pipeline.catch_up()
    assert (one_pipeline.ledger().invalid, one_pipeline.ledger().waiting_refused) == (2, 2)
    assert bring_back(one_pipeline, "dead_letters").refused == 2
    counted = [
        msgspec.structs.replace(one, version=2, from_=BASE + 39 * DAY, aggregation="count", value=None)
        for one in one_pipeline.catalogue.meters
        if one.value == "requests"
    ]
    meters = (*one_pipeline.catalogue.meters, *counted)
    one_pipeline.publish(msgspec.structs.replace(one_pipeline.catalogue, meters=meters))
    with one_pipeline.running():
        found = bring_back(one_pipeline, "dead_letters")
        assert (found.chosen, found.admitted, found.refused) == (2, 1, 1)
    ledger = one_pipeline.ledger()
    assert (ledger.accepted, ledger.admitted, ledger.waiting_refused) == (2, 1, 1)
    assert sorted(one.status for one in dead_letters(one_pipeline.client, 10)) == ["admitted", "waiting"]
    query = "SELECT sum(quantity) FROM usage_daily WHERE meter = 'egress'"
    assert int(one_pipeline.client.query(query).result_rows[0][0]) == 6


def test_i7_a_letter_that_fits_no_record_waits_and_the_others_go(make_pipeline: MakePipeline, services: Any) -> None:
    pipeline = make_pipeline(services["TOLLSTREAM_KAFKA__BOOTSTRAP"], limits=Limits(message_bytes_max=4_096))
    traffic = Traffic(seed=56)
    large = traffic.event(BASE, type="http", subject="s-1")
    large["data"] = {"requests": 1, "bytes": 1, "ms": 1, "note": "x" * 3_700}
    small = traffic.event(BASE, type="http", subject="s-1")
    last = traffic.event(END, type="http", subject="s-1")
    pipeline.send([Message(1, ms(END), msgspec.json.encode(one)) for one in (last, large, small)])
    with pipeline.running() as run:
        caught_up(pipeline, run, 3)
        found = bring_back(pipeline)
    assert (found.chosen, found.admitted, found.too_large) == (2, 1, 1)


# -- deaths

POINTS: dict[str, tuple[type, str]] = {
    "an admission is folded, and no checkpoint says so": (Owner, "checkpoint"),
    "it is in a checkpoint, and nothing of it is sent": (MeterStage, "_release"),
    "usage is inserted, and what became of it is not": (ClickHouseSink, "insert_admissions"),
    "an hour is closed, and not archived": (ClickHouseSink, "insert_identities"),
    "all is acknowledged, and not recorded": (Owner, "acknowledged"),
}


def die_at(signs: Path, settings: Settings, catalogue: Catalogue, parent: Connection, alone: bool) -> None:
    """A worker that kills itself once at each point, across all of its successors."""
    for name, (kind, method) in POINTS.items():
        setattr(kind, method, _dying(getattr(kind, method), signs / name))
    work(settings, catalogue, parent, alone)


def _dying(method: Any, sign: Path) -> Any:
    def call(self: Any, *arguments: Any) -> Any:
        if _admits(self, arguments) and not sign.exists():
            sign.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return method(self, *arguments)

    return call


def _admits(self: Any, arguments: tuple[Any, ...]) -> bool:
    if isinstance(self, Owner):
        return bool(self.state.admissions.pending)
    if isinstance(self, MeterStage):
        return any(one.outcomes for one in arguments[0])
    return len(getattr(arguments[0], "topic", ())) > 0


def test_i2_a_worker_that_dies_between_any_two_side_effects_of_an_admission_changes_nothing(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, truth, counts = with_late(pipeline, seed=57)
    monkeypatch.setattr(processors.supervise, "work", partial(die_at, tmp_path))
    with Versions(pipeline) as versions, pipeline.running() as run:
        caught_up(pipeline, run, truth.consumed - sum(counts.values()))
        found = bring_back(pipeline)
        assert (found.admitted, found.duplicate) == (counts["accepted"], counts["duplicate"])
        run.until(lambda: {path.name for path in tmp_path.iterdir()} == set(POINTS), "every death")
        died = len(POINTS)
        run.until(lambda: run.tally.restarts == died and run.tally.metered == PARTITIONS, "the last worker")
    pipeline.catch_up()
    check_truth(pipeline, truth)
    assert not versions.went_back, versions.went_back


def test_i2_lost_state_is_restored_with_what_came_back(one_pipeline: Pipeline) -> None:
    pipeline = one_pipeline
    _, truth, counts = with_late(pipeline, seed=58)
    pipeline.catch_up()
    with pipeline.running():
        assert bring_back(pipeline).admitted == counts["accepted"]
    pipeline.redis.flushdb()
    pipeline.catch_up()
    check_truth(pipeline, truth)
    late = [one for one in late_events(pipeline.client, 10_000) if one.status == "admitted"][:3]
    with pipeline.running() as run:  # somebody sends them once more by hand, with an archive that knows nothing
        before = pipeline.consumed()
        for one in late:
            (ledger,) = (part for part in pipeline.ledger().partitions if part.partition == one.partition)
            returned = [admission.Returned(one.offset, one.index, one.raw)]
            record = admission.AdmissionRecord(ms(ledger.clock), 3 * 86_400_000, one.topic, one.partition, returned)
            pipeline.send([Message(one.partition, ms(ledger.clock), admission.encode(record))])
        caught_up(pipeline, run, before + len(late))
    check_usage(pipeline, truth)
    assert pipeline.ledger().admitted == counts["accepted"]
