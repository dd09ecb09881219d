"""What `up` makes is what `doctor` wants."""

from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import Kafka
from sinks.topics import topic_settings
from stack.doctor import judge_partitions, judge_topic
from tollstream.place import DEMO_CONFIG, Place, log_reach_ms

FLIGHTS = DEMO_CONFIG.parent / "flights"


def test_a_restore_reads_back_the_longest_lateness_a_day_and_skew() -> None:
    assert log_reach_ms(Place(DEMO_CONFIG).load({})) == timedelta(hours=48, minutes=5) // timedelta(milliseconds=1)


@pytest.mark.parametrize("directory", [DEMO_CONFIG, FLIGHTS])
def test_the_topics_that_are_made_pass_every_check(directory: Path) -> None:
    kafka, reach_ms = Kafka(), log_reach_ms(Place(directory).load({}))
    for name, (partitions, made) in topic_settings(kafka, reach_ms).items():
        found = judge_topic(kafka, name, made, embedded=False, log_reach_ms=reach_ms)
        assert [check for check in [*found, *judge_partitions(kafka, name, partitions)] if not check.ok] == []
