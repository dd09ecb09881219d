"""Publishing: snapshots survive the log, cut ones are ignored, and what was counted never changes."""

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.catalogue import Catalogue, EventType, Meter, epoch_ms
from config.publish import Record, changes, decode, encode
from rating.contracts import Account, Contract
from rating.plans import Plan
from rating.prices import Flat, Graduated, Package, PerUnit, Price, Tier, Volume

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 5, 30, tzinfo=UTC)
NOW_MS = epoch_ms(NOW)
HOUR = datetime(2026, 11, 23, 6, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)

ids = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6)  # slashes and digits among them
midnights = st.integers(0, 40_000).map(lambda days: datetime(1970, 1, 1, tzinfo=UTC) + days * DAY)
amounts = st.decimals("-1000", "1000", places=9).map(lambda amount: format(amount, "f"))
tiers = st.lists(amounts, min_size=1, max_size=3).map(
    lambda units: tuple(
        Tier(up_to=place + 1 if place + 1 < len(units) else None, unit_amount=unit) for place, unit in enumerate(units)
    )
)
prices: st.SearchStrategy[Price] = st.one_of(
    st.builds(Flat, ids, amounts),
    st.builds(PerUnit, ids, ids, amounts),
    st.builds(Package, ids, ids, st.integers(1, 10**9), amounts),
    st.builds(Graduated, ids, ids, tiers),
    st.builds(Volume, ids, ids, tiers, st.booleans()),
)


