from benchmarks.columnar import measure


def test_every_form_is_measured_and_columns_are_the_shortest() -> None:
    costs = {cost.name: cost for cost in measure(events=2_000, rounds=1)}
    assert len(costs) == 6
    assert all(cost.decode_us > 0 and cost.fold_us > 0 for cost in costs.values())
    assert costs["columnar, 500 a message"].bytes < costs["JSON, single"].bytes / 2
