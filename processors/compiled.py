"""The compiled module (`kernel/`, built by `make kernel`), where it is built: it is optional."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

INTERFACE = 2  # of the compiled module; one of another checkout is not used
NOT_BUILT = "not built, so the Python decoder reads everything; `make kernel` builds it"
OUTDATED = "built for another version, so not used; `make kernel` builds it anew"
SWITCHED_OFF = "built, and switched off by processing.kernel"
IN_USE = "in use"


class Module(Protocol):
    """The compiled module."""

    INTERFACE: int
    Kernel: Any  # of `decode_kernel`
    find: Any  # of `int_codes`
    codes: Any  # of `int_codes`
    add: Any  # of `identity`
    tally: Any  # of `partials`
    sums: Any  # of `partials`


def built() -> Module | None:
    """The compiled module, where it is built for this version."""
    try:
        module: Any = import_module("tollstream_kernel")
    except ImportError:
        return None
    return module if module.INTERFACE == INTERFACE else None


def status(*, wanted: bool) -> str:
    """One line on whether it is used; `wanted`: the setting."""
    if built() is None:
        try:
            import_module("tollstream_kernel")
        except ImportError:
            return NOT_BUILT
        return OUTDATED
    return IN_USE if wanted else SWITCHED_OFF
