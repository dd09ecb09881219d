"""`invoice`: what an account owes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cyclopts import App

from tollstream.failures import OK, UsageError
from tollstream.place import Where, now_ms, published_catalogue
from tollstream.show import Format, plain, print_csv, print_document, print_table, say
from tollstream.usage import GROUP

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from config.catalogue import Catalogue
    from rating.invoices import Invoice
    from rating.periods import Period
    from rating.rated import RatedPeriod

LINES = (
    "price", "plan", "plan_version", "model", "meter", "quantity", "events", "amount", "amount_unrounded",
    "segment_start", "segment_end",
)  # fmt: skip
UNRATED = ("meter", "quantity", "events", "reason", "segment_start", "segment_end")
PERIOD_LINES = (
    "price", "plan", "plan_version", "model", "meter", "values", "quantity", "amount", "amount_unrounded", "start",
    "end",
)  # fmt: skip
PERIOD_SHORT = ("price", "plan", "model", "meter", "values", "quantity", "amount", "start", "end")
TERMS = ("kind", "id", "price", "amount", "projected")
PERIOD_UNRATED = ("meter", "values", "quantity", "reason", "start", "end")
SHORT = ("price", "plan", "plan_version", "model", "meter", "quantity", "amount")


def register(app: App) -> None:
    group = App(name="invoice", help="Invoices of accounts.", group=GROUP)
    group.command(preview)
    app.command(group)


def preview(*, account: str, period: str, format: Format = "table", place: Where) -> int:
    """Show what an account would owe for a month, from its usage so far and the published plans.

    Each price is rounded once. Usage that no price takes is listed as unrated, never billed as zero. JSON also
    explains each line step by step. A contract with terms or periods of its own is shown by billing period: those that
    begin in the month, or the one that goes on in it; what its terms add is listed apart, and marked as projected until
    the period is over.

    ```
    tollstream invoice preview --account acme --period 2026-11
    tollstream invoice preview --account acme --period 2026-11 --format json | jq .total
    ```

    Parameters
    ----------
    account
        Who pays. A subject that no account names is its own account.
    period
        The month, such as 2026-11, in the time zone of the contract.
    format
        How to print it. In JSON, quantities and amounts are decimal strings; CSV has the lines alone.
    """
    from rating.periods import parse_period
    from sinks.clickhouse import reader
    from tollstream.bills import needs_windows, rated_periods

    try:
        month = parse_period(period)
    except ValueError as error:
        raise UsageError(f"--period {error}") from None
    config = place.load()
    catalogue = published_catalogue(config.settings.kafka)
    client = reader(config.settings.clickhouse)
    try:
        if needs_windows(catalogue, account, month):
            now = datetime.fromtimestamp(now_ms() // 1000, UTC)
            periods = list(rated_periods(client, catalogue, account, month, now))
            return show_periods(account, periods, format)
        return _show_invoice(draw(client, catalogue, account, month), period, format)
    finally:
        client.close()


def _show_invoice(invoice: "Invoice", period: str, format: Format) -> int:
    from rating.invoices import document

    account = invoice.account
    if not (any(line.events for line in invoice.lines) or invoice.unrated):
        say(f"no usage of account {account} is known for {period}")
    if format == "json":
        print_document(document(invoice))
    elif format == "csv":
        print_csv(document(invoice)["lines"], LINES)
    else:
        _print_tables(invoice)
    return OK


def draw(client: "Client", catalogue: "Catalogue", account: str, period: "Period") -> "Invoice":
    """The invoice of all usage that ClickHouse has now. Raises MixedCurrencyError."""
    from rating.invoices import MeterTotal, SegmentUsage, preview
    from sinks.totals import period_totals

    segments = [
        SegmentUsage(
            segment,
            {
                meter: MeterTotal(found.exact, found.events)
                for meter, found in period_totals(client, account, segment.start, segment.end).items()
            },
        )
        for segment in catalogue.tariff().segments(account, period)
    ]
    return preview(account, period, segments)


def show_periods(account: str, periods: "Sequence[RatedPeriod]", format: Format) -> int:
    """Rated periods: one JSON document, CSV of all lines, or tables of lines, terms and what is not rated."""
    from rating.invoices import period_document

    documents = [period_document(rated) for rated in periods]
    if format == "json":
        print_document({"account": account, "periods": documents})
    elif format == "csv":
        print_csv([line for written in documents for line in written["lines"]], PERIOD_LINES)
    else:
        for rated, written in zip(periods, documents, strict=True):
            title = f"Account {account}, {plain(rated.start)} to {plain(rated.end)}"
            sums: list[dict[str, Any]] = [{"price": f"subtotal {rated.currency}", "amount": rated.subtotal}]
            print_table([*written["lines"], *sums], PERIOD_SHORT, title)
            terms = [*written["terms"], {"kind": f"total {rated.currency}", "amount": rated.total}]
            print_table(terms, TERMS, f"{title}: terms of the contract")
            if rated.unrated:
                print_table(written["unrated"], PERIOD_UNRATED, f"{title}: not rated")
    return OK


def _print_tables(invoice: "Invoice") -> None:
    import msgspec

    lines: list[dict[str, Any]] = [msgspec.structs.asdict(line) for line in invoice.lines]
    dated = ("segment_start", "segment_end") if len({line.segment_start for line in invoice.lines}) > 1 else ()
    title = f"Account {invoice.account}, {invoice.period_start} to {invoice.period_end}"
    if invoice.currency is not None:
        total: dict[str, Any] = {"price": f"total {invoice.currency}", "amount": invoice.total}
        print_table([*lines, total], [*SHORT, *dated], title)
    if invoice.unrated:
        print_table([msgspec.structs.asdict(line) for line in invoice.unrated], UNRATED, f"{title}: not rated")
    if invoice.currency is None and not invoice.unrated:
        say(f"{title}: no plan, and no usage")
