import msgspec
import pytest

from demo.flights import Expected, expected, flights


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return list(flights())


@pytest.fixture(scope="module")
def known() -> Expected:
    return expected()


def test_every_flight_is_one_event_with_its_own_id(lines: list[bytes]) -> None:
    assert len({msgspec.json.decode(line)["id"] for line in lines}) == len(lines) == 336_776


def test_a_flight_without_tail_number_says_nothing_of_it(lines: list[bytes]) -> None:
    tails = [msgspec.json.decode(line)["data"].get("tailnum", None) for line in lines]
    assert tails.count(None) == 2_512
    assert "NA" not in tails


def test_the_totals_of_polars_equal_a_plain_count_of_the_events(lines: list[bytes], known: Expected) -> None:
    months: dict[tuple[str, str], list[int]] = {}
    days: dict[tuple[str, str, str], list[str]] = {}
    for line in lines:
        event = msgspec.json.decode(line)
        carrier, time, data = event["subject"], event["time"], event["data"]
        month = months.setdefault((carrier, time[:7]), [0, 0])
        month[0] += data["distance"]
        month[1] += 1
        if "tailnum" in data:
            days.setdefault((carrier, data["origin"], time[:10]), []).append(data["tailnum"])
    assert known.distance == {key: (distance, count) for key, (distance, count) in months.items()}
    assert known.flights == {key: (count, count) for key, (_, count) in months.items()}
    assert known.tail_numbers_daily == {key: (len(set(tails)), len(tails)) for key, tails in days.items()}


def test_months_are_of_utc_so_the_last_night_lies_in_january_2014(known: Expected) -> None:
    assert sum(count.events for (_, month), count in known.flights.items() if month == "2014-01") == 88
    assert sum(count.events for count in known.tail_numbers.values()) == 336_776 - 2_512
