"""Who takes part, in which order, and how each was set up."""

from typing import Final, Literal, NamedTuple

Kind = Literal["floor", "ours", "peer"]


class Side(NamedTuple):
    """`package`: what it takes from the environment of the peers; "" where ours has all. `divisor`: it gets the first
    prefix / divisor events of the topic, before the rest is put on it; 0: all. `setup`: what was chosen for it."""

    name: str  # for --only
    title: str
    module: str
    kind: Kind
    variant: str = ""
    package: str = ""
    divisor: int = 0
    setup: str = ""
    works_without: bool = False  # the package, in our environment
    kernel: bool = False  # it runs only where our compiled kernel is built

    def events(self, events: int, prefix: int) -> int:
        """How many it gets, of so many in all."""
        return min(events, max(1, prefix // self.divisor)) if self.divisor else events


FLOOR: Final = "floor"
FOLD: Final = "tollstream"
FOLD_KERNEL: Final = "tollstream-kernel"
STAGE: Final = "tollstream-stage"
SIDES: Final = (
    Side(FLOOR, "floor: bare consume() that counts", "floors", "floor", "count"),
    Side("decode", "floor: msgspec decode of the tagged union alone", "floors", "floor", "decode"),
    Side("decode-ours", "floor: our decoder alone", "floors", "floor", "decode-ours"),
    Side("decode-kernel", "floor: our decoder alone, compiled", "floors", "floor", "decode-kernel", kernel=True),
    Side(FOLD, "Tollstream: fold, checkpoints", "tollstream", "ours", "fold"),
    Side(STAGE, "Tollstream: whole meter stage, outputs too", "tollstream", "ours", "stage"),
    Side(
        "tollstream-kernel", "Tollstream: fold, checkpoints, kernel", "tollstream", "ours", "fold-kernel", kernel=True
    ),
    Side(
        "tollstream-stage-kernel",
        "Tollstream: whole meter stage, kernel",
        "tollstream",
        "ours",
        "stage-kernel",
        kernel=True,
    ),
    Side(
        "handwritten",
        "hand-written: SET NX EX, HINCRBY",
        "handwritten",
        "peer",
        package="hiredis",
        works_without=True,
        setup="consume(5000), both commands pipelined, sums added up in the batch first, offsets committed after each "
        "batch, replies parsed by hiredis where it is installed",
    ),
    Side(
        "plain",
        "hand-written: a set and a dict",
        "handwritten",
        "peer",
        "memory",
        setup="the same loop without Redis: ids in a set, sums in a dict, gone after a crash",
    ),
    Side(
        "quix",
        "Quix Streams, RocksDB",
        "quix",
        "peer",
        package="quixstreams",
        divisor=1,
        setup="RocksDB on local disk, no changelog topic, commit every 50,000 messages",
    ),
    Side(
        "quix-changelog",
        "Quix Streams, RocksDB and changelog topic",
        "quix",
        "peer",
        "changelog",
        package="quixstreams",
        divisor=1,
        setup="as it comes: every change of state also goes to a topic; commit every 50,000 messages",
    ),
    Side(
        "bytewax",
        "Bytewax, no recovery store",
        "bytewax_flow",
        "peer",
        package="bytewax",
        divisor=1,
        setup="one worker, batches of 5,000, one stateful step keyed by partition; state in memory, gone after a crash",
    ),
    Side(
        "bytewax-recovery",
        "Bytewax, recovery store",
        "bytewax_flow",
        "peer",
        "recovery",
        package="bytewax",
        divisor=1,
        setup="the same keyed by subject, with snapshots of every changed subject's state in SQLite each epoch (10 s)",
    ),
    Side(
        "pathway",
        "Pathway, no persistence",
        "pathway_graph",
        "peer",
        package="pathway",
        divisor=1,
        setup="one thread, raw messages read by a Python function, commit every 500 ms; state in memory, gone after a "
        "crash",
    ),
    Side(
        "faust",
        "Faust, tables in memory with changelog topics",
        "faust_agent",
        "peer",
        "tables",
        divisor=10,
        setup="memory:// tables, stream.events(), up to 5,000 messages a poll; each change of a table is a message on "
        "its changelog topic; at least once",
    ),
    Side(
        "faust-dicts",
        "Faust, plain dicts",
        "faust_agent",
        "peer",
        "dicts",
        divisor=1,
        setup="as above without tables: ids and sums in dicts of the process, gone after a crash",
    ),
)