def unique(parts: st.SearchStrategy[Any], key: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(parts, max_size=4, unique_by=key).map(tuple)


meters = st.builds(
    Meter,
    ids,
    st.integers(1, 5),
    ids,
    st.just("sum"),
    ids,
    dimensions=st.lists(ids, max_size=3, unique=True).map(tuple),
    filter=st.dictionaries(ids, st.lists(ids, max_size=2).map(tuple), max_size=2),
    window=st.sampled_from(["1m", "1h", "1d"]),
    precision=st.integers(0, 12),
    from_=st.none() | midnights,
)
catalogues = st.builds(
    Catalogue,
    generation=st.integers(1, 3),
    default_plan=st.none() | ids,
    events=unique(st.builds(EventType, ids, st.integers(1, 10**12)), lambda event: event.type),
    meters=unique(meters, lambda meter: (meter.id, meter.version)),
    plans=unique(
        st.builds(Plan, ids, st.integers(1, 5), st.just("USD"), price=unique(prices, lambda price: price.id)),
        lambda plan: (plan.id, plan.version),
    ),
    accounts=unique(
        st.builds(Account, ids, st.lists(ids, max_size=3).map(tuple), st.none() | midnights),
        lambda account: (account.id, account.from_),
    ),
    contracts=unique(st.builds(Contract, ids, ids, midnights), lambda contract: (contract.account, contract.from_)),
)


def compacted(records: list[Record]) -> list[Record]:
    """What compaction leaves: the last record of each key, in log order."""
    last = {key: place for place, (key, _) in enumerate(records)}
    return [records[place] for place in sorted(last.values())]


@given(catalogues)
def test_a_catalogue_survives_its_records(catalogue: Catalogue) -> None:
    records = encode(catalogue)
    assert decode(records) == catalogue
    assert decode([record for record in records for _ in range(2)]) == catalogue
    assert len({key for key, _ in records}) == len(records)


@settings(max_examples=50, deadline=None)
@given(catalogues, catalogues, catalogues, st.data())
def test_a_publish_cut_short_changes_nothing_and_the_next_one_stands(
    first: Catalogue, cut: Catalogue, repeated: Catalogue, data: st.DataObject
) -> None:
    """The cut one and the one that follows it have the same generation, as nobody has seen the cut one."""
    first, cut, repeated = (
        msgspec.structs.replace(part, generation=generation)
        for part, generation in ((first, 1), (cut, 2), (repeated, 2))
    )
    for length in range(len(encode(cut))):
        log = [*encode(first), *encode(cut)[:length]]
        assert decode(log) == decode(compacted(log)) == first
    length = data.draw(st.integers(0, len(encode(cut)) - 1))
    log = [*encode(first), *encode(cut)[:length], *encode(repeated)]
    assert decode(log) == decode(compacted(log)) == repeated


@given(catalogues, st.data())
def test_a_damaged_snapshot_is_ignored(catalogue: Catalogue, data: st.DataObject) -> None:
    records = encode(catalogue)
    place = data.draw(st.integers(0, len(records) - 1))
    key, value = records[place]
    assert decode([*records[:place], *records[place + 1 :]]) is None
    assert decode([*records[:place], (key, value + b" "), *records[place + 1 :]]) in (None, catalogue)
    assert decode([*records[:place], (key, None), *records[place + 1 :]]) is None


def test_the_newest_whole_generation_counts_and_strangers_do_not() -> None:
    old, new = (Catalogue(generation=generation, default_plan=str(generation)) for generation in (9, 10))
    strange: list[tuple[bytes, bytes | None]] = [(b"", b"x"), (b"head/x", b"{}"), (b"head/11", b"{"), (b"\xff", None)]
    assert decode([*strange, *encode(new), *encode(old), *strange]) == new
    assert decode(strange) is None
    assert decode([(b"head/1", b'{"count":0,"sha256":""}')]) is None


def test_an_account_with_many_subjects_is_spread_over_records() -> None:
    subjects = tuple(f"zone-{n}" for n in range(2_500))
    accounts = (Account("a", subjects), Account("a", ("x",), MIDNIGHT), Account("b", subjects[:1000]))
    catalogue = Catalogue(generation=1, accounts=accounts)
    records = encode(catalogue)
    assert [key for key, _ in records if key.startswith(b"1/account/a/always/")] == [
        b"1/account/a/always/0",
        b"1/account/a/always/1",
        b"1/account/a/always/2",
    ]
    assert decode(records) == catalogue


def head_over(records: list[Record]) -> Record:
    """The head of generation 1 as the topic's format has it, computed apart from the code under test."""
    joined = b"".join(b"%d %d %b%b" % (len(key), len(value), key, value) for key, value in sorted(records))
    return b"head/1", b'{"count":%d,"sha256":"%b"}' % (len(records), hashlib.sha256(joined).hexdigest().encode())


def test_the_format_on_the_topic_stays() -> None:
    """Published catalogues are read for years: a change here needs a reader for both."""
    meter = version(2, MIDNIGHT, filter={"region": ("eu",)})
    catalogue = Catalogue(1, "pro", (EventType("http.request", 1),), (meter,), (PLAN,), (Account("acme", ("z",)),))
    records = [
        (b"1/default-plan", b'{"default_plan":"pro"}'),
        (b"1/event/http.request", b'{"type":"http.request","lateness_ms":1}'),
        (
            b"1/meter/requests/2",
            b'{"id":"requests","version":2,"event_type":"http.request","aggregation":"sum","value":"requests",'
            b'"dimensions":[],"filter":{"region":["eu"]},"window":"1h","precision":0,"allow_negative":false,'
            b'"from":"2026-11-24T00:00:00Z"}',
        ),
        (
            b"1/plan/pro/1",
            b'{"id":"pro","version":1,"currency":"USD","price":[{"model":"flat","id":"base","amount":"5"}]}',
        ),
        (b"1/account/acme/always/0", b'{"id":"acme","subjects":["z"]}'),
    ]
    assert encode(catalogue) == [*records, head_over(records)]
    records[-2:] = [
        (
            b"1/plan/pro/1",
            b'{"id":"pro","version":1,"currency":"USD","period":"month",'
            b'"price":[{"model":"flat","id":"base","amount":"5"}]}',
        ),
        (b"1/account/acme/always/0", b'{"id":"acme","subjects":["z"],"from":null}'),
    ]
    assert decode([*records, head_over(records)]) == catalogue, "as it was written before plans had an instant"


@pytest.mark.parametrize(
    "record", [(b"1/novel/x", b"{}"), (b"1/event/x", b'{"type":"x","lateness_ms":1,"novel":1}'), (b"1/event/x", b"[")]
)
def test_a_whole_snapshot_of_a_newer_version_is_refused_loudly(record: Record) -> None:
    with pytest.raises(ValueError, match="update this one"):
        decode([record, head_over([record])])


def test_an_unpublished_catalogue_has_no_records() -> None:
    with pytest.raises(ValueError, match="no generation"):
        encode(Catalogue())


# What may change

METER = Meter("requests", 1, "http.request", "sum", "requests")
PLAN = Plan("pro", 1, "USD", price=(Flat("base", "5"),))
OLD = Catalogue(
    generation=3,
    default_plan="pro",
    events=(EventType("http.request", 86_400_000),),
    meters=(METER,),
    plans=(PLAN,),
    accounts=(Account("acme", ("zone-1",)),),
)


def edited(**fields: Any) -> Catalogue:
    """OLD as read from changed files: with no generation yet."""
    return msgspec.structs.replace(OLD, generation=0, **fields)


def version(number: int, from_: datetime | None = None, **fields: Any) -> Meter:
    return msgspec.structs.replace(METER, version=number, from_=from_, **fields)


def test_the_first_publish_is_free() -> None:
    found = changes(None, edited(meters=(version(1, NOW - DAY),)), NOW_MS)
    assert (found.catalogue.generation, found.faults) == (1, [])


def test_publishing_the_same_again_changes_nothing() -> None:
    assert changes(OLD, edited(), NOW_MS) == (OLD, [], [])


@given(catalogues)
def test_no_catalogue_differs_from_itself(catalogue: Catalogue) -> None:
    assert changes(catalogue, msgspec.structs.replace(catalogue, generation=0), NOW_MS) == (catalogue, [], [])


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"meters": (METER, version(2, HOUR, precision=3))}, "meter requests/2: added"),
        ({"plans": (PLAN, Plan("pro", 2, "USD"))}, "plan pro/2: added"),
        ({"events": (*OLD.events, EventType("other", 1))}, "event other: added"),
        ({"contracts": (Contract("acme", "pro", MIDNIGHT - 60 * DAY),)}, "contract acme/2026-09-25T00:00:00Z: added"),
        ({"default_plan": None}, "default_plan: pro becomes none"),
        (
            {"accounts": (*OLD.accounts, Account("umbra", ("zone-1", "zone-2"), MIDNIGHT))},
            "account umbra/2026-11-24T00:00:00Z: added",
        ),
    ],
)
def test_what_may_change_raises_the_generation(fields: dict[str, Any], line: str) -> None:
    new = edited(**fields)
    assert changes(OLD, new, NOW_MS) == (msgspec.structs.replace(new, generation=4), [line], [])


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"meters": (version(1, precision=3),)}, "meter requests/1: is published and never changes; put it back"),
        ({"meters": ()}, "meter requests/1: is published and stays; put it back as it was"),
        ({"plans": (Plan("pro", 1, "USD"),)}, "plan pro/1: is published and never changes"),
        ({"plans": ()}, "plan pro/1: is published and stays"),
        ({"events": (EventType("http.request", 1),)}, "event http.request: is published and never changes"),
        (
            {"meters": (METER, version(2, HOUR - timedelta(hours=1)))},
            "meter requests/2: must begin at a future window, as earlier events are counted: "
            'set from = "2026-11-23T06:00:00Z" or later',
        ),
        (
            {"meters": (METER, version(1, id="new", window="1d"))},
            "meter new/1: must begin at a future window, as earlier events are counted: "
            'set from = "2026-11-24T00:00:00Z" or later',
        ),
        (
            {"accounts": (Account("acme", ("zone-1", "zone-2", "zone-3")),)},
            'subject zone-2 and 1 more: would move from its own account to "acme" from the beginning, where usage is',
        ),
        ({"accounts": ()}, 'subject zone-1: would move from "acme" to its own account from the beginning'),
        (
            {"accounts": (*OLD.accounts, Account("umbra", ("zone-1",), MIDNIGHT - DAY))},
            'subject zone-1: would move from "acme" to "umbra" from 2026-11-23T00:00:00Z, where usage is counted',
        ),
    ],
)
def test_what_was_counted_may_not_change(fields: dict[str, Any], fault: str) -> None:
    faults = changes(OLD, edited(**fields), NOW_MS).faults
    assert [str(found)[: len(fault)] for found in faults] == [fault]


