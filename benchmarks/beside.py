"""What `python -m benchmarks.peers` found last: how much more CPU others take for an event than our meter stage."""

from pathlib import Path

import msgspec

OURS = "tollstream-stage"


class _Taken(msgspec.Struct):
    events: int
    cpu_s: float


class _Result(msgspec.Struct):
    name: str
    taken: _Taken | None = None


class _Machine(msgspec.Struct):
    commit: str


class _Document(msgspec.Struct):
    """The part of its document that we need."""

    machine: _Machine
    results: list[_Result]


class Peers(msgspec.Struct):
    """`ratios`: CPU an event of each over ours, in the same run; of those that ran."""

    commit: str
    ratios: dict[str, float]


def read(path: Path) -> Peers | None:
    """None where it never ran, or ours failed in it. ValidationError where the file is of another kind."""
    if not path.exists():
        return None
    document = msgspec.json.decode(path.read_bytes(), type=_Document)
    costs = {one.name: one.taken.cpu_s / one.taken.events for one in document.results if one.taken}
    ours = costs.get(OURS)
    return Peers(document.machine.commit, {name: cost / ours for name, cost in costs.items()}) if ours else None
