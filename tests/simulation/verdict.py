"""What must hold after a run: each fault found begins with the name of the invariant."""

from __future__ import annotations

import struct
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from config.catalogue import Catalogue
from processors import partials
from processors.events import Decoder
from processors.meter import Batch, Letter, PartitionState
from processors.outputs import WindowRow, unpublished_rows
from rating.invoices import MeterTotal, SegmentUsage, preview
from rating.numbers import shown
from rating.periods import month_of
from tests.simulation.logs import CATALOGUE, SKEW_MS
from tests.simulation.oracle import VERDICTS, Oracle, State, quantity, rated

if TYPE_CHECKING:
    from tests.simulation.simulate import World


def row_faults(oracle: Oracle, row: WindowRow) -> list[str]:
    """I3: whoever wrote a row, the log through its version determines what it says."""
    key = (row.meter, row.meter_version, row.subject, tuple(row.dimensions), row.window_start_ms)
    if row.chunk:
        last = max(oracle.history.get(key, {0: State()}))
        members = oracle.history.get(key, {}).get(last, State()).members
        size = partials.CHUNK_MEMBERS
        within = [m for m in members[size * (row.chunk - 1) : size * row.chunk] if m[1] <= row.offset]
        wanted: Any = (b"".join(map(member_bytes, [value for value, _ in within])), {within[-1][1]} if within else {-1})
        said: Any = (row.members, {row.offset})
    else:
        state = oracle.history.get(key, {}).get(row.offset)
        wanted = state and _shape(oracle.catalogue, row, state)
        said = _said(oracle.catalogue, row)
    return [] if said == wanted else [f"I3: {key} at version {row.offset} says {said}, the log {wanted}"]


def member_bytes(text: str) -> bytes:
    digest = xxhash.xxh3_128_intdigest(text.encode())
    return struct.pack("<QQ", digest >> 64, digest & (2**64 - 1))


def _meter(catalogue: Catalogue, row: WindowRow) -> Any:
    return next(m for m in catalogue.meters if (m.id, m.version) == (row.meter, row.meter_version))


def _shape(catalogue: Catalogue, row: WindowRow, state: State) -> tuple[Any, ...]:
    kind = _meter(catalogue, row).aggregation
    if kind in ("sum", "avg"):
        return (state.events, state.sum)
    value = {"min": state.lowest, "max": state.highest, "latest": state.latest}.get(kind)
    return (state.events, value)


def _said(catalogue: Catalogue, row: WindowRow) -> tuple[Any, ...]:
    meter = _meter(catalogue, row)
    if meter.aggregation in ("sum", "avg"):
        return (row.events, Decimal((row.sum_hi << 32) + row.sum_lo).scaleb(-meter.precision))
    value = Decimal(row.value).scaleb(-meter.precision)
    return (row.events, {"min": value, "max": value, "latest": (row.time_us, value)}.get(meter.aggregation))


def check(world: World) -> list[str]:
    """Every invariant, over a world that has come to rest."""
    return [*_ledgers(world), *_totals(world), *_ties(world), *_determinism(world), *_rated(world), *_letters(world)]


def _ledgers(world: World) -> list[str]:
    faults = []
    for partition, oracle in enumerate(world.oracles):
        version, counted = world.ledger.rows.get(partition, (0, None))
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
    for _, row in world.usage.rows.values():
        key = (row.partition, row.meter, row.meter_version, row.subject, tuple(row.dimensions), row.window_start_ms)
        if row.chunk:
            members[key] += len(row.members) // 16
        else:
            plain[key] = row
    wanted = {(p, *key): state for p, oracle in enumerate(world.oracles) for key, state in oracle.states.items()}
    for key in sorted(plain.keys() | wanted.keys()):
        row, state = plain.get(key), wanted.get(key)
        said = (*_said(CATALOGUE, row), members[key]) if row else None
        truth = (*_shape(CATALOGUE, row, state), len(state.members)) if row and state else state
        if said != truth:
            faults.append(f"I2: {key} is {said}, the recount {truth}")
    return faults


