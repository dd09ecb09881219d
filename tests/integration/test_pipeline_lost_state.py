"""Redis or the log lose what they held: the state comes back from mark and log (I2, I5), or the run says why not."""

from typing import Any

import msgspec
import pytest
from confluent_kafka import TopicPartition
from pipeline import PARTITIONS, Pipeline, Run, wait_for
from pipeline_traffic import BASE, DAY, Traffic, check, check_usage
from pipeline_truth import Truth

from processors.supervise import WorkersFailedError
from sinks.topics import admin, create_topics, ends_are_trusted, topic_id

WEEK = 7 * DAY


def redirect(pipeline: Pipeline, **topics: str) -> None:
    """Other topics from the next run on."""
    kafka = msgspec.structs.replace(pipeline.settings.kafka, **topics)
    pipeline.settings = msgspec.structs.replace(pipeline.settings, kafka=kafka)
    create_topics(kafka)


def process(pipeline: Pipeline, **changes: Any) -> None:
    """Other settings of `processing` from the next run on."""
    processing = msgspec.structs.replace(pipeline.settings.processing, **changes)
    pipeline.settings = msgspec.structs.replace(pipeline.settings, processing=processing)


def torn(pipeline: Pipeline) -> None:
    """Take one chunk of each partition's state away."""
    chunks = list(pipeline.redis.scan_iter(match="*:state:*"))
    assert len(chunks) >= PARTITIONS
    assert pipeline.redis.delete(*chunks)


@pytest.mark.parametrize("loss", ["emptied", "torn"])
def test_i2_i5_lost_state_is_restored_from_the_mark_and_the_log(pipeline: Pipeline, loss: str) -> None:
    traffic = Traffic(seed=21)
    pipeline.send(traffic.fill(1_500, BASE, BASE + WEEK))
    pipeline.catch_up()
    lost_at = len(traffic.log)
    if loss == "emptied":
        pipeline.redis.flushdb()
    else:
        torn(pipeline)
    pipeline.send(traffic.fill(500, BASE + WEEK, BASE + WEEK + DAY))
    run = pipeline.catch_up()
    check(pipeline, traffic.log)
    again = run.supervisor.tally().messages - (len(traffic.log) - lost_at)
    if ends_are_trusted(pipeline.settings.kafka):
        assert 0 < again < lost_at  # only what was still open was folded again
    else:
        assert again == lost_at  # the embedded broker finds no offset for a time: from the start


def test_i2_without_state_and_marks_all_is_folded_again(pipeline: Pipeline) -> None:
    traffic = Traffic(seed=22)
    pipeline.send(traffic.fill(800, BASE, BASE + 3 * DAY))
    pipeline.catch_up()
    pipeline.redis.flushdb()
    redirect(pipeline, marks_topic=f"{pipeline.settings.kafka.marks_topic}.lost")
    pipeline.send(traffic.fill(200, BASE + 3 * DAY, BASE + 4 * DAY))
    run = pipeline.catch_up()
    assert run.supervisor.tally().messages == len(traffic.log)
    check(pipeline, traffic.log)


def test_i2_redis_emptied_under_running_workers_changes_no_total(pipeline: Pipeline) -> None:
    process(pipeline, health_stall_ms=2_000)
    traffic = Traffic(seed=23)

    def all_out() -> bool:
        return pipeline.consumed() == sum(len(sent.events) for sent in traffic.log)

    with pipeline.running(workers=2) as run:
        for day in range(2):
            pipeline.send(traffic.fill(400, BASE + day * DAY, BASE + (day + 1) * DAY))
            run.until(all_out if day else pipeline.consumed, "the events so far")
            pipeline.redis.flushdb()
        pipeline.send(traffic.fill(200, BASE + 2 * DAY, BASE + 3 * DAY))
        run.until(all_out, "all events")
        pipeline.redis.flushdb()
        wait_for(lambda: pipeline.redis.dbsize() and noticed(run, 3), "an idle worker to notice")
    pipeline.catch_up()
    check(pipeline, traffic.log)


def noticed(run: Run, times: int) -> bool:
    return sum("starts anew" in line for line in run.heard) >= times


def test_a_topic_made_anew_is_refused_until_a_person_says_that_it_counts(pipeline: Pipeline) -> None:
    kafka = pipeline.settings.kafka
    before = Traffic(seed=24)
    pipeline.send(before.fill(400, BASE, BASE + DAY))
    pipeline.catch_up()
    old = topic_id(kafka, kafka.events_topic)
    client = admin(kafka)
    client.delete_topics([kafka.events_topic])[kafka.events_topic].result(30)
    wait_for(lambda: kafka.events_topic not in client.list_topics(timeout=10).topics, "the topic to go")
    pipeline.make_events_topic()
    assert topic_id(kafka, kafka.events_topic) != old
    after = Traffic(seed=25)
    pipeline.send(after.fill(300, BASE, BASE + DAY))
    with pytest.raises(WorkersFailedError, match=r"another topic.*processing\.start_at = 0"):
        pipeline.catch_up()
    truth = Truth(pipeline.catalogue, before.log)
    assert pipeline.consumed() == truth.consumed
    check_usage(pipeline, truth)
    process(pipeline, start_at=0)
    pipeline.catch_up()
    assert pipeline.consumed() == truth.consumed + Truth(pipeline.catalogue, after.log).consumed
    assert {one.topic for one in pipeline.ledger().partitions} == {old, topic_id(kafka, kafka.events_topic)}


def test_a_log_that_no_longer_reaches_the_checkpoint_stops_the_run_with_the_missing_range(pipeline: Pipeline) -> None:
    kafka = pipeline.settings.kafka
    if not ends_are_trusted(kafka):
        pytest.skip("the embedded broker deletes no records")
    traffic = Traffic(seed=26)
    pipeline.send(traffic.fill(300, BASE, BASE + DAY))
    pipeline.catch_up()
    reached = {one.partition: one.offset for one in pipeline.ledger().partitions}
    before = Truth(pipeline.catalogue, traffic.log)
    pipeline.send(traffic.fill(600, BASE + DAY, BASE + 2 * DAY))
    gone = [TopicPartition(kafka.events_topic, partition, offset + 7) for partition, offset in reached.items()]
    client = admin(kafka)
    for deleted in client.delete_records(gone).values():
        deleted.result(30)
    ranges = "|".join(f"messages {offset} to {offset + 6} are gone" for offset in reached.values())
    with pytest.raises(WorkersFailedError, match=ranges):
        pipeline.catch_up()
    assert pipeline.consumed() == before.consumed
    pipeline.redis.flushdb()
    with pytest.raises(WorkersFailedError, match=ranges):
        pipeline.catch_up()
