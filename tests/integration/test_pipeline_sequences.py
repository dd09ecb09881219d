"""Numbered events and events with ids in one topic, through workers that are killed: all of it equals the recount."""

from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any

import pytest
from pipeline import Pipeline
from pipeline_traffic import BASE, DAY, Traffic, check, check_usage
from pipeline_truth import Truth

import processors.supervise
from config.catalogue import Catalogue
from config.settings import Settings
from processors.sequences import SequenceDay
from processors.worker import work


class Numbered(Traffic):
    """Half of the events have numbers: some come late, some never; repeats come near and far."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.heads: dict[str, int] = {}
        self.skipped: list[tuple[str, int]] = []

    def event(self, at: datetime, **changes: Any) -> dict[str, Any]:
        made = super().event(at, **changes)
        if self.random.random() < 0.5:
            return made
        source = f"edge-{self.random.randrange(3)}#inc.{self.partition(made['subject'])}"
        waiting = [one for one in self.skipped if one[0] == source]
        if waiting and self.random.random() < 0.2:
            source, number = self.random.choice(waiting)
            self.skipped.remove((source, number))
        else:
            for _ in range(self.random.choice((0, 0, 0, 0, 1, 2))):
                self.heads[source] = self.heads.get(source, -1) + 1
                self.skipped.append((source, self.heads[source]))
            self.heads[source] = number = self.heads.get(source, -1) + 1
        return made | {"source": source, "sequencetype": "tollstream", "sequence": str(number)}


def test_i1_i2_numbers_beside_ids_through_a_killed_worker_equal_the_recount(pipeline: Pipeline) -> None:
    traffic = Numbered(seed=31)
    pipeline.send(traffic.fill(1_500, BASE, BASE + DAY))
    with pipeline.running(workers=2) as run:
        run.until(lambda: pipeline.consumed() > 0, "the first output")
        run.kill()
        pipeline.send(traffic.fill(1_500, BASE + DAY, BASE + 2 * DAY))
        run.kill()
    pipeline.catch_up()
    truth = check(pipeline, traffic.log)
    numbered = [event for sent in traffic.log for event in sent.events if event and "sequence" in event]
    assert 1_000 < len(numbered) < 2_000
    assert all(truth.ledger[column] for column in ("accepted", "duplicate", "late", "unmetered"))


def with_a_high_mark(settings: Settings, catalogue: Catalogue, parent: Connection, alone: bool) -> None:
    """The broken variant: below the highest number of a source everything counts as seen."""
    add: Any = SequenceDay.add

    def seen_below(self: SequenceDay, events: Any) -> Any:
        answer = add(self, events)
        high = self.ends[: self.sources.count].max(axis=1)
        self.starts[: len(high), 0], self.ends[: len(high), 0], self.count[: len(high)] = 0, high, 1
        return answer

    SequenceDay.add = seen_below  # type: ignore[method-assign]
    work(settings, catalogue, parent, alone)


def test_i2_with_a_high_water_mark_what_comes_out_of_order_is_missing(
    one_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors.supervise, "work", with_a_high_mark)
    traffic = Numbered(seed=32)
    one_pipeline.send(traffic.fill(600, BASE, BASE + DAY))
    one_pipeline.catch_up()
    with pytest.raises(AssertionError):
        check_usage(one_pipeline, Truth(one_pipeline.catalogue, traffic.log))
