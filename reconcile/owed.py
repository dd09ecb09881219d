"""What a rated row is about, and what it must say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from rating.numbers import EXACT, ZERO

Owed = tuple[Decimal, Decimal | None]  # quantity and amount so far; None: not rated


class RatedKey(NamedTuple):
    """What a rated row is about, within an account."""

    period_start: date
    segment_start: date
    price: str
    meter: str
    opening: bool
    day: date
    part: str


def said(before: Owed, now: Owed) -> dict[str, Any]:
    """The numbers of a row that lies between the two."""
    amount = None if now[1] is None else EXACT.subtract(now[1], before[1] or ZERO)
    return {"quantity": EXACT.subtract(now[0], before[0]), "quantity_total": now[0], "amount": amount}


def part_text(values: Mapping[str, str]) -> str:
    """The part of a price, as it stands in a row; "" for all pooled."""
    if not values:
        return ""
    return json.dumps(dict(values), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
