from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from demo.flights import Count
from demo.truth import compare_flights, compare_ledger, compare_usage
from edge.generate import Shape, Traffic
from edge.truth import Tally, rows


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    traffic = Traffic(Shape(seed=3, events=2_000, base_time=datetime(2026, 11, 23, 5, tzinfo=UTC), subjects=20))
    for _ in traffic.blocks():
        pass
    return traffic.truth()


def usage(known: dict[str, Any], meter: str) -> list[dict[str, Any]]:
    """What a correct `tollstream usage --group-by subject,...` prints."""
    return [
        {
            "meter": meter,
            "window_start": row.hour,
            "window_end": (datetime.fromisoformat(row.hour) + timedelta(hours=1)).isoformat(),
            "subject": row.subject,
            "dimensions": dict(row.dimensions),
            "quantity": f"{row.quantity:.6f}",
            "events": row.events,
        }
        for row in rows(known, meter)
    ]


def test_equal_usage_has_no_differences_however_its_numbers_and_times_are_written(known: dict[str, Any]) -> None:
    for meter in known["meters"]:
        records = usage(known, meter)
        records[0]["window_start"] = records[0]["window_start"].replace("Z", "+00:00")
        assert compare_usage(known, meter, reversed(records)) == []


def test_usage_of_fewer_groups_is_compared_with_the_sums(known: dict[str, Any]) -> None:
    sums: dict[str, tuple[Decimal, int]] = {}
    for row in rows(known, "worker_cpu_ms"):
        quantity, events = sums.get(row.hour, (Decimal(0), 0))
        sums[row.hour] = (quantity + row.quantity, events + row.events)
    records = [{"window_start": h, "dimensions": {}, "quantity": str(q), "events": n} for h, (q, n) in sums.items()]
    assert compare_usage(known, "worker_cpu_ms", records, by=()) == []


def test_a_wrong_a_missing_and_an_extra_total_are_each_found(known: dict[str, Any]) -> None:
    records = usage(known, "http_requests")
    records[0]["quantity"] = str(Decimal(records[0]["quantity"]) + 1)
    records[1]["events"] += 1
    del records[2]
    records.append(records[-1] | {"subject": "zone-unknown"})
    differences = compare_usage(known, "http_requests", records)
    assert len(differences) == 4
    assert sum(difference.found is None for difference in differences) == 1
    assert sum(difference.expected is None for difference in differences) == 1
    assert all("http_requests, from 2026-11-" in str(difference) for difference in differences)


def test_two_records_of_one_total_are_an_error_of_the_question(known: dict[str, Any]) -> None:
    records = usage(known, "http_requests")
    with pytest.raises(ValueError, match="group-by"):
        compare_usage(known, "http_requests", [*records, records[0]])


def test_the_ledger_is_compared_column_by_column(known: dict[str, Any]) -> None:
    assert compare_ledger(known, known["ledger"]) == []
    assert compare_ledger(known, known["ledger"] | {"late": 11}) == ["late: expected 10, found 11"]


def test_flights_are_compared_by_month_and_by_day() -> None:
    record = {"window_start": "2013-01-01T00:00:00Z", "subject": "UA", "dimensions": {"origin": "EWR"}, "events": 3}
    months: dict[tuple[str, ...], Count] = {("UA", "2013-01"): Count(7, 3)}
    assert compare_flights("distance", months, [record | {"quantity": "7"}], ["subject"]) == []
    assert len(compare_flights("distance", months, [record | {"quantity": "8"}], ["subject"])) == 1
    days: dict[tuple[str, ...], Count] = {("UA", "EWR", "2013-01-01"): Count(2, 3)}
    assert compare_flights("tail_numbers", days, [record | {"quantity": "2"}], ["subject", "origin"]) == []


def test_a_tally_adds_rows_of_one_key_over_many_additions() -> None:
    tally = Tally(2)
    for _ in range(3):
        tally.add(np.array([5, 1, 5]), np.array([10, 20, 2**60 // 3]), np.array([1, 1, 1]))
    keys, (first, second) = tally.read()
    assert keys.tolist() == [1, 5]
    assert first.tolist() == [60, 30 + 2**60 // 3 * 3]
    assert second.tolist() == [3, 6]
