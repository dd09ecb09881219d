"""What a slot asks of Redis and what it makes of the answers; the scripts themselves run in the contract tests."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import redis

from processors import state
from processors.checkpoint import Checkpoint, Head, Manifest, Write, encode_head
from processors.meter import Ledger
from processors.partials import DamagedError
from processors.state import FencedError, FullError, OlderCatalogueError, RedisSlot, connect
from sinks.errors import Retryable

PREFIX = "tollstream:{T/3}:"


def head(offset: int, manifest: Manifest | None = None) -> Head:
    return Head(offset, 1, 2, 7, Ledger(), manifest or Manifest())


class Server:
    """A client whose scripts give prepared answers and remember what they were asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, list[str], list[Any]]] = []
        self.fields: dict[str, bytes] = {}
        self.strings: dict[str, bytes] = {}
        self.ranges: list[tuple[int, int]] = []

    def register_script(self, text: str) -> Any:
        (name,) = (name for name in ("claim", "checkpoint", "put", "clear") if text == source(name))

        def run(keys: list[str], args: list[Any]) -> Any:
            self.asked.append((name, keys, args))
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return run

    def hget(self, key: str, field: str) -> bytes | None:
        assert key == PREFIX + "head"
        return self.fields.get(field)

    def hmget(self, key: str, fields: list[str]) -> list[bytes | None]:
        assert key == PREFIX + "head"
        return [self.fields.get(field) for field in fields]

    def getrange(self, key: str, first: int, last: int) -> bytes:
        self.ranges.append((first, last))
        return self.strings.get(key, b"")[first : last + 1]


def source(name: str) -> str:
    return (state._HERE / f"{name}.lua").read_text()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def slot(server: Server) -> RedisSlot:
    return RedisSlot(server, "T", 3)  # type: ignore[arg-type]


def test_a_client_repeats_nothing_by_itself_and_gives_up_in_time() -> None:
    client = connect("redis://127.0.0.1:1/0")
    options = client.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (10, 10)
    assert options["retry"]._retries == 0
    shorter = connect("redis://127.0.0.1:1/0", 0.5).connection_pool.connection_kwargs
    assert (shorter["socket_timeout"], shorter["socket_connect_timeout"]) == (0.5, 0.5)
    with pytest.raises(redis.ConnectionError):
        client.ping()


def test_who_only_looks_sees_the_head(server: Server, slot: RedisSlot) -> None:
    assert slot.peek() is None
    server.fields["body"] = encode_head(head(5))
    assert slot.peek() == head(5)


def test_a_claim_writes_a_token_of_its_own_and_gives_the_head(server: Server, slot: RedisSlot) -> None:
    assert slot.token == b""
    server.answers["claim"] = (b"ok", b"")
    assert slot.claim(7) is None
    server.answers["claim"] = (b"ok", encode_head(head(5)))
    assert slot.claim(7) == head(5)
    tokens = [args[0] for _, _, args in server.asked]
    assert [len(token) for token in tokens] == [16, 16]
    assert tokens[0] != tokens[1] == slot.token
    assert server.asked[1] == ("claim", [PREFIX + "head"], [slot.token, 7])


def test_a_claim_under_a_newer_catalogue_is_refused(server: Server, slot: RedisSlot) -> None:
    server.answers["claim"] = (b"newer", b"9")
    with pytest.raises(OlderCatalogueError, match="catalogue generation 9, ours is 7"):
        slot.claim(7)


def test_chunks_are_read_in_pieces_of_their_committed_length(
    server: Server, slot: RedisSlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_PIECE_BYTES", 4)
    server.strings = {PREFIX + "state:0": b"0123456789", PREFIX + "ids:7:0": b"abcdefgh", PREFIX + "seq:1": b"xy"}
    there = head(5, Manifest({0: 9}, {7: 8}, {1: 3}))
    found = slot.load(there)
    assert found.head == there
    assert found.chunks == {"state:0": b"012345678", "ids:7:0": b"abcdefgh", "seq:1": b"xy"}
    assert server.ranges == [(0, 3), (4, 7), (8, 8), (0, 2), (0, 3), (4, 7)]


def checkpoint(expected: int | None = 4) -> Checkpoint:
    return Checkpoint(expected, head(5), [Write("state:0", 3, b"new"), Write("ids:7:0", 0, b"id")], ["ids:6:0"])


@pytest.mark.parametrize(("expected", "told"), [(None, ""), (4, "4"), (0, "0")])
def test_a_write_names_its_keys_then_what_goes_into_them(
    server: Server, slot: RedisSlot, expected: int | None, told: str
) -> None:
    server.answers["checkpoint"] = b"ok"
    slot.token = b"mine"
    slot.write(checkpoint(expected))
    keys = [PREFIX + name for name in ("head", "state:0", "ids:7:0", "ids:6:0")]
    most = 512 * 1024 * 1024
    arguments = [b"mine", told, 5, 7, encode_head(head(5)), 2, most, 3, b"new", 0, b"id"]
    assert server.asked == [("checkpoint", keys, arguments)]


def test_our_own_new_offset_means_that_the_write_arrived_before(server: Server, slot: RedisSlot) -> None:
    server.answers["checkpoint"] = b"moved:5"
    slot.write(checkpoint())


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"moved:4", FencedError, r"tollstream:\{T/3\}:.*moved:4"),
        (b"moved:", FencedError, "moved"),
        (b"fenced", FencedError, "fenced"),
        (b"fenced:5", FencedError, "fenced"),
        (b"damaged:state:0", DamagedError, "^state:0 is shorter"),
        (b"full:ids:7:0", FullError, "^ids:7:0 would pass 536870912 bytes"),
    ],
)
def test_any_other_answer_is_an_error_of_its_own(
    server: Server, slot: RedisSlot, answer: bytes, error: type[Exception], words: str
) -> None:
    server.answers["checkpoint"] = answer
    with pytest.raises(error, match=words):
        slot.write(checkpoint())


