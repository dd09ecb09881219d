"""Two readings of one log agree: that of the processors, by columns, and that of the check, one event at a time."""

import ast
import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
from admission_logs import CATALOGUE as STORIES
from admission_logs import Story
from events_samples import CATALOGUE, DAY_MS, RECORD_MS, SKEW_MS, event, to_json, to_msgpack, traffic
from hypothesis import given, settings
from hypothesis import strategies as st
from test_events_bad_input import BAD_MESSAGES
from test_events_paths_agree import JSON, PACKED, mangled
from xxhash import xxh3_128_intdigest

import reconcile
from config.catalogue import BEGIN_MS, Catalogue, EventType, Meter
from config.formulas import Formula
from config.settings import Limits
from processors.checkpoint import Recorder
from processors.events import Decoder
from processors.held import Held
from processors.meter import Batch, Letter, PartitionState
from reconcile.differences import Outcome as Found
from reconcile.recount import Recount
from reconcile.redis_side import RedisSide, stored_row
from reconcile.returned import HEAD, Outcome
from tests.fuzz.columnar import Batches
from tests.fuzz.columns import message

TIGHT = Limits(unique_max=3, dimension_sets_max=3, message_events_max=40)
FORBIDDEN = {"processors", "edge", "tollstream", "stack", "demo", "benchmarks"}
LOOKS_AT_REDIS = {"processors.held", "processors.state", "processors.partials"}

LOOKERS = {"check.py", "partition.py", "redis_side.py"}

BYTES_MS = ("bytes", "meta.ms")
WITH_FORMULAS = msgspec.structs.replace(
    CATALOGUE,
    meters=(
        *CATALOGUE.meters,
        Meter("up", 1, "traffic", "sum", Formula(BYTES_MS, (0, 3), "0.05", "up", "0.1", "90"), precision=2),
        Meter("down", 1, "traffic", "max", Formula(BYTES_MS, round="down"), precision=3, allow_negative=True),
        Meter("half", 1, "traffic", "min", Formula(("meta.ms",), (3,), "0.5", fee="7"), precision=1),
    ),
)

Messages = list[tuple[int, bytes | None]]  # record timestamp in ms, value


def processed(messages: Messages, limits: Limits, catalogue: Catalogue) -> tuple[PartitionState, list[Letter]]:
    state = PartitionState(catalogue, limits, Decoder(catalogue, limits, SKEW_MS))
    values, times = [value for _, value in messages], np.array([at for at, _ in messages], np.int64)
    return state, state.fold(Batch(values, np.arange(len(messages)), times))


def recounted(messages: Messages, limits: Limits, catalogue: Catalogue) -> Recount:
    recount = Recount(catalogue, limits, SKEW_MS)
    for offset, (at_ms, value) in enumerate(messages):
        recount.fold(offset, at_ms, value)
    return recount


def check_agreement(messages: Messages, limits: Limits = TIGHT, catalogue: Catalogue = WITH_FORMULAS) -> Recount:
    state, letters = processed(messages, limits, catalogue)
    recount = recounted(messages, limits, catalogue)
    assert recount.ledger == msgspec.structs.asdict(state.ledger)
    assert (recount.clock_ms, recount.offset) == (state.clock_ms, state.offset)
    held = Held(Recorder(state, 2**26).checkpoint(0, 0).head, state)
    assert {hour: ids for hour, ids in recount.hours.items() if ids} == held.hours()
    mine = {(window, chunk): row for window, one in recount.states() for chunk, row in one.rows()}
    assert mine == {
        ((*one.key, one.series, one.start_ms, one.admission), one.chunk): stored_row(one) for one in held.rows()
    }
    outcome = Found()
    RedisSide(outcome, catalogue, 0, recount, BEGIN_MS).compare_numbers(held.numbers())
    assert not outcome.count
    assert sorted((one.offset, one.index, one.late, one.raw) for one in recount.letters) == sorted(
        (one.offset, one.index, one.verdict == "late", xxh3_128_intdigest(one.raw)) for one in letters
    )
    check_returned(recount, state)
    return recount


