"""Reads one price from a file of its own, reporting every fault at once."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from config.faults import ConfigError, Fault, Place
from config.loader import reading_order
from config.price_checks import rule_faults
from config.tables import BAD, read_value
from rating.prices import Price, completed


def read_price_file(path: Path) -> Price:
    """The price in a TOML or JSON file that holds nothing else. It may leave out `id` and `meter`.

    Raises ConfigError with every fault, OSError for a file that cannot be read.
    """
    faults: list[Fault] = []
    raw = _parsed(path, faults)
    row = BAD if faults else read_value(Price, raw, Place(path.name), faults)
    if row is not BAD:
        faults += rule_faults(row)
    price: Price = BAD if faults else row.build(faults)
    if faults:
        raise ConfigError(sorted(set(faults), key=reading_order), f"the price in {path}")
    return price


def _parsed(path: Path, faults: list[Fault]) -> Any:
    try:
        text = path.read_bytes().decode()
        written = msgspec.json.decode(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # both formats and UTF-8 raise kinds of ValueError
        faults.append(Fault("", f"is not {'JSON' if path.suffix == '.json' else 'TOML'}: {error}", path.name))
        return BAD
    if isinstance(written, dict):
        return completed({"id": path.stem, "meter": "quantity", **written})
    faults.append(Fault("", "must hold one price, a table of fields", path.name))
    return BAD
