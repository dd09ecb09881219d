"""The process behind `up`: starts the services, watches over them, stops them all when one ends.

Speaks with `up` over its own standard streams: a line of JSON for each thing to say, the last one saying ready or
failed. Until `up` answers the ready line, the end of standard input means that `up` is gone, and everything stops.
"""

import argparse
import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import msgspec

from stack.errors import Ended, StackError
from stack.running import Stack
from stack.services import Word

WATCH_S = 0.2  # how soon the end of a service is noticed


class AskedToStop(BaseException):
    """SIGTERM, or nobody waits for the start any more. Not an Exception: nothing on the way may take it for a fault."""


def tell(word: Word) -> None:
    """Raises AskedToStop when nobody listens any more."""
    try:
        sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise AskedToStop from None


def on_signal(number: int, frame: FrameType | None) -> NoReturn:
    for again in (signal.SIGTERM, signal.SIGINT):
        signal.signal(again, signal.SIG_IGN)  # once is enough; a second one must not cut the stopping short
    raise AskedToStop


def give_up_without_listener() -> None:
    """While starting nothing comes in on standard input, so that it is readable only when `up` is gone."""
    if select.select([0], [], [], 0)[0]:
        raise AskedToStop


def watch(stack: Stack, log: Path) -> None:
    """Until a service ends (raises Ended), or somebody asks to stop (raises AskedToStop)."""
    tell(Word(ready=True))
    if not sys.stdin.buffer.readline():
        raise AskedToStop
    with log.open("ab") as output, open(os.devnull, "rb") as none:
        os.dup2(none.fileno(), 0)
        os.dup2(output.fileno(), 1)
    while (reason := stack.ended()) is None:
        time.sleep(WATCH_S)
    raise Ended(reason)


def main(arguments: list[str]) -> int:
    """Exit code 0 when asked to stop, 1 when a service could not start or ended by itself."""
    parser = argparse.ArgumentParser(prog="python -m stack.supervisor")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--kafka", choices=("embedded", "apache"), required=True)
    parser.add_argument("--only", required=True, help="names of services, with commas")
    parser.add_argument("--port", action="append", default=[], help="NAME=PORT")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    stack = Stack(
        given.state,
        given.kafka,
        only=given.only.split(","),
        ports={name: int(port) for name, port in (pair.split("=") for pair in given.port)},
        say=lambda line: tell(Word(say=line)),
        meanwhile=give_up_without_listener,
    )
    try:
        stack.start()
        watch(stack, given.state / "logs" / "supervisor.log")
    except AskedToStop:
        stack.stop()
        return 0
    except StackError as error:
        stack.stop(failed=str(error))
        with contextlib.suppress(AskedToStop):
            tell(Word(failed=str(error), kind=type(error).__name__))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
