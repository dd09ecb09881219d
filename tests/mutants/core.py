"""What is mutated, and the tests that may notice: those of them that run the changed line do."""

from __future__ import annotations

_PROCESSORS = (
    "checkpoint owner state marks intervals sequences sequence_log instants numbers admission held samples formulas "
    "packed refill recovery health limits digests series identity windows partials meter outputs columns merge states "
    "row_records sent homes "
    "series_counts int_codes combinations vocabulary takes "
    "account_usage rate rate_gaps rate_contracts rate_parts budgets returned_again "
    "events decode_messages decode_shapes decode_split decode_columns decode_careful decode_cast decode_sequences"
)
_RATING = (
    "money numbers days kernels prices models tiers bases totals rollups states gauges usage pools proration timeline "
    "contracts contract_checks changes charges billing commitments credits coupons settlement openings corrections "
    "periods calendar instants pipeline invoices quotes rated rate plans sugar terms checks unrated"
)
_CONFIG = (
    "catalogue publish formulas meter_checks price_checks billing_checks tables price_file loader overrides faults"
)

CORE: tuple[str, ...] = tuple(
    f"{package}/{name}.py"
    for package, names in (("processors", _PROCESSORS), ("rating", _RATING), ("config", _CONFIG))
    for name in names.split(" ")
)
_AREAS = ("core", "events", "rating", "config", "reconcile", "alert", "sinks", "cli")
TESTS = (*(f"tests/unit/test_{area}_*.py" for area in _AREAS), "tests/contract/test_checkpoint_slot.py")
