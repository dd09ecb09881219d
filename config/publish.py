"""The catalogue as records of a compacted topic, and what may change from one publish to the next. Pure: no Kafka.

A snapshot of generation G is a record for each part, keyed `G/meter/<id>/<version>` and the like, and last `head/G`,
which holds their count and digest. Readers take the newest generation with a whole head, so a publish that was cut
short changes nothing; the next one uses its generation again and need not clean up.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from config.catalogue import BEGIN_MS, Catalogue, EventType, Meter, instant_of
from config.faults import Fault, quote
from config.settings import Processing
from rating.contracts import Account, Contract
from rating.instants import instant_text
from rating.plans import Plan

Record = tuple[bytes, bytes]
SUBJECTS_RECORD_MAX = 1_000  # of 256 bytes at most: a quarter of Kafka's default 1 MiB for a message
SKEW_MS = Processing().skew_ms
KEY = re.compile(rb"(?:head/([1-9][0-9]{0,17})|([1-9][0-9]{0,17})/([a-z-]+)(?:/.*)?)", re.DOTALL)


class DefaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    default_plan: str | None


class Head(msgspec.Struct, frozen=True):
    count: int  # of the records before it
    sha256: str  # of those records, sorted by key


class Kind(NamedTuple):
    """One kind of part: the catalogue's field, and what names a part of it."""

    field: str
    struct: type[msgspec.Struct]
    key: Callable[[Any], str]


def _from_text(part: Account | Contract) -> str:
    return "always" if part.from_ is None else instant_text(part.from_)


KINDS = {
    "event": Kind("events", EventType, lambda event: event.type),
    "meter": Kind("meters", Meter, lambda meter: f"{meter.id}/{meter.version}"),
    "plan": Kind("plans", Plan, lambda plan: f"{plan.id}/{plan.version}"),
    "account": Kind("accounts", Account, lambda account: f"{account.id}/{_from_text(account)}"),
    "contract": Kind("contracts", Contract, lambda contract: f"{contract.account}/{_from_text(contract)}"),
}


def encode(catalogue: Catalogue) -> list[Record]:
    """The records of a snapshot, (key, value), to be sent in this order. ValueError without a generation."""
    if catalogue.generation < 1:
        raise ValueError("the catalogue has no generation; take the one that `changes` returns")
    records = [_record(catalogue, "default-plan", DefaultPlan(catalogue.default_plan))]
    for name, kind in KINDS.items():
        for part in getattr(catalogue, kind.field):
            if isinstance(part, Account):
                chunks = enumerate(_chunks(part))
                records += [_record(catalogue, f"account/{kind.key(part)}/{index}", chunk) for index, chunk in chunks]
            else:
                records.append(_record(catalogue, f"{name}/{kind.key(part)}", part))
    head = Head(len(records), _digest(records))
    return [*records, (f"head/{catalogue.generation}".encode(), msgspec.json.encode(head))]


def decode(records: Iterable[tuple[bytes, bytes | None]]) -> Catalogue | None:
    """The newest whole snapshot in a read of the topic from its start, in log order; None when there is none.

    A value of None is a tombstone. ValueError for a whole snapshot that this version cannot read.
    """
    parts: dict[int, dict[bytes, bytes]] = {}
    newest, snapshot = 0, list[Record]()
    for key, value in records:
        match = KEY.fullmatch(key)
        if match is None:
            continue
        if match[1] is None:
            found = parts.setdefault(int(match[2]), {})
            found.pop(key, None)  # the order is that of the last write, as compaction keeps it
            if value is not None:
                found[key] = value
        elif value is not None and int(match[1]) >= newest:
            before = _before(value, parts.get(int(match[1]), {}))
            if before:
                newest, snapshot = int(match[1]), before
    return _catalogue(newest, snapshot) if newest else None


def _before(value: bytes, found: dict[bytes, bytes]) -> list[Record]:
    """The records that a head speaks for: the last ones before it, as older ones may be left of a cut publish.

    Empty when they are not all there."""
    try:
        head = msgspec.json.decode(value, type=Head)
    except msgspec.DecodeError:
        return []
    records = list(found.items())[-head.count :] if head.count > 0 else []
    return records if len(records) == head.count and _digest(records) == head.sha256 else []


def _catalogue(generation: int, records: list[Record]) -> Catalogue:
    default_plan: str | None = None
    fields: dict[str, list[Any]] = {kind.field: [] for kind in KINDS.values()}
    for key, value in records:
        name = key.split(b"/")[1].decode()
        try:
            if name == "default-plan":
                default_plan = msgspec.json.decode(value, type=DefaultPlan).default_plan
            else:
                kind = KINDS[name]
                fields[kind.field].append(msgspec.json.decode(value, type=kind.struct))
        except (KeyError, msgspec.DecodeError) as error:
            place = f"generation {generation} of the catalogue, record {quote(key.decode(errors='replace'))}"
            raise ValueError(f"{place}: {error}; a newer Tollstream may have written it: update this one") from error
    chunks = groupby(fields["accounts"], key=lambda account: (account.id, account.from_))
    fields["accounts"] = [
        Account(id, tuple(subject for chunk in group for subject in chunk.subjects), from_)
        for (id, from_), group in chunks
    ]
    return Catalogue(generation, default_plan, **{field: tuple(parts) for field, parts in fields.items()})


