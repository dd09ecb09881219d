"""`tollstream late admit` and `dead-letter replay` in the simulation: the real Admitter on the simulated tables.

It may die at any call, wait as long as it likes between any two of them, and run beside others like it.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from unittest import mock

import msgspec

from sinks.errors import Retryable
from sinks.letters import EVERY, Asked, Coordinate, Found, Ledgered, Tried
from tests.simulation.logs import SKEW_MS, START, epoch_ms
from tests.simulation.oracle import Admission, Message
from tests.simulation.scheduling import Killed, Process
from tollstream.admitting import Admitter, Summary

if TYPE_CHECKING:
    from config.catalogue import Catalogue
    from config.settings import Limits
    from processors.admission import AdmissionRecord
    from processors.events import Decoder
    from tests.simulation.world import World

_NOW_MS = epoch_ms(START) + 30 * 86_400_000  # of the person's clock: after everything
_SETTLED = ("accepted", "duplicate", "unmetered")
_WAIT_S = 5.0
_VIEWS = ("late_events", "late_events", "late_events", "dead_letters")


class SimClient:
    """What the functions of sinks.letters are given for a client."""

    def __init__(self, world: World, process: Process) -> None:
        self.world, self.process = world, process

    def ask(self) -> None:
        """One query: others run meanwhile, perhaps for long."""
        world = self.world
        self.process.pause(0.0 if world.calm else world.rng.choice((0.0, 0.0, 0.0, 0.3, 2.0)))
        if world.chance(world.trouble / 2):
            raise Retryable("ClickHouse is away", 1)


class SimAdmitter(Admitter):
    """On simulated services. Its wait for verdicts is a task's."""

    def __init__(self, client: SimClient, view: Any, decoder: Callable[[Catalogue, Limits, int], Decoder]) -> None:
        world = client.world
        self._kafka, self._limits, self._view = world.settings.kafka, world.settings.limits, view
        self._topic = world.topic_id
        self._decoder = decoder(world.published(), self._limits, SKEW_MS)
        self._client: Any = client
        self._flying = {}
        self.summary = Summary()

    def _send(self, record: AdmissionRecord) -> None:
        world, process = self._client.world, self._client.process
        self._client.ask()
        if world.chance(0.05):
            process.die()
            raise Killed
        offset = world.bring_back(record.partition, msgspec.to_builtins(record), encoded(record))
        if offset is None or world.chance(0.05):
            process.die()
            raise Killed
        self._flying[(record.partition, offset)] = len(record.events)

    def _await(self, most: int, expired: list[Coordinate]) -> bool:
        client = self._client
        since_s = client.world.scheduler.now_s
        while len(self._flying) > most:
            outcomes = tried(client, self._topic, list(self._flying))
            for place in list(self._flying):
                mine = [one for one in outcomes if (one.at.partition, one.admission) == place]
                if len(mine) == self._flying[place]:
                    self._take(mine, expired)
                    del self._flying[place]
            if len(self._flying) > most:
                if client.world.calm or client.world.scheduler.now_s - since_s > _WAIT_S:
                    return False
                client.process.pause(0.2)
        return True


def encoded(record: AdmissionRecord) -> bytes:
    """The message's value."""
    from processors.admission import encode

    return encode(record)


class Command(Process):
    """One run of a command. `thorough`: for every letter that waits, of both kinds."""

    def __init__(
        self, world: World, decoder: Callable[[Catalogue, Limits, int], Decoder], *, thorough: bool = False
    ) -> None:
        super().__init__(world.scheduler, "command")
        views = ["late_events", "dead_letters"] if thorough else [world.rng.choice(_VIEWS)]

        def work() -> None:
            with contextlib.suppress(Retryable):
                for view in views:
                    admitter = SimAdmitter(SimClient(world, self), view, decoder)
                    admitter.run(EVERY, 1_000, dry_run=False)
                    for name, count in msgspec.to_builtins(admitter.summary).items():
                        if name != "reasons":
                            world.seen[f"admission: {name}"] += count
            self.die()

        self.begin(work)


def message_of(world: World, offset: int, at_ms: int, value: bytes, said: list[Any]) -> Message:
    """An admission record as the recount takes it."""
    as_of_ms, lateness_ms, topic, partition, events = said
    facts = world.truth(topic, partition).facts
    letters = tuple(facts[(letter, index)] for letter, index, *_ in events)
    known = tuple(known for *_, known in events)
    return Message(offset, at_ms, value, letters, Admission(topic, as_of_ms, lateness_ms, known))


# -- what the functions of sinks.letters of these names say


