"""`late` and `dead-letter`: events that were not counted, and how they come back."""

import base64
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter, validators

from tollstream.choosing import EVERY, Status, Which
from tollstream.failures import CHECK_FAILED, OK, UsageError
from tollstream.place import Where
from tollstream.show import Format, print_document, print_records, print_table, say
from tollstream.usage import GROUP

if TYPE_CHECKING:
    from sinks.letters import Choice, View
    from sinks.queries import Letter
    from tollstream.admitting import Summary

LETTER = (
    *("topic", "partition", "offset", "index", "reason", "type", "subject", "record_timestamp", "raw", "raw_base64"),
    *("status", "last_reason"),
)
SHORT = ("partition", "offset", "index", "record_timestamp", "status", "reason", "raw")
_RAW_SHOWN = 120  # characters of an event in a table
LIMIT_MAX = 1_000_000

Limit = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=LIMIT_MAX))]
Wait = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=3_600))]
Answer = Literal["table", "json"]


def register(app: App) -> None:
    dead_letter = App(name="dead-letter", help="Events that were refused.", group=GROUP)
    dead_letter.command(list_dead_letters, name="list")
    dead_letter.command(replay)
    app.command(dead_letter)
    late = App(name="late", help="Events that came too late.", group=GROUP)
    late.command(list_late, name="list")
    late.command(admit)
    app.command(late)


def list_dead_letters(
    *, which: Which = EVERY, status: Status | None = None, limit: Limit = 50, format: Format = "table", place: Where
) -> int:
    """Show refused events, the newest first: why, what came, and whether it came back.

    ```
    tollstream dead-letter list --status waiting
    tollstream dead-letter list --limit 1000 --format json | jq -r '.[].reason' | sort | uniq -c
    ```

    Parameters
    ----------
    status
        Only those that wait, or that came to this when they were replayed.
    limit
        How many at most.
    format
        How to print them. JSON and CSV hold the exact bytes as `raw_base64`; `raw` is their text.
    """
    from sinks.queries import dead_letters

    return _list(place, dead_letters, which.chosen(status), limit, format, "no event was refused")


def list_late(
    *, which: Which = EVERY, status: Status | None = None, limit: Limit = 50, format: Format = "table", place: Where
) -> int:
    """Show events that came too late, the newest first, and whether they came back.

    ```
    tollstream late list --status waiting
    tollstream late list --subject zone-17 --between 2026-11-01 2026-11-08
    ```

    Parameters
    ----------
    status
        Only those that wait, or that came to this when they were admitted.
    limit
        How many at most.
    format
        How to print them. JSON and CSV hold the exact bytes as `raw_base64`; `raw` is their text.
    """
    from sinks.queries import late_events

    return _list(place, late_events, which.chosen(status), limit, format, "no event came too late")


def admit(
    *,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
    which: Which = EVERY,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    limit: Limit = LIMIT_MAX,
    wait_s: Wait = 60,
    format: Answer = "table",
    place: Where,
) -> int:
    """Count late events after all: they become usage and are rated, each once, whatever was sent before.

    An event that was counted already, in time or by an earlier admission, is a duplicate. The workers must run; waits
    for their verdicts and prints them. Run it again whenever you like: nothing is counted twice. Exits with 1 where an
    event has no verdict yet.

    ```
    tollstream late admit --all --dry-run
    tollstream late admit --subject zone-17 --between 2026-11-01 2026-11-08
    tollstream late admit --coordinate 0:153:0 --format json
    ```

    Parameters
    ----------
    all_
        Every late event that waits.
    dry_run
        Say what would become of them, and send nothing.
    limit
        How many events at most.
    wait_s
        Seconds to wait for the next verdict.
    format
        How to print the outcome.
    """
    return _bring_back(place, "late_events", all_, which, dry_run, limit, wait_s, format)


