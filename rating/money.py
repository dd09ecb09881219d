"""Money: the digits of each currency, the one place that rounds to them, and splitting without losing a unit."""

import re
from collections.abc import Sequence
from decimal import ROUND_FLOOR, Context, Decimal, InvalidOperation
from fractions import Fraction

from rating.numbers import EXACT, PRECISION_DIGITS, ROUNDED, ZERO, Quantity

_CODES = {  # ISO 4217 list one, active codes that have a minor unit
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW"
    " CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR"
    " ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV"
    " MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD"
    " SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
MINOR_DIGITS: dict[str, int] = {code: digits for digits, codes in _CODES.items() for code in codes.split()}


# A unit of one's own, such as "credits/0" or "tokens/3": its name in small letters, a stroke, and its digits.
_CUSTOM = re.compile(r"[a-z][a-z0-9_-]{0,29}/([0-9])", re.ASCII)


_FLOORED = Context(prec=PRECISION_DIGITS, rounding=ROUND_FLOOR, traps=[InvalidOperation])


class MixedCurrencyError(ValueError):
    """Amounts of different currencies met; they are never added or compared."""


def minor_digits(currency: str) -> int:
    """How many decimals `currency` has: an ISO 4217 code, or a unit of one's own such as "credits/0".

    Raises ValueError for any other.
    """
    digits = MINOR_DIGITS.get(currency)
    if digits is not None:
        return digits
    custom = _CUSTOM.fullmatch(currency)
    if custom is None:
        raise ValueError(
            f"{currency!r} is not an ISO 4217 code; write one such as USD, or a unit of your own with its digits, such"
            ' as "credits/0"'
        )
    return int(custom[1])


def currency_fault(currency: str) -> str:
    """What is wrong with a currency as written, or nothing."""
    try:
        minor_digits(currency)
    except ValueError as fault:
        return str(fault)
    return ""


def round_money(amount: Decimal, currency: str) -> Decimal:
    """`amount` in whole minor units of `currency`, half away from zero. Nothing else in the project rounds money.

    Raises ValueError for a currency that `minor_digits` does not know.
    """
    return ROUNDED.plus(
        ROUNDED.quantize(amount, Decimal(1).scaleb(-minor_digits(currency)))
    )  # plus turns -0.00 into 0.00


def allocate(total_minor: int, weights: Sequence[Quantity]) -> list[int]:
    """Split `total_minor` by `weights`: the parts add up to it, none is a whole unit off its exact share.

    Largest remainder first, ties to the earlier place. Raises ValueError for a negative weight, or when there is
    something to split and every weight is zero.
    """
    shares = [Fraction(weight) for weight in weights]
    whole = sum(shares, Fraction(0))
    if any(share < 0 for share in shares):
        raise ValueError("a weight is negative; allocate credits and charges apart")
    if whole == 0:
        if total_minor:
            raise ValueError(f"every weight is zero, so {total_minor} minor units have nowhere to go")
        return [0] * len(shares)
    sign = -1 if total_minor < 0 else 1
    exact = [abs(total_minor) * share / whole for share in shares]
    parts = [int(share) for share in exact]
    by_remainder = sorted(range(len(parts)), key=lambda place: parts[place] - exact[place])
    for place in by_remainder[: abs(total_minor) - sum(parts)]:
        parts[place] += 1
    return [sign * part for part in parts]


def round_lines(amounts: Sequence[Decimal], currency: str) -> list[Decimal]:
    """The lines of one price, rounded so that they add up to its rounded sum: none is a whole minor unit off.

    Each is first rounded down; what is then missing goes to the largest remainders, ties to the earlier line. A line
    that is exact stays as it is.
    """
    unit = Decimal(1).scaleb(-minor_digits(currency))
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    lines = [_FLOORED.quantize(amount, unit) for amount in amounts]
    missing = round_money(total, currency)
    for line in lines:
        missing = EXACT.subtract(missing, line)
    by_remainder = sorted(range(len(lines)), key=lambda place: EXACT.subtract(lines[place], amounts[place]))
    for place in by_remainder[: int(EXACT.divide(missing, unit))]:
        lines[place] = EXACT.add(lines[place], unit)
    return [ROUNDED.plus(line) for line in lines]
