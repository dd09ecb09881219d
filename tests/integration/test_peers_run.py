"""The side-by-side benchmark on real services, small: the floors, the hand-written loop and our own fold."""

from pathlib import Path

from benchmarks.peers.run import measure

_EVENTS = 2_000


def test_the_hand_written_loop_and_our_fold_agree_with_the_truth_beside_the_floors(tmp_path: Path) -> None:
    none = tmp_path / "no-environment-of-peers"
    sides = ["decode", "tollstream", "handwritten", "plain"]
    document = measure(tmp_path, _EVENTS, _EVENTS, "embedded", sides, none, lambda _: None)
    assert [one.name for one in document.results] == ["floor", "decode", "tollstream", "handwritten", "plain", "floor"]
    assert [one.failed for one in document.results] == [""] * 6
    assert all(one.taken is not None and one.taken.events == _EVENTS for one in document.results)
    assert [str(one.answer) for one in document.results if one.answer] == ["equal"] * 3
    assert document.floor_us > 0


def test_a_peer_whose_package_is_not_there_says_so(tmp_path: Path) -> None:
    none = tmp_path / "no-environment-of-peers"
    document = measure(tmp_path, _EVENTS, 1_000, "embedded", ["quix"], none, lambda _: None)
    (said,) = [one.failed for one in document.results if one.name == "quix"]
    assert "package quixstreams is not installed" in said
