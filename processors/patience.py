"""Waiting for what the world cannot do just now."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from processors.services import Clock
from sinks.errors import Retryable

T = TypeVar("T")
_WAIT_MAX_S = 10.0
_LOOK_S = 0.2  # how often `meanwhile` is called


def patiently(
    work: Callable[[], T],
    say: Callable[[str], None],
    meanwhile: Callable[[], None] | None = None,
    clock: Clock = time,
) -> T:
    """Repeat until it is not Retryable, waiting longer each time; `say` learns what it waits for, "" when it is over.

    There is no last try: the log keeps what is not consumed, and giving up would not make the service come back. The
    worker is unhealthy meanwhile, which is where somebody finds out.
    """
    wait_s = 0.0
    while True:
        try:
            answer = work()
        except Retryable as error:
            say(str(error))
            wait_s = min(max(wait_s * 2, error.retry_after_ms / 1000), _WAIT_MAX_S)
            until = clock.monotonic() + wait_s
            while clock.monotonic() < until:
                clock.sleep(min(_LOOK_S, wait_s))
                if meanwhile is not None:
                    meanwhile()
        else:
            if wait_s:
                say("")
            return answer
