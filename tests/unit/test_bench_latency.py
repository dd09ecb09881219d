"""The arithmetic of latency, and which probes count as seen."""

from types import SimpleNamespace
from typing import Any

from benchmarks.latency import Seen, quantile


class _Answers:
    """Stands in for ClickHouse: one answer after the other, and the parameters it was asked with."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers, self.asked = list(answers), []  # type: ignore[var-annotated]

    def query(self, _: str, parameters: dict[str, str]) -> Any:
        self.asked.append(parameters)
        return SimpleNamespace(result_rows=[(account,) for account in self._answers.pop(0)])


def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(n) for n in range(1, 201)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1.0)) == (100.0, 198.0, 200.0)
    assert quantile([7.0], 0.99) == 7.0
    assert quantile([], 0.5) == 0.0


def test_probes_that_were_never_seen_are_the_slowest() -> None:
    assert quantile([1.0] * 98 + [float("inf")] * 2, 0.99) == float("inf")


def test_a_probe_is_seen_once_and_what_is_seen_is_not_asked_for_again() -> None:
    client: Any = _Answers(["probe-a-000000", "probe-a-000001"], ["probe-a-000001", "probe-a-000002"])
    seen = Seen(client, "a", 3)
    assert seen.look()
    first = seen.at_s["probe-a-000001"]
    assert not seen.look()
    assert seen.at_s["probe-a-000001"] == first < seen.at_s["probe-a-000002"]
    assert [one["first"] for one in client.asked] == ["probe-a-000000", "probe-a-000002"]
    assert all(one["beyond"] > "probe-a-999999" for one in client.asked)


def test_accounts_of_others_are_no_probes_of_ours() -> None:
    client: Any = _Answers(["acme", "probe-b-000000"], [])
    seen = Seen(client, "a", 1)
    assert seen.look() and not seen.at_s
