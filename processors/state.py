"""Checkpoints in Redis: one hash slot a partition, changed by checkpoint.lua alone. The offset there is the truth."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import hide_credentials
from processors.checkpoint import Checkpoint, Head, Snapshot, Write, decode_head, encode_head
from processors.partials import DamagedError
from sinks.errors import Retryable

_HERE = Path(__file__).parent
_PIECE_BYTES = 8 * 1024 * 1024  # read at a time: a long GETRANGE blocks every other client of the server
_RETRY_MS = 200  # a restart of Redis takes about a second
_STRING_BYTES_MAX = 512 * 1024 * 1024  # Redis refuses longer strings
# A server that can't be reached or is loading, is out of memory, or is a replica just now.
_PASSING = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
)
_REFUSALS = ("MISCONF", "NOREPLICAS")  # its disk is full, or too few replicas follow it: no class of their own


class FencedError(Exception):
    """Another owner has claimed the partition. Whatever we hold of it is stale: drop it and write nothing more."""


class FullError(Exception):
    """A chunk would outgrow what Redis keeps under one key. A repeat would end the same, so the worker stops."""


class OlderCatalogueError(Exception):
    """The partition was folded with a newer catalogue than ours."""


class Slot(Protocol):
    """The durable state of one partition, as its owner sees it."""

    @property
    def token(self) -> bytes:
        """The owner's, since the last claim."""

    def claim(self, generation: int) -> Head | None:
        """Become the owner; the head of the last checkpoint, if there is one.

        DamagedError where it is no head (we are the owner all the same), OlderCatalogueError, Retryable.
        """

    def load(self, head: Head) -> Snapshot:
        """All chunks that the head names, as far as they are there. To read one may raise Retryable."""

    def write(self, checkpoint: Checkpoint) -> None:
        """Commit. FencedError, DamagedError, Retryable (then it may or may not have arrived: write it again)."""

    def put(self, chunk: Write) -> None:
        """Bytes that no head names yet. FencedError, Retryable."""

    def verify(self, offset: int | None) -> None:
        """FencedError unless we are still the owner and the offset is ours. Retryable."""

    def clear(self, head: Head | None) -> None:
        """Forget a damaged state, as its owner; None where the head itself is damaged. FencedError, Retryable."""


def connect(url: str, timeout_s: float = 10) -> redis.Redis:
    """A client that never repeats a command by itself: only we know what a repeat would mean."""
    return redis.Redis.from_url(
        url, retry=Retry(NoBackoff(), 0), socket_timeout=timeout_s, socket_connect_timeout=timeout_s
    )


class _Chunks(Mapping[str, bytes]):
    """Chunks by name, each read when it is asked for: they are never in memory all at once."""

    def __init__(self, read: Callable[[str, int], bytes], lengths: dict[str, int]) -> None:
        self._read, self._lengths = read, lengths

    def __getitem__(self, name: str) -> bytes:
        return self._read(name, self._lengths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._lengths)

    def __len__(self) -> int:
        return len(self._lengths)


