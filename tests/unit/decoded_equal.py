"""Whether two decodes say the same, column for column; codes are compared as the texts that they stand for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from processors.decoded import Decoded, TypeRows
from processors.vocabulary import Vocabulary

COLUMNS = ("message", "index", "kind", "time_us", "digest", "sequence")


def differences(one: Decoded, other: Decoded) -> list[str]:
    """The names of what differs, in values or in type; empty where all is the same."""
    return list(_differences(one, other))


def _differences(one: Decoded, other: Decoded) -> Iterator[str]:
    for name in COLUMNS:
        if not _same(getattr(one, name), getattr(other, name)):
            yield name
    if one.refusals != other.refusals:
        yield "refusals"
    numbered = one.source >= 0
    if not _same(numbered, other.source >= 0):
        yield "source"
    elif not _same(one.sources[one.source[numbered]], other.sources[other.source[numbered]]):
        yield "sources"
    if list(one.types) != list(other.types):
        yield f"types: {list(one.types)} and {list(other.types)}"
        return
    for kind, rows in one.types.items():
        for name in _of_type(rows, other.types[kind], one.vocabulary, other.vocabulary):
            yield f"type {kind}: {name}"


def _of_type(one: TypeRows, other: TypeRows, words: Vocabulary, other_words: Vocabulary) -> Iterator[str]:
    if not _same(one.row, other.row):
        yield "row"
    texts = {"subject": (one.subject, other.subject)}
    texts |= {path: (codes, other.text[path]) for path, codes in one.text.items()}
    for name, (codes, other_codes) in texts.items():
        if codes.dtype != other_codes.dtype:
            yield f"{name}: {codes.dtype} and {other_codes.dtype}"
        if [words.seen[code] for code in codes] != [other_words.seen[code] for code in other_codes]:
            yield f"text {name}"
    for held, there in ((one.number, other.number), (one.member, other.member)):
        if list(held) != list(there):
            yield f"columns {list(held)} and {list(there)}"
            continue
        for key, (values, present) in held.items():  # type: ignore[attr-defined]
            if not _same(values, there[key][0]) or not _same(present, there[key][1]):  # type: ignore[index]
                yield f"column {key}"


def _same(one: np.ndarray, other: np.ndarray) -> bool:  # type: ignore[type-arg]
    return one.dtype == other.dtype and np.array_equal(one, other)
