"""A clean pipeline reconciles; whatever is changed behind its back is found, and named with offsets and ids."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pipeline import Pipeline
from pipeline_traffic import BASE, CATALOGUE, DAY, Traffic
from test_pipeline_admission import bring_back, forget, with_late

import processors.supervise
from processors.checkpoint import Head, encode_head
from processors.digests import summed
from processors.state import RedisSlot
from reconcile.check import Check
from reconcile.differences import Difference, Outcome
from sinks.topics import topic_id
from tollstream.reconcile import exit_code, lines


def checked(pipeline: Pipeline, **settings: Any) -> Outcome:
    with closing(Check(pipeline.settings, pipeline.catalogue, **settings)) as check:
        return check.once(lambda _: None, 10_000)


def found(outcome: Outcome) -> list[Difference]:
    return [difference for difference, _ in outcome.differences]


def test_a_clean_run_has_no_difference(pipeline: Pipeline) -> None:
    traffic = Traffic(seed=41)
    pipeline.send(traffic.fill(1_500, BASE, BASE + 5 * DAY))
    pipeline.catch_up()
    outcome = checked(pipeline)
    assert found(outcome) == []
    assert exit_code(outcome) == 0
    assert set(outcome.compared) == {"ledger", "identities", "partials", "usage", "letters", "rated"}
    assert min(outcome.compared.values()) > 0


def test_whatever_is_changed_behind_its_back_is_found_and_named(one_pipeline: Pipeline) -> None:
    traffic = Traffic(seed=42)
    one_pipeline.send(traffic.fill(800, BASE, BASE + 3 * DAY))
    one_pipeline.catch_up()
    run = one_pipeline.client.command
    run(f"ALTER TABLE usage_rows DELETE WHERE {CALLS} AND subject = 's-1' SETTINGS mutations_sync = 1")
    run(f"INSERT INTO usage_rows SELECT * REPLACE (sum_lo + 1 AS sum_lo) FROM usage_rows FINAL WHERE {EGRESS}")
    run(f"INSERT INTO usage_rows SELECT * REPLACE (7 AS chunk) FROM usage_rows FINAL WHERE {LEVEL}")
    run(
        "INSERT INTO ledger_rows SELECT * REPLACE (consumed + 2 AS consumed) FROM ledger_rows FINAL WHERE partition = 1"
    )
    run("ALTER TABLE late_event_rows DELETE WHERE partition = 2 SETTINGS mutations_sync = 1")
    run("INSERT INTO dead_letter_rows SELECT * FROM late_event_rows FINAL WHERE partition = 0 ORDER BY offset LIMIT 1")
    run("INSERT INTO rated_rows SELECT * REPLACE (amount + 1 AS amount) FROM rated_rows FINAL WHERE amount > 0 LIMIT 1")
    drop_identity(one_pipeline, partition=0)
    outcome = checked(one_pipeline)
    assert exit_code(outcome) == 1
    differences = found(outcome)

    def named(place: str, what: str) -> list[Difference]:
        chosen = [one for one in differences if one.place == place and what in one.what]
        assert chosen, (place, what)
        for one in chosen:
            differences.remove(one)
        return chosen

    for one in named("usage", "missing"):
        assert (one.meter, one.subject, one.found) == ("calls", "s-1", None)
        check_causes(one, traffic)
    for one in named("usage", "a row differs"):
        assert (one.meter, one.expected and one.expected.keys()) == ("egress", {"sum"})
        assert one.found and one.expected and one.found["sum"] == one.expected["sum"] + 1
        check_causes(one, traffic)
    for one in named("usage", "does not give"):
        assert (one.meter, one.chunk, one.expected) == ("level", 7, None)
    (ledger,) = named("ledger", "differs")
    assert ledger.partition == 1 and ledger.expected and ledger.found
    assert ledger.found["consumed"] == ledger.expected["consumed"] + 2
    for one in named("late", "missing"):
        assert one.partition == 2 and len(one.offsets) == 1 and one.causes[0].verdict
    (letter,) = named("dead-letter", "for an event that is none")
    assert letter.partition == 0 and "late" in [cause.verdict for cause in letter.causes]
    (identity,) = named("redis", "an identity is missing")
    check_causes(identity, traffic)
    (rated,) = named("rated", "differs")
    assert rated.expected and rated.found and rated.found["amount"] == rated.expected["amount"] + 1
    assert differences == []
    assert f"offsets {identity.offsets[0]}" in "\n".join(lines(identity))


CALLS = "partition = 1 AND meter = 'calls'"
EGRESS = "partition = 0 AND meter = 'egress' LIMIT 3"
LEVEL = "partition = 2 AND meter = 'level' LIMIT 1"


def check_causes(difference: Difference, traffic: Traffic) -> None:
    """Each names an event that was sent, where it was sent."""
    assert difference.causes and difference.events
    sent = [one for one in traffic.log if one.partition == difference.partition]
    for cause in difference.causes:
        event = sent[cause.offset].events[cause.index]
        assert event is not None and (event["id"], event["source"]) == (cause.id, cause.source)
        assert cause.offset in difference.offsets


def test_what_came_back_is_counted_and_compared_too(one_pipeline: Pipeline) -> None:
    _, truth, counts = with_late(one_pipeline, seed=46)
    one_pipeline.catch_up()
    with one_pipeline.running():
        assert bring_back(one_pipeline).admitted == counts["accepted"]
    one_pipeline.catch_up()
    outcome = checked(one_pipeline)
    assert found(outcome) == []
    assert exit_code(outcome) == 0
    assert outcome.compared["admissions"] >= sum(counts.values())
    assert outcome.compared["claims"] >= counts["accepted"]
    rows = (
        "FROM usage_rows FINAL WHERE admission > 0 AND meter = 'egress' ORDER BY partition, admission, subject LIMIT 1"
    )
    run = one_pipeline.client.command
    run(f"INSERT INTO usage_rows SELECT * REPLACE (sum_lo + 1 AS sum_lo) {rows}")
    run("ALTER TABLE admission_rows DELETE WHERE verdict = 'duplicate' SETTINGS mutations_sync = 1")
    differences = found(checked(one_pipeline))
    (row,) = [one for one in differences if one.place == "usage"]
    assert row.admission and row.expected and row.expected.keys() == {"sum"}
    assert row.offsets == [row.admission - 1] and row.causes
    missing = [one for one in differences if one.place == "admission"]
    assert {one.what for one in missing} == {"the verdict on an event that came back is missing"}
    assert len(missing) >= counts["duplicate"]
    assert truth.consumed


def test_an_archive_that_knew_nothing_is_found_by_what_was_counted_twice(
    one_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors.supervise, "work", forget)
    with_late(one_pipeline, seed=53)
    one_pipeline.catch_up()
    with one_pipeline.running():
        bring_back(one_pipeline)
    one_pipeline.catch_up()
    differences = found(checked(one_pipeline))
    assert {one.what for one in differences} == {"an event that came back was counted twice"}
    for one in differences:
        assert len(one.causes) == 2 and {cause.offset for cause in one.causes} <= set(one.offsets)


def drop_identity(pipeline: Pipeline, partition: int) -> None:
    """The last identity of some hour, as if it had never been written."""
    slot = RedisSlot(pipeline.redis, topic_id(pipeline.settings.kafka, pipeline.settings.kafka.events_topic), partition)
    head = slot.peek()
    assert head is not None
    hour = max(hour for hour, length in head.manifest.hours.items() if length > 16)
    head.manifest.hours[hour] -= 16
    pieces = slot.load(head).chunks
    names = [name for name in head.manifest.digest_chunks() if name.startswith(f"ids:{hour}:")]
    left = b"".join(pieces[name] for name in names)
    head.manifest.sums[f"ids:{hour}"] = summed(np.frombuffer(left, np.uint64).reshape(-1, 2))
    (key,) = pipeline.redis.scan_iter(match=f"*/{partition}}}:head")
    pipeline.redis.hset(key, "body", encode_head(head))  # type: ignore[arg-type]
    assert isinstance(slot.peek(), Head)


def test_rows_that_move_on_while_they_are_compared_are_no_difference(one_pipeline: Pipeline) -> None:
    traffic = Traffic(seed=43)
    with one_pipeline.running() as run:
        for hour in range(12):
            start = BASE + hour * DAY / 12
            one_pipeline.send(traffic.fill(60, start, start + DAY / 12))
            if hour % 4 == 3:
                outcome = checked(one_pipeline)
                assert found(outcome) == []
        run.until(lambda: one_pipeline.consumed() == sum(len(sent.events) for sent in traffic.log), "all events")


def test_following_reads_only_what_is_new_and_finds_what_goes_wrong_later(one_pipeline: Pipeline) -> None:
    traffic, rounds = Traffic(seed=44), 0
    with closing(Check(one_pipeline.settings, one_pipeline.catalogue)) as check:
        following: Iterator[int] = check.follow(lambda _: None)
        with one_pipeline.running() as run:
            for day in range(3):
                one_pipeline.send(traffic.fill(150, BASE + day * DAY, BASE + (day + 1) * DAY))
                sent = sum(len(one.events) for one in traffic.log)
                run.until(lambda sent=sent: one_pipeline.consumed() == sent, "the day")  # type: ignore[misc]
                rounds += next(following)
                assert found(check.outcome) == []
        rounds += next(following) + next(following)
        assert rounds == len(traffic.log)
        assert check.outcome.waiting == 0
        one_pipeline.client.command(
            "ALTER TABLE usage_rows DELETE WHERE meter = 'level' AND window_start < "
            f"'{BASE + 2 * DAY:%Y-%m-%d}' AND window_start >= '{BASE + DAY:%Y-%m-%d}' SETTINGS mutations_sync = 1"
        )
        one_pipeline.send(traffic.fill(100, BASE + 10 * DAY, BASE + 11 * DAY))  # closes the windows of that day
        one_pipeline.catch_up()
        next(following)
        assert {(one.meter, one.what) for one in found(check.outcome)} == {("level", "a row is missing")}


def test_only_windows_from_an_instant_on_can_be_asked_for(one_pipeline: Pipeline) -> None:
    traffic = Traffic(seed=45)
    one_pipeline.send(traffic.fill(600, BASE, BASE + 6 * DAY))
    one_pipeline.catch_up()
    one_pipeline.client.command(
        f"ALTER TABLE usage_rows DELETE WHERE window_start < '{BASE + 3 * DAY:%Y-%m-%d}' SETTINGS mutations_sync = 1"
    )
    outcome = checked(one_pipeline, from_=BASE + 3 * DAY)
    assert found(outcome) == []
    assert outcome.compared["usage"] and outcome.compared["identities"] and not outcome.compared["ledger"]
    assert exit_code(outcome) == 0
    assert exit_code(checked(one_pipeline, from_=BASE + 3 * DAY - timedelta(days=1))) == 1
    assert CATALOGUE.meters