def test_a_version_begins_beyond_the_clock_skew() -> None:
    """An event may be that far ahead, and may have been counted already."""
    new = edited(meters=(METER, version(2, HOUR)))
    assert changes(OLD, new, epoch_ms(HOUR) - 300_001).faults == []
    (fault,) = changes(OLD, new, epoch_ms(HOUR) - 300_000).faults
    assert "2026-11-23T07:00:00Z" in fault.message


@given(st.lists(catalogues, min_size=2, max_size=4))
def test_a_chain_of_publishes_grows_by_one_generation_each(files: list[Catalogue]) -> None:
    published: Catalogue | None = None
    for generation, new in enumerate(files, 1):
        new = msgspec.structs.replace(new, generation=0, default_plan=f"plan-{generation}")
        published = changes(published, new, NOW_MS).catalogue
        assert published.generation == generation


mappings = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.none() | st.sampled_from([MIDNIGHT + n * DAY for n in range(-2, 3)])),
    st.sets(st.sampled_from("xyz")),
    max_size=4,
)


@given(mappings, mappings, st.integers(-3, 3))
def test_mappings_may_differ_only_after_now(before: Any, after: Any, day: int) -> None:
    old, new = (
        Catalogue(1, accounts=tuple(Account(id, tuple(sorted(subjects)), at) for (id, at), subjects in given.items()))
        for given in (before, after)
    )
    now_ms = epoch_ms(MIDNIGHT + day * DAY) - 3_600_000
    past = [epoch_ms(MIDNIGHT + n * DAY) for n in range(-5, day)]
    same = all(old.account_of(subject, at_ms) == new.account_of(subject, at_ms) for subject in "xyz" for at_ms in past)
    assert (changes(old, new, now_ms).faults == []) == same


def test_decimals_come_back_to_the_last_digit() -> None:
    price = PerUnit("p", "m", "0.000000000000000001")
    published = decode(encode(Catalogue(generation=1, plans=(Plan("x", 1, "USD", price=(price,)),))))
    assert published is not None
    (found,) = published.plans[0].price
    assert isinstance(found, PerUnit)
    assert Decimal(found.unit_amount) == Decimal("0.000000000000000001")
