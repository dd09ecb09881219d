"""Plans, accounts and contracts as files have them: what one has to do with another, and no fault too many."""

from pathlib import Path

import pytest

from config.faults import ConfigError
from config.loader import load

METER = """
[limits]
subject_bytes_max = 4
[[event]]
type = "e"
lateness = "24h"
[[meter]]
id = "m"
version = 1
event_type = "e"
aggregation = "count"
"""
PRO = '[[plan]]\nid = "pro"\nversion = 1\ncurrency = "USD"\n'
UNIT = '{ id = "p", model = "per_unit", meter = "m", unit_amount = 1 }'


def plan(id: str = '"pro"', version: str = "1", currency: str = '"USD"') -> str:
    return f"[[plan]]\nid = {id}\nversion = {version}\ncurrency = {currency}\n"


def account(id: str, *fields: str) -> str:
    return f"[[account]]\nid = {id}\n" + "".join(f"{field}\n" for field in fields)


def contract(from_: str, to: str = "", account: str = '"acme"', *fields: str) -> str:
    written = [f"account = {account}", 'plan = "pro"', f"from = {from_}", f"to = {to}" if to else "", *fields]
    return "[[contract]]\n" + "".join(f"{field}\n" for field in written)


def day(month: int, hour: int = 0) -> str:
    return f"2026-{month:02}-01T{hour:02}:00:00Z"


def faults_of(directory: Path, *parts: str) -> list[str]:
    (directory / "a.toml").write_text(METER + "".join(parts))
    try:
        load(directory, {})
    except ConfigError as error:
        return [str(fault).removeprefix("a.toml: ") for fault in error.faults]
    return []


OVERLAPS = "contract[{}].from: overlaps a.toml: contract[{}] of the same account"


@pytest.mark.parametrize(
    ("parts", "faults"),
    [
        # plans: what is not known is not held against another
        ([plan("3"), plan("3")], ["plan[0].id: Expected", "plan[1].id: Expected"]),
        ([plan(version='"x"'), plan(version='"x"')], ["plan[0].version: Expected", "plan[1].version: Expected"]),
        ([plan("3"), plan("3", "2", '"EUR"')], ["plan[0].id: Expected", "plan[1].id: Expected"]),
        ([plan(currency="3"), plan(version="2")], ["plan[0].currency: Expected"]),
        ([plan(), plan()], ["plan[1].version: 1 of \"pro\" is already at a.toml: plan[0]"]),
        ([plan(), plan(version="2", currency='"EUR"')], ["plan[1].currency: must be USD as at a.toml: plan[0]"]),
        # accounts
        ([account("3"), account("3")], ["account[0].id: Expected", "account[1].id: Expected"]),
        ([account('"a"', "from = 3"), account('"a"', "from = 3")],
         ["account[0].from: must be an instant", "account[1].from: must be an instant"]),
        ([account('"a"', "subjects = 3"), account('"b"', 'subjects = ["12345", "1234"]')],
         ["account[0].subjects: must be an array", "account[1].subjects[0]: is longer than 4 bytes"]),
        ([account('"a"', "from = 2026-01-01T01:00:00Z")], ["account[0].from: must be midnight UTC"]),
        # contracts that overlap
        ([PRO, contract(day(1), account="3"), contract(day(1), account="3")],
         ["contract[0].account: Expected", "contract[1].account: Expected"]),
        ([PRO, contract("3", day(2)), contract(day(1))], ["contract[0].from: must be an instant"]),
        ([PRO, contract(day(1), "3"), contract(day(2))], ["contract[0].to: must be an instant"]),
        ([PRO, contract(day(1)), contract(day(2), day(2))], ["contract[1].to: must be after"]),
        ([PRO, contract(day(1), day(6)), contract(day(2), day(3)), contract(day(5), day(12)), contract(day(10))],
         [OVERLAPS.format(1, 0), OVERLAPS.format(2, 0), OVERLAPS.format(3, 2)]),
        ([PRO, contract(day(1), day(6)), contract(day(2), day(6)), contract(day(3))],
         [OVERLAPS.format(1, 0), OVERLAPS.format(2, 0)]),
        # contracts that meet
        ([PRO, contract(day(3, 12), day(4)), contract(day(4), "", '"b"')], []),
        ([PRO, f"price = [{UNIT}]\n", contract(day(1), day(3, 12)), contract(day(3, 12), "", '"b"')], []),
        ([PRO, f"price = [{UNIT}]\n", contract(day(1), day(3, 12)), contract(day(3, 12), "", '"acme"')],
         ["contract[1].from: is on 2026-03-01, UTC"]),
        ([PRO, f"price = [{UNIT}]\n", contract(day(1), day(3, 12)),
          contract(day(3, 12), "", '"acme"', 'minimum = "0.001"')], ["contract[1].minimum: must have at most 2"]),
        ([PRO, f"price = [{UNIT}]\n", contract("2026-01-01T00:30:00Z")],
         ["contract[0].from: is 2026-01-01T00:30:00Z, which cuts a window of 1h of meter 'm'"]),
        # an override is in the currency of whatever plan it is for
        ([PRO, f"price = [{UNIT}]\n", contract(day(1), "", '"acme"', 'override = [{ price = { id = "p", '
          'model = "dynamic", meter = "m", currency = "EUR" } }]')], []),
    ],
)  # fmt: skip
def test_each_fault_is_said_with_its_path_and_no_other(tmp_path: Path, parts: list[str], faults: list[str]) -> None:
    found = faults_of(tmp_path, *parts)
    assert len(found) == len(faults), found
    assert all(any(said.startswith(fault) for said in found) for fault in faults), found
