"""Settings from names such as TOLLSTREAM_KAFKA__BOOTSTRAP: the environment, and services that are already running."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

import msgspec

from config.faults import Fault, Place, suggestion
from config.settings import Settings
from config.tables import BAD, read_value

PREFIX = "TOLLSTREAM_"
INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def known_names() -> dict[str, tuple[str, msgspec.structs.FieldInfo]]:
    """Variable -> (section, field), for every setting that one text can hold."""
    return {
        f"{PREFIX}{section.name}__{field.name}".upper(): (section.name, field)
        for section in msgspec.structs.fields(Settings)
        for field in msgspec.structs.fields(section.type)
        if _plain(field.type) in (str, int, bool)
    }


def read_overrides(variables: Mapping[str, str], faults: list[Fault]) -> dict[str, dict[str, Any]]:
    """section -> field -> typed value (BAD where it had a fault), from the variables that name a section and a key.

    A name without a double underscore (TOLLSTREAM_CACHE, say) is not a setting and is left alone.
    """
    known = known_names()
    found: dict[str, dict[str, Any]] = {}
    for name, text in sorted(variables.items()):
        if not name.startswith(PREFIX) or "__" not in name:
            continue
        if name not in known:
            faults.append(Fault(name, f"unknown setting{suggestion(name, known)}"))
            continue
        section, field = known[name]
        found.setdefault(section, {})[field.name] = _typed(field, name, text, faults)
    return found


def _typed(field: msgspec.structs.FieldInfo, name: str, text: str, faults: list[Fault]) -> Any:
    plain = _plain(field.type)
    value: str | int | bool = text
    if plain is int:
        if not INTEGER.fullmatch(text):
            faults.append(Fault(name, "must be a whole number"))
            return BAD
        value = int(text)
    elif plain is bool:
        if text.lower() not in BOOLEANS:
            faults.append(Fault(name, "must be true or false"))
            return BAD
        value = BOOLEANS[text.lower()]
    if value == "" and field.default != "":
        faults.append(Fault(name, "must not be empty; unset it for the default"))
        return BAD
    return read_value(field.type, value, Place("", name), faults)


def _plain(kind: Any) -> Any:
    """The type below Annotated and `| None`."""
    options = [option for option in get_args(kind) if option is not type(None)] if _is_optional(kind) else [kind]
    return get_args(options[0])[0] if get_origin(options[0]) is Annotated else options[0]


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) is not Annotated and type(None) in get_args(kind)
