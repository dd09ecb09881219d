"""Late and refused events come back: from letters to admission records, and from those to verdicts.

It keeps nothing: killed at any point and run again, or run twice at once, it sends an event twice at most, and the fold
finds the second one to be a duplicate.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tollstream.place import now_ms, published_catalogue

if TYPE_CHECKING:
    from config.loader import Config
    from processors.admission import AdmissionRecord
    from sinks.letters import Asked, Choice, Coordinate, Found, Tried, View

HOUR_MS = 3_600_000
RECORD_EVENTS_MAX = 5_000  # of one admission record: half of the default limit of a message, and a short wait
EVENT_BYTES, RECORD_BYTES = 32, 256  # what an event and a record take besides the events' own bytes, at most
FLYING_MAX = 8  # records sent and not yet judged
ROUNDS_MAX = 3  # an hour may close between look and verdict; hardly ever twice in a row
_LOOK_S, _TELL_S = 0.2, 5.0


class Summary(msgspec.Struct):
    """What became of the events that were chosen; each is counted once."""

    chosen: int = 0
    admitted: int = 0
    duplicate: int = 0  # counted before
    unmetered: int = 0
    refused: int = 0  # invalid still, not sent or found so by the fold
    not_archived: int = 0  # nobody can tell whether they were counted before
    too_large: int = 0
    expired: int = 0
    unanswered: int = 0  # no verdict yet
    reasons: dict[str, int] = {}  # why events are still refused
    elsewhere: int = 0  # chosen too, and of a topic that is no more

    @property
    def decided(self) -> int:
        """Of how many it is known what became of them, or why nothing did."""
        settled = self.admitted + self.duplicate + self.unmetered
        return settled + self.refused + self.not_archived + self.too_large + self.expired

    def refuse(self, reason: str) -> None:
        self.refused += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


class Admitter:
    """Sends letters of one kind back. Raises what the services' clients raise."""

    def __init__(self, config: "Config", view: "View", wait_s: int, say: Callable[[str], None]) -> None:
        from processors.events import Decoder
        from sinks.clickhouse import reader
        from sinks.topics import RecordProducer, topic_id

        self._kafka, self._limits, self._view = config.settings.kafka, config.settings.limits, view
        self._wait_s, self._say = wait_s, say
        catalogue = published_catalogue(self._kafka)
        self._topic = topic_id(self._kafka, self._kafka.events_topic)
        self._decoder = Decoder(catalogue, self._limits, config.settings.processing.skew_ms)
        self._client = reader(config.settings.clickhouse)
        self._producer = RecordProducer(self._kafka)
        self._flying: dict[tuple[int, int], int] = {}  # (partition, offset) of a record -> its events
        self._told_at = time.monotonic()
        self.summary = Summary()

    def run(self, chosen: "Choice", limit: int, *, dry_run: bool) -> Summary:
        """Admit what is chosen, and wait for the verdicts; `dry_run`: say what would be sent."""
        from sinks.letters import letters_of, strangers

        found = letters_of(self._client, self._view, self._topic, chosen, limit)
        self.summary.chosen = len(found)
        self.summary.elsewhere = strangers(self._client, self._view, self._topic, chosen)
        for _ in range(ROUNDS_MAX):
            expired: list[Coordinate] = []
            if not self._round(found, expired, dry_run=dry_run):
                break
            again = set(expired)
            found = [one for one in found if one.at in again]
            if not found:
                break
        else:
            self.summary.expired = len(found)
        self.summary.unanswered = self.summary.chosen - self.summary.decided
        return self.summary

    def _round(self, found: list["Found"], expired: list["Coordinate"], *, dry_run: bool) -> bool:
        """Send all of them, and collect the verdicts. False where those stay away."""
        for group in self._groups(found):
            record = self._record(group)
            if record is None:
                continue
            if dry_run:
                known = sum(one.known for one in record.events)
                self.summary.duplicate += known
                self.summary.admitted += len(record.events) - known
                continue
            self._send(record)
            if not self._await(FLYING_MAX - 1, expired):
                return False
        return self._await(0, expired)

    def close(self) -> None:
        self._client.close()

    def _groups(self, found: list["Found"]) -> Iterator[list["Found"]]:
        """Of one partition each, and together within what a message may hold."""
        bytes_max, events_max = self._limits.message_bytes_max, min(RECORD_EVENTS_MAX, self._limits.message_events_max)
        group: list[Found] = []
        size = RECORD_BYTES
        for one in found:
            more = one.bytes + EVENT_BYTES
            if RECORD_BYTES + more > bytes_max:
                self.summary.too_large += 1
                continue
            other = group and group[0].at.partition != one.at.partition
            if group and (other or size + more > bytes_max or len(group) >= events_max):
                yield group
                group, size = [], RECORD_BYTES
            group.append(one)
            size += more
        if group:
            yield group

    def _record(self, group: list["Found"]) -> "AdmissionRecord | None":
        """What to send of a group. The ledger is read before the archive: then the archive holds what it says."""
        from processors.admission import AdmissionRecord, Returned
        from sinks.letters import Asked, archived, ledgered, raws

        partition = group[0].at.partition
        ledger = ledgered(self._client, self._topic).get(partition)
        if ledger is None:  # letters leave before the first checkpoint
            return None
        held = raws(self._client, self._view, self._topic, [one.at for one in group])
        ready: list[tuple[Coordinate, bytes, Asked]] = []
        for at, raw, asked, end_ms in self._identified(group, held):
            if end_ms <= ledger.archived_since_ms:
                self.summary.not_archived += 1
            else:
                ready.append((at, raw, asked))
        known = archived(self._client, self._topic, partition, (asked for *_, asked in ready))
        events = []
        for at, raw, asked in ready:
            counted = asked.lasting in known
            events.append(Returned(at.offset, at.place, b"" if counted else raw, counted))
        if not events:
            return None
        return AdmissionRecord(ledger.clock_ms, ledger.lateness_max_ms, self._topic, partition, events)

    def _identified(
        self, group: list["Found"], held: dict["Coordinate", bytes]
    ) -> Iterator[tuple["Coordinate", bytes, "Asked", int]]:
        """(coordinate, bytes, identity, end of its hour or day in ms) of what can be read; the rest is refused."""
        from processors.admission import ARRAY, lasting
        from processors.decode_split import is_many
        from processors.events import INVALID
        from sinks.letters import Asked

        values = [held[one.at] for one in group]
        arrays = [is_many(value) for value in values]
        single = [b"" if array else value for value, array in zip(values, arrays, strict=True)]
        decoded = self._decoder.decode(single, np.full(len(single), now_ms(), np.int64))
        reasons, identity = {refusal.row: refusal.reason for refusal in decoded.refusals}, lasting(decoded)
        for row, one in enumerate(group):
            if decoded.kind[row] == INVALID:
                self.summary.refuse(ARRAY if arrays[row] else reasons[row])
                continue
            number, source = int(decoded.sequence[row]), 0
            hours = 24 if number >= 0 else 1  # what it is known by is kept by day or by hour
            if number >= 0:
                source = _whole(decoded.sources[decoded.source[row]].tolist())
            hour = int(decoded.time_us[row]) // (hours * HOUR_MS * 1000) * hours
            own, kept = (_whole(one[row].tolist()) for one in (decoded.digest, identity))
            asked = Asked(own, kept, hour, source, number)
            yield one.at, values[row], asked, (hour + hours) * HOUR_MS

    def _send(self, record: "AdmissionRecord") -> None:
        from processors.admission import encode

        # The ledger's clock as its time, where producers set it: then a log of long ago is not moved to today.
        value, at_ms = encode(record), record.as_of_clock_ms
        offset = self._producer.send(self._kafka.events_topic, value, record.partition, at_ms)
        self._flying[(record.partition, offset)] = len(record.events)

    def _await(self, most: int, expired: list["Coordinate"]) -> bool:
        """Until at most so many records are without their verdicts. False where none came for `wait_s`."""
        from sinks.letters import tried

        moved_at = time.monotonic()
        while len(self._flying) > most:
            by_record: dict[tuple[int, int], list[Tried]] = {}
            for one in tried(self._client, self._topic, list(self._flying)):
                by_record.setdefault((one.at.partition, one.admission), []).append(one)
            for place, outcomes in by_record.items():
                if len(outcomes) == self._flying[place]:  # else the rest is in the next block
                    self._take(outcomes, expired)
                    del self._flying[place]
                    moved_at = time.monotonic()
            if len(self._flying) > most:
                if time.monotonic() - moved_at > self._wait_s:
                    return False
                time.sleep(_LOOK_S)
        self._tell()
        return True

    def _take(self, outcomes: list["Tried"], expired: list["Coordinate"]) -> None:
        summary = self.summary
        for one in outcomes:
            if one.verdict == "late":
                expired.append(one.at)
            elif one.verdict == "invalid":
                summary.refuse(one.reason)
            elif one.verdict == "accepted":
                summary.admitted += 1
            else:
                setattr(summary, one.verdict, getattr(summary, one.verdict) + 1)

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= _TELL_S:
            self._told_at = now
            self._say(f"{self.summary.decided:,} of {self.summary.chosen:,} events are decided")


def _whole(halves: list[int]) -> int:
    """A digest from its high and low half."""
    return halves[0] << 64 | halves[1]
