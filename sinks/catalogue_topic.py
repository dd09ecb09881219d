"""The published catalogue: snapshots on the compacted topic, and a copy in ClickHouse for analysts."""

from config.catalogue import Catalogue
from config.publish import Changes, Record, changes, decode, encode
from config.settings import Kafka
from sinks.rows import CatalogueRows
from sinks.topics import DurableProducer, read_to_end

_LOOK_S = 1.0
_PARTITION = 0  # the only one; records of a snapshot stand in the order in which they were sent
_VERSIONED = ("meter", "plan")


class Unpublished(Exception):  # noqa: N818 - said as it is, like the others
    """There is no catalogue on the topic."""


class Overtaken(Exception):  # noqa: N818
    """Somebody else published at the same time, so that what is published now may not be what was sent."""


class Unreadable(Exception):  # noqa: N818
    """A newer version has written the catalogue."""


def read_catalogue(kafka: Kafka) -> Catalogue | None:
    """What is published; None when nothing is. Raises Unreadable, Retryable or KafkaException."""
    return _decode(read_to_end(kafka, kafka.catalogue_topic))


def publish_catalogue(kafka: Kafka, new: Catalogue, now_ms: int, skew_ms: int) -> Changes:
    """Publish `new` as the next generation and return what changed, once it is acknowledged and read back.

    Sends nothing where there are faults or nothing differs. Raises Overtaken when another publish got in between:
    both then said the same generation, and only a further one makes sure of what it holds.
    """
    before = read_to_end(kafka, kafka.catalogue_topic)
    found = changes(_decode(before), new, now_ms, skew_ms)
    if found.faults or not found.lines:
        return found
    records = encode(found.catalogue)
    producer = DurableProducer(kafka)
    for key, value in records:
        producer.send(kafka.catalogue_topic, value, key, _PARTITION)
    while not producer.acknowledged(_LOOK_S):  # ends by KafkaException after kafka.delivery_timeout_ms
        pass
    after = read_to_end(kafka, kafka.catalogue_topic)
    if _heads(after, found.catalogue) - _heads(before, found.catalogue) != {records[-1][1]} or not _same(
        _decode(after), found.catalogue
    ):
        raise Overtaken(
            f"another `catalogue publish` ran at the same time and also wrote generation {found.catalogue.generation}: "
            "look with `tollstream catalogue show`, and publish again, one after the other"
        )
    return found


def catalogue_rows(catalogue: Catalogue) -> CatalogueRows:
    """A row for each record of the snapshot but its head. Ids are the rest of the record's key."""
    generations, kinds, ids, versions, bodies = list[int](), list[str](), list[str](), list[int](), list[str]()
    for key, value in encode(catalogue)[:-1]:
        _, _, rest = key.decode().partition("/")
        kind, _, id_ = rest.partition("/")
        version = 0
        if kind in _VERSIONED:
            id_, _, written = id_.rpartition("/")
            version = int(written)
        generations.append(catalogue.generation)
        kinds.append(kind)
        ids.append(id_)
        versions.append(version)
        bodies.append(value.decode())
    return CatalogueRows(generation=generations, kind=kinds, id=ids, version=versions, body=bodies)


def _decode(records: list[tuple[bytes, bytes | None]]) -> Catalogue | None:
    try:
        return decode(records)
    except ValueError as error:
        raise Unreadable(str(error)) from error


def _heads(records: list[tuple[bytes, bytes | None]], catalogue: Catalogue) -> set[bytes]:
    """What has been said of this generation."""
    name = f"head/{catalogue.generation}".encode()
    return {value for key, value in records if key == name and value is not None}


def _same(published: Catalogue | None, sent: Catalogue) -> bool:
    return published is not None and _sorted(published) == _sorted(sent)


def _sorted(catalogue: Catalogue) -> list[Record]:
    return sorted(encode(catalogue))
