"""The short form of `make fuzz`, and that it would find what it is there for."""

from __future__ import annotations

import os
import threading
from collections import Counter
from unittest import mock

import numpy as np
import pytest

from config.catalogue import Catalogue
from processors import decode_messages, numbers
from processors.compiled import built
from processors.decode_shapes import Invalid
from processors.digests import DamagedError
from tests.fuzz import fold, load
from tests.fuzz.fold import FaultError
from tests.fuzz.hunt import Hunt, Target
from tests.fuzz.targets import FOLD, KERNEL, LOAD

SEED = 20_261_123


@pytest.mark.parametrize(("target", "rounds"), [(FOLD, 40), (LOAD, 8)], ids=lambda one: getattr(one, "name", ""))
def test_i1_i7_no_input_breaks_anything(target: Target, rounds: int) -> None:
    hunt = Hunt(target, SEED, 1, print)
    hunt.run(0, rounds)
    assert hunt.found == []
    assert hunt.inputs == rounds * target.inputs


@pytest.mark.skipif(built() is None, reason="the kernel is not built (`make kernel`)")
def test_the_kernel_changes_nothing_about_any_input() -> None:
    hunt = Hunt(KERNEL, SEED, 1, print)
    hunt.run(0, 40)
    assert hunt.found == []
    assert hunt.counts["taken by the kernel"] > hunt.inputs // 10


def test_each_verdict_each_reason_and_each_end_of_a_load_is_met() -> None:
    counts = sum((fold.run_round(SEED, number) for number in range(8)), Counter[str]())
    assert set(counts) >= fold.CODES
    loads = load.run_round(SEED, 0)
    assert set(loads) == {"damaged", "forged and loaded", "loaded as it was"}


# What it found once, and finds again when it is put back.


def found_by(rounds: range) -> bool:
    try:
        for number in rounds:
            fold.run_round(1, number)
    except FaultError:
        return True
    return False


def test_it_finds_numbers_that_wrap_around() -> None:
    with mock.patch.object(numbers, "_CAST_MAX", 10**6):
        assert found_by(range(30))


def test_it_finds_a_verdict_that_depends_on_a_neighbour() -> None:
    whole = decode_messages.is_utf8
    with mock.patch.object(decode_messages, "is_utf8", lambda text: text[:1] >= b"\x80" or whole(text)):
        assert found_by(range(20))


def test_it_finds_refusals_without_a_letter() -> None:
    with mock.patch.object(decode_messages, "Nothing", Invalid):
        assert found_by(range(9, 10))
    assert not found_by(range(9, 10))


def test_it_finds_timestamps_that_overflow() -> None:
    with mock.patch("processors.meter.END_US", 2**63 - 1), mock.patch.object(np, "clip", lambda stamps, *_: stamps):
        assert found_by(range(5, 200, 8))


def test_it_finds_a_state_loaded_as_another() -> None:
    def frames(segment: bytes) -> tuple[list[bytes], int]:
        """Broken: a frame that is damaged is left out."""
        try:
            return whole(segment)
        except DamagedError:
            return [], -1

    whole = load.payloads
    with (
        mock.patch("processors.checkpoint.payloads", frames),
        mock.patch("processors.checkpoint.summed", lambda *_: 0),
        pytest.raises((FaultError, DamagedError)),
    ):
        load.original.cache_clear()
        load.run_round(1, 0)
    load.original.cache_clear()


@pytest.mark.skipif(built() is None, reason="the kernel is not built (`make kernel`)")
def test_it_finds_a_kernel_that_takes_what_the_python_path_refuses() -> None:
    with mock.patch("processors.decode_kernel.reads_number", lambda _: False), pytest.raises(FaultError):
        for number in range(10):
            KERNEL.run(1, number)


# The hunter itself.


def hangs(_seed: int, number: int) -> Counter[str]:
    if number == 1:
        threading.Event().wait()
    return Counter("x")


def hangs_at_two(_seed: int, _number: int, index: int) -> None:
    if index == 2:
        threading.Event().wait()


def dies(_seed: int, number: int) -> Counter[str]:
    if number == 1:
        os._exit(9)
    return Counter("x")


def dies_at_three(_seed: int, _number: int, index: int) -> None:
    if index == 3:
        os._exit(9)


def eats(_seed: int, _number: int) -> Counter[str]:
    return Counter({"bytes": len(bytearray(2**40))})


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Target("hang", 5, hangs, hangs_at_two), "no end after 3 s, at input 2"),
        (Target("death", 5, dies, dies_at_three), "died with exit code 9, at input 3"),
        (Target("hunger", 5, eats, hangs_at_two), "MemoryError"),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_a_hang_a_death_and_hunger_are_named(target: Target, said: str) -> None:
    hunt = Hunt(target, 1, 1, print, silence_s=3)
    hunt.run(0, 2)
    assert [said in one.what for one in hunt.found][:1] == [True]


def test_an_empty_catalogue_is_among_the_worlds() -> None:
    assert Catalogue() in [world[0] for world in fold.WORLDS]
