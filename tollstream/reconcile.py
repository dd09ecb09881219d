"""`reconcile`: the log counted anew, and compared with everything that came of it."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter, validators

from tollstream.failures import CHECK_FAILED, OK, USAGE, UsageError
from tollstream.instants import instant
from tollstream.place import Where, check_broker, published_catalogue
from tollstream.show import print_document, say
from tollstream.traffic import progress
from tollstream.usage import GROUP

if TYPE_CHECKING:
    from reconcile.check import Check
    from reconcile.differences import Difference, Outcome

_PLACE = (
    *("partition", "account", "meter", "meter_version", "subject", "dimensions"),
    *("window_start", "admission", "chunk", "row"),
)
_VALUE_SHOWN = 200  # characters of a field in a line


def register(app: App) -> None:
    app.command(reconcile, group=GROUP)


def reconcile(
    *,
    follow: bool = False,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    show: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=10_000))] = 20,
    interval: float = 5.0,
    rounds: int | None = None,
    format: Literal["table", "json"] = "table",
    place: Where,
) -> int:
    """Count the log anew, with a reader that shares nothing with the processors, and compare.

    Every partition, meter, subject and window in ClickHouse; identities, partials and clock in Redis; the ledger; late
    events and dead letters; what came back by `late admit` and `dead-letter replay`, and that none of it was counted
    twice; and rated usage, rated anew. Each difference is printed with the offsets and ids of the
    events behind it. May be used while processors run: what moves on meanwhile is compared where it stands then.

    Exits with 0 where all is equal, 1 where anything differs, and 2 where nothing differs and something could not be
    checked, which is said.

    ```
    tollstream reconcile
    tollstream reconcile --from 2026-11-01          # only windows from then on; the ledger counts from the start, so
                                                    # it is not compared
    tollstream reconcile --follow                   # behind the running processors, until stopped
    tollstream reconcile --format json | jq '.differences[].causes'
    ```

    Parameters
    ----------
    follow
        Check again and again behind the running processors, reading only what is new; a line a round. Of Redis it
        compares ledger, clock and number of identities; money is not rated anew, and what admissions knew of the
        archive is not verified.
    from_
        Only windows that start at this instant or later: RFC 3339, or a day.
    show
        For how many differences to print the details and find the events, which reads the log once more.
    interval
        With --follow: seconds between two rounds.
    rounds
        With --follow: end after so many.
    format
        How to print it.
    """
    if interval <= 0 or (rounds is not None and rounds < 1):
        raise UsageError("--interval takes seconds above 0, and --rounds 1 or more")
    begin = None if from_ is None else instant(from_, "--from")
    config = place.load()
    check_broker(config.settings.kafka)
    catalogue = published_catalogue(config.settings.kafka)
    from reconcile.check import Check

    check = Check(config.settings, catalogue, begin)
    try:
        if follow:
            _follow(check, interval, rounds)
            outcome = check.outcome
        else:
            with progress("counting the log", None, "messages") as advance:
                began, counted = time.monotonic(), Count(advance)
                outcome = check.once(counted, show)
            say(f"{counted.messages:,} messages counted in {time.monotonic() - began:.1f} s")
    finally:
        check.close()
    if format == "json":
        print_document(document(outcome, show))
    else:
        tell(outcome, show)
    return exit_code(outcome)


class Count:
    """Adds up messages on the way to a progress bar."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.messages, self._advance = 0, advance

    def __call__(self, messages: int) -> None:
        self.messages += messages
        self._advance(messages)


def exit_code(outcome: "Outcome") -> int:
    if outcome.count:
        return CHECK_FAILED
    return USAGE if outcome.unchecked else OK


def document(outcome: "Outcome", show: int) -> dict[str, Any]:
    """The stable shape for scripts."""
    found: list[Any] = [msgspec.to_builtins(difference) for difference, _ in outcome.sample(show)]
    return {
        "equal": not outcome.count,
        "differences_found": outcome.count,
        "compared": dict(outcome.compared),
        "unchecked": list(outcome.unchecked),
        "differences": found,
    }


def tell(outcome: "Outcome", show: int) -> None:
    """For people: each difference on a few lines, then what was compared, and what not."""
    for difference, _ in outcome.sample(show):
        print("\n".join(lines(difference)))
    if outcome.count > show:
        say(f"and {outcome.count - min(show, len(outcome.differences)):,} more; --show takes a larger number")
    for statement in outcome.unchecked:
        say(f"not checked: {statement}")
    compared = ", ".join(f"{count:,} {name}" for name, count in sorted(outcome.compared.items())) or "nothing yet"
    verdict = f"{outcome.count:,} differences" if outcome.count else "no difference"
    say(f"{verdict}; compared: {compared}")


def lines(difference: "Difference") -> list[str]:
    """What differs, where, and which events of the log are behind it."""
    place = {
        name: value
        for name in _PLACE
        if (value := getattr(difference, name)) not in (None, "", {}, 0) or name == "partition"
    }
    named = " ".join(f"{name}={_short(value)}" for name, value in place.items())
    said = [f"{difference.place}: {difference.what}: {named}"]
    if difference.expected is not None:
        said.append(f"  the log gives {_short(difference.expected)}")
    if difference.found is not None:
        said.append(f"  there is      {_short(difference.found)}")
    if difference.offsets:
        said.append(f"  offsets {', '.join(map(str, difference.offsets))}")
    said += [
        f"  event {one.offset}/{one.index} {one.verdict} id={one.id} source={one.source} time={one.time}"
        for one in difference.causes
    ]
    if difference.events is not None and difference.events > len(difference.causes):
        said.append(f"  and {difference.events - len(difference.causes):,} events more")
    return said


def _short(value: Any) -> str:
    text = " ".join(f"{name}={one}" for name, one in value.items()) if isinstance(value, dict) else str(value)
    return text if len(text) <= _VALUE_SHOWN else f"{text[:_VALUE_SHOWN]}.."


def _follow(check: "Check", interval_s: float, rounds: int | None) -> None:
    total = told = 0
    try:
        for number, read in enumerate(check.follow(lambda _: None), 1):
            total += read
            outcome = check.outcome
            for difference, _ in outcome.differences[told:]:
                print("\n".join(lines(difference)))
            told = len(outcome.differences)
            waiting = f", {outcome.waiting:,} rows not acknowledged yet" if outcome.waiting else ""
            say(f"round {number}: {read:,} messages, {total:,} in all, {outcome.count:,} differences{waiting}")
            if number == rounds:
                return
            time.sleep(interval_s)
    except KeyboardInterrupt:
        say("stopped")
