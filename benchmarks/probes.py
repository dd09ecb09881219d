"""Load at a steady rate, and among it events that can be told from all others; each from processes of their own."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain

import msgspec

from benchmarks.load import FORMS, Sent
from edge.emitter import Emitter
from edge.generate import Shape, Traffic

PROBE = "probe-"  # what the subjects, and so the accounts, of probes begin with
_STEP = 64  # events between two looks at the clock
_SPAN = timedelta(hours=1)  # of event time
_EVENT = (
    '{"specversion":"1.0","id":"%s","source":"edge/probe","type":"http.request","subject":"%s","time":"%sZ",'
    '"data":{"requests":1,"bytes":1000,"region":"eu","cache":"hit"}}'
)


class Offered(msgspec.Struct):
    """What one process sent. Times are of the monotonic clock, which all processes of a machine share."""

    sent: Sent
    first_at_s: float
    last_at_s: float  # when the last event was added; it is acknowledged a little later


def offer(
    bootstrap: str, topic: str, form: str, seed: int, seconds: float, rate: float, hot: float, begin_at_s: float
) -> Offered:
    """Send seeded events at a rate (events a second) from an instant on, for so many seconds and no longer, also where
    fewer got away in that time. They are made before that; the share `hot` of them has one subject."""
    one, events = FORMS[form], max(1, round(rate * seconds))
    traffic = Traffic(Shape(seed=seed, events=events, base_time=datetime.now(UTC), span=_SPAN, hot=hot))
    lines = list(chain.from_iterable(traffic.blocks()))
    with Emitter(bootstrap, topic) as emitter:
        _wait_until(begin_at_s)
        began_s, cpu_s, last_at_s = time.monotonic(), time.process_time(), [0.0]

        def progress(_lines: int, _size: int) -> None:
            last_at_s[0] = time.monotonic()

        report = emitter.emit_lines(_until(lines, began_s + seconds), one.batch, one.format, rate, progress)
        sent = Sent(report.lines, report.messages, time.process_time() - cpu_s, time.monotonic() - began_s)
    return Offered(sent, began_s, last_at_s[0])


def probe(
    bootstrap: str, topic: str, name: str, events: int, rate: float, begin_at_s: float
) -> tuple[list[tuple[str, float]], float]:
    """Send single JSON events, each with a subject of its own. ((subject, when it was handed to the client), CPU s)."""
    sent: list[tuple[str, float]] = []

    def lines() -> Iterator[bytes]:
        for number in range(events):
            subject = f"{PROBE}{name}-{number:06d}"
            line = _EVENT % (subject, subject, datetime.now(UTC).replace(tzinfo=None).isoformat())
            sent.append((subject, time.monotonic()))
            yield line.encode()

    with Emitter(bootstrap, topic) as emitter:
        _wait_until(begin_at_s)
        cpu_s = time.process_time()
        emitter.emit_lines(lines(), rate=rate)
    return sent, time.process_time() - cpu_s


def _until(lines: Sequence[bytes], end_s: float) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        if number % _STEP == 0 and time.monotonic() > end_s:
            return
        yield line


def _wait_until(at_s: float) -> None:
    while (left_s := at_s - time.monotonic()) > 0:
        time.sleep(min(left_s, 0.1))
