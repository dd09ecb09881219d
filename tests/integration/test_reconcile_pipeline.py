"""A clean pipeline reconciles; whatever is changed behind its back is found, and named with offsets and ids."""

from pipeline import Pipeline
from pipeline_traffic import BASE, DAY, Traffic

from reconcile.check import Check
from reconcile.differences import Difference, Outcome


def checked(pipeline: Pipeline) -> Outcome:
    check = Check(pipeline.settings, pipeline.catalogue)
    try:
        return check.once(lambda _: None, 50)
    finally:
        check.close()


def found(outcome: Outcome) -> list[Difference]:
    return [difference for difference, _ in outcome.differences]


def test_a_clean_run_has_no_difference(pipeline: Pipeline) -> None:
    traffic = Traffic(seed=41)
    pipeline.send(traffic.fill(1_500, BASE, BASE + 5 * DAY))
    pipeline.catch_up()
    outcome = checked(pipeline)
    assert found(outcome) == []
    assert not outcome.unchecked
    assert set(outcome.compared) == {"ledger", "identities", "partials", "usage", "letters", "rated"}
    assert min(outcome.compared.values()) > 0
