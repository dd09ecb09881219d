"""Several decodes of one call's messages as one, in log order: each reader had the messages that it can read."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from processors.decoded import Decoded, Refusal, TypeRows

IntArray = npt.NDArray[np.int64]
Part = tuple[npt.NDArray[np.int32], Decoded]  # places of its messages in the call, ascending; what they hold


def joined(parts: Sequence[Part]) -> Decoded:
    """As if one reader had had all messages. No two parts have a message in common, and all share a vocabulary."""
    if len(parts) == 1:
        places, decoded = parts[0]
        return msgspec.structs.replace(decoded, message=places[decoded.message])
    message = np.concatenate([places[decoded.message] for places, decoded in parts])
    order = np.argsort(message, kind="stable")  # rows of one message are of one part, and in order there
    row_of = np.empty(len(order), np.int64)
    row_of[order] = np.arange(len(order))
    rows = np.split(row_of, np.cumsum([len(decoded.kind) for _, decoded in parts])[:-1])
    held = [decoded for _, decoded in parts]
    firsts = np.cumsum([0, *(len(one.sources) for one in held)])

    def column(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(one, name) for one in held])[order]

    source, sources = np.full(len(order), -1, np.int64), held[0].sources
    if firsts[-1]:
        sources, place = np.unique(np.concatenate([one.sources for one in held]), axis=0, return_inverse=True)
        for at, one, first in zip(rows, held, firsts, strict=False):
            numbered = one.source >= 0
            source[at[numbered]] = place.reshape(-1)[one.source[numbered] + first]  # one row for one source
    refusals = [
        Refusal(int(at[one.row]), one.reason, one.raw)
        for at, decoded in zip(rows, held, strict=True)
        for one in decoded.refusals
    ]
    return Decoded(
        message=message[order],
        index=column("index"),
        kind=column("kind"),
        time_us=column("time_us"),
        digest=column("digest"),
        types=_types(held, rows),
        refusals=sorted(refusals),
        sequence=column("sequence"),
        source=source,
        sources=sources,
        vocabulary=held[0].vocabulary,
    )


def _types(held: Sequence[Decoded], rows: Sequence[IntArray]) -> dict[int, TypeRows]:
    """The events of each type. `rows`: of each part's rows, where they are now."""
    found = {}
    for kind in sorted({kind for one in held for kind in one.types}):
        parts = [(at, one.types[kind]) for at, one in zip(rows, held, strict=True) if kind in one.types]
        if len(parts) == 1:
            ((at, one),) = parts
            found[kind] = msgspec.structs.replace(one, row=at[one.row])
            continue
        row = np.concatenate([at[one.row] for at, one in parts])
        order = np.argsort(row, kind="stable")  # fast on ascending runs, one for each part
        of = [one for _, one in parts]
        found[kind] = TypeRows(
            row[order],
            np.concatenate([one.subject for one in of])[order],
            {path: np.concatenate([one.text[path] for one in of])[order] for path in of[0].text},
            {key: _pair([one.number[key] for one in of], order) for key in of[0].number},
            {path: _pair([one.member[path] for one in of], order) for path in of[0].member},
        )
    return found


def _pair(columns: Sequence[tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]], order: IntArray) -> Any:
    values, present = zip(*columns, strict=True)
    return np.concatenate(values)[order], np.concatenate(present)[order]
