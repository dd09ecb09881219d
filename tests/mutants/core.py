"""The files that are mutated, and of each the tests that must notice: fast ones, since every mutant runs them."""

from __future__ import annotations

_TABLES = ("tests/unit/test_core_windows.py", "tests/unit/test_core_limits.py")
_FOLD = (*_TABLES, "tests/unit/test_core_fold.py")  # of some seconds
_MODELS = ("tests/unit/test_rating_models.py", "tests/unit/test_rating_amounts.py")
_INVOICES = ("tests/unit/test_rating_invoices.py", "tests/unit/test_rating_segments.py")

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
    "rating/kernels.py": (*_MODELS, "tests/unit/test_rating_adds_up.py"),
    "rating/numbers.py": (*_MODELS, "tests/unit/test_rating_adds_up.py"),
    "rating/days.py": ("tests/unit/test_rating_adds_up.py", *_MODELS),
    "rating/money.py": ("tests/unit/test_rating_money.py",),
    "rating/prices.py": _MODELS,
    "rating/invoices.py": _INVOICES,
    "rating/rate.py": _INVOICES,
}
