"""Another topic, more partitions, a log that is too short: refused, and then decided by a person."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions
from pipeline import PARTITIONS, Pipeline, wait_for
from pipeline_traffic import BASE, DAY, Traffic, check_usage, ms
from pipeline_truth import Sent, Truth, single

from processors.recovery import Recovery, RecoveryRefusedError
from processors.supervise import WorkersFailedError
from sinks.queries import dead_letters
from sinks.topics import admin, partition_count, topic_id

pytestmark = pytest.mark.apache


@contextmanager
def recovery(pipeline: Pipeline) -> Iterator[Recovery]:
    with closing(Recovery(pipeline.settings, pipeline.catalogue)) as made:
        yield made


def shorten(pipeline: Pipeline, before: dict[int, int]) -> None:
    """Delete the messages below an offset of each partition, as retention does."""
    gone = [TopicPartition(pipeline.settings.kafka.events_topic, p, offset) for p, offset in before.items()]
    client = admin(pipeline.settings.kafka)  # named: an answer never comes once its client is collected
    for deleted in client.delete_records(gone).values():
        deleted.result(30)


def add_partition(pipeline: Pipeline) -> None:
    kafka, client = pipeline.settings.kafka, admin(pipeline.settings.kafka)
    grown = NewPartitions(kafka.events_topic, PARTITIONS + 1)
    client.create_partitions([grown])[kafka.events_topic].result(30)
    wait_for(lambda: partition_count(kafka, kafka.events_topic) == PARTITIONS + 1, "the partition")


def offsets(pipeline: Pipeline) -> dict[int, int]:
    return {one.partition: one.offset for one in pipeline.ledger().partitions}


def test_a_topic_made_anew_counts_once_somebody_says_so(apache: Pipeline) -> None:
    kafka = apache.settings.kafka
    before = Traffic(seed=61)
    apache.send(before.fill(200, BASE, BASE + DAY))
    apache.catch_up()
    with recovery(apache) as ask, pytest.raises(RecoveryRefusedError, match="nothing to decide"):
        ask.adopt_topic(0)
    old, client = topic_id(kafka, kafka.events_topic), admin(kafka)
    client.delete_topics([kafka.events_topic])[kafka.events_topic].result(30)
    wait_for(lambda: kafka.events_topic not in client.list_topics(timeout=10).topics, "the topic to go")
    apache.make_events_topic()
    after = Traffic(seed=62)
    apache.send(after.fill(200, BASE, BASE + DAY))
    with pytest.raises(WorkersFailedError, match="tollstream recover topic"):
        apache.catch_up()
    with recovery(apache) as ask:
        assert ask.adopt_topic(0) == [old]
    apache.catch_up()
    consumed = [Truth(apache.catalogue, traffic.log).consumed for traffic in (before, after)]
    assert apache.consumed() == sum(consumed)
    apache.redis.flushdb()  # the decision is in the marks, so a later loss of state is restored as ever
    apache.catch_up()
    assert apache.consumed() == sum(consumed)


def test_added_partitions_count_when_no_retry_can_cross_to_them_any_more(apache: Pipeline) -> None:
    traffic = Traffic(seed=63)
    apache.send(traffic.fill(200, BASE, BASE + DAY))
    apache.catch_up()
    add_partition(apache)
    with pytest.raises(WorkersFailedError, match="more partitions than the 3"):
        apache.catch_up()
    last = ms(BASE + DAY)
    with recovery(apache) as ask, pytest.raises(RecoveryRefusedError, match="is empty"):
        ask.agree_to_partitions(last, sure=False)
    rested = BASE + 10 * DAY
    event = traffic.event(rested)
    traffic.add(Sent(PARTITIONS, ms(rested), single(event), [event]))
    apache.send(traffic.messages(len(traffic.log) - 1))
    with recovery(apache) as ask:
        assert ask.agree_to_partitions(last, sure=False) == (PARTITIONS, PARTITIONS + 1)
    with recovery(apache) as ask, pytest.raises(RecoveryRefusedError, match="nothing to agree to"):
        ask.agree_to_partitions(last, sure=True)
    supervisor = apache.start(until_caught_up=True)
    supervisor.wait()
    apache.catch_up()
    truth = Truth(apache.catalogue, traffic.log)
    assert apache.consumed() == truth.consumed
    check_usage(apache, truth)


def test_a_new_partition_that_began_too_early_needs_a_person_who_is_sure(apache: Pipeline) -> None:
    traffic = Traffic(seed=64)
    apache.send(traffic.fill(200, BASE, BASE + DAY))
    apache.catch_up()
    add_partition(apache)
    event = traffic.event(BASE + DAY)
    traffic.add(Sent(PARTITIONS, ms(BASE + DAY), single(event), [event]))
    apache.send(traffic.messages(len(traffic.log) - 1))
    with recovery(apache) as ask:
        with pytest.raises(RecoveryRefusedError, match="a retry may be on both"):
            ask.agree_to_partitions(ms(BASE + 99 * DAY), sure=False)
        ask.agree_to_partitions(ms(BASE + DAY), sure=True)
    apache.catch_up()
    apache.catch_up()
    assert apache.consumed() == Truth(apache.catalogue, traffic.log).consumed


def test_a_gap_behind_the_state_is_shown_accepted_and_written_down(apache: Pipeline) -> None:
    traffic = Traffic(seed=65)
    apache.send(traffic.fill(200, BASE, BASE + DAY))
    apache.catch_up()
    reached = offsets(apache)
    counted = apache.consumed()
    apache.send(traffic.fill(300, BASE + DAY, BASE + 2 * DAY))
    shorten(apache, {partition: offset + 5 for partition, offset in reached.items()})
    with pytest.raises(WorkersFailedError, match="are gone"):
        apache.catch_up()
    with recovery(apache) as ask:
        for partition, offset in reached.items():
            gap = ask.plan_gap(partition)
            assert (gap.first, gap.last) == (offset, offset + 4)
            ask.accept_gap(gap)
    apache.catch_up()
    kept = [one for place, one in enumerate(traffic.log) if not missing(traffic, place, reached)]
    truth = Truth(apache.catalogue, kept)
    assert apache.consumed() == truth.consumed > counted
    check_usage(apache, truth)
    gaps = [one for one in dead_letters(apache.client, 1_000) if one.reason.startswith("gap: 5 messages")]
    assert {one.partition: one.offset for one in gaps} == reached


def missing(traffic: Traffic, place: int, reached: dict[int, int]) -> bool:
    """Whether a message was deleted before it was counted."""
    one = traffic.log[place]
    offset = sum(other.partition == one.partition for other in traffic.log[:place])
    return reached[one.partition] <= offset < reached[one.partition] + 5


def test_without_state_a_gap_reaches_to_where_nothing_can_double_any_more(apache: Pipeline) -> None:
    traffic = Traffic(seed=66)
    apache.send(traffic.fill(300, BASE, BASE + 4 * DAY))
    apache.catch_up()
    reached, counted = offsets(apache), len(traffic.log)
    before = Truth(apache.catalogue, traffic.log)
    apache.redis.flushdb()
    with recovery(apache) as ask, pytest.raises(RecoveryRefusedError, match="the log has all that is needed"):
        ask.plan_gap(0)
    shorten(apache, {partition: offset - 1 for partition, offset in reached.items()})
    with pytest.raises(WorkersFailedError, match="must reach back"):
        apache.catch_up()
    with recovery(apache) as ask, pytest.raises(RecoveryRefusedError, match="the log has none yet"):
        ask.plan_gap(0)
    apache.send(traffic.fill(300, BASE + 4 * DAY, BASE + 10 * DAY))
    with recovery(apache) as ask:
        gaps = [ask.plan_gap(partition) for partition in range(PARTITIONS)]
        for gap in gaps:
            ask.accept_gap(gap)
    apache.catch_up()
    place = dict.fromkeys(range(PARTITIONS), 0)
    after: list[Sent] = []
    for number, one in enumerate(traffic.log):
        offset, place[one.partition] = place[one.partition], place[one.partition] + 1
        if number >= counted and offset > gaps[one.partition].last:
            after.append(one)
    truth = Truth(apache.catalogue, [*traffic.log[:counted], *after])
    assert before.consumed < apache.consumed() == truth.consumed
    check_usage(apache, truth)  # what was counted before the gap is untouched
    apache.redis.flushdb()  # and a later loss is restored from behind the gap
    apache.catch_up()
    check_usage(apache, truth)
