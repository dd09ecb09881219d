"""Usage metering in which every event is accounted for exactly once, and anyone can check it.

A first tour, with services from packages alone:

```
tollstream up
tollstream catalogue publish
tollstream generate /tmp/traffic.ndjson --events 100000
tollstream emit /tmp/traffic.ndjson
tollstream run --workers 2 --until-caught-up
tollstream ledger
tollstream usage --meter http_requests --window day --group-by account
tollstream down
```
"""

import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from tollstream import (
    accounting,
    alerts,
    catalogue,
    checks,
    invoices,
    letters,
    quotes,
    reconcile,
    recovery,
    running,
    services,
    traffic,
    usage,
)
from tollstream.failures import EXIT_CODES, INTERRUPTED, OK, USAGE, explain, known_errors
from tollstream.place import DEMO_CONFIG, STATE, Place
from tollstream.show import say

EVERYWHERE = Group("Everywhere", sort_key=100)


def _version() -> str:
    try:
        return version("tollstream")
    except PackageNotFoundError:  # runs from its checkout, where nothing is installed
        return "development"


def build() -> App:
    """The command line. Each module adds its group of commands."""
    app = App(
        name="tollstream",
        help=__doc__,
        help_epilogue=EXIT_CODES,
        help_format="markdown",
        version=_version,
        suppress_keyboard_interrupt=False,
    )
    for group in (
        *(services, checks, catalogue, traffic, running, alerts, usage, invoices, quotes),
        *(accounting, letters, reconcile, recovery),
    ):
        group.register(app)
    app.meta.group_parameters = EVERYWHERE
    app.meta.suppress_keyboard_interrupt = False  # it is `main` that gives exit codes

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        config: Annotated[Path, Parameter(help="Directory whose *.toml files are all read.")] = DEMO_CONFIG,
        state: Annotated[Path, Parameter(help="Directory of the embedded services and their data.")] = STATE,
    ) -> Any:
        command, bound, hidden = app.parse_args(tokens, exit_on_error=False, print_error=True)
        return command(*bound.args, **bound.kwargs, **{name: Place(config, state) for name in hidden})

    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. With TOLLSTREAM_DEBUG=1 errors come with their traceback."""
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())  # it also raises what it would log
    try:
        code = build().meta(arguments, exit_on_error=False, print_error=True, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError:
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except known_errors() as error:
        if os.environ.get("TOLLSTREAM_DEBUG") == "1":
            raise
        failure = explain(error)
        say(f"tollstream: {failure.message}")
        return failure.code
    return code if isinstance(code, int) else OK


if __name__ == "__main__":
    sys.exit(main())
