from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge import malformed, truth
from edge.generate import Shape, Traffic, write
from edge.recount import METERS, recount

NOW = datetime(2026, 11, 23, 5, 30, 0, 250_000, tzinfo=UTC)
SHAPE = Shape(
    seed=7, events=60_000, base_time=NOW, subjects=300, duplicates=0.05, late=0.02, malformed=0.01, unmetered=0.01
)


def lines_of(shape: Shape) -> tuple[list[bytes], dict[str, Any]]:
    traffic = Traffic(shape)
    lines = [line for block in traffic.blocks() for line in block]
    return lines, traffic.truth()


@pytest.fixture(scope="module")
def traffic() -> tuple[list[bytes], dict[str, Any]]:
    return lines_of(SHAPE)


def test_the_truth_equals_a_naive_recount_of_the_lines(traffic: tuple[list[bytes], dict[str, Any]]) -> None:
    lines, known = traffic
    counted = recount(lines, NOW, SHAPE.lateness)
    assert known["ledger"] == counted.ledger
    totals = {
        (meter, row.subject, row.dimensions[0][1], datetime.fromisoformat(row.hour)): (row.quantity, row.events)
        for meter in METERS
        for row in truth.rows(known, meter)
    }
    assert totals == counted.totals


def test_a_hot_subject_has_its_share_and_the_truth_knows_it() -> None:
    lines, known = lines_of(msgspec.structs.replace(SHAPE, events=10_000, hot=0.9))
    assert recount(lines, NOW, SHAPE.lateness).ledger == known["ledger"]
    hot = sum(b'"subject":"zone-0"' in line for line in lines)
    assert 0.88 < hot / len(lines) < 0.94


@pytest.fixture(scope="module")
def mixed() -> tuple[list[bytes], dict[str, Any]]:
    return lines_of(msgspec.structs.replace(SHAPE, sequenced=0.5))


def test_the_truth_of_traffic_with_and_without_numbers_equals_the_recount(
    mixed: tuple[list[bytes], dict[str, Any]],
) -> None:
    lines, known = mixed
    assert recount(lines, NOW, SHAPE.lateness).ledger == known["ledger"]


def test_numbers_come_late_or_never_on_the_partition_of_their_source(
    mixed: tuple[list[bytes], dict[str, Any]],
) -> None:
    numbers: dict[str, list[int]] = {}
    subjects: dict[str, set[str]] = {}
    seen: set[bytes] = set()
    for line in mixed[0]:
        if line in seen:
            continue
        seen.add(line)
        try:
            event = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # broken on purpose
        if "sequence" in event:
            numbers.setdefault(event["source"], []).append(int(event["sequence"]))
            subjects.setdefault(event["source"], set()).add(event.get("subject", "none"))
    assert 100 < len(numbers) < 200
    assert 10_000 < mixed[1]["numbered"] < 50_000
    assert all(len(found - {"none"}) <= 1 for found in subjects.values())
    assert all(len(found) == len(set(found)) for found in numbers.values())
    assert sum(found != sorted(found) for found in numbers.values()) > 50
    assert sum(max(found) >= len(found) for found in numbers.values()) > 20


def test_numbers_change_no_other_line() -> None:
    """Ids say which shape they are of; all else of the lines without numbers is as it was."""
    small = msgspec.structs.replace(SHAPE, events=3_000, malformed=0)
    plain, mixed = lines_of(small)[0], lines_of(msgspec.structs.replace(small, sequenced=0.5))[0]
    others = [(one, other) for one, other in zip(plain, mixed, strict=True) if b"sequence" not in other]
    assert 500 < len(others) < 2_500
    assert all(one[40:] == other[40:] for one, other in others)


def test_every_share_is_met_exactly_and_the_ledger_balances(traffic: tuple[list[bytes], dict[str, Any]]) -> None:
    lines, known = traffic
    assert len(lines) == SHAPE.events
    assert known["ledger"] == {
        "consumed": 60_000,
        "accepted": 54_600,
        "duplicate": 3_000,
        "late": 1_200,
        "invalid": 600,
        "unmetered": 600,
    }
    assert sum(known["malformed"].values()) == 600
    assert set(known["malformed"]) == set(malformed.KINDS)


