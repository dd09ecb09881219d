"""Settings for a run: limits and intervals small enough that a short run meets them."""

from __future__ import annotations

import random

from config.settings import Alerts, Kafka, Limits, Processing, Settings
from tests.simulation.alerting import BUDGETS
from tests.simulation.logs import SKEW_MS


def settings(rng: random.Random) -> Settings:
    """One of many."""
    return Settings(
        alerts=Alerts(BUDGETS),
        kafka=Kafka(session_timeout_ms=1_000),
        processing=Processing(
            skew_ms=SKEW_MS,
            checkpoint_events=rng.choice((1, 10, 1_000)),
            checkpoint_interval_ms=rng.choice((50, 300)),
            rate_interval_ms=rng.choice((50, 500)),
            mark_interval_ms=rng.choice((50, 500)),
            health_stall_ms=3_000,
            behind_factor=rng.choice((1, 4)),
        ),
        limits=Limits(
            sequence_intervals_max=2,
            unique_max=rng.choice((3, 1_000)),
            dimension_sets_max=rng.choice((2, 1_000)),
            state_segment_bytes_max=rng.choice((500, 67_108_864)),
        ),
    )
