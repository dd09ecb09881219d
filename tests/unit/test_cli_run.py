"""What `run` says while it runs, to people and to probes."""

import json
import urllib.error
import urllib.request
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException

import tollstream.running
from config.catalogue import Catalogue
from config.settings import Kafka
from processors.health import Health
from processors.supervise import Supervisor, Tally
from sinks.catalogue_topic import Unpublished
from tollstream.failures import UsageError
from tollstream.health import HealthDoor
from tollstream.running import Following, Pace, announce_pids, describe


def get(url: str) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(url) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_health_door_answers_with_the_last_tally() -> None:
    with HealthDoor(0, 30) as door:
        assert get(door.url) == (200, {"healthy": True, "reason": "starting"})
        door.tell(Tally(workers=2, messages=7, restarts=1, health=Health(True, "working")))
        status, found = get(door.url)
        assert (status, found["reason"], found["messages"], found["restarts"]) == (200, "working", 7, 1)
        door.tell(Tally(health=Health(False, "no progress for 31 s")))
        status, found = get(door.url)
        assert (status, found["healthy"], found["reason"]) == (503, False, "no progress for 31 s")
        assert get(door.url + "/more")[0] == 404


def test_a_supervisor_that_is_silent_is_unhealthy() -> None:
    with HealthDoor(0, -1) as door:
        door.tell(Tally())
        status, found = get(door.url)
        assert status == 503 and "silent" in str(found["reason"])


def test_a_health_port_that_is_taken_is_told() -> None:
    with HealthDoor(0, 30) as door:
        port = int(door.url.split(":")[2].split("/")[0])
        with pytest.raises(UsageError, match=f"--health-port {port} can't be had"):
            HealthDoor(port, 30)
    with pytest.raises(UsageError, match="70000"):
        HealthDoor(70_000, 30)


def test_the_pids_of_workers_are_said_whenever_they_change(capsys: pytest.CaptureFixture[str]) -> None:
    supervised = SimpleNamespace(pids=[])
    watch = announce_pids(cast(Supervisor, supervised))
    for pids in ([], [1, 2], [1, 2], [1, 3]):
        supervised.pids = pids
        watch(Tally())
    assert capsys.readouterr().err == "worker pids: 1 2\nworker pids: 1 3\n"


def test_the_pace_is_messages_a_second() -> None:
    pace = Pace()
    assert [pace.of(*seen) for seen in ((0, 10.0), (500, 10.5), (3000, 12.0), (3000, 12.5), (3000, 13.0))] == [
        *(0, 0, 1500, 1500, 0)
    ]


def test_the_status_line_says_what_a_person_asks_for() -> None:
    tally = Tally(workers=2, messages=12345, metered=3, rated=4, restarts=1, health=Health(False, "stalled\x1b[0m"))
    line = describe(tally, (4, 8), 1500)
    for said in ("1,500 messages/s", "12,345", "3/4 metered", "4/8 rated", "2 workers", "1 restarts", "UNHEALTHY"):
        assert said in line
    assert "\x1b" not in line


def test_a_broker_that_goes_away_does_not_take_the_catalogue_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(
        [Catalogue(generation=3), KafkaException(KafkaError(KafkaError._TRANSPORT)), Catalogue(generation=4)]
    )

    def published(kafka: Kafka) -> Catalogue:
        answer = next(answers)
        if isinstance(answer, Catalogue):
            return answer
        raise answer

    monkeypatch.setattr(tollstream.running, "published_catalogue", published)
    said: list[str] = []
    following = Following(Kafka(), said.append)
    assert [following().generation for _ in range(3)] == [3, 3, 4]
    assert len(said) == 1 and "generation 3 stays" in said[0]


def test_without_a_published_catalogue_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def published(kafka: Kafka) -> Catalogue:
        raise Unpublished("none")

    monkeypatch.setattr(tollstream.running, "published_catalogue", published)
    with pytest.raises(Unpublished):
        Following(Kafka(), print)()