def test_the_seed_decides_every_byte(traffic: tuple[list[bytes], dict[str, Any]]) -> None:
    assert lines_of(SHAPE) == traffic
    assert lines_of(msgspec.structs.replace(SHAPE, seed=8))[0] != traffic[0]


def test_the_zone_in_which_the_base_time_is_given_does_not_matter() -> None:
    small = msgspec.structs.replace(SHAPE, events=500)
    moved = msgspec.structs.replace(small, base_time=NOW.astimezone(timezone(timedelta(hours=5))))
    assert lines_of(small) == lines_of(moved)


def test_no_two_runs_share_an_id() -> None:
    ids = set()
    for change in ({}, {"seed": 8}, {"base_time": NOW + timedelta(milliseconds=1)}, {"subjects": 301}, {"events": 999}):
        shape = msgspec.structs.replace(SHAPE, **{"events": 1000, "malformed": 0, "duplicates": 0} | change)
        ids |= {msgspec.json.decode(line)["id"] for line in lines_of(shape)[0]}
    assert len(ids) == 4999


def test_duplicates_follow_their_event_both_near_and_far(traffic: tuple[list[bytes], dict[str, Any]]) -> None:
    first: dict[bytes, int] = {}
    distances = []
    for number, line in enumerate(traffic[0]):
        if line in first:
            distances.append(number - first[line])
        first.setdefault(line, number)
    assert len(distances) == 3_000
    assert sum(distance < 300 for distance in distances) > 1_000
    assert sum(distance > 20_000 for distance in distances) > 200


@pytest.mark.parametrize("kind", malformed.KINDS)
def test_every_kind_of_malformed_line_is_one_invalid_event(kind: str) -> None:
    shape = msgspec.structs.replace(SHAPE, events=100, duplicates=0, late=0, malformed=0, unmetered=0)
    good = next(line for line in lines_of(shape)[0] if b'"http.request"' in line)
    counted = recount([good, malformed.spoil(good, kind)], NOW, shape.lateness)
    assert (counted.ledger["accepted"], counted.ledger["invalid"]) == (1, 1)


def test_the_subjects_are_few_and_hot_first(traffic: tuple[list[bytes], dict[str, Any]]) -> None:
    events: dict[str, int] = {}
    for row in truth.rows(traffic[1], "http_requests"):
        events[row.subject] = events.get(row.subject, 0) + row.events
    assert set(events) <= {f"zone-{i}" for i in range(300)}
    assert max(events, key=lambda subject: events[subject]) == "zone-0"


@pytest.mark.parametrize("events", [1, 2, 3, 10])
def test_the_smallest_runs_are_whole(events: int) -> None:
    shape = Shape(seed=1, events=events, base_time=NOW, subjects=1, duplicates=0.4, late=0, malformed=0, unmetered=0)
    lines, known = lines_of(shape)
    assert recount(lines, NOW, shape.lateness).ledger == known["ledger"]
    assert known["ledger"]["consumed"] == events


def test_a_wrong_shape_is_refused_with_all_its_faults() -> None:
    with pytest.raises(ValueError, match=r"seed.*subjects.*zone.*lateness"):
        Traffic(Shape(seed=-1, events=10, base_time=datetime(2026, 1, 1), subjects=0, lateness=timedelta(hours=6)))
    with pytest.raises(ValueError, match="at least one event to be accepted"):
        Traffic(Shape(seed=1, events=10, base_time=NOW, duplicates=0.5, late=0.5))


def test_the_truth_is_not_given_before_the_last_line() -> None:
    with pytest.raises(RuntimeError, match="after the last block"):
        Traffic(SHAPE).truth()


def test_the_files_hold_the_lines_and_the_truth_beside_them(tmp_path: Path) -> None:
    shape = msgspec.structs.replace(SHAPE, events=70_000)
    added: list[int] = []
    known = write(Traffic(shape), tmp_path / "traffic.ndjson", added.append)
    lines, expected = lines_of(shape)
    assert (tmp_path / "traffic.ndjson").read_bytes().splitlines() == lines
    assert truth.load(tmp_path / "traffic.ndjson.truth.json") == known == expected
    assert added == [50_000, 20_000]


def test_another_file_is_not_taken_for_a_truth(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"[]")
    with pytest.raises(ValueError, match="format 1"):
        truth.load(tmp_path / "x.json")