def check_returned(recount: Recount, state: PartitionState) -> None:
    """Verdicts on what came back: `pending` has all of them, as nothing is acknowledged here."""
    settled = [one for _, admission in sorted(state.admissions.pending.items()) for one in admission.outcomes]
    assert recount.outcomes == [
        Outcome(
            one.admission,
            one.place,
            (one.topic, one.partition, one.offset, one.index),
            one.verdict,
            (one.id_hi << 64) | one.id_lo,
            one.clock_ms,
        )
        for one in settled
    ]


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_every_bad_message_is_refused_by_both(name: str) -> None:
    recount = check_agreement([(RECORD_MS, BAD_MESSAGES[name][0])])
    assert recount.ledger["invalid"] == recount.ledger["consumed"] > 0


AT = st.integers(-2 * DAY_MS, DAY_MS).map(lambda moved: RECORD_MS + moved)
VALUES = (
    JSON | PACKED | mangled() | st.none() | st.lists(JSON, max_size=50).map(lambda them: b"[" + b",".join(them) + b"]")
)


HOUR_MS = 3_600_000


@st.composite
def admissions(draw: st.DrawFn) -> bytes:
    """Records of commands, honest or not: whatever they claim, both readings come to the same."""
    clock_ms = RECORD_MS + draw(st.integers(-48, 24)) * HOUR_MS
    lateness_ms = draw(st.sampled_from([DAY_MS, DAY_MS, DAY_MS, HOUR_MS]))
    raws = st.one_of(JSON, PACKED, mangled(), st.just(b""), JSON.map(lambda one: b"[" + one + b"]"))
    one = st.tuples(st.integers(0, 3), st.integers(0, 1), raws, st.sampled_from([False, False, False, True]))
    packed = msgspec.msgpack.encode([clock_ms, lateness_ms, "T", 0, draw(st.lists(one, max_size=6))])
    return HEAD + (packed if draw(st.integers(0, 9)) else packed[: draw(st.integers(0, len(packed)))])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(AT | st.just(RECORD_MS), VALUES | admissions()), min_size=1, max_size=25))
def test_both_readings_of_any_log_agree(messages: Messages) -> None:
    check_agreement(messages)


@pytest.mark.parametrize("seed", range(12))
def test_both_readings_of_what_came_back_agree(seed: int) -> None:
    """Logs as commands make them: from letters, with an archive read some time ago, by ids and by numbers."""
    story = Story(seed, 120)
    messages: Messages = []
    for line in story.log:
        messages += [(line.timestamp_ms, b"")] * (line.offset - len(messages))  # offsets without a message
        messages.append((line.timestamp_ms, line.value))
    recount = check_agreement(messages, Limits(), STORIES)
    assert recount.ledger["admitted"] == story.verdicts["accepted"] > 0


@pytest.mark.parametrize("seed", range(4))
def test_formulas_of_both_readings_agree(seed: int) -> None:
    """Both signs, halves, bounds, too many decimals, and products that are too large."""
    rng, messages = random.Random(seed), []
    for place in range(300):
        millis = rng.choice(["0.025", "-0.025", "0.250", "0.75", "-7.2501", "1e9", f"{rng.randrange(-900, 900)}.125"])
        data = {"bytes": rng.choice([0, 1, 3, "20", 10**9, 10**17]), "meta": {"ms": millis}, "status": 1, "units": 1}
        one = traffic(**data) | {"id": f"e{place}"}
        messages.append((RECORD_MS, rng.choice([to_json, to_msgpack])(one)))
    recount = check_agreement(messages, Limits())
    assert min(recount.ledger[name] for name in ("accepted", "invalid")) > 20


@pytest.mark.parametrize("seed", range(12))
def test_both_readings_of_columnar_messages_agree(seed: int) -> None:
    rng, messages = random.Random(seed), list[tuple[int, bytes | None]]()
    for place in range(40):
        value = bytearray(message(Batches(rng, 0.05).columns(rng.choice((1, 3, 30)))))
        if rng.random() < 0.4:
            at = rng.randrange(4, len(value))
            value[at : at + rng.choice((0, 1))] = bytes([rng.choice((0, 1, 0xFF, value[at] ^ 1 << rng.randrange(8)))])
        messages.append((RECORD_MS + place, bytes(value)))
    check_agreement(messages)


