"""The preview of an invoice: its lines, what it cannot rate, and published cases worked to the cent."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from rating.billing import rate_period
from rating.commitments import Commitment
from rating.contracts import Contract
from rating.credits import Credit
from rating.invoices import Invoice, MeterTotal, SegmentUsage, document, period_document, preview
from rating.money import MixedCurrencyError
from rating.periods import Period
from rating.plans import Plan
from rating.prices import Flat, Graduated, PerUnit, Price, Tier
from rating.rate import Segment, Tariff
from tests.unit.rating_contracts import OPENING, START, contract
from tests.unit.rating_contracts import used as rated_used

NOVEMBER = Period(date(2026, 11, 1), date(2026, 12, 1))
MIDDLE = date(2026, 11, 16)


def allowance(price: str, meter: str, free: str, unit_amount: str) -> Graduated:
    return Graduated(price, meter, (Tier(up_to=free, unit_amount="0"), Tier(unit_amount=unit_amount)))


def used(**totals: str | int) -> dict[str, MeterTotal]:
    return {meter: MeterTotal(Decimal(quantity), 1) for meter, quantity in totals.items()}


def bill(prices: tuple[Price, ...], totals: dict[str, MeterTotal], currency: str = "USD") -> Invoice:
    segment = Segment(Plan("pro", 3, currency, price=prices), NOVEMBER.start, NOVEMBER.end)
    return preview("acme", NOVEMBER, [SegmentUsage(segment, totals)])


WORKERS = (
    Flat("base", "5.00"),
    allowance("requests", "requests", "10000000", "0.0000003"),
    allowance("cpu", "cpu_ms", "30000000", "0.00000002"),
)


def test_workers_paid_with_two_meters() -> None:
    invoice = bill(WORKERS, used(requests=15_234_567, cpu_ms=107_641_969))
    assert [(line.price, str(line.amount)) for line in invoice.lines] == [
        ("base", "5.00"),
        ("requests", "1.57"),
        ("cpu", "1.55"),
    ]
    assert [line.amount_unrounded for line in invoice.lines[1:]] == [Decimal("1.5703701"), Decimal("1.55283938")]
    assert str(invoice.total) == "8.12"
    assert str(bill(WORKERS, used(requests=15_000_000, cpu_ms=15_000_000 * 7)).total) == "8.00"


def test_a_flat_price_and_every_other_line_are_there_without_usage() -> None:
    invoice = bill(WORKERS, {})
    assert [(line.price, line.quantity, line.events, str(line.amount)) for line in invoice.lines] == [
        ("base", 0, 0, "5.00"),
        ("requests", 0, 0, "0.00"),
        ("cpu", 0, 0, "0.00"),
    ]
    assert str(invoice.total) == "5.00"


def test_regional_tiers_are_each_their_own_and_an_unpriced_region_is_reported() -> None:
    def region(meter: str, first: str, then: str) -> Graduated:
        return Graduated(meter, meter, (Tier(up_to="10000", unit_amount=first), Tier(unit_amount=then)))

    invoice = bill(
        (region("na_eu", "0.12", "0.08"), region("asia", "0.19", "0.14")), used(na_eu=14250, asia=3100, af=50)
    )
    assert [str(line.amount) for line in invoice.lines] == ["1540.00", "589.00"]
    assert str(invoice.total) == "2129.00"
    (unrated,) = invoice.unrated
    assert (unrated.meter, unrated.quantity, unrated.events) == ("af", 50, 1)
    assert unrated.reason == "plan 'pro' version 3 has no price for this meter"


def test_an_allowance_without_rounding_up_to_millions() -> None:
    assert str(bill((allowance("class_a", "a", "1000000", "0.0000045"),), used(a=2_000_001)).total) == "4.50"


def test_usage_of_an_account_without_plan_is_unrated_with_the_reason() -> None:
    segment = Segment(None, NOVEMBER.start, NOVEMBER.end, "no contract")
    totals = used(requests=7) | {"nothing": MeterTotal(Decimal(0), 0), "zeros": MeterTotal(Decimal(0), 3)}
    invoice = preview("acme", NOVEMBER, [SegmentUsage(segment, totals)])
    assert (invoice.currency, invoice.lines, invoice.total) == (None, (), 0)
    assert [(line.meter, line.quantity, line.events, line.reason) for line in invoice.unrated] == [
        ("requests", 7, 1, "no contract"),
        ("zeros", 0, 3, "no contract"),
    ]


def test_each_segment_prices_its_own_days() -> None:
    old = Plan("old", 1, "USD", price=(allowance("requests", "requests", "10000000", "0.0000003"),))
    new = Plan("new", 1, "USD", price=(allowance("requests", "requests", "50000000", "0.00000025"),))
    invoice = preview(
        "acme",
        NOVEMBER,
        [
            SegmentUsage(Segment(old, NOVEMBER.start, MIDDLE), used(requests=24_000_000)),
            SegmentUsage(Segment(new, MIDDLE, NOVEMBER.end), used(requests=36_000_000)),
        ],
    )
    assert [(line.plan, line.segment_start, str(line.amount)) for line in invoice.lines] == [
        ("old", NOVEMBER.start, "4.20"),
        ("new", MIDDLE, "0.00"),
    ]


def test_a_line_says_whose_it_is_and_when_and_all_that_nothing_prices_is_reported() -> None:
    plan = Plan("pro", 3, "USD", price=(PerUnit("p", "m", "2"),))
    segments = [
        SegmentUsage(Segment(None, NOVEMBER.start, MIDDLE, "no contract"), used(m=1)),
        SegmentUsage(Segment(plan, MIDDLE, NOVEMBER.end), used(m=2, other=3)),
    ]
    invoice = preview("acme", NOVEMBER, segments)
    assert invoice.account == "acme"
    (line,) = invoice.lines
    assert (line.plan, line.plan_version, line.model, line.meter) == ("pro", 3, "per_unit", "m")
    assert (line.segment_start, line.segment_end) == (MIDDLE, NOVEMBER.end)
    assert [(row.meter, row.segment_start, row.segment_end) for row in invoice.unrated] == [
        ("m", NOVEMBER.start, MIDDLE),
        ("other", MIDDLE, NOVEMBER.end),
    ]


def test_nothing_to_pay_has_the_digits_of_its_currency() -> None:
    assert document(bill((), {}))["total"] == "0.00"
    assert document(preview("acme", NOVEMBER, []))["total"] == "0"


def test_a_unit_of_many_digits_is_written_without_an_exponent() -> None:
    invoice = document(bill((Flat("base", "0.00000001"),), {}, "tokens/9"))
    assert (invoice["total"], invoice["lines"][0]["amount"]) == ("0.000000010", "0.000000010")
    made = Contract("acme", "pro", START, credit=(Credit(id="c", amount="0.00000001", counts="after_minimum"),))
    price = PerUnit("p", "m", "0.00000001", allocate_by="zone")
    tariff = Tariff(None, (Plan("pro", 1, "tokens/9", price=(price,)),), (made,))
    written = period_document(rate_period(made, [rated_used(1, 2, zone="a")], tariff, OPENING))
    assert (written["subtotal"], written["total"]) == ("0.000000020", "0.000000010")
    (line,), (term,) = written["lines"], written["terms"]
    assert (line["amount"], line["allocated"], term["amount"]) == ("0.000000020", {"a": "0.000000020"}, "-0.000000010")


def test_a_rated_period_is_json_with_the_digits_of_its_currency_and_without_what_it_hands_on() -> None:
    premium = Commitment(id="c", kind="prepaid", amount="2.50")
    made, tariff = contract(PerUnit("p", "m", "0.50", allocate_by="zone"), commitment=(premium,))
    rated = rate_period(made, [rated_used(1, "4.0", zone="a"), rated_used(2, "6.00", zone="b")], tariff, OPENING)
    written = period_document(rated)
    assert msgspec.json.decode(msgspec.json.encode(written)) == written
    assert "closing" not in written
    assert (written["subtotal"], written["total"], written["start"]) == ("5.00", "2.50", "2026-11-01T00:00:00Z")
    (line,), (term,) = written["lines"], written["terms"]
    assert (line["quantity"], line["amount"], line["amount_unrounded"]) == ("10", "5.00", "5")
    assert line["allocated"] == {"a": "2.00", "b": "3.00"}
    assert term["amount"] == "-2.50"


def test_two_currencies_in_one_invoice_raise() -> None:
    segments = [
        SegmentUsage(Segment(Plan("a", 1, "USD"), NOVEMBER.start, MIDDLE), {}),
        SegmentUsage(Segment(Plan("b", 1, "EUR"), MIDDLE, NOVEMBER.end), {}),
    ]
    with pytest.raises(MixedCurrencyError, match="EUR, USD"):
        preview("acme", NOVEMBER, segments)


@pytest.mark.parametrize(("currency", "total"), [("JPY", "1"), ("USD", "1.24"), ("KWD", "1.235")])
def test_lines_are_rounded_to_the_digits_of_the_currency(currency: str, total: str) -> None:
    assert str(bill((PerUnit("a", "m", "1.2350"),), used(m=1), currency).total) == total


def test_a_document_is_json_with_plain_decimal_strings() -> None:
    written = document(bill((Flat("base", "5"), PerUnit("tiny", "m", "0.0000003")), used(m="1.50", other=1)))
    assert msgspec.json.decode(msgspec.json.encode(written)) == written
    base, tiny = written["lines"]
    assert (base["amount"], written["total"], written["currency"]) == ("5.00", "5.00", "USD")
    assert base["meter"] is None
    assert (tiny["quantity"], tiny["amount"], tiny["amount_unrounded"]) == ("1.5", "0.00", "0.00000045")
    assert tiny["explanation"] == [
        {"step": "units", "quantity": "1.5", "unit_amount": "0.0000003", "amount": "0.00000045"}
    ]
    assert (written["period_start"], written["period_end"]) == ("2026-11-01", "2026-12-01")
    assert written["unrated"][0]["quantity"] == "1"


def test_a_mean_is_shown_at_twelve_decimals_and_priced_unrounded() -> None:
    (line,) = bill((PerUnit("mean", "m", "3"),), {"m": MeterTotal(Fraction(1, 3), 3)}).lines
    assert line.quantity == Decimal("0.333333333333")
    assert line.amount_unrounded == 1
