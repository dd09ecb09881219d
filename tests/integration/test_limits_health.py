"""I9: stalled, fenced, past the end: each makes the run unhealthy, on real services. The 30 s are 1.5 s here."""

from __future__ import annotations

import os
import signal
from typing import Any

from conftest import MakePipeline
from pipeline import PARTITIONS, Pipeline, Run
from pipeline_traffic import BASE, DAY, Traffic, check

from processors.checkpoint import decode_head, encode_head
from processors.state import RedisSlot, connect
from processors.supervise import WorkersFailedError
from sinks.topics import ends_are_trusted, topic_id

STALL_MS = 1_500


def filled(make_pipeline: MakePipeline, kafka: Any, seed: int) -> tuple[Pipeline, Traffic]:
    pipeline = make_pipeline(kafka.bootstrap, consume_messages_max=100, health_stall_ms=STALL_MS)
    traffic = Traffic(seed=seed)
    pipeline.send(traffic.fill(150, BASE, BASE + DAY))
    return pipeline, traffic


def unwell(run: Run, word: str) -> bool:
    return any(not tally.health.healthy and word in tally.health.reason for tally in run.tallies)


def all_out(pipeline: Pipeline, traffic: Traffic) -> bool:
    return pipeline.consumed() == sum(len(sent.events) for sent in traffic.log)


def test_i9_a_worker_that_stands_still_is_unhealthy_until_it_moves(make_pipeline: MakePipeline, kafka: Any) -> None:
    pipeline, traffic = filled(make_pipeline, kafka, 81)
    with pipeline.running() as run:
        run.until(lambda: all_out(pipeline, traffic), "the first events")
        pid = run.supervisor.pids[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            run.until(lambda: unwell(run, "silent"), "word that it is silent")
        finally:
            os.kill(pid, signal.SIGCONT)
        pipeline.send(traffic.fill(50, BASE + DAY, BASE + DAY * 2))
        run.until(lambda: run.tally.health.healthy and all_out(pipeline, traffic), "its recovery")


def test_i9_a_fenced_worker_is_unhealthy_and_takes_over_again(make_pipeline: MakePipeline, kafka: Any) -> None:
    """Somebody else claims a partition while the worker is idle: it finds out by itself."""
    pipeline, traffic = filled(make_pipeline, kafka, 82)
    with pipeline.running() as run:
        run.until(lambda: all_out(pipeline, traffic), "the first events")
        thief(pipeline, 1).claim(pipeline.catalogue.generation)
        run.until(lambda: unwell(run, "lost partition 1"), "word that it was fenced")
        pipeline.send(traffic.fill(50, BASE + DAY, BASE + DAY * 2))
        run.until(lambda: run.tally.health.healthy and all_out(pipeline, traffic), "its recovery")
        assert any("starts anew: partition 1" in said for said in run.heard)
    pipeline.catch_up()
    check(pipeline, traffic.log)


def test_i9_a_position_past_the_end_is_unhealthy_or_ends_the_run(make_pipeline: MakePipeline, kafka: Any) -> None:
    """As after a broker that lost its log: where ends can be trusted the run says so and ends, else it is unwell."""
    pipeline, _ = filled(make_pipeline, kafka, 83)
    pipeline.catch_up()
    for partition in range(PARTITIONS):
        ahead(pipeline, partition)
    run = pipeline.start()
    try:
        run.until(lambda: unwell(run, "the log has more"), "word that it is past the end")
    except WorkersFailedError as error:
        assert "was cut or made again" in str(error)
        assert ends_are_trusted(pipeline.settings.kafka)
    else:
        assert not ends_are_trusted(pipeline.settings.kafka)
    finally:
        run.kill_all()


def thief(pipeline: Pipeline, partition: int) -> RedisSlot:
    kafka = pipeline.settings.kafka
    return RedisSlot(connect(pipeline.settings.redis.url), topic_id(kafka, kafka.events_topic), partition)


def ahead(pipeline: Pipeline, partition: int) -> None:
    """Move the position in Redis a thousand messages on."""
    kafka = pipeline.settings.kafka
    key = f"tollstream:{{{topic_id(kafka, kafka.events_topic)}/{partition}}}:head"
    body = pipeline.redis.hget(key, "body")
    assert isinstance(body, bytes)
    head = decode_head(body)
    head.offset += 1_000
    head.published = head.offset
    pipeline.redis.hset(key, mapping={"offset": head.offset, "body": encode_head(head)})
