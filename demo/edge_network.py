"""Part one: an edge network's traffic, made up, with duplicates, late and malformed events, and a worker killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

from demo.steps import DemoFailedError, Steps, environ
from demo.truth import compare_ledger, compare_usage
from edge.truth import load, path_of

_WORKERS = 2
_LOOK_S = 0.2
_PATIENCE_S = 300.0  # nothing moves for this long: something is broken
_TOP = 5


def run(steps: Steps, events: int) -> None:
    """Generate, emit, process with a SIGKILL half way, and compare every total with the generator's truth."""
    traffic = steps.state / "traffic.ndjson"
    steps.title(f"traffic of 5,000 zones: {events:,} events, 2% of them duplicates, 0.5% late, 0.1% malformed")
    print(steps.run("generate", str(traffic), "--events", str(events)), end="")
    print(steps.run("catalogue", "publish"), end="")
    print(steps.run("emit", str(traffic)), end="", flush=True)

    steps.title("two workers; one of them is killed half way, and another takes its place")
    took = _process(steps, events)
    print(f"  all processed, rated and acknowledged {took:.1f} s after the start, the kill included")

    steps.title("where did every event go?")
    steps.show("ledger")
    steps.title("who spends most, and what does the first of them owe?")
    accounts = _top_accounts(steps)
    period = load(path_of(traffic))["generator"]["base_time"][:7]
    steps.show("invoice", "preview", "--account", accounts[0], "--period", period)

    steps.title("is it true? Every total against the generator's own count")
    _compare(steps, path_of(traffic))
    for account in accounts:
        _compare_invoice(steps, account, period)


def _process(steps: Steps, events: int) -> float:
    words = ("run", "--workers", str(_WORKERS), "--until-caught-up")
    print(f"$ tollstream {' '.join(words)}", flush=True)
    began = time.monotonic()
    log = steps.state / "run.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(steps.arguments(*words), stdout=out, stderr=subprocess.STDOUT, env=environ()) as running,
    ):
        try:
            _kill_half_way(steps, running, log, events)
            code = running.wait(_PATIENCE_S)
        finally:
            if running.poll() is None:
                running.terminate()
    if code != 0:
        raise DemoFailedError(f"the run ended with {code}:\n{log.read_text()}")
    print("".join(f"  {line}\n" for line in log.read_text().splitlines() if "worker" in line), end="")
    return time.monotonic() - began


def _kill_half_way(steps: Steps, running: subprocess.Popen[bytes], log: Path, events: int) -> None:
    """SIGKILL: no handler runs, nothing is saved. What the worker had in hand is folded again by its successor."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and running.poll() is None:
        pids = next((line.split(": ")[1] for line in log.read_text().splitlines() if "worker pids" in line), "")
        consumed = _consumed(steps) if pids else 0
        if consumed >= events / 2:
            victim = int(pids.replace(",", " ").split()[0])
            os.kill(victim, signal.SIGKILL)
            print(f"  {consumed:,} events in the ledger: worker {victim} killed with SIGKILL", flush=True)
            return
        time.sleep(_LOOK_S)
    raise DemoFailedError(f"no worker got half way:\n{log.read_text()}")


def _consumed(steps: Steps) -> int:
    from sinks.clickhouse import reader
    from sinks.queries import ledger

    client = reader(_settings(steps).clickhouse)
    try:
        return ledger(client).consumed
    finally:
        client.close()


def _settings(steps: Steps) -> Any:
    from tollstream.place import Place

    return Place(steps.config, steps.state).load().settings


def _top_accounts(steps: Steps) -> list[str]:
    from datetime import date

    from sinks.clickhouse import reader
    from sinks.totals import top_accounts

    client = reader(_settings(steps).clickhouse)
    try:
        spends = top_accounts(client, date(1970, 1, 1), date(2261, 1, 1), _TOP)
    finally:
        client.close()
    for spend in spends:
        print(f"  {spend.account:<16} {spend.amount:>20,.6f} {spend.currency}")
    return [spend.account for spend in spends]


def _compare(steps: Steps, truth_file: Path) -> None:
    truth = load(truth_file)
    steps.check("ledger", len(truth["ledger"]), compare_ledger(truth, steps.read("ledger")))

    def read(meter: str) -> Any:
        by = ",".join(["subject", *truth["meters"][meter]["dimensions"]])
        return steps.read("usage", "--meter", meter, "--window", "hour", "--group-by", by)

    meters = list(truth["meters"])
    with ThreadPoolExecutor(2) as readers:
        for meter, records in zip(meters, readers.map(read, meters), strict=True):
            by = ", ".join(["zone", *truth["meters"][meter]["dimensions"]])
            steps.check(f"{meter} by {by} and hour", len(records), compare_usage(truth, meter, records))


def _compare_invoice(steps: Steps, account: str, period: str) -> None:
    """What was rated day by day, opening rows included, must add up to the invoice's lines to the last digit (I6)."""
    from datetime import date

    from sinks.clickhouse import reader
    from sinks.totals import rated_period

    client = reader(_settings(steps).clickhouse)
    try:
        rated = rated_period(client, account, date.fromisoformat(f"{period}-01"))
    finally:
        client.close()
    sums: dict[tuple[str, str], Decimal] = {}
    for row in rated:
        if row.amount is not None:
            place = (row.segment_start.isoformat(), row.price)
            sums[place] = sums.get(place, Decimal(0)) + row.amount
    lines = steps.read("invoice", "preview", "--account", account, "--period", period)["lines"]
    owed = {(line["segment_start"][:10], line["price"]): Decimal(line["amount_unrounded"]) for line in lines}
    differences = [
        f"{place}: invoice {owed.get(place)}, rated days {sums.get(place)}"
        for place in sorted(owed.keys() | sums.keys())
        if owed.get(place) != sums.get(place)
    ]
    steps.check(f"invoice of {account} against its rated days", len(owed), differences)