def letters_of(client: SimClient, view: str, topic: str, chosen: object, limit: int) -> list[Found]:
    """Those that wait, or any; all of them, or some."""
    client.ask()
    world, rng = client.world, client.world.rng
    settled = {at for at, row in _outcomes(world, topic) if row["verdict"] in _SETTLED}
    table = world.tables.late if view == "late_events" else world.tables.dead
    all_of_them = [
        Found(Coordinate(*place[1:]), len(row["raw"])) for place, (_, row) in table.rows.items() if place[0] == topic
    ]
    waiting = [one for one in all_of_them if one.at not in settled]
    if world.calm:
        return sorted(waiting, key=lambda one: one.at)
    found = waiting if rng.random() < 0.7 else all_of_them
    share = rng.choice((0.5, 1.0))
    return sorted((one for one in found if rng.random() < share), key=lambda one: one.at)


def strangers(client: SimClient, view: str, topic: str, chosen: object) -> int:
    return 0


def raws(client: SimClient, view: str, topic: str, places: Sequence[Coordinate]) -> dict[Coordinate, bytes]:
    client.ask()
    table = client.world.tables.late if view == "late_events" else client.world.tables.dead
    return {at: table.rows[(topic, *at)][1]["raw"] for at in places}


def ledgered(client: SimClient, topic: str) -> dict[int, Ledgered]:
    client.ask()
    return {
        partition: Ledgered(topic, partition, row["clock_ms"], row["lateness_max_ms"], row["archived_since_ms"])
        for (of, partition), (_, row) in client.world.tables.ledger.rows.items()
        if of == topic
    }


def archived(client: SimClient, topic: str, partition: int, asked: Iterable[Asked]) -> set[int]:
    client.ask()
    tables = client.world.tables
    held = {_whole(*row["identity"]) for _, row in _outcomes(client.world, topic, partition, ("accepted",))}
    client.ask()
    found = set()
    for one in asked:
        place, source = (topic, partition), _bytes(one.source)
        numbered = any(
            source == number[3] and number[4] <= one.number <= number[5]
            for number in tables.numbers
            if one.number >= 0 and number[:3] == (*place, one.hour // 24)
        )
        if numbered or one.lasting in held or (*place, one.hour, _bytes(one.identity)) in tables.identities:
            found.add(one.lasting)
    return found


def tried(client: SimClient, topic: str, records: Iterable[tuple[int, int]]) -> list[Tried]:
    client.ask()
    wanted = set(records)
    return [
        Tried(at, row["offset"], row["verdict"], row["reason"])
        for at, row in _outcomes(client.world, topic)
        if (row["partition"], row["offset"]) in wanted
    ]


def _outcomes(
    world: World, topic: str, partition: int | None = None, verdicts: tuple[str, ...] = ()
) -> Iterator[tuple[Coordinate, dict[str, Any]]]:
    """(coordinate of the letter, what became of it)."""
    for _, row in world.tables.admissions.rows.values():
        if row["topic"] != topic or (partition is not None and row["partition"] != partition):
            continue
        if row["letter_topic"] == topic and (not verdicts or row["verdict"] in verdicts):
            yield Coordinate(row["letter_partition"], row["letter_offset"], row["letter_index"]), row


def _bytes(digest: int) -> bytes:
    return struct.pack("<QQ", digest >> 64, digest & (2**64 - 1))


def _whole(high: int, low: int) -> int:
    return high << 64 | low


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """The real command finds these functions in place of those that ask ClickHouse."""
    with contextlib.ExitStack() as until:
        for function in (letters_of, strangers, raws, ledgered, archived, tried):
            until.enter_context(mock.patch(f"sinks.letters.{function.__name__}", function))
        until.enter_context(mock.patch("tollstream.admitting.now_ms", lambda: _NOW_MS))
        until.enter_context(mock.patch("tollstream.admitting.RECORD_EVENTS_MAX", 12))
        yield


# -- the verdict


def admission_faults(world: World) -> list[str]:
    """What became of every event that came back, against the recount."""
    faults = []
    for partition, oracle in enumerate(world.oracles):
        faults += oracle.faults
        found = {
            (row["offset"], row["index"]): row["verdict"]
            for _, row in world.tables.admissions.rows.values()
            if (row["topic"], row["partition"]) == (world.topic_id, partition)
        }
        if found != oracle.outcomes:
            different = sorted(set(found.items()) ^ set(oracle.outcomes.items()))
            faults.append(f"I5: admissions of partition {partition} differ from the recount in {different[:4]}")
        if world.all_came_back:
            verdicts = (*_SETTLED, "invalid")  # its number was another event's, as the fold alone can tell
            settled = {tuple(at[1:]) for at, _ in _outcomes(world, world.topic_id, partition, verdicts)}
            waiting = [at for at, verdict in oracle.letters.items() if verdict == "late" and at not in settled]
            faults += [f"admissions: {partition} {at} waits for ever" for at in waiting]
    return faults
