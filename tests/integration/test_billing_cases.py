"""Bills of real price lists, from events through Kafka to the amount, each worked out by hand to the cent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec
import pytest
from pipeline import PARTITIONS, Message, Pipeline

from config.catalogue import Catalogue
from config.loader import load
from rating.billing import rate_period
from rating.corrections import Books, Correction, correction, late_correction
from rating.openings import Invoiced, Opening
from rating.periods import Period, parse_period
from rating.pools import allocated, shares
from rating.rated import RatedPeriod
from rating.totals import Total
from sinks.window_totals import window_totals
from tollstream.bills import rated_periods

NOW = datetime(2026, 11, 1, tzinfo=UTC)
AUGUST, SEPTEMBER, OCTOBER = (parse_period(f"2026-{month:02}") for month in (8, 9, 10))


def catalogue(folder: Path) -> Catalogue:
    (folder / "catalogue.toml").write_bytes((Path(__file__).parent / "billing_cases.toml").read_bytes())
    return load(folder, {}).catalogue


class Sender:
    """Makes the records of events; an event of a subject always goes to one partition."""

    def __init__(self) -> None:
        self.records: list[Message] = []
        self._sent = 0

    def use(self, subject: str, meter: str, quantity: str | int, at: datetime, zone: str = "") -> None:
        self._sent += 1
        event = {
            "specversion": "1.0", "id": str(self._sent), "source": "test", "type": "usage", "subject": subject,
            "time": at.isoformat().replace("+00:00", "Z"),
            "data": {"meter": meter, "quantity": str(quantity), "zone": zone},
        }  # fmt: skip
        record = Message(crc32(subject.encode()) % PARTITIONS, int(NOW.timestamp()) * 1000, msgspec.json.encode(event))
        self.records.append(record)

    def take(self) -> list[Message]:
        records, self.records = self.records, []
        return records


def at(month: Period, day: int, hour: int = 12) -> datetime:
    return datetime(month.start.year, month.start.month, day, hour, tzinfo=UTC)


def usage(send: Sender) -> None:
    """All that is known when the periods end."""
    send.use("workers", "requests", 9_000_000, at(SEPTEMBER, 3))
    send.use("workers", "requests", 6_234_567, at(SEPTEMBER, 28))
    send.use("workers", "cpu_ms", 107_641_969, at(SEPTEMBER, 9))
    send.use("storage", "stored_gb", "1200.50", at(SEPTEMBER, 30, 0))
    send.use("storage", "stored_gb", "2750.25", at(OCTOBER, 11, 0))  # and nothing more until the month ends
    send.use("operations", "a", 1_000_000, at(SEPTEMBER, 1))
    send.use("operations", "a", 1_000_001, at(SEPTEMBER, 30))
    send.use("operations", "b", 13_450_000, at(SEPTEMBER, 30))
    for slot in range(8_640):  # of two zones, whose samples are added before they are ranked
        for zone in ("burst-1", "burst-2"):
            when = at(SEPTEMBER, 1, 0) + timedelta(minutes=5 * slot + 2)
            send.use(zone, "mbps", "4700" if slot % 20 == 0 else "406.2", when)
    for zone, gb in (("z1", "723"), ("z2", "0.4"), ("z3", "12.35")):
        send.use("argo", "gb", gb, at(SEPTEMBER, 5), zone)
    for zone, gb in (("na", "10250"), ("eu", "4000"), ("asia", "3100"), ("africa", "50")):
        send.use("regional", "gb", gb, at(SEPTEMBER, 5), zone)
    for child, tb in (("child-1", "62.5"), ("child-2", "41.25"), ("child-3", "11.25")):
        send.use(child, "gb", tb, at(SEPTEMBER, 5))
    for day, meter, quantity in ((3, "a", 400), (7, "b", 500), (9, "a", 300), (15, "b", 250)):
        send.use("prepaid", meter, quantity, at(SEPTEMBER, day))
    for account in ("restart", "prorate", "continue", "reprice"):
        send.use(account, "requests", 24_000_000, at(SEPTEMBER, 8))
        send.use(account, "requests", 36_000_000, at(SEPTEMBER, 20))
    for account in ("late_graduated", "late_marginal"):
        send.use(account, "requests", 9_900_000, at(SEPTEMBER, 8))
        send.use(account, "requests", 20_000_000, at(OCTOBER, 8))
    send.use("late_volume", "gb", 990_000, at(SEPTEMBER, 8))
    send.use("credit_after", "a", 60, at(SEPTEMBER, 8))
    send.use("credit_before", "a", 60, at(SEPTEMBER, 8))
    send.use("minimum", "a", 20, at(SEPTEMBER, 8))
    send.use("minimum", "a", 40, at(SEPTEMBER, 9))


def late_usage(send: Sender) -> None:
    """What comes when the invoices are out."""
    send.use("prepaid", "b", 150, at(SEPTEMBER, 2))
    send.use("late_graduated", "requests", 500_000, at(SEPTEMBER, 9))
    send.use("late_marginal", "requests", 500_000, at(SEPTEMBER, 9))
    send.use("late_volume", "gb", 20_000, at(SEPTEMBER, 9))


class Bills(NamedTuple):
    """The rated periods of each account and month as invoiced, and again with the late usage; late windows alone."""

    catalogue: Catalogue
    first: dict[tuple[str, Period], RatedPeriod]
    again: dict[tuple[str, Period], RatedPeriod]
    windows: dict[str, list[Total]]  # of both months, as invoiced
    late: dict[str, list[Total]]
    rows: dict[tuple[str, str, date], Decimal]  # (account, price, start of the period) -> sum of its rated rows
    unrated: dict[tuple[str, date], tuple[Decimal, str]]


@pytest.fixture(scope="module")
def bills(services: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bills]:
    made = catalogue(tmp_path_factory.mktemp("cases"))
    pipeline = Pipeline(
        services["TOLLSTREAM_KAFKA__BOOTSTRAP"],
        services["TOLLSTREAM_REDIS__URL"],
        services["TOLLSTREAM_CLICKHOUSE__URL"],
        "billing_cases",
        made,
    )
    send = Sender()
    usage(send)
    pipeline.send(send.take())
    pipeline.catch_up()
    first, windows = invoices(pipeline), windows_of(pipeline)
    late_usage(send)
    pipeline.send(send.take())
    pipeline.catch_up()
    late = {
        account: [one for one in held if one not in windows[account]] for account, held in windows_of(pipeline).items()
    }
    query = """SELECT account, price, period_start, sum(amount), sumIf(quantity, amount IS NULL), any(unrated_reason)
        FROM rated_usage GROUP BY account, price, period_start, amount IS NULL"""
    rows, unrated = {}, {}
    for account, price, start, amount, quantity, reason in pipeline.client.query(query).result_rows:
        if reason:
            unrated[(account, start)] = (quantity, reason)
        else:
            rows[(account, price, start)] = amount
    yield Bills(pipeline.catalogue, first, invoices(pipeline), windows, late, rows, unrated)
    pipeline.close()


def invoices(pipeline: Pipeline) -> dict[tuple[str, Period], RatedPeriod]:
    found = {}
    for contract in pipeline.catalogue.contracts:
        for month in (SEPTEMBER, OCTOBER):
            for rated in rated_periods(pipeline.client, pipeline.catalogue, contract.account, month, NOW):
                found[(contract.account, month)] = rated
    return found


def windows_of(pipeline: Pipeline) -> dict[str, list[Total]]:
    start, end = datetime(2026, 9, 1, tzinfo=UTC), NOW
    accounts = [contract.account for contract in pipeline.catalogue.contracts]
    return {
        account: list(
            window_totals(pipeline.client, account, start, end, {meter.id for meter in pipeline.catalogue.meters})
        )
        for account in accounts
    }


def lines(rated: RatedPeriod) -> dict[str, str]:
    """price -> what is owed for it, with the terms that are about it."""
    owed: dict[str, Decimal] = defaultdict(Decimal)
    for line in rated.lines:
        owed[line.price] += line.amount
    for term in rated.terms:
        if term.price is not None and term.kind != "billed_ahead":
            owed[term.price] += term.amount
    return {price: str(amount) for price, amount in owed.items()}


PLAIN = {
    "workers": ({"base": "5.00", "requests": "1.57", "cpu": "1.55"}, "8.12"),
    "operations": ({"class_a": "9.00", "class_b": "1.44"}, "10.44"),
    "burst": ({"bandwidth": "1068.60"}, "1068.60"),
    "argo": ({"argo": "88.34"}, "88.34"),
    "regional": ({"egress": "2129.00"}, "2129.00"),
    "enterprise": ({"transfer": "600.00"}, "600.00"),
    "prepaid": ({"A": "220.00", "B": "275.00"}, "495.00"),
    "credit_after": ({"p": "60.00"}, "50.00"),
    "credit_before": ({"p": "60.00"}, "100.00"),
    "minimum": ({"p": "100.00"}, "100.00"),
    "minimum_unused": ({"p": "100.00"}, "100.00"),
}


@pytest.mark.parametrize("account", PLAIN)
def test_a_month_comes_to_the_cent(bills: Bills, account: str) -> None:
    rated = bills.first[(account, SEPTEMBER)]
    assert (lines(rated), str(rated.total)) == PLAIN[account]


def test_storage_is_billed_by_daily_peaks_also_on_days_without_an_event(bills: Bills) -> None:
    assert lines(bills.first[("storage", OCTOBER)]) == {"divisor_30": "34.74", "divisor_actual": "33.62"}


def test_each_zone_has_its_own_fee_and_allowance(bills: Bills) -> None:
    found = {line.values["zone"]: str(line.amount) for line in bills.first[("argo", SEPTEMBER)].lines}
    assert found == {"z1": "77.20", "z2": "5.00", "z3": "6.14"}


def test_a_region_without_a_price_is_not_rated_and_says_so(bills: Bills) -> None:
    (row,) = bills.first[("regional", SEPTEMBER)].unrated
    assert (row.quantity, row.values, row.reason) == (50, {"zone": "africa"}, "no matrix row for zone 'africa'")
    assert bills.unrated[("regional", SEPTEMBER.start)] == (50, "no matrix row for zone 'africa'")


def test_a_pooled_overage_is_allocated_back_by_usage(bills: Bills) -> None:
    price = bills.catalogue.tariff().versions["pooled"][0].price[0]
    by = shares(price, bills.windows["enterprise"], SEPTEMBER)
    amounts = {child: str(amount) for child, amount in allocated(Decimal("600.00"), "USD", by).items()}
    assert amounts == {"child-1": "326.09", "child-2": "215.22", "child-3": "58.69"}


def test_a_late_window_moves_the_drawdown_of_both_prices(bills: Bills) -> None:
    rated = bills.again[("prepaid", SEPTEMBER)]
    assert (lines(rated), str(rated.total)) == ({"A": "330.00", "B": "330.00"}, "660.00")


@pytest.mark.parametrize(
    ("policy", "requests"), [("restart", "4.20"), ("prorate", "8.45"), ("continue", "6.70"), ("reprice", "2.50")]
)
def test_an_upgrade_half_way_is_priced_as_its_contract_says(bills: Bills, policy: str, requests: str) -> None:
    """The flat price was billed ahead: half of the old one comes back, half of the new one is owed."""
    contract = next(one for one in bills.catalogue.contracts if one.account == policy)
    ahead = Opening(datetime(2026, 9, 1, tzinfo=UTC), invoiced=(Invoiced("old", "base", Decimal("25.00")),))
    known = rate_period(contract, bills.windows[policy], bills.catalogue.tariff(), ahead)
    for rated in (bills.first[(policy, SEPTEMBER)], known):
        assert str(sum(line.amount for line in rated.lines if line.price == "requests")) == requests
        flat = {line.plan: str(line.amount) for line in rated.lines if line.price == "base"}
        assert flat == {"old": "12.50", "new": "125.00"}
    (credited,) = [term.amount for term in known.terms if term.kind == "already_invoiced"]
    assert str(credited) == "-25.00"


def late(bills: Bills, account: str) -> Correction:
    contract = next(one for one in bills.catalogue.contracts if one.account == account)
    opened = [Opening(datetime.combine(month.start, datetime.min.time(), UTC)) for month in (SEPTEMBER, OCTOBER)]
    late_hours = {one.start_ms for one in bills.late[account]}
    known = [one for one in bills.windows[account] if one.start_ms not in late_hours]
    books = [
        Books([one for one in known if (one.start_ms < opened[1].at.timestamp() * 1000) == (place == 0)], opening)
        for place, opening in enumerate(opened)
    ]
    return late_correction(contract, bills.late[account], *books, bills.catalogue.tariff())


@pytest.mark.parametrize(
    ("account", "total"), [("late_graduated", "0.12"), ("late_marginal", "0.15"), ("late_volume", "-9100.00")]
)
def test_late_usage_after_the_invoice_is_a_correction(bills: Bills, account: str, total: str) -> None:
    assert str(late(bills, account).total) == total
    if account != "late_marginal":
        difference = correction(bills.first[(account, SEPTEMBER)], bills.again[(account, SEPTEMBER)])
        assert str(difference.total) == total


def test_i6_rated_rows_add_up_to_the_lines_of_every_bill(bills: Bills) -> None:
    """Terms of a contract are the preview's: rows hold what its prices come to."""
    compared = 0
    for (account, month), rated in bills.again.items():
        owed: dict[str, Decimal] = defaultdict(Decimal)
        for line in rated.lines:
            owed[line.price] += line.amount_unrounded
        for price, amount in owed.items():
            found = bills.rows.get((account, price, month.start), Decimal(0))
            assert (account, month.start, price, found) == (account, month.start, price, amount)
            compared += 1
    assert compared > 30
