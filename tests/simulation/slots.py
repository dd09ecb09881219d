"""Redis: the hash slot of a partition in memory, with the semantics of its scripts, and switches for its faults."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from processors.checkpoint import Checkpoint, Head, Snapshot, Write
from processors.partials import DamagedError
from processors.state import FencedError, OlderCatalogueError
from sinks.errors import Retryable

_ENCODE, _DECODE = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Head).decode


class CrashError(Exception):
    """The process died at this point."""


class Contents(NamedTuple):
    """What a server holds of one slot. Values are immutable, so that a copy is cheap."""

    fields: dict[str, Any]  # of the head: token, offset, generation, body
    chunks: dict[str, bytes]

    def copy(self) -> Contents:
        return Contents(dict(self.fields), dict(self.chunks))


class SlotStore:
    """The server's side: survives its clients. `history` is what a rollback can go back to."""

    fenced = compares = True  # False: a script that does not check the token, the offset and lengths

    def __init__(self) -> None:
        self.now = Contents({}, {})
        self.history: list[Contents] = []
        self.faults: list[str] = []  # writes that must not be

    def changing(self) -> Contents:
        self.history = [*self.history[-19:], self.now.copy()]
        return self.now

    def roll_back(self, steps: int) -> None:
        """The server came back with an older prefix of its log."""
        if self.history:
            at = max(len(self.history) - steps, 0)
            self.now, self.history = self.history[at].copy(), self.history[:at]

    def lose(self) -> None:
        self.now, self.history = Contents({}, {}), []

    def evict(self, name: str) -> None:
        """One key vanishes, as under `allkeys-lru`; the head moves on."""
        if name == "head":
            self.now.fields.clear()
        else:
            self.now.chunks.pop(name, None)


class FakeSlot:
    """The semantics of RedisSlot and its scripts. `fault(call)` names what goes wrong with a call:

    "" nothing; "refused" it never arrives; "lost" it arrives and its answer does not; "torn" the script fails half way
    (of a write only: some chunks are written, the head is not); "late" the caller gives up, and a write arrives when
    the network likes, through `later`; "before" and "after" the process dies around it.
    """

    def __init__(
        self,
        store: SlotStore,
        rng: random.Random,
        fault: Callable[[str], str] = lambda call: "",
        later: Callable[[Callable[[], object]], None] = lambda write: None,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """`between` is called between two commands of one call."""
        self.store, self.rng, self.fault, self.later, self.between = store, rng, fault, later, between
        self.token = b""

    def claim(self, generation: int) -> Head | None:
        return self._call("claim", lambda: self._claim(generation, self.rng.randbytes(16)))

    def _claim(self, generation: int, token: bytes) -> Head | None:
        now = self.store.changing()
        if now.fields.get("generation", generation) > generation:
            raise OlderCatalogueError("older")
        self.token = now.fields["token"] = token
        return _DECODE(now.fields["body"]) if "body" in now.fields else None

    def load(self, head: Head) -> Snapshot:
        """Chunk by chunk, as the real one: others may write between."""
        return self._call("load", lambda: Snapshot(head, dict(self._read(head))))

    def _read(self, head: Head) -> Iterator[tuple[str, bytes]]:
        for name, size in head.manifest.chunks().items():
            yield name, self.store.now.chunks.get(name, b"")[:size]
            self.between()

    def write(self, checkpoint: Checkpoint) -> None:
        now = copy.copy(self)  # with the token of now, for a write that arrives late
        self._call("write", lambda: now._write(checkpoint, len(checkpoint.writes)), lambda: self._torn(checkpoint))

    def _torn(self, checkpoint: Checkpoint) -> None:
        self._write(checkpoint, self.rng.randint(0, len(checkpoint.writes)), torn=True)
        raise Retryable("OOM in the middle of a script", 1)

    def _write(self, checkpoint: Checkpoint, writes: int, *, torn: bool = False) -> None:
        store, head = self.store, checkpoint.head
        there = store.now.fields.get("offset")
        if store.fenced and store.now.fields.get("token") != self.token:
            raise FencedError("fenced")
        if store.compares and there != checkpoint.expected:
            if there == head.offset:
                return
            raise FencedError(f"moved:{there}")
        for one in checkpoint.writes:
            if store.compares and len(store.now.chunks.get(one.name, b"")) < one.at:
                raise DamagedError(one.name)
        if store.now.fields.get("token") != self.token:
            store.faults.append("I3: a checkpoint of an owner that is none any more was taken")
        if there is not None and head.offset < there:
            store.faults.append(f"I4: a late checkpoint took the state back from offset {there} to {head.offset}")
        now = store.changing()
        for one in checkpoint.writes[:writes]:
            _set_range(now.chunks, one)
        if torn:
            return
        now.fields.update(offset=head.offset, generation=head.generation, body=_ENCODE(head))
        for name in checkpoint.deletes:
            now.chunks.pop(name, None)

    def put(self, chunk: Write) -> None:
        now = copy.copy(self)
        self._call("put", lambda: now._put(chunk))

    def _put(self, chunk: Write) -> None:
        self._owned()
        _set_range(self.store.changing().chunks, chunk)

    def verify(self, offset: int | None) -> None:
        self._call("verify", lambda: self._verify(offset))

    def _verify(self, offset: int | None) -> None:
        self._owned()
        if offset is not None and self.store.now.fields.get("offset", -1) != offset:
            raise FencedError("moved")

    def clear(self, head: Head) -> None:
        self._call("clear", lambda: self._clear(head))

    def _clear(self, head: Head) -> None:
        self._owned()
        now = self.store.changing()
        for name in ("offset", "generation", "body"):
            now.fields.pop(name, None)
        for name in head.manifest.chunks():
            now.chunks.pop(name, None)

    def _owned(self) -> None:
        if self.store.fenced and self.store.now.fields.get("token") != self.token:
            raise FencedError("fenced")

    def _call(self, name: str, does: Callable[[], Any], torn: Callable[[], Any] | None = None) -> Any:
        fault = self.fault(name)
        if fault == "before":
            raise CrashError(f"before {name}")
        if fault == "late" and name in ("write", "put"):
            self.later(does)
        if fault in ("refused", "late"):
            raise Retryable(f"{name} never arrived", 1)
        if fault == "torn" and torn is not None:
            return torn()
        answer = does()
        if fault == "lost":
            raise Retryable(f"the answer to {name} was lost", 1)
        if fault == "after":
            raise CrashError(f"after {name}")
        return answer


def _set_range(chunks: dict[str, bytes], write: Write) -> None:
    """SETRANGE: pads with zeros, and keeps what is behind."""
    held = chunks.get(write.name, b"").ljust(write.at, b"\0")
    if write.data:
        chunks[write.name] = held[: write.at] + write.data + held[write.at + len(write.data) :]