def replay(
    *,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
    which: Which = EVERY,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    limit: Limit = LIMIT_MAX,
    wait_s: Wait = 60,
    format: Answer = "table",
    place: Where,
) -> int:
    """Judge refused events again, after what was wrong was mended: a limit, a meter, a clock. Lateness does not apply.

    What is still invalid stays where it is. Everything else is as with `tollstream late admit`.

    ```
    tollstream dead-letter replay --all --dry-run
    tollstream dead-letter replay --type http.request
    ```

    Parameters
    ----------
    all_
        Every refused event that waits.
    dry_run
        Say what would become of them, and send nothing.
    limit
        How many events at most.
    wait_s
        Seconds to wait for the next verdict.
    format
        How to print the outcome.
    """
    return _bring_back(place, "dead_letters", all_, which, dry_run, limit, wait_s, format)


def _bring_back(
    place: Where, view: "View", every: bool, which: Which, dry_run: bool, limit: int, wait_s: int, format: Answer
) -> int:
    if every == (which != EVERY):
        raise UsageError("say which events: --all, or any of --subject, --type, --between and --coordinate")
    from tollstream.admitting import Admitter

    admitter = Admitter(place.load(), view, wait_s, say)
    try:
        found = admitter.run(which.chosen("waiting"), limit, dry_run=dry_run)
    finally:
        admitter.close()
    if format == "json":
        print_document({**msgspec.structs.asdict(found), "dry_run": dry_run})
    else:
        for line in described(found, "late" if view == "late_events" else "refused", dry_run=dry_run):
            print(line)
    return CHECK_FAILED if found.unanswered or found.expired else OK


def letter_records(letters: "list[Letter]") -> list[dict[str, Any]]:
    """`raw` is text, with U+FFFD for what is no UTF-8; `raw_base64` is exact."""
    return [
        {
            **msgspec.structs.asdict(letter),
            "raw": letter.raw.decode(errors="replace"),
            "raw_base64": base64.b64encode(letter.raw).decode(),
        }
        for letter in letters
    ]


def _list(place: Where, read: Any, chosen: "Choice", limit: int, format: Format, nothing: str) -> int:
    from sinks.clickhouse import reader

    client = reader(place.load().settings.clickhouse)
    try:
        letters = letter_records(read(client, limit, chosen))
    finally:
        client.close()
    if not letters:
        say(nothing if chosen == EVERY.chosen() else "no such event")
    if format == "table":
        short = [{**letter, "raw": _cut(letter["raw"])} for letter in letters]
        print_table(short, SHORT)
    else:
        print_records(letters, LETTER, format)
    return OK


def _cut(text: str) -> str:
    return text if len(text) <= _RAW_SHOWN else f"{text[:_RAW_SHOWN]}... ({len(text):,} characters)"


def described(found: "Summary", kind: str, *, dry_run: bool) -> list[str]:
    """What became of the events, a line for each kind of outcome that there is, with what to do next."""
    would = "would be " if dry_run else ""
    lines = [f"{found.chosen:,} {kind} events were waiting"]
    lines += [
        f"{count:>9,} {text}"
        for count, text in (
            (found.admitted, f"{would}admitted: they {'would be' if dry_run else 'are'} usage, and rated"),
            (found.duplicate, f"{would}duplicates: they were counted before"),
            (found.unmetered, "unmetered: no meter takes them"),
            (found.refused, "refused still, and wait:"),
        )
        if count
    ]
    lines += [f"          {count:>9,} {reason}" for reason, count in sorted(found.reasons.items())]
    lines += [
        f"{count:>9,} {text}"
        for count, text in (
            (found.too_large, "wait, too large for a record of limits.message_bytes_max with their coordinates"),
            (
                found.not_archived,
                "wait: identities of their hours are not archived, so they may have been counted before",
            ),
            (found.expired, "wait: hours closed in the meantime; run it again"),
            (
                found.unanswered,
                "have no verdict yet: is `tollstream run` at work? Then see the list, or run this again",
            ),
            (found.elsewhere, "more are of a topic that is no more, whose identities are not complete"),
        )
        if count
    ]
    return lines
