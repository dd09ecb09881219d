"""What became of events that came back, told again: `admission_rows` are on no topic of their own.

Verdicts are a function of the log and the catalogue. So where the log holds admission records, it is folded again up to
the last of them, partition by partition; where it holds none that costs its fetch and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from config.catalogue import BEGIN_MS, Catalogue
from config.settings import Settings
from processors.admission import HEAD, Outcome
from processors.events import Decoder
from processors.meter import Batch, PartitionState
from processors.sequences import DAY_US
from sinks.streams import Message, TopicReader

_BATCH = 10_000  # messages
_DAY_MS = DAY_US // 1000


class ReturnedAgain:
    """Of one partition, through an offset (exclusive). Iterate once, then ask for what is missing."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, topic: TopicReader, partition: int, through: int
    ) -> None:
        self._topic, self._partition, self._through = topic, partition, through
        decoder = Decoder(catalogue, settings.limits, settings.processing.skew_ms)
        self._skew_ms, self._state = settings.processing.skew_ms, PartitionState(catalogue, settings.limits, decoder)
        self.low = topic.bounds(partition)[0]  # the first offset that is there
        self.left_out = 0  # events of records too near to where the log begins for a verdict
        self.admitted: int | None = None  # by the log; None: it begins too late to tell, or has no admission record

    def __iter__(self) -> Iterator[list[Outcome]]:
        """Final outcomes, of a batch of messages each. Raises KafkaException, Retryable."""
        last = None
        for message in self._messages():
            last = message.offset if (message.value or b"").startswith(HEAD) else last
        if last is None:
            return
        state, whole_ms = self._state, BEGIN_MS
        messages = self._messages(last + 1)
        while some := list(islice(messages, _BATCH)):
            if self.low > 0 and whole_ms == BEGIN_MS:  # from here on all that is open came after the log's beginning
                whole_ms = -(-(some[0].timestamp_ms + self._skew_ms) // _DAY_MS) * _DAY_MS
            state.fold(_batch(some))
            settled = [one for _, one in sorted(state.admissions.pending.items())]
            outcomes = [outcome for one in settled for outcome in one.outcomes]
            certain = [one for one in outcomes if one.clock_ms - state.lateness_max_ms >= whole_ms]
            self.left_out += len(outcomes) - len(certain)
            yield certain
            self._forget()
        self.admitted = state.ledger.admitted if self.low == 0 else None

    def _messages(self, end: int | None = None) -> Iterator[Message]:
        through = self._through if end is None else end
        for message in self._topic.messages(self._partition) if self.low < through else ():
            if message.offset >= through:
                return
            yield message

    def _forget(self) -> None:
        """What is closed, or told: memory is that of what is open."""
        state = self._state
        state.admissions.pending.clear()
        state.identities.closed, state.sequences.closed = {}, {}
        for key, table in state.tables.items():
            gone = table.closed(state.open_since_ms(key), state.offset)
            if 2 * int(gone.sum()) > len(gone):
                state.tables[key] = table.without(gone)


def _batch(messages: Iterable[Message]) -> Batch:
    offsets, times, _, values = zip(*messages, strict=True)
    return Batch(values, np.array(offsets, np.int64), np.array(times, np.int64))
