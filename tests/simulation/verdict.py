"""What must hold after a run: each fault found begins with the name of the invariant."""

from __future__ import annotations

import struct
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import xxhash

from config.catalogue import Catalogue
from config.settings import Limits
from processors import partials
from processors.events import Decoder
from processors.meter import Letter, PartitionState
from processors.outputs import admitted_rows, unpublished_rows
from processors.row_records import Taken
from processors.window_rows import WindowRow
from tests.simulation.commands import admission_faults
from tests.simulation.logs import SKEW_MS, batch_of
from tests.simulation.oracle import VERDICTS, Key, Oracle, Sample, State
from tests.simulation.readers import frozen
from tests.simulation.verdict_rated import rated_faults

_LETTER = msgspec.json.Decoder(Letter)

if TYPE_CHECKING:
    from tests.simulation.world import World


def row_faults(oracle: Oracle, row: WindowRow) -> list[str]:
    """I3: whoever wrote a row, the log through its version determines what it says."""
    key = _key_of(row)
    if row.chunk:
        last = max(oracle.history.get(key, {0: State()}))
        members = oracle.history.get(key, {}).get(last, State()).members
        size = partials.CHUNK_MEMBERS
        within = [m for m in members[size * (row.chunk - 1) : size * row.chunk] if m[1] <= row.offset]
        wanted: Any = ([value for value, _ in within], within[-1][1] if within else -1)
        if _meter(oracle.catalogue, row).aggregation == "gauge":
            said: Any = (_samples(oracle, row, wanted[0]), row.offset)
        else:
            wanted, said = (b"".join(map(member_bytes, wanted[0])), wanted[1]), (row.members, row.offset)
    else:
        state = oracle.history.get(key, {}).get(row.offset)
        wanted = state and _shape(oracle.catalogue, row, state)
        said = _said(oracle.catalogue, row)
    return [] if said == wanted else [f"I3: {key} at version {row.offset} says {said}, the log {wanted}"]


def member_bytes(text: str) -> bytes:
    digest = xxhash.xxh3_128_intdigest(text.encode())
    return struct.pack("<QQ", digest >> 64, digest & (2**64 - 1))


def _key_of(row: WindowRow) -> Key:
    place = (row.meter, row.meter_version, row.subject, tuple(row.dimensions), row.window_start_ms)
    return (*place, row.admission)


def _samples(oracle: Oracle, row: WindowRow, wanted: list[Sample]) -> list[Sample]:
    """What a gauge's row says, where each identity stands for one and the same event in all rows."""
    precision, found = _meter(oracle.catalogue, row).precision, []
    for place, (time_us, *digest, value) in enumerate(struct.iter_unpack("<qQQq", row.members)):
        identity = wanted[place].identity if place < len(wanted) else ("none",)
        name = identity[::3] if "number" in identity else identity  # a number is the same in each of its days
        known = oracle.digests.setdefault(name, tuple(digest)) == tuple(digest)
        known &= oracle.named.setdefault(tuple(digest), name) == name
        found.append(Sample(time_us, identity if known else ("another",), Decimal(value).scaleb(-precision)))
    return found


def _meter(catalogue: Catalogue, row: WindowRow) -> Any:
    return next(m for m in catalogue.meters if (m.id, m.version) == (row.meter, row.meter_version))


def _shape(catalogue: Catalogue, row: WindowRow, state: State) -> tuple[Any, ...]:
    kind = _meter(catalogue, row).aggregation
    if kind in ("sum", "avg"):
        return (state.events, state.sum)
    value = {"min": state.lowest, "max": state.highest, "latest": state.latest, "gauge": state.latest}.get(kind)
    return (state.events, value)


def _said(catalogue: Catalogue, row: WindowRow) -> tuple[Any, ...]:
    meter = _meter(catalogue, row)
    if meter.aggregation in ("sum", "avg"):
        return (row.events, Decimal((row.sum_hi << 32) + row.sum_lo).scaleb(-meter.precision))
    value = Decimal(row.value).scaleb(-meter.precision)
    latest = (row.time_us, value)
    said = {"min": value, "max": value, "latest": latest, "gauge": latest}
    return (row.events, said.get(meter.aggregation))


def check(world: World) -> list[str]:
    """Every invariant, over a world that has come to rest."""
    faults = [*_ledgers(world), *_totals(world), *_ties(world), *_determinism(world), *_letters(world)]
    faults += admission_faults(world)
    return faults if world.remade else faults + rated_faults(world)  # rated is what was on the old topic, too


def _ledgers(world: World) -> list[str]:
    faults = []
    for partition, oracle in enumerate(world.oracles):
        version, row = world.tables.ledger.rows.get((world.topic_id, partition), (0, None))
        counted = row and {name: row[name] for name in oracle.ledger}
        independent = sum(len(message.facts) for message in world.logs[partition])
        if counted is None or counted["consumed"] != independent:
            faults.append(f"I1: partition {partition} consumed {counted} of {independent} events")
        elif counted["consumed"] != sum(counted[verdict] for verdict in VERDICTS):
            faults.append(f"I1: the verdicts of partition {partition} do not add up: {counted}")
        if counted != dict(oracle.ledger):
            faults.append(f"I1: the ledger of partition {partition} is {counted}, the recount {dict(oracle.ledger)}")
        if counted != oracle.ledgers.get(version):
            faults.append(f"I3: the ledger of partition {partition} is not that of its version {version}")
    return faults


