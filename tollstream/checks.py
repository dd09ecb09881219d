"""`doctor`: the configuration and what every service is set to, with what to do about it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cyclopts import App

from tollstream.failures import CHECK_FAILED, OK, UNREACHABLE, CheckFailed, Unreachable
from tollstream.place import Where, log_reach_ms
from tollstream.services import GROUP
from tollstream.show import Format, print_records, say

if TYPE_CHECKING:
    from config.loader import Config
    from stack.doctor import Check

COLUMNS = ("state", "name", "found", "mend")
REACH = ("broker", "redis", "clickhouse")  # the checks that fail where a service is not there at all


def register(app: App) -> None:
    app.command(doctor, group=GROUP)


def doctor(*, format: Format = "table", place: Where) -> int:
    """Check the configuration and the settings of every service, and say how to mend what is wrong.

    Looks only; changes nothing. `warning` is for what works and yet deserves a thought. Exits with 1 where something
    is `wrong`, with 3 where a service is out of reach.

    ```
    tollstream doctor
    tollstream doctor --format json
    ```

    Parameters
    ----------
    format
        How to print the checks.
    """
    from processors.compiled import status
    from stack.doctor import Check, checks

    config = place.load()
    parts = config.catalogue
    counted = f"{len(parts.meters)} meters, {len(parts.plans)} plans, {len(parts.accounts)} accounts"
    found = [Check("configuration", True, f"{place.config}: {counted}")]
    found.append(Check("kernel", True, status(wanted=config.settings.processing.kernel)))
    found += checks(config.settings, log_reach_ms(config))
    records = [
        {"state": _state(check), "name": check.name, "found": check.found, "mend": check.mend} for check in found
    ]
    print_records(records, COLUMNS, format)
    wrong = [check for check in found if check.ok is False]
    if not wrong:
        return OK
    say(f"{len(wrong)} of {len(found)} checks failed")
    return UNREACHABLE if any(check.name in REACH for check in wrong) else CHECK_FAILED


def refuse_unsafe(config: "Config") -> None:
    """What a start needs of its services. Raises Unreachable or CheckFailed, naming every fault and its mend."""
    from stack.doctor import check_broker, check_clickhouse, check_redis

    settings = config.settings
    found: Iterable[Check] = [
        *check_broker(settings.kafka, log_reach_ms(config)),
        *check_redis(settings.redis),
        *check_clickhouse(settings.clickhouse),
    ]
    wrong = [check for check in found if check.ok is False]
    if not wrong:
        return
    lines = "\n".join(f"  {check.name}: {check.found}: {check.mend}" for check in wrong)
    if any(check.name in REACH for check in wrong):
        raise Unreachable(f"{wrong[0].name}: {wrong[0].found}")
    raise CheckFailed(f"the services are not set up so that nothing can be lost:\n{lines}\nMend each and run again.")


def _state(check: "Check") -> str:
    return {True: "ok", None: "warning", False: "wrong"}[check.ok]
