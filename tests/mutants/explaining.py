"""Survivors that are no loss: by a rule that is right wherever it applies, or one by one in explained.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.mutants.making import Mutant

EXPLAINED = Path(__file__).with_name("explained.toml")
PROSE = "the words of a message; tests look at its code and its numbers"
STRICT = "the lengths are equal: strictness is a tripwire for us"
_RAISED = re.compile(r'raise \w+\((f?"[^"]* [^"]*"|None)\)( from \w+)?')
_TEXT = re.compile(r""""[^"]*"|'[^']*'""")
_STRICT = re.compile(r",?\s*strict=(True|None|False)\b|,\s*(?=\))")


class Explanations:
    """Of explained.toml, and of the rules."""

    def __init__(self) -> None:
        entries = tomllib.loads(EXPLAINED.read_text())["mutant"]
        self._said = {(one["file"], one["was"], one["became"]): str(one["why"]) for one in entries}

    def why(self, one: Mutant) -> str:
        """Why no test can notice, or needs to; "" where nobody says."""
        if only_prose(one.was, one.became):
            return PROSE
        if only_strictness(one.was, one.became):
            return STRICT
        return self._said.get((one.place.path, one.was, one.became), "")


def only_prose(was: str, became: str) -> bool:
    """Whether all that changed is what a sentence says, a text with a space in it, or whether an error has one."""
    if became.startswith("raise ") and "(None)" in became and _RAISED.sub("", was) == _RAISED.sub("", became) == "":
        return True
    texts = _TEXT.findall(was), _TEXT.findall(became)
    if _TEXT.sub("", was) != _TEXT.sub("", became) or len(texts[0]) != len(texts[1]):
        return False
    return all(a == b or " " in a for a, b in zip(*texts, strict=True))


def only_strictness(was: str, became: str) -> bool:
    """Whether zip was told to be strict and is not now."""
    return was != became and "strict=True" in was and _STRICT.sub("", was) == _STRICT.sub("", became)