def _totals(world: World) -> list[str]:
    faults = []
    members: dict[Any, int] = defaultdict(int)
    plain: dict[Any, WindowRow] = {}
    for _, row in world.tables.usage.rows.values():
        if row.topic != world.topic_id:
            continue
        key = (row.partition, *_key_of(row))
        if row.chunk:
            members[key] += len(row.members) // (32 if _meter(world.published(), row).aggregation == "gauge" else 16)
        else:
            plain[key] = row
    wanted = {(p, *key): state for p, oracle in enumerate(world.oracles) for key, state in oracle.states.items()}
    for key in sorted(plain.keys() | wanted.keys()):
        row, state = plain.get(key), wanted.get(key)
        said = (*_said(world.published(), row), members[key]) if row else None
        truth = (*_shape(world.published(), row, state), len(state.members)) if row and state else state
        if said != truth:
            faults.append(f"I2: {key} is {said}, the recount {truth}")
    newest = _newest_windows(world)
    seen = {key: row for key, (_, row) in world.tables.usage.rows.items() if row.topic == world.topic_id}
    if newest != seen:
        different = [
            (newest.get(key), seen.get(key)) for key in newest.keys() | seen.keys() if newest.get(key) != seen.get(key)
        ]
        faults.append(f"I2: usage.windows is not what the tables say of {different[:3]}")
    return faults


def _ties(world: World) -> list[str]:
    tables = world.tables
    named = {
        "usage": tables.usage,
        "ledger": tables.ledger,
        "rated": tables.rated,
        "late": tables.late,
        "admissions": tables.admissions,
    }
    return [f"I4: {name}: {fault}" for name, table in named.items() for fault in table.faults]


def _determinism(world: World) -> list[str]:
    """The same log in one batch, by one process, without a fault."""
    faults = []
    limits = world.settings.limits
    for partition, log in enumerate(world.logs):
        catalogue = world.published()
        state = PartitionState(catalogue, limits, decoder(catalogue, limits, SKEW_MS), world.topic_id)
        letters = state.fold(batch_of(log))
        place = (0, world.topic_id, partition)
        plain = {frozen(row): row for row in [*unpublished_rows(state, *place), *admitted_rows(state, *place)[0]]}
        found = {
            frozen(row): row
            for _, row in world.tables.usage.rows.values()
            if (row.topic, row.partition) == (world.topic_id, partition)
        }
        if plain != found:
            different = [
                (plain.get(key), found.get(key))
                for key in plain.keys() | found.keys()
                if plain.get(key) != found.get(key)
            ]
            faults.append(f"I5: usage of partition {partition} depends on batches or faults: {different[:3]}")
        said = {(verdict, one.offset, one.index): one for one in letters for verdict in (one.verdict,)}
        for name, sent in (("topics", _letters_sent(world, partition)), ("tables", _letters_kept(world, partition))):
            if sent.keys() != said.keys() or any(_differs(one, said[key]) for key, one in sent.items()):
                faults.append(f"I5: letters of partition {partition} in the {name} are {sent}, not {said}")
    return faults


def _newest_windows(world: World) -> dict[bytes, WindowRow]:
    """What a reader of usage.windows from its start makes of it."""
    found: dict[bytes, WindowRow] = {}
    for partition in world.broker.topics[world.settings.kafka.windows_topic].partitions:
        for row in Taken([record.value or b"" for record in partition.records]):
            if row.topic != world.topic_id:
                continue  # of a topic that is gone, and was perhaps not read to its end
            if frozen(row) not in found or row.offset >= found[frozen(row)].offset:
                found[frozen(row)] = row
    return found


def _letters_sent(world: World, partition: int) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Letters of a partition on their topics, by verdict, offset and index; the last of a key holds."""
    kafka, found = world.settings.kafka, {}
    for topic in (kafka.late_topic, kafka.dead_letter_topic):
        for record in world.broker.topics[topic].partitions[0].records:
            letter = msgspec.structs.asdict(_LETTER.decode(record.value or b""))
            place = f"{world.topic_id}/{partition}/{letter['offset']}/{letter['index']}"
            if record.key == place.encode():
                found[(letter["verdict"], letter["offset"], letter["index"])] = letter
    return found


def _letters_kept(world: World, partition: int) -> dict[Any, Any]:
    tables = {"late": world.tables.late, "invalid": world.tables.dead}
    return {
        (verdict, row["offset"], row["index"]): row
        for verdict, table in tables.items()
        for _, row in table.rows.values()
        if (row["topic"], row["partition"]) == (world.topic_id, partition)
    }


def _differs(one: dict[str, Any], letter: Letter) -> bool:
    return any(one[name] != getattr(letter, name) for name in ("reason", "raw", "record_timestamp_ms"))


_DECODERS: dict[tuple[int, int, Limits, bool], Decoder] = {}


def decoder(catalogue: Catalogue, limits: Limits, skew_ms: int, *, kernel: bool = False) -> Decoder:
    """Compiling the structs is most of a short run, and they hold no state of it."""
    key = (catalogue.generation, len(catalogue.meters), limits, kernel)
    if key not in _DECODERS:
        _DECODERS[key] = Decoder(catalogue, limits, skew_ms, kernel=kernel)
    return _DECODERS[key]


def _letters(world: World) -> list[str]:
    wanted = {(p, *key): verdict for p, oracle in enumerate(world.oracles) for key, verdict in oracle.letters.items()}
    found = {(p, *key): verdict for p in range(len(world.logs)) for verdict, *key in _letters_kept(world, p)}
    wrong = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    return [f"letters: {key} is {found.get(key)}, the recount {wanted.get(key)}" for key in wrong]
