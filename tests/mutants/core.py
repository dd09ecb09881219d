"""The files that are mutated, and of each the tests that must notice: fast ones, since every mutant runs them."""

from __future__ import annotations

_TABLES = ("tests/unit/test_core_windows.py", "tests/unit/test_core_limits.py")
_FOLD = (*_TABLES, "tests/unit/test_core_fold.py")  # of some seconds
_RATING_TESTS = "money models amounts quotes usage billing rollups gauges segments drawdown calendar invoices adds_up"
_RATING_FILES = "kernels numbers days money prices tiers rollups proration commitments credits billing invoices rate"
_RATING = tuple(f"tests/unit/test_rating_{name}.py" for name in _RATING_TESTS.split(" "))

CORE: dict[str, tuple[str, ...]] = {
    "processors/identity.py": ("tests/unit/test_core_identity.py", *_TABLES),
    "processors/windows.py": _TABLES,
    "processors/partials.py": (*_TABLES, "tests/unit/test_core_checkpoint.py"),
    "processors/meter.py": (*_FOLD, "tests/unit/test_core_owner.py"),
    "processors/limits.py": ("tests/unit/test_core_limits.py",),
    "processors/digests.py": ("tests/unit/test_core_checkpoint.py",),
    "processors/checkpoint.py": ("tests/unit/test_core_checkpoint.py", "tests/unit/test_core_fold.py"),
    "processors/owner.py": ("tests/unit/test_core_owner.py",),
    "processors/outputs.py": ("tests/unit/test_core_owner.py", "tests/unit/test_core_fold.py"),
    "processors/health.py": ("tests/unit/test_core_health.py",),
    "processors/merge.py": ("tests/unit/test_core_rate.py",),
    "processors/rate.py": ("tests/unit/test_core_rate.py",),
    "processors/numbers.py": ("tests/unit/test_events_numbers.py",),
    "processors/instants.py": ("tests/unit/test_events_numbers.py",),
    **{f"rating/{name}.py": _RATING for name in _RATING_FILES.split(" ")},
}
