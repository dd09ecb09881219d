"""Who takes part, in which order, and how each was set up."""

from typing import Final, Literal, NamedTuple

Kind = Literal["floor", "ours", "peer"]


class Side(NamedTuple):
    """`package`: what it takes from the environment of the peers; "" where ours has all. `slow`: it gets the prefix of
    the topic that is there before the rest is put on it. `setup`: what was chosen for it, for the reader."""

    name: str  # for --only
    title: str
    module: str
    kind: Kind
    variant: str = ""
    package: str = ""
    slow: bool = False
    setup: str = ""
    works_without: bool = False  # the package, in our environment


FLOOR: Final = "floor"
FOLD: Final = "tollstream"
STAGE: Final = "tollstream-stage"
SIDES: Final = (
    Side(FLOOR, "floor: bare consume() that counts", "floors", "floor", "count"),
    Side("decode", "floor: msgspec decode of the tagged union alone", "floors", "floor", "decode"),
    Side("decode-ours", "floor: our decoder alone", "floors", "floor", "decode-ours"),
    Side(FOLD, "Tollstream: fold, checkpoints", "tollstream", "ours", "fold"),
    Side(STAGE, "Tollstream: whole meter stage, outputs too", "tollstream", "ours", "stage"),
    Side(
        "handwritten",
        "confluent-kafka, SET NX EX, HINCRBY",
        "handwritten",
        "peer",
        package="hiredis",
        works_without=True,
        setup="consume(5000), both commands pipelined, sums added up in the batch first, offsets committed after each "
        "batch, replies parsed by hiredis",
    ),
    Side(
        "quix",
        "Quix Streams, state in RocksDB",
        "quix",
        "peer",
        package="quixstreams",
        slow=True,
        setup="RocksDB on local disk, no changelog topic, commit every 50,000 messages",
    ),
    Side(
        "quix-changelog",
        "Quix Streams, RocksDB and changelog topic",
        "quix",
        "peer",
        "changelog",
        package="quixstreams",
        slow=True,
        setup="as it comes: every change of state also goes to a topic; commit every 50,000 messages",
    ),
)
