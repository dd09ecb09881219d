"""A new catalogue while there is usage: rated rows become what it says, and what it drops is taken back."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from pipeline import Pipeline
from pipeline_traffic import BASE, CATALOGUE, DAY, REQUESTS, Traffic, check, check_rated, plan
from pipeline_truth import Truth

import processors.services
import processors.supervise
from processors.worker import work
from rating.contracts import Contract
from rating.prices import Flat, PerUnit

PRO = CATALOGUE.plans[1]
# Another price for calls, requests renamed, egress gone, the flat one dearer; globex leaves, another account comes.
CHANGED = msgspec.structs.replace(
    CATALOGUE,
    plans=(
        *CATALOGUE.plans,
        plan(
            "pro",
            2,
            Flat(id="base", amount="25.00"),
            msgspec.structs.replace(REQUESTS, id="traffic"),
            PerUnit(id="calls", meter="calls", unit_amount="0.03"),
            *PRO.price[4:],
        ),
    ),
    contracts=(
        CATALOGUE.contracts[0],
        Contract(
            account="globex",
            plan="pro",
            from_=datetime(2026, 3, 31, tzinfo=UTC),
            to=datetime(2026, 4, 1, tzinfo=UTC),
        ),
        Contract(account="s-3", plan="pro", from_=datetime(2026, 3, 1, tzinfo=UTC), to=None),
    ),
)


def totals(pipeline: Pipeline, truth: Truth) -> dict[tuple[str, ...], Decimal]:
    """Of each account, segment, price and meter what `usage.rated` says last, in the highest generation, for the months
    with usage."""
    newest: dict[tuple[str, ...], tuple[int, int, str | None]] = {}
    months = {str(month)[:7] for month in truth.months()}
    for _, value in pipeline.topic("rated"):
        row: dict[str, Any] = msgspec.json.decode(value or b"{}")
        if row["segment_start"][:7] not in months:
            continue
        key = (row["account"], row["segment_start"], row["price"], row["meter"])
        said = (row["generation"], row["version"], row["amount_total"])
        newest[key] = max(newest.get(key, (0, 0, None)), said, key=lambda one: one[:2])
    return {key: Decimal(amount) for key, (_, _, amount) in newest.items() if amount and Decimal(amount)}


def owed(truth: Truth) -> dict[tuple[str, ...], Decimal]:
    """The same from the truth: the sum of the days."""
    sums: dict[tuple[str, ...], Decimal] = {}
    for key, amount in truth.rated()[0].items():
        place = (key.account, str(key.segment_start), key.price, key.meter)
        sums[place] = sums.get(place, Decimal(0)) + amount
    return {key: amount for key, amount in sums.items() if amount}


def test_a_catalogue_published_after_a_run_rates_all_usage_anew(pipeline: Pipeline) -> None:
    traffic = Traffic(seed=41)
    pipeline.send(traffic.fill(1_200, BASE, BASE + 3 * DAY))
    pipeline.catch_up()
    before = check(pipeline, traffic.log)
    assert totals(pipeline, before) == owed(before)
    pipeline.publish(CHANGED)
    pipeline.catch_up(workers=2)
    after = check(pipeline, traffic.log)
    assert totals(pipeline, after) == owed(after)
    gone = before.rated()[0].keys() - after.rated()[0].keys()
    assert {"requests", "egress", "base", "seats"} <= {key.price for key in gone}
    pipeline.publish(CATALOGUE_AGAIN)
    pipeline.catch_up()
    check(pipeline, traffic.log)


# Plans stay once published; the contracts go back, and late usage comes under the third generation.
CATALOGUE_AGAIN = msgspec.structs.replace(CHANGED, contracts=CATALOGUE.contracts)


def test_a_catalogue_published_during_a_run_is_followed(pipeline: Pipeline) -> None:
    traffic = Traffic(seed=42)
    pipeline.send(traffic.fill(600, BASE, BASE + 2 * DAY))
    with pipeline.running(workers=2) as run:
        run.until(pipeline.consumed, "the first output")
        pipeline.publish(CHANGED)  # read within seconds; more comes before, meanwhile and after
        pipeline.send(traffic.fill(600, BASE + 2 * DAY, BASE + 3 * DAY))
        run.until(lambda: any("generation 2" in line for line in run.heard), "the new catalogue")
        pipeline.send(traffic.fill(100, BASE + 3 * DAY, BASE + 4 * DAY))
    pipeline.catch_up()
    truth = check(pipeline, traffic.log)
    assert totals(pipeline, truth) == owed(truth)


def keep_what_was_rated(*arguments: Any) -> None:
    """The broken variant: rows of an older catalogue stay."""
    processors.services.rated_before = lambda *_: []
    work(*arguments)


def test_without_taking_back_a_renamed_price_is_charged_twice(
    one_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors.supervise, "work", keep_what_was_rated)
    traffic = Traffic(seed=43)
    one_pipeline.send(traffic.fill(300, BASE, BASE + 2 * DAY))
    one_pipeline.catch_up()
    one_pipeline.publish(CHANGED)
    one_pipeline.catch_up()
    with pytest.raises(AssertionError):
        check_rated(one_pipeline, Truth(one_pipeline.catalogue, traffic.log))
