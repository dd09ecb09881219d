"""What a partition's slot promises, over Redis and over the fake that the simulator uses."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from processors.checkpoint import HOUR_PIECE_BYTES, Checkpoint, Head, Manifest, Write
from processors.meter import Ledger
from processors.partials import DamagedError
from processors.state import FencedError, OlderCatalogueError, RedisSlot, Slot, connect
from sinks.errors import Retryable
from tests.simulation.slots import FakeSlot, SlotStore


class Setup:
    """Slots of one partition, one for each worker, and what a test does behind their back."""

    def __init__(self, slot: Callable[[], Slot], drop: Callable[[str], Any], names: Callable[[], set[str]]) -> None:
        self.slot, self.drop, self.names = slot, drop, names


@pytest.fixture(params=["fake", "redis"])
def there(request: pytest.FixtureRequest) -> Iterator[Setup]:
    if request.param == "fake":
        store, rng = SlotStore(), random.Random(1)
        names = lambda: set(store.now.chunks) | ({"head"} if store.now.fields else set())  # noqa: E731
        yield Setup(lambda: FakeSlot(store, rng), store.evict, names)
        return
    client = connect(request.getfixturevalue("redis_url"))
    prefix = "tollstream:{topic/3}:"
    yield Setup(
        lambda: RedisSlot(client, "topic", 3),
        lambda name: client.delete(prefix + name),
        lambda: {key.decode().removeprefix(prefix) for key in client.keys("*")},
    )
    client.close()


def head(offset: int, segments: dict[int, int], hours: dict[int, int] | None = None, generation: int = 1) -> Head:
    return Head(offset, 0, 1_000, generation, Ledger(consumed=offset), Manifest(segments, hours or {}))


def first() -> Checkpoint:
    """Five bytes of state and two identities, through offset 5."""
    writes = [Write("state:0", 0, b"first"), Write("ids:9:0", 0, b"i" * 32)]
    return Checkpoint(None, head(5, {0: 5}, {9: 32}), writes, [])


def second() -> Checkpoint:
    return Checkpoint(5, head(8, {0: 11}, {9: 32}), [Write("state:0", 5, b"second")], [])


def owned(there: Setup) -> Slot:
    slot = there.slot()
    assert slot.claim(1) is None
    slot.write(first())
    return slot


def test_a_new_owner_finds_what_the_last_one_wrote(there: Setup) -> None:
    slot = owned(there)
    slot.write(second())
    found = there.slot().claim(1)
    assert found == second().head
    assert slot.load(found).chunks == {"state:0": b"firstsecond", "ids:9:0": b"i" * 32}


def test_numbers_are_written_loaded_and_cleared_like_the_rest(there: Setup) -> None:
    slot = owned(there)
    numbered = head(8, {0: 5})
    numbered.manifest.sequences[2] = 7
    slot.write(Checkpoint(5, numbered, [Write("seq:2", 0, b"numbers")], ["ids:9:0"]))
    found = there.slot().claim(1)
    assert found == numbered
    owner = there.slot()
    owner.claim(1)
    assert owner.load(found).chunks == {"state:0": b"first", "seq:2": b"numbers"}
    owner.clear(found)
    assert there.names() == {"head"}


def test_every_claim_has_its_own_token(there: Setup) -> None:
    one, other = there.slot(), there.slot()
    one.claim(1)
    other.claim(1)
    assert len({one.token, other.token}) == 2
    assert len(one.token) == 16


def test_an_older_catalogue_is_refused_and_the_owner_stays(there: Setup) -> None:
    slot = there.slot()
    slot.claim(2)
    slot.write(Checkpoint(None, head(5, {0: 5}, generation=2), [Write("state:0", 0, b"first")], []))
    with pytest.raises(OlderCatalogueError):
        there.slot().claim(1)
    slot.verify(5)
    assert there.slot().claim(3) is not None


def test_a_stale_owner_is_refused_everything(there: Setup) -> None:
    stale = owned(there)
    there.slot().claim(1)
    for call in (
        lambda: stale.write(second()),
        lambda: stale.put(Write("state:7", 0, b"x")),
        lambda: stale.verify(5),
        lambda: stale.verify(None),
        lambda: stale.clear(first().head),
    ):
        with pytest.raises(FencedError):
            call()
    assert there.slot().claim(1) == first().head
    assert there.names() == {"head", "state:0", "ids:9:0"}


@pytest.mark.parametrize("expected", [None, 4, 6])
def test_a_write_that_expects_another_offset_is_refused(there: Setup, expected: int | None) -> None:
    slot = owned(there)
    wrong = Checkpoint(expected, head(9, {0: 6}), [Write("state:0", 5, b"x")], ["ids:9:0"])
    with pytest.raises(FencedError):
        slot.write(wrong)
    found = there.slot().claim(1)
    assert found == first().head
    assert slot.load(found).chunks["ids:9:0"] == b"i" * 32


def test_a_first_write_is_refused_where_there_is_a_checkpoint_already(there: Setup) -> None:
    slot = owned(there)
    with pytest.raises(FencedError):
        slot.write(Checkpoint(None, head(2, {0: 2}), [Write("state:0", 0, b"no")], []))


def test_repeating_a_write_that_arrived_is_fine(there: Setup) -> None:
    slot = owned(there)
    slot.write(first())
    slot.write(second())
    slot.write(second())
    found = there.slot().claim(1)
    assert found == second().head
    assert slot.load(found).chunks["state:0"] == b"firstsecond"


def test_a_write_may_keep_the_offset(there: Setup) -> None:
    """Only `published` moved."""
    slot = owned(there)
    moved = first().head
    moved.published = 5
    slot.write(Checkpoint(5, moved, [], []))
    found = there.slot().claim(1)
    assert found is not None
    assert (found.offset, found.published) == (5, 5)


def test_a_head_that_is_no_head_is_damaged_and_its_owner_can_clear_it(redis_url: str) -> None:
    """The claim is in force all the same: who found the damage repairs it."""
    client = connect(redis_url)
    client.hset("tollstream:{topic/3}:head", mapping={"offset": 5, "generation": 1, "body": b"\xffnonsense"})
    slot = RedisSlot(client, "topic", 3)
    with pytest.raises(DamagedError):
        slot.claim(1)
    slot.clear(None)
    slot.verify(None)
    slot.write(first())
    assert RedisSlot(client, "topic", 3).claim(1) == first().head
    client.close()


def test_a_chunk_that_is_short_is_damaged_and_nothing_is_written(there: Setup) -> None:
    slot = owned(there)
    there.drop("state:0")
    with pytest.raises(DamagedError):
        slot.write(Checkpoint(5, head(8, {0: 11, 1: 3}), [Write("state:1", 0, b"new"), Write("state:0", 5, b"x")], []))
    assert there.names() == {"head", "ids:9:0"}
    found = there.slot().claim(1)
    assert found == first().head
    assert slot.load(found).chunks["state:0"] == b""  # short of its manifest: whoever loads it sees that it is damaged


def test_bytes_behind_the_committed_length_are_written_over(there: Setup) -> None:
    """A script that failed half way leaves the old head readable, and the next write is not disturbed."""
    slot = owned(there)
    slot.put(Write("state:0", 5, b"never committed"))
    found = there.slot().claim(1)
    assert found == first().head
    assert slot.load(found).chunks["state:0"] == b"first"
    owner = there.slot()
    owner.claim(1)
    owner.write(second())
    assert owner.load(second().head).chunks["state:0"] == b"firstsecond"


def test_what_is_put_ahead_is_read_once_a_head_names_it(there: Setup) -> None:
    slot = owned(there)
    slot.put(Write("state:1", 0, b"comp"))
    slot.put(Write("state:1", 4, b"acted"))
    slot.put(Write("state:1", 4, b"acted"))
    found = there.slot().claim(1)
    assert found is not None
    assert found.manifest.segments == {0: 5}
    owner = there.slot()
    owner.claim(1)
    owner.write(Checkpoint(5, head(6, {1: 10}, {9: 32}), [Write("state:1", 9, b"!")], ["state:0"]))
    assert owner.load(head(6, {1: 10}, {9: 32})).chunks == {"state:1": b"compacted!", "ids:9:0": b"i" * 32}
    assert there.names() == {"head", "state:1", "ids:9:0"}


def test_a_closed_hour_is_deleted(there: Setup) -> None:
    slot = owned(there)
    slot.write(Checkpoint(5, head(6, {0: 5}), [], ["ids:9:0"]))
    assert there.names() == {"head", "state:0"}


def test_a_cleared_slot_begins_anew(there: Setup) -> None:
    slot = owned(there)
    slot.clear(first().head)
    slot.verify(None)
    assert there.names() == {"head"}
    assert there.slot().claim(0) is None
    slot = owned(there)
    slot.verify(5)


def test_an_idle_owner_sees_another_offset_and_a_loss(there: Setup) -> None:
    slot = owned(there)
    slot.verify(5)
    with pytest.raises(FencedError):
        slot.verify(4)
    there.drop("head")
    with pytest.raises(FencedError):
        slot.verify(None)
    with pytest.raises(FencedError):
        slot.write(second())


def test_large_chunks_come_back_whole(there: Setup) -> None:
    slot = there.slot()
    slot.claim(1)
    data = random.Random(2).randbytes(HOUR_PIECE_BYTES)
    whole = head(5, {}, {9: HOUR_PIECE_BYTES + 16})
    slot.write(Checkpoint(None, whole, [Write("ids:9:0", 0, data), Write("ids:9:1", 0, b"z" * 16)], []))
    assert slot.load(whole).chunks == {"ids:9:0": data, "ids:9:1": b"z" * 16}


def test_an_error_in_the_middle_of_a_script_leaves_the_old_head_readable(redis_url: str) -> None:
    """Redis keeps what a failed script wrote before its error: here a chunk of the wrong type."""
    client = connect(redis_url)
    slot = RedisSlot(client, "topic", 3)
    slot.claim(1)
    slot.write(first())
    torn = Checkpoint(
        5, head(8, {0: 11}, {10: 16}), [Write("state:0", 5, b"second"), Write("ids:10:0", 0, b"j" * 16)], []
    )
    script = slot._checkpoint
    slot._checkpoint = client.register_script(
        script.script.replace("redis.call('HSET', KEYS[1]", "redis.call('LPUSH', KEYS[1]")  # the last step fails
    )
    with pytest.raises(redis.ResponseError):
        slot.write(torn)
    assert client.get("tollstream:{topic/3}:ids:10:0") == b"j" * 16
    other = RedisSlot(client, "topic", 3)
    found = other.claim(1)
    assert found == first().head
    assert other.load(found).chunks == {"state:0": b"first", "ids:9:0": b"i" * 32}
    other.write(torn)
    assert other.load(torn.head).chunks == {"state:0": b"firstsecond", "ids:10:0": b"j" * 16}
    client.close()


def test_a_full_server_is_waited_for_and_the_old_head_stays(redis_url: str) -> None:
    client = connect(redis_url)
    slot = RedisSlot(client, "topic", 3)
    slot.claim(1)
    slot.write(first())
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(Retryable):
            slot.write(second())
    finally:
        client.config_set("maxmemory", 0)
    slot.verify(5)
    slot.write(second())
    slot.verify(8)
    client.close()


@pytest.mark.parametrize(
    ("refuse", "take_again"),
    [
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    ],
)
def test_a_server_that_takes_no_writes_just_now_is_waited_for(redis_url: str, refuse: str, take_again: str) -> None:
    client = connect(redis_url)
    slot = RedisSlot(client, "topic", 3)
    slot.claim(1)
    slot.write(first())
    client.execute_command(*refuse.split())
    try:
        with pytest.raises(Retryable):
            slot.write(second())
    finally:
        client.execute_command(*take_again.split())
    slot.write(second())
    slot.verify(8)
    client.close()


def test_a_server_that_is_away_is_waited_for() -> None:
    slot = RedisSlot(connect("redis://:secret@127.0.0.1:1/0", 1), "topic", 3)
    with pytest.raises(Retryable) as found:
        slot.claim(1)
    assert "secret" not in str(found.value)


def without(check: str) -> SlotStore:
    store = SlotStore()
    setattr(store, check, False)
    return store


@pytest.mark.parametrize(
    ("store", "test"),
    [
        (without("fenced"), test_a_stale_owner_is_refused_everything),
        (without("compares"), lambda there: test_a_write_that_expects_another_offset_is_refused(there, 4)),
    ],
    ids=["without a token", "without an offset"],
)
def test_i3_catches_a_slot(store: SlotStore, test: Callable[[Setup], None]) -> None:
    """I3: one writer. Without either check a stale owner's writes would go in."""
    broken = Setup(lambda: FakeSlot(store, random.Random(1)), store.evict, set)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test(broken)


@pytest.mark.parametrize(("fault", "arrives"), [("refused", False), ("lost", True)])
def test_the_fake_loses_calls_and_answers(fault: str, arrives: bool) -> None:
    store, faults = SlotStore(), [""]
    slot = FakeSlot(store, random.Random(1), lambda call: faults[0])
    slot.claim(1)
    slot.write(first())
    faults[0] = fault
    with pytest.raises(Retryable):
        slot.write(second())
    faults[0] = ""
    assert (FakeSlot(store, random.Random(2)).claim(1) == second().head) is arrives


def test_the_fake_tears_scripts_and_goes_back() -> None:
    store, faults = SlotStore(), [""]
    slot = FakeSlot(store, random.Random(1), lambda call: faults[0])
    slot.claim(1)
    slot.write(first())
    faults[0] = "torn"
    for _ in range(5):
        with pytest.raises(Retryable):
            slot.write(second())
    faults[0] = ""
    slot.write(second())
    store.roll_back(1)
    assert FakeSlot(store, random.Random(2)).claim(1) == first().head
    store.lose()
    assert FakeSlot(store, random.Random(2)).claim(1) is None