def _ties(world: World) -> list[str]:
    return [f"I4: {fault}" for table in (world.usage, world.ledger, world.rated) for fault in table.faults]


def _determinism(world: World) -> list[str]:
    """The same log in one batch, by one process, without a fault."""
    faults = []
    limits = world.settings.limits
    for partition, log in enumerate(world.logs):
        state = PartitionState(CATALOGUE, limits, Decoder(CATALOGUE, limits, SKEW_MS))
        offset = np.array([message.offset for message in log], np.int64)
        timestamps = np.array([message.timestamp_ms for message in log], np.int64)
        letters = state.fold(Batch([message.value for message in log], offset, timestamps))
        plain = {_key(row): row for row in unpublished_rows(state, 0, "T", partition)}
        found = {_key(row): row for _, row in world.usage.rows.values() if row.partition == partition}
        if plain != found:
            different = sorted(str(key) for key in plain.keys() | found.keys() if plain.get(key) != found.get(key))
            faults.append(f"I5: usage of partition {partition} depends on batches or faults: {different[:3]}")
        said = {(one.offset, one.index): one for one in letters}
        sent: dict[tuple[int, int], Letter] = {
            key[1:]: one for key, one in world.letters.items() if key[0] == partition
        }
        if said != sent:
            faults.append(f"I5: letters of partition {partition} depend on batches or faults: {said} {sent}")
    return faults


def _key(row: WindowRow) -> tuple[Any, ...]:
    return tuple(tuple(part) if isinstance(part, list) else part for part in row.key())


def _letters(world: World) -> list[str]:
    wanted = {(p, *key): verdict for p, oracle in enumerate(world.oracles) for key, verdict in oracle.letters.items()}
    found = {key: letter.verdict for key, letter in world.letters.items()}
    wrong = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    return [f"letters: {key} is {found.get(key)}, the recount {wanted.get(key)}" for key in wrong]


def _rated(world: World) -> list[str]:
    """I6: each row is the difference of two prices, and together they are the price of the whole, as previewed."""
    faults = []
    found = {}
    for row in (row for _, row in world.rated.rows.values() if row.amount is not None):
        place = (row.account, row.period_start, row.segment_start, row.price, row.opening, row.day)
        found[place] = row
    wanted = rated(CATALOGUE, world.oracles)
    named = CATALOGUE.account_ids()
    for key in sorted(found.keys() | wanted.keys()):
        row, owed = found.get(key), wanted.get(key)
        if owed is None and row is not None and row.opening and row.account in named:
            continue  # named accounts owe flat prices in any period with usage of anybody
        if row is None or owed is None or (row.quantity_total, row.amount) != (shown(owed.quantity_total), owed.amount):
            faults.append(f"I6: {key} is {row}, the recount {owed}")
    faults += _previews(world, found)
    return faults


def _previews(world: World, found: dict[Any, Any]) -> list[str]:
    faults = []
    aggregation = {meter.id: meter.aggregation for meter in CATALOGUE.meters}
    for account, period in sorted({(key[0], month_of(key[1])) for key in found}):
        usage = []
        for segment in CATALOGUE.tariff().segments(account, period):
            states: dict[str, list[State]] = defaultdict(list)
            for oracle in world.oracles:
                for (meter, _, subject, _, start), state in oracle.states.items():
                    day = np.datetime64(start, "ms").astype("datetime64[D]").item()
                    if CATALOGUE.account_of(subject, start) == account and segment.start <= day < segment.end:
                        states[meter].append(state)
            totals = {
                meter: MeterTotal(quantity(aggregation[meter], held), sum(one.events for one in held))
                for meter, held in states.items()
            }
            usage.append(SegmentUsage(segment, totals))
        for line in preview(account, period, usage).lines:
            place = (account, period.start, line.segment_start, line.price)
            together = sum((row.amount for key, row in found.items() if key[:4] == place), Decimal(0))
            if together != line.amount_unrounded:
                faults.append(f"I6: {place} adds up to {together}, the preview says {line.amount_unrounded}")
    return faults