def test_chunks_are_put_and_cleared_by_their_owner_alone(server: Server, slot: RedisSlot) -> None:
    slot.token = b"mine"
    server.answers = {"put": b"ok", "clear": b"ok"}
    slot.put(Write("state:1", 8, b"data"))
    slot.clear(None)
    slot.clear(head(5, Manifest({0: 9}, {7: 8})))
    assert server.asked == [
        ("put", [PREFIX + "head", PREFIX + "state:1"], [b"mine", 8, b"data"]),
        ("clear", [PREFIX + "head"], [b"mine"]),
        ("clear", [PREFIX + "head", PREFIX + "state:0", PREFIX + "ids:7:0"], [b"mine"]),
    ]
    server.answers = {"put": b"fenced", "clear": b"fenced"}
    for call in (lambda: slot.put(Write("state:1", 8, b"")), lambda: slot.clear(None)):
        with pytest.raises(FencedError, match=r"tollstream:\{T/3\}: has another owner"):
            call()


def test_an_owner_is_who_holds_the_token_at_its_offset(server: Server, slot: RedisSlot) -> None:
    slot.token = b"mine"
    server.fields = {"token": b"mine"}
    slot.verify(None)
    slot.verify(-1)
    server.fields["offset"] = b"0"
    slot.verify(0)
    server.fields["offset"] = b"5"
    slot.verify(None)
    slot.verify(5)
    for token, offset in ((b"mine", 4), (b"other", None), (b"other", 5)):
        server.fields["token"] = token
        with pytest.raises(FencedError, match=r"tollstream:\{T/3\}: has another owner"):
            slot.verify(offset)


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("gone"),
        redis.TimeoutError("gone"),
        redis.exceptions.OutOfMemoryError("gone"),
        redis.exceptions.ReadOnlyError("gone"),
        redis.exceptions.MasterDownError("gone"),
        redis.ResponseError("MISCONF gone"),
        redis.ResponseError("NOREPLICAS gone"),
    ],
)
def test_what_a_server_cannot_do_just_now_is_waited_for(server: Server, slot: RedisSlot, error: Exception) -> None:
    server.answers["claim"] = error
    with pytest.raises(Retryable, match=r"^Redis: .*gone; see `tollstream doctor`$") as raised:
        slot.claim(1)
    assert raised.value.retry_after_ms == 200
    assert raised.value.__cause__ is error


def test_what_a_server_says_is_shown_without_passwords(server: Server, slot: RedisSlot) -> None:
    server.answers["claim"] = redis.ConnectionError("redis://user:secret@host:1 is away")
    with pytest.raises(Retryable) as raised:
        slot.claim(1)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("error", [redis.ResponseError("unknown command"), ValueError("MISCONF")])
def test_what_waiting_would_not_mend_stops_loudly(server: Server, slot: RedisSlot, error: Exception) -> None:
    server.answers["claim"] = error
    with pytest.raises(type(error)):
        slot.claim(1)


def test_every_way_of_reading_waits_too(slot: RedisSlot) -> None:
    away = redis.ConnectionError("gone")
    slot._client = mock.Mock(
        hget=mock.Mock(side_effect=away), hmget=mock.Mock(side_effect=away), getrange=mock.Mock(side_effect=away)
    )
    for call in (slot.peek, lambda: slot.verify(None), lambda: slot.load(head(1, Manifest({0: 1}))).chunks["state:0"]):
        with pytest.raises(Retryable):
            call()
