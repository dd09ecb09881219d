"""`quote`: what a price comes to for a quantity, and how."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter

from tollstream.catalogue import GROUP
from tollstream.failures import OK, UsageError
from tollstream.place import Where
from tollstream.show import Format, print_csv, print_document, print_table, say

if TYPE_CHECKING:
    from rating.quotes import Quote

STEPS = ("step", "quantity", "unit_amount", "amount")


def register(app: App) -> None:
    app.command(quote, group=GROUP)


def quote(
    *,
    price: Path,
    quantity: Annotated[str, Parameter(allow_leading_hyphen=True)],
    currency: str = "USD",
    context: tuple[str, ...] = (),
    plot: Path | None = None,
    format: Format = "table",
    place: Where,
) -> int:
    """Explain step by step what a price comes to for a quantity. Needs no service.

    The file holds one price as a plan does, in TOML or JSON; `id` and `meter` may be left out.

    ```
    tollstream quote --price docs/prices/graduated.toml --quantity 15234567
    tollstream quote --price docs/prices/matrix.toml --quantity 14250 --context region=eu
    tollstream quote --price docs/prices/package.toml --quantity 2001 --plot /tmp/package.svg
    ```

    Parameters
    ----------
    price
        File of the price.
    quantity
        The period's quantity after its rollup, such as 1500 or 12.35.
    currency
        ISO 4217, or a unit of your own with its digits, such as credits/0.
    context
        name=value: a dimension, which chooses the cell of a matrix, or the quantity of another meter. May be repeated.
    plot
        Also draw amounts from zero to twice the quantity into this SVG file.
    format
        How to print it. In JSON, quantities and amounts are decimal strings; CSV has the steps alone.
    """
    from config.price_file import read_price_file
    from rating.quotes import quote as quoted

    made = read_price_file(price)
    given = _context(context)
    try:
        found = quoted(made, quantity, currency=currency, context=given)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if plot is not None:
        from tollstream.curve import curve

        plot.write_text(curve(made, quantity, currency, given), encoding="utf-8")
        say(f"drawn to {plot}")
    _print(found, quantity, format)
    return OK


def _context(written: tuple[str, ...]) -> dict[str, str]:
    given = {}
    for one in written:
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise UsageError(f"--context {one}: write it as name=value, such as region=eu")
        given[name] = value
    return given


def _print(found: "Quote", quantity: str, format: Format) -> None:
    steps: list[dict[str, Any]] = [msgspec.structs.asdict(step) for step in found.lines]
    if format == "json":
        amounts = {"amount": found.amount, "rounded": found.rounded, "currency": found.currency}
        print_document({"quantity": quantity, **amounts, "lines": steps})
    elif format == "csv":
        print_csv(steps, STEPS)
    else:
        total = {"step": "unrounded", "amount": found.amount}
        rounded = {"step": f"rounded, {found.currency}", "amount": found.rounded}
        print_table([*steps, total, rounded], STEPS, f"Quantity {quantity}")