def _record(catalogue: Catalogue, key: str, part: msgspec.Struct) -> Record:
    return f"{catalogue.generation}/{key}".encode(), msgspec.json.encode(part)


def _chunks(account: Account) -> Iterator[Account]:
    for start in range(0, max(len(account.subjects), 1), SUBJECTS_RECORD_MAX):
        yield Account(account.id, account.subjects[start : start + SUBJECTS_RECORD_MAX], account.from_)


def _digest(records: Iterable[Record]) -> str:
    """Lengths go in too, so that no two lists of records join to the same bytes."""
    digest = hashlib.sha256()
    for key, value in sorted(records):
        digest.update(b"%d %d " % (len(key), len(value)) + key + value)
    return digest.hexdigest()


class Changes(NamedTuple):
    """`catalogue` is what to publish: the old one when nothing changed, else the new one with the next generation.

    With `faults`, nothing may be published.
    """

    catalogue: Catalogue
    lines: list[str]  # what differs, for people
    faults: list[Fault]


def changes(old: Catalogue | None, new: Catalogue, now_ms: int, skew_ms: int = SKEW_MS) -> Changes:
    """What publishing `new` over `old` would change, and why it may not.

    What has been counted stays as it was: the same log and catalogue must give the same usage. So published event
    types, meters and plans never change or go; a new meter version, and a new mapping of a subject, begins after
    now + skew (an event may be that far ahead). The first publish (`old` None) is free.
    """
    if old is None:
        return Changes(msgspec.structs.replace(new, generation=1), ["first publish"], [])
    lines, faults = list[str](), list[Fault]()
    settled_ms = now_ms + skew_ms
    if old.default_plan != new.default_plan:
        lines.append(f"default_plan: {old.default_plan or 'none'} becomes {new.default_plan or 'none'}")
    for name, kind in KINDS.items():
        before = {kind.key(part): part for part in getattr(old, kind.field)}
        after = {kind.key(part): part for part in getattr(new, kind.field)}
        lines += [f"{name} {key}: added" for key in after.keys() - before.keys()]
        lines += [f"{name} {key}: removed" for key in before.keys() - after.keys()]
        lines += [f"{name} {key}: changed" for key in before.keys() & after.keys() if before[key] != after[key]]
        if name in ("event", "meter", "plan"):
            faults += _immutable_faults(name, before, after)
        if name == "meter":
            faults += [fault for key in after.keys() - before.keys() for fault in _begin_faults(after[key], settled_ms)]
    faults += _mapping_faults(old, new, settled_ms)
    catalogue = msgspec.structs.replace(new, generation=old.generation + 1) if lines else old
    return Changes(catalogue, sorted(lines), sorted(faults))


def _immutable_faults(name: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Fault]:
    mend = "add a type with another name" if name == "event" else "add a version with the next number"
    for key, part in before.items():
        if key not in after:
            yield Fault(f"{name} {key}", "is published and stays; put it back as it was")
        elif part != after[key]:
            yield Fault(f"{name} {key}", f"is published and never changes; put it back as it was and {mend}")


def _begin_faults(meter: Meter, settled_ms: int) -> Iterator[Fault]:
    if meter.from_ms <= settled_ms:
        first = instant_text(instant_of((settled_ms // meter.window_ms + 1) * meter.window_ms))
        message = f'must begin at a future window, as earlier events are counted: set from = "{first}" or later'
        yield Fault(f"meter {meter.id}/{meter.version}", message)


def _mapping_faults(old: Catalogue, new: Catalogue, settled_ms: int) -> Iterator[Fault]:
    """One fault for all subjects that move in the same way."""
    moved: dict[tuple[str, str, int], list[str]] = {}
    for subject in sorted(old.mappings.keys() | new.mappings.keys()):
        dated = (*old.mappings.get(subject, ()), *new.mappings.get(subject, ()))
        for at_ms in sorted({BEGIN_MS, *(from_ms for from_ms, _ in dated if from_ms <= settled_ms)}):
            was, becomes = old.account_of(subject, at_ms), new.account_of(subject, at_ms)
            if was != becomes:
                was, becomes = ("its own account" if one == subject else quote(one) for one in (was, becomes))
                moved.setdefault((was, becomes, at_ms), []).append(subject)
                break
    for (was, becomes, at_ms), subjects in moved.items():
        more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
        since = "from the beginning" if at_ms == BEGIN_MS else f"from {instant_text(instant_of(at_ms))}"
        yield Fault(
            f"subject {subjects[0]}{more}",
            f"would move from {was} to {becomes} {since}, where usage is counted;"
            " keep the mapping and add an [[account]] with `from` at a future midnight",
        )
