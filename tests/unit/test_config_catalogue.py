"""The catalogue's look-ups."""

from datetime import UTC, datetime

import pytest

from config.catalogue import BEGIN_MS, END_MS, Catalogue, EventType, Meter, epoch_ms
from rating.contracts import Account, Contract
from rating.plans import Plan

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


def meter(id: str = "requests", version: int = 1, from_: datetime | None = None) -> Meter:
    return Meter(id, version, "http.request", "sum", "requests", from_=from_)


def test_a_meter_version_takes_events_until_the_next_one_begins() -> None:
    catalogue = Catalogue(meters=(meter(version=2, from_=DECEMBER), meter(), meter("bytes", 1, NOVEMBER)))
    assert catalogue.meters_of("http.request") == (
        (meter("bytes", 1, NOVEMBER), epoch_ms(NOVEMBER), END_MS),
        (meter(), BEGIN_MS, epoch_ms(DECEMBER)),
        (meter(version=2, from_=DECEMBER), epoch_ms(DECEMBER), END_MS),
    )
    assert catalogue.meters_of("other") == ()


def test_a_version_for_another_event_type_still_ends_the_one_before() -> None:
    moved = Meter("requests", 2, "http.log", "count", from_=DECEMBER)
    catalogue = Catalogue(meters=(meter(), moved))
    assert catalogue.meters_of("http.request") == ((meter(), BEGIN_MS, epoch_ms(DECEMBER)),)
    assert catalogue.meters_of("http.log") == ((moved, epoch_ms(DECEMBER), END_MS),)


def test_the_account_of_a_subject_is_the_mapping_that_began_last() -> None:
    catalogue = Catalogue(accounts=(Account("umbra", ("zone-1",), DECEMBER), Account("acme", ("zone-1", "zone-2"))))
    december_ms = epoch_ms(DECEMBER)
    assert catalogue.account_of("zone-1", december_ms - 1) == "acme"
    assert catalogue.account_of("zone-1", december_ms) == "umbra"
    assert catalogue.account_of("zone-2", december_ms) == "acme"


def test_a_subject_without_a_mapping_is_its_own_account() -> None:
    catalogue = Catalogue(accounts=(Account("acme", ("zone-1",), DECEMBER),))
    assert catalogue.account_of("zone-9", 0) == "zone-9"
    assert catalogue.account_of("zone-1", epoch_ms(DECEMBER) - 1) == "zone-1"


def test_the_catalogue_names_accounts_and_contracts() -> None:
    plan = Plan("pro", 1, "USD")
    catalogue = Catalogue(
        default_plan="pro",
        events=(EventType("http.request", 86_400_000),),
        plans=(plan,),
        accounts=(Account("acme"), Account("acme", ("zone-1",), NOVEMBER)),
        contracts=(Contract("zone-7", "pro", NOVEMBER),),
    )
    assert catalogue.account_ids() == ("acme", "zone-7")
    assert catalogue.lateness_ms("http.request") == 86_400_000
    assert catalogue.tariff().plan_for("nobody", NOVEMBER.date()) == plan
    with pytest.raises(KeyError):
        catalogue.lateness_ms("other")


def test_instants_are_floored_to_milliseconds_without_a_float() -> None:
    assert epoch_ms(datetime(2026, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC)) == 1_767_225_600_999
    assert epoch_ms(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