class RedisSlot:
    """One partition's hash slot. Keys are `tollstream:{TOPIC_ID/PARTITION}:NAME`."""

    def __init__(self, client: redis.Redis, topic_id: str, partition: int) -> None:
        self._client = client
        self._prefix = f"tollstream:{{{topic_id}/{partition}}}:"
        self._head = self._prefix + "head"
        self.token = b""
        self._claim, self._checkpoint, self._put, self._clear = (
            client.register_script((_HERE / name).read_text())
            for name in ("claim.lua", "checkpoint.lua", "put.lua", "clear.lua")
        )

    def peek(self) -> Head | None:
        """The head of the last checkpoint, for those who only look. DamagedError, Retryable."""
        with _retryable():
            value = self._client.hget(self._head, "body")
        return decode_head(value) if value else None  # type: ignore[arg-type]

    def claim(self, generation: int) -> Head | None:
        """Write a fresh random token: from here on a stale owner's checkpoints are refused."""
        self.token = secrets.token_bytes(16)
        answer, value = self._call(self._claim, [self._head], [self.token, generation])
        if answer == b"newer":
            raise OlderCatalogueError(
                f"{self._prefix} was written with catalogue generation {int(value)}, ours is {generation}; "
                "restart this worker so that it reads the newest catalogue"
            )
        return decode_head(value) if value else None

    def load(self, head: Head) -> Snapshot:
        """A chunk shorter than its manifest comes back short, and `checkpoint.load` says so."""
        return Snapshot(head, _Chunks(self._read, head.manifest.chunks()))

    def _read(self, name: str, length: int) -> bytes:
        with _retryable():
            return b"".join(
                bytes(self._client.getrange(self._prefix + name, at, min(at + _PIECE_BYTES, length) - 1))  # type: ignore[arg-type]
                for at in range(0, length, _PIECE_BYTES)
            )

    def write(self, checkpoint: Checkpoint) -> None:
        """All or nothing. Safe to repeat: the writes are absolute, and our own new offset there means it arrived."""
        head, writes = checkpoint.head, checkpoint.writes
        keys = [self._head, *(self._prefix + one.name for one in writes)]
        keys += [self._prefix + name for name in checkpoint.deletes]
        expected = "" if checkpoint.expected is None else str(checkpoint.expected)
        arguments: list[Any] = [self.token, expected, head.offset, head.generation, encode_head(head)]
        arguments += [len(writes), _STRING_BYTES_MAX]
        for one in writes:
            arguments += [one.at, one.data]
        answer = self._call(self._checkpoint, keys, arguments).decode()
        kind, _, detail = answer.partition(":")
        if kind == "ok" or (kind == "moved" and detail == str(head.offset)):
            return  # the token is ours (checked first), so an offset equal to our new one was written by us
        if kind == "damaged":
            raise DamagedError(f"{detail} is shorter than its manifest says")
        if kind == "full":
            raise FullError(f"{detail} would pass {_STRING_BYTES_MAX} bytes; lower processing.checkpoint_events")
        raise FencedError(f"checkpoint of {self._prefix} refused: {answer}")

    def put(self, chunk: Write) -> None:
        """Only the owner writes, and only what no head names: a crash right after leaves the old head in force."""
        self._owned(self._put, [chunk.name], [chunk.at, chunk.data])

    def verify(self, offset: int | None) -> None:
        """An idle owner asks too: a rebalance may have passed it by."""
        with _retryable():
            token, there = self._client.hmget(self._head, ["token", "offset"])
        if token != self.token or (offset is not None and int(there or -1) != offset):
            raise FencedError(f"{self._prefix} has another owner")

    def clear(self, head: Head | None) -> None:
        """The head goes first: a script that fails right after it leaves chunks that no head names. So does a head that
        cannot be read; they are written over when their names are used again."""
        self._owned(self._clear, [] if head is None else list(head.manifest.chunks()), [])

    def _owned(self, script: Any, names: list[str], arguments: list[Any]) -> None:
        keys = [self._head, *(self._prefix + name for name in names)]
        if self._call(script, keys, [self.token, *arguments]) != b"ok":
            raise FencedError(f"{self._prefix} has another owner")

    def _call(self, script: Any, keys: list[str], arguments: list[Any]) -> Any:
        with _retryable():
            return script(keys=keys, args=arguments)


class _retryable:  # noqa: N801 (a context manager reads as a verb)
    """What the server or the network cannot do just now is ours to wait for; anything else stops loudly."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        refused = isinstance(error, redis.ResponseError) and str(error).startswith(_REFUSALS)
        if refused or isinstance(error, _PASSING):
            where = hide_credentials(str(error))
            raise Retryable(f"Redis: {where}; see `tollstream doctor`", _RETRY_MS) from error
