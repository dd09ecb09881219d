"""`python -m benchmarks.kernel`: CPU of decoding an event, with the compiled kernel and without it, in one run."""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from config.loader import load
from edge.generate import Shape, Traffic
from processors.compiled import NOT_BUILT, built
from processors.events import Decoder
from processors.worker import few_collections

_CONFIG = Path(__file__).parent.parent / "demo" / "config"
_EVENTS = 200_000
_MESSAGES_MAX = 20_000  # of one call, as `consume_messages_max`
_BATCH = 500  # events of a message that holds many
_ROUNDS = 5  # the best one counts: others on the machine only ever add


def cost_us(decoder: Decoder, values: Sequence[bytes], now_ms: int, events: int) -> float:
    """CPU microseconds an event, of the best round."""
    calls = [values[start : start + _MESSAGES_MAX] for start in range(0, len(values), _MESSAGES_MAX)]
    stamps = np.full(_MESSAGES_MAX, now_ms, np.int64)
    rounds = []
    for _ in range(_ROUNDS):
        began_s = time.process_time()
        for call in calls:
            decoder.decode(call, stamps[: len(call)])
        rounds.append(time.process_time() - began_s)
    return min(rounds) * 1e6 / events


def main() -> int:
    if built() is None:
        print(f"kernel: {NOT_BUILT}", file=sys.stderr)
        return 2
    config = load(_CONFIG, {})
    now = datetime.now(UTC)
    now_ms = int(now.timestamp() * 1_000)
    single = [line for block in Traffic(Shape(seed=1, events=_EVENTS, base_time=now)).blocks() for line in block]
    batches = [b"[" + b",".join(single[at : at + _BATCH]) + b"]" for at in range(0, len(single), _BATCH)]
    pure, kernel = (
        Decoder(config.catalogue, config.settings.limits, config.settings.processing.skew_ms, kernel=kernel)
        for kernel in (False, True)
    )
    few_collections()
    print(f"{_EVENTS:,} events of {sum(map(len, single)) / _EVENTS:.0f} bytes, CPU us an event: Python, kernel, ratio")
    for name, values in (("single events", single), (f"batches of {_BATCH}", batches)):
        without, with_kernel = (cost_us(decoder, values, now_ms, _EVENTS) for decoder in (pure, kernel))
        print(f"{name:16} {without:6.3f} {with_kernel:6.3f} {without / with_kernel:5.1f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
