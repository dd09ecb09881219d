"""From Kafka to money: usage, rated rows, previews and ledger equal a recount by other means."""

import pytest
from pipeline import Pipeline
from pipeline_traffic import BASE, CATALOGUE, DAY, Traffic, check, check_usage

from sinks.queries import late_events


def test_i1_i2_every_aggregation_shape_and_price_model_equals_the_recount(pipeline: Pipeline) -> None:
    traffic = Traffic(seed=1)
    pipeline.send(traffic.fill(4_000, BASE, BASE + 3 * DAY))
    pipeline.catch_up(workers=2)
    truth = check(pipeline, traffic.log)
    assert all(truth.ledger[column] for column in ("accepted", "duplicate", "late", "unmetered"))
    assert all(truth.facts[one.id] for one in CATALOGUE.meters)
    assert len(late_events(pipeline.client, 10_000)) == truth.ledger["late"]


def test_the_recount_notices_one_event_too_many(one_pipeline: Pipeline) -> None:
    traffic = Traffic(seed=2)
    one_pipeline.send(traffic.fill(300, BASE, BASE + DAY))
    one_pipeline.catch_up()
    truth = check(one_pipeline, traffic.log)
    place = next(place for place, sent in enumerate(traffic.log) if len(sent.events) == 1)
    again = traffic.event(BASE + DAY, type="http", data={"requests": 1, "bytes": 1, "ms": 1})
    traffic.log[place].events.append(again)
    with pytest.raises(AssertionError):
        check(one_pipeline, traffic.log)
    truth.facts["requests"].pop()
    with pytest.raises(AssertionError):
        check_usage(one_pipeline, truth)


@pytest.mark.parametrize("workers", [1, 2])
def test_catching_up_with_empty_topics_ends_at_once(pipeline: Pipeline, workers: int) -> None:
    run = pipeline.catch_up(workers)
    assert run.supervisor.tally().messages == 0
    assert pipeline.consumed() == 0


def test_catching_up_ends_while_events_go_on_arriving(pipeline: Pipeline) -> None:
    traffic = Traffic(seed=3)
    pipeline.send(traffic.fill(500, BASE, BASE + DAY))
    there = sum(len(sent.events) for sent in traffic.log)
    run, hours = pipeline.start(workers=2, until_caught_up=True), 0
    while run.alive and hours < 100:  # a worker on a busy machine would never see the end of an endless log
        hours += 1
        start = BASE + DAY + DAY * hours / 24
        pipeline.send(traffic.fill(20, start, start + DAY / 24))
    run.wait()
    assert pipeline.consumed() >= there
    pipeline.catch_up()
    check(pipeline, traffic.log)