def test_events_that_nest_too_deep_harm_no_neighbour() -> None:
    deep = b'{"a":' + b"[" * 600 + b"]" * 600 + b"}"
    deeper = b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    good, packed = to_json(event("pulse")), to_msgpack(event("pulse"))
    for one in (deep, deeper):
        check_agreement([(RECORD_MS, one), (RECORD_MS, b"[" + good + b", " + one + b"]")])
    nested = b"\x81\xa1a" + b"\x91" * 5_000 + b"\xc0"
    recount = check_agreement([(RECORD_MS, b"\x92" + packed + nested), (RECORD_MS, b"[" + deeper + b",{]")])
    assert (recount.ledger["accepted"], recount.ledger["invalid"]) == (1, 2)


def test_limits_of_a_window_refuse_the_same_events() -> None:
    seats = [event("seat", id=f"e{n}", data={"user": {"id": f"u{n % 5}"}, "plan": f"p{n % 2}"}) for n in range(40)]
    zones = [traffic(zone=f"z{n % 6}") | {"id": f"t{n}"} for n in range(40)]
    recount = check_agreement([(RECORD_MS, to_json(seats)), (RECORD_MS, to_json(zones))])
    assert recount.ledger["invalid"] > 10


NUMBERED = Catalogue(
    events=(EventType("pulse", DAY_MS), EventType("disk", DAY_MS)),
    meters=(
        Meter("pulses", 1, "pulse", "count"),
        Meter("stored", 1, "disk", "gauge", "bytes", precision=2, allow_negative=True, dimensions=("tier",)),
    ),
)


@pytest.mark.parametrize("seed", range(8))
def test_numbers_of_sources_and_readings_of_gauges_agree(seed: int) -> None:
    rng = random.Random(seed)
    messages: Messages = []
    for place in range(400):
        at_ms = RECORD_MS + place * 400_000  # across two days
        time_ms = at_ms - rng.randrange(6) * 7_200_000
        time = np.datetime64(time_ms, "ms").item().isoformat() + "Z"
        data = {"bytes": f"{rng.randrange(-50, 500)}.{rng.randrange(100):02d}", "tier": rng.choice("ab")}
        one = event(id=f"e{rng.randrange(250)}", source=f"s{rng.randrange(3)}", time=time, data=data)
        one["type"] = rng.choice(["pulse", "disk"])
        if rng.random() < 0.7:
            odd = rng.random() < 0.05
            one |= {
                "sequencetype": "tollstream",
                "sequence": rng.choice(["07", 7, "-1"]) if odd else str(rng.randrange(60)),
            }
        again = rng.choice(messages)[1] if messages and rng.random() < 0.1 else None
        messages.append((at_ms, again or rng.choice([to_json, to_msgpack])(one)))
    recount = check_agreement(messages, Limits(unique_max=20), NUMBERED)
    assert min(recount.ledger[name] for name in ("accepted", "duplicate", "late", "invalid")) > 0
    assert recount.days


def test_memory_is_bounded_by_what_is_open() -> None:
    recount = Recount(CATALOGUE, Limits(), SKEW_MS)
    for hour in range(200):
        at_ms = RECORD_MS + hour * 3_600_000
        time = np.datetime64(at_ms, "ms").item().isoformat() + "Z"
        recount.fold(hour, at_ms, to_json(event("pulse", id=f"e{hour}", time=time)))
        for key in recount.windows:
            for _ in recount.close(key):
                pass
    assert len(recount.hours) == 25
    assert len(list(recount.states())) == 25


def test_nothing_of_the_processors_is_shared_but_what_reads_redis() -> None:
    for path in sorted(Path(reconcile.__file__).parent.glob("*.py")):
        for name in imports(path):
            assert name.split(".")[0] not in FORBIDDEN or name in LOOKS_AT_REDIS, f"{path.name} imports {name}"
            assert not name.startswith("processors") or path.name in LOOKERS, path.name


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
    return found
