"""Publishing a catalogue over a fake topic, and what is shown of it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

import sinks.catalogue_topic
import tollstream.catalogue
from config.catalogue import Catalogue, EventType, Meter
from config.publish import encode
from config.settings import Kafka
from rating.contracts import Account
from sinks.catalogue_topic import Overtaken, Unreadable, catalogue_rows, publish_catalogue, read_catalogue
from tollstream.__main__ import main

KAFKA = Kafka()
NOW_MS = 1_790_000_000_000
SKEW_MS = 300_000
FIRST = Catalogue(
    events=(EventType("http.request", 86_400_000),),
    meters=(Meter("reads", 1, "http.request", "count", dimensions=("region",)),),
    accounts=(Account("acme", ("zone-1",)),),
)
Records = list[tuple[bytes, bytes | None]]


class Topic:
    """A compacted topic of one partition, in memory. `meanwhile` is called just before the first record is sent."""

    def __init__(self) -> None:
        self.records: Records = []
        self.meanwhile: Callable[[], None] = lambda: None

    def read(self, kafka: Kafka, topic: str) -> Records:
        assert topic == kafka.catalogue_topic
        return list(self.records)

    def producer(self, kafka: Kafka) -> "Topic":
        self.meanwhile()
        return self

    def send(self, topic: str, value: bytes | None, key: bytes, partition: int) -> None:
        assert partition == 0
        self.records.append((key, value))

    def acknowledged(self, timeout_s: float) -> bool:
        return True


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    made = Topic()
    monkeypatch.setattr(sinks.catalogue_topic, "read_to_end", made.read)
    monkeypatch.setattr(sinks.catalogue_topic, "DurableProducer", made.producer)
    return made


def publish(catalogue: Catalogue) -> sinks.catalogue_topic.Changes:
    return publish_catalogue(KAFKA, catalogue, NOW_MS, SKEW_MS)


def with_account(id: str) -> Catalogue:
    return msgspec.structs.replace(FIRST, accounts=(*FIRST.accounts, Account(id, ())))


def test_what_is_published_is_read_back(topic: Topic) -> None:
    assert read_catalogue(KAFKA) is None
    found = publish(FIRST)
    assert found.lines == ["first publish"]
    assert read_catalogue(KAFKA) == found.catalogue == msgspec.structs.replace(FIRST, generation=1)
    assert publish(with_account("globex")).catalogue.generation == 2


def test_publishing_the_same_again_sends_nothing(topic: Topic) -> None:
    publish(FIRST)
    before = list(topic.records)
    assert publish(FIRST).catalogue.generation == 1
    assert topic.records == before


def test_what_may_not_change_is_not_sent(topic: Topic) -> None:
    publish(FIRST)
    before = list(topic.records)
    other = msgspec.structs.replace(FIRST, meters=(msgspec.structs.replace(FIRST.meters[0], window="1d"),))
    assert [fault.path for fault in publish(other).faults] == ["meter reads/1"]
    assert topic.records == before


@pytest.mark.parametrize("whole", [True, False])
def test_a_publish_that_another_one_crosses_says_so(topic: Topic, whole: bool) -> None:
    """`whole`: the other's records all stand before ours, so that only its head tells; else they are mixed."""
    publish(FIRST)
    others = encode(msgspec.structs.replace(with_account("globex"), generation=2))
    topic.meanwhile = lambda: topic.records.extend(others if whole else others[:-1])
    if whole:
        with pytest.raises(Overtaken, match="generation 2"):
            publish(with_account("initech"))
    else:  # cut short, it changes nothing
        assert publish(with_account("initech")).catalogue == read_catalogue(KAFKA)


def test_a_publish_overwritten_by_another_one_says_so(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(FIRST)
    others = encode(msgspec.structs.replace(with_account("globex"), generation=2))

    def acknowledged(timeout_s: float) -> bool:
        topic.records.extend(others)
        return True

    monkeypatch.setattr(topic, "acknowledged", acknowledged)
    with pytest.raises(Overtaken):
        publish(with_account("initech"))


def test_heads_left_of_an_earlier_race_do_not_block_the_next_publish(topic: Topic) -> None:
    publish(FIRST)
    topic.records.append((b"head/2", b'{"count":3,"sha256":"of another"}'))
    assert publish(with_account("globex")).catalogue == read_catalogue(KAFKA)


def test_a_catalogue_of_a_newer_version_is_told(topic: Topic) -> None:
    topic.records = [(b"1/rebate/x", b"{}")]
    digest = sinks.catalogue_topic.decode.__globals__["_digest"](topic.records)
    topic.records.append((b"head/1", json.dumps({"count": 1, "sha256": digest}).encode()))
    with pytest.raises(Unreadable, match="newer Tollstream"):
        read_catalogue(KAFKA)


def test_rows_for_analysts_name_kind_id_and_version() -> None:
    rows = catalogue_rows(msgspec.structs.replace(FIRST, generation=7))
    assert list(zip(rows.generation, rows.kind, rows.id, rows.version, strict=True)) == [
        (7, "default-plan", "", 0),
        (7, "event", "http.request", 0),
        (7, "meter", "reads", 1),
        (7, "account", "acme/always/0", 0),
    ]
    assert json.loads(rows.body[2])["aggregation"] == "count"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    later = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=3)
    moved = Account("globex", ("zone-1",), later)
    catalogue = msgspec.structs.replace(FIRST, generation=3, accounts=(*FIRST.accounts, moved))
    monkeypatch.setattr(tollstream.catalogue, "published_catalogue", lambda kafka: catalogue)


def test_show_prints_the_published_catalogue(published: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalogue", "show", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["generation"], found["default_plan"], len(found["meters"])) == (3, None, 1)
    assert found["accounts"][1] == {"id": "globex", "subjects": ["zone-1"], "from": "2026-11-01T03:00:00Z"}


def test_show_for_people_says_what_is_measured(published: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalogue", "show"]) == 0
    shown = capsys.readouterr()
    assert "reads" in shown.out and "24h" in shown.out and "2026-11-01 03:00" in shown.out
    assert "generation 3, default plan none" in shown.err
