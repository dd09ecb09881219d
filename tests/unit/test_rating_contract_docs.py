"""docs/contracts.md: its example loads."""

import re
from pathlib import Path

from config.loader import load

PAGE = Path(__file__).parents[2] / "docs" / "contracts.md"
REST = """
[[event]]
type = "read"
lateness = "24h"
[[meter]]
id = "reads"
version = 1
event_type = "read"
aggregation = "count"
"""
PLAN = """
[[plan]]
id = "{0}"
version = 1
currency = "EUR"
price = [{{ id = "{1}", model = "flat", amount = "20" }}]
"""


def test_the_example_of_the_page_is_a_contract_that_loads(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    plans = "".join(PLAN.format(id, price) for id, price in (("pro", "reads"), ("max", "reads"), ("support", "help")))
    (tmp_path / "a.toml").write_text(REST + plans + example)
    (contract,) = load(tmp_path, {}).catalogue.contracts
    assert contract.anchor.day == 31
    assert all((contract.change, contract.add_on, contract.override, contract.commitment, contract.credit))
