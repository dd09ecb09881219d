"""What must hold between plans, accounts and contracts of a catalogue, checked on the rows of all files."""

from collections.abc import Iterator, Sequence
from datetime import datetime, time
from itertools import pairwise

from config.catalogue import WINDOW_MS
from config.faults import Fault, quote
from config.price_checks import Measured, price_faults, rule_faults
from config.tables import BAD, Row, whole
from rating import contract_checks
from rating.contracts import Contract
from rating.instants import instant_text
from rating.money import currency_fault
from rating.plans import Plan
from rating.timeline import versions_of


def plan_faults(plans: Sequence[Row], meters: Sequence[Row]) -> Iterator[Fault]:
    measured = Measured.of(meters)
    seen: dict[tuple[str, int], Row] = {}
    currencies: dict[str, Row] = {}
    for row in plans:
        if row.good("id", "version"):
            first = seen.setdefault((row["id"], row["version"]), row)
            if first is not row:
                message = f"{row['version']} of {quote(row['id'])} is already at {first.place}; give this one the next"
                yield row.place_of("version").fault(message)
        yield from currency_faults(row)
        if row.good("id", "currency"):
            first = currencies.setdefault(row["id"], row)
            if first["currency"] != row["currency"]:
                message = f"must be {first['currency']} as at {first.place}: a plan has one currency in all versions"
                yield row.place_of("currency").fault(message)
        prices: dict[str, Row] = {}
        for price in row.rows("price"):
            if price.good("id") and prices.setdefault(price["id"], price) is not price:
                yield price.place_of("id").fault(f"{quote(price['id'])} is already at {prices[price['id']].place}")
            yield from price_faults(price, measured, row["currency"])


def currency_faults(row: Row) -> Iterator[Fault]:
    if row.good("currency") and currency_fault(row["currency"]):
        message = 'must be an ISO 4217 code in capitals, such as "USD", or a unit of your own and digits: "credits/0"'
        yield row.place_of("currency").fault(message)


def account_faults(accounts: Sequence[Row], subject_bytes_max: int) -> Iterator[Fault]:
    seen: dict[tuple[str, datetime | None], Row] = {}
    owners: dict[tuple[str, datetime | None], Row] = {}
    for row in accounts:
        yield from midnight_faults(row, "from_", "each window has one account, and the longest is a day")
        if row.good("id", "from_"):
            first = seen.setdefault((row["id"], row["from_"]), row)
            if first is not row:
                yield row.place_of("id").fault(f"{quote(row['id'])} is already at {first.place} with the same `from`")
        if not row.good("subjects"):
            continue
        for index, subject in enumerate(row["subjects"]):
            place = row.place_of("subjects").item(index)
            if len(subject.encode()) > subject_bytes_max:
                yield place.fault(f"is longer than {subject_bytes_max} bytes, limits.subject_bytes_max")
            if row.good("from_"):
                if (subject, row["from_"]) in owners:
                    other = owners[subject, row["from_"]].place
                    yield place.fault(f"{quote(subject)} is already mapped by {other} from the same instant")
                owners.setdefault((subject, row["from_"]), row)


def contract_faults(contracts: Sequence[Row], plans: Sequence[Row], meters: Sequence[Row]) -> Iterator[Fault]:
    """Contracts of one account do not overlap; the rest is judged on whole contracts over whole plans."""
    measured = Measured.of(meters)
    windows = {meter: {WINDOW_MS[one] for one in of if one is not BAD} for meter, of in measured.windows.items()}
    built: list[tuple[Row, Plan | None]] = [(row, whole(row)) for row in plans]
    versions = versions_of(plan for _, plan in built if plan is not None)
    broken = {row["id"] for row, plan in built if plan is None and row.good("id")}
    by_account: dict[str, list[Row]] = {}
    sound: dict[str, list[tuple[Contract, Row]]] = {}
    for row in contracts:
        yield from rule_faults(row)
        for override in row.rows("override"):
            if override.good("price"):
                yield from price_faults(override["price"], measured, BAD)
        if row.good("account", "from_", "to") and (row["to"] is None or row["from_"] < row["to"]):
            by_account.setdefault(row["account"], []).append(row)
        contract: Contract | None = whole(row)
        if contract is not None and broken.isdisjoint(contract.plans):
            found = list(contract_checks.contract_faults(contract, versions, windows))
            yield from (Fault(f"{row.place.path}.{path}", text, row.place.file) for path, text in found)
            if not found:
                sound.setdefault(contract.account, []).append((contract, row))
    for dated in by_account.values():
        yield from _overlap_faults(dated)
    for held in sound.values():
        held.sort(key=lambda one: one[0].from_)
        for (before, _), (contract, row) in pairwise(held):
            fault = contract_checks.meeting_fault(before, contract, versions)
            if fault is not None:
                yield row.place_of("from_").fault(fault)


def _overlap_faults(contracts: list[Row]) -> Iterator[Fault]:
    contracts.sort(key=lambda row: row["from_"])
    longest = contracts[0]
    for row in contracts[1:]:
        if longest["to"] is None or row["from_"] < longest["to"]:
            message = (
                f"overlaps {longest.place} of the same account, which has one contract at a time;"
                f' end that one with to = "{instant_text(row["from_"])}" or earlier'
            )
            yield row.place_of("from_").fault(message)
        if longest["to"] is not None and (row["to"] is None or row["to"] > longest["to"]):
            longest = row


def midnight_faults(row: Row, name: str, reason: str) -> Iterator[Fault]:
    """An instant that is no midnight in UTC."""
    instant = row[name]
    if instant is not BAD and instant is not None and instant.time() != time():
        yield row.place_of(name).fault(f"must be midnight UTC, since {reason}")
