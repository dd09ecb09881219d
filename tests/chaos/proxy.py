"""A TCP proxy that is a bad network on demand: cut, slow, silent, or late.

All links share one thread with an event loop. A link's state changes at once for open connections and new ones alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Literal, Self

State = Literal["open", "cut", "silent", "held"]

_CHUNK_BYTES = 1 << 20
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of zero: closing sends RST
_ANSWER_S = 10.0  # for the loop to take an order


class Link:
    """One way from somebody to a service. `port` is where they connect; `target`, a port, may be changed."""

    def __init__(self, network: Network, target: int) -> None:
        self._network, self.target = network, target
        self.port = 0
        self._state: State = "open"
        self._delay_s = 0.0
        self._open = asyncio.Event()  # not held
        self._writers: set[asyncio.StreamWriter] = set()
        self._silenced: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None] | None] = set()  # the loop alone would not keep a silent one alive

    async def listen(self) -> None:
        self._open.set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_CHUNK_BYTES)
        self.port = server.sockets[0].getsockname()[1]

    # -- orders, from any thread

    def cut(self) -> None:
        """Every connection is reset, and so is every new one."""
        self._network.call(lambda: self._become("cut"))

    def silence(self) -> None:
        """Half open: connections stay, and new ones are accepted, and every byte is swallowed."""
        self._network.call(lambda: self._become("silent"))

    def hold(self) -> None:
        """Bytes wait, and arrive after all when the link heals: what an interrupted network does."""
        self._network.call(lambda: self._become("held"))

    def delay(self, delay_s: float) -> None:
        """Every chunk of bytes waits this long, each way."""
        self._network.call(lambda: setattr(self, "_delay_s", delay_s))

    def reset(self) -> None:
        """Every connection is reset, once."""
        self._network.call(self._reset_all)

    def heal(self) -> None:
        """New connections work. Those that lost bytes stay silent for ever: nobody tells their ends."""
        self._network.call(lambda: self._become("open"))

    # -- on the loop

    def _become(self, state: State) -> None:
        self._state, self._delay_s = state, 0.0
        if state == "held":
            self._open.clear()
        else:
            self._open.set()
        if state == "cut":
            self._reset_all()
        if state == "silent":
            self._silenced |= self._writers

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there: asyncio.StreamWriter | None = None
        task = asyncio.current_task()
        self._serving.add(task)
        try:
            if self._state == "cut":
                return
            self._writers.add(writer)
            if self._state == "silent":
                self._silenced.add(writer)
                await self._pump(reader, writer)
                return
            back, there = await asyncio.open_connection("127.0.0.1", self.target, limit=_CHUNK_BYTES)
            self._writers.add(there)
            ways = [asyncio.create_task(self._pump(*way)) for way in ((reader, there), (back, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        except (OSError, asyncio.CancelledError):
            pass  # nobody listens at the target, so the caller's connection ends, as it would without us; or all ends
        finally:
            self._serving.discard(task)
            for one in (writer, there):
                if one is not None:
                    self._writers.discard(one)
                    self._silenced.discard(one)
                    _reset(one)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._open.wait()
                if writer not in self._silenced:
                    writer.write(data)
                    await writer.drain()
            if writer in self._silenced:  # nor does the end of one side reach the other
                await asyncio.Event().wait()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


class Network:
    """The thread with the loop. Links live as long as it does."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(_end_tasks(), self._loop).result(_ANSWER_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_S)
        self._loop.close()

    def link(self, target: int = 0) -> Link:
        """A new link to a port of this machine; it may be named later."""
        made = Link(self, target)
        asyncio.run_coroutine_threadsafe(made.listen(), self._loop).result(_ANSWER_S)
        return made

    def call(self, order: Callable[[], None]) -> None:
        """Returns when it is done."""

        async def obey() -> None:
            order()

        asyncio.run_coroutine_threadsafe(obey(), self._loop).result(_ANSWER_S)
