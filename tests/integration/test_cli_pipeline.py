"""The whole command line on real services: from nothing to an invoice, by the commands that a person types."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edge.truth import rows

EVENTS = 5_000
TOPICS = ("EVENTS", "WINDOWS", "RATED", "ALERTS", "LATE", "DEAD_LETTER", "CATALOGUE", "MARKS")
CHECKOUT = Path(__file__).parents[2]


class Home(NamedTuple):
    """A place to type commands in."""

    directory: Path
    environ: Mapping[str, str]

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tollstream", *arguments],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), **self.environ},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def type(self, *arguments: str, expected: int = 0, given: str | None = None) -> tuple[str, str]:
        """(stdout, stderr) of a command that must end with `expected`."""
        process = self.start(*arguments, stdin=subprocess.PIPE)
        out, err = process.communicate(given, timeout=120)
        assert process.returncode == expected, f"{arguments} ended with {process.returncode}: {err}"
        return out, err

    def read(self, *arguments: str, expected: int = 0) -> Any:
        return json.loads(self.type(*arguments, "--format", "json", expected=expected)[0])


@pytest.fixture(scope="module")
def home(services: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Topics and tables of our own on the services of the session, made by `up`, which starts nothing here."""
    name = f"c{uuid.uuid4().hex[:10]}"
    topics = {f"TOLLSTREAM_KAFKA__{topic}_TOPIC": f"{name}.{topic.lower()}" for topic in TOPICS}
    own = {"TOLLSTREAM_KAFKA__GROUP": name, "TOLLSTREAM_CLICKHOUSE__DATABASE": name}
    home = Home(tmp_path_factory.mktemp("cli"), {**services, **topics, **own})
    _, said = home.type("up")
    assert said.count("so none is started") == 3 and f"{name}.marks" in said
    return home


@pytest.fixture(scope="module")
def truth(home: Home) -> Iterator[dict[str, Any]]:
    """Traffic, emitted twice in different shapes, and processed to its end."""
    home.type("catalogue", "publish")
    home.type("generate", "t.ndjson", "--events", str(EVENTS), "--subjects", "100", "--seed", "5")
    _, said = home.type("emit", "t.ndjson")
    assert f"{EVENTS:,} lines in {EVENTS:,} messages, all acknowledged" in said
    _, said = home.type("run", "--workers", "2", "--until-caught-up")
    assert re.search(r"^worker pids: [0-9]+ [0-9]+$", said, re.MULTILINE)
    assert f"ended in order after {EVENTS:,} messages" in said
    yield json.loads((home.directory / "t.ndjson.truth.json").read_text())


def test_the_ledger_says_what_became_of_every_event(home: Home, truth: dict[str, Any]) -> None:
    found = home.read("ledger")
    assert found["balanced"] is True
    assert {column: found[column] for column in truth["ledger"]} == truth["ledger"]
    assert sum(partition["consumed"] for partition in found["partitions"]) == EVENTS


@pytest.mark.parametrize("meter", ["http_requests", "egress_bytes", "worker_cpu_ms", "storage_operations"])
def test_usage_equals_the_truth(home: Home, truth: dict[str, Any], meter: str) -> None:
    names = truth["meters"][meter]["dimensions"]
    found = home.read("usage", "--meter", meter, "--group-by", ",".join(["subject", *names]))
    seen = {
        (one["subject"], tuple(one["dimensions"].items()), one["window_start"]): (
            Decimal(one["quantity"]),
            one["events"],
        )
        for one in found
    }
    expected = {(row.subject, row.dimensions, row.hour): (row.quantity, row.events) for row in rows(truth, meter)}
    assert seen == expected


def test_usage_of_an_account_adds_up_its_subjects(home: Home, truth: dict[str, Any]) -> None:
    grouped = home.read("usage", "--meter", "http_requests", "--window", "total", "--group-by", "subject,account")
    acme = [int(one["quantity"]) for one in grouped if one["account"] == "acme"]
    (total,) = home.read("usage", "--meter", "http_requests", "--window", "total", "--account", "acme")
    assert (int(total["quantity"]), total["account"]) == (sum(acme), "acme")
    assert len(acme) > 1


def test_an_invoice_prices_that_usage(home: Home, truth: dict[str, Any]) -> None:
    month = truth["hours"][-1][:7]
    invoice = home.read("invoice", "preview", "--account", "acme", "--period", month)
    (usage,) = home.read(
        *("usage", "--meter", "http_requests", "--account", "acme", "--window", "total", "--from", f"{month}-01")
    )
    line = next(line for line in invoice["lines"] if line["meter"] == "http_requests")
    assert line["quantity"] == usage["quantity"] and line["plan"] == "pro"
    total = sum(Decimal(line["amount"]) for line in invoice["lines"])
    assert invoice["total"] == str(total) and total >= 20
    assert invoice["unrated"] == []


def test_refused_and_late_events_are_found_with_their_reasons(home: Home, truth: dict[str, Any]) -> None:
    refused = home.read("dead-letter", "list", "--limit", "1000")
    assert len(refused) == truth["ledger"]["invalid"]
    assert all(": " in letter["reason"] and letter["raw_base64"] for letter in refused)
    assert len(home.read("late", "list", "--limit", "1000")) == truth["ledger"]["late"]
    assert len(home.read("dead-letter", "list", "--limit", "1")) == 1


def test_all_of_it_reconciles_with_the_log(home: Home, truth: dict[str, Any]) -> None:
    found = home.read("reconcile")
    assert (found["equal"], found["differences"], found["unchecked"]) == (True, [], [])
    assert found["compared"]["letters"] == truth["ledger"]["late"] + truth["ledger"]["invalid"]
    assert "round 2: 0 messages" in home.type("reconcile", "--follow", "--rounds", "2", "--interval", "0.1")[1]
    standings = home.read("recover", "show")
    assert {one["redis"] == one["ledger"] == one["acknowledged"] for one in standings} == {True}


def test_the_published_catalogue_is_shown_and_stays_when_nothing_differs(home: Home, truth: dict[str, Any]) -> None:
    found = home.read("catalogue", "show")
    assert (found["generation"], len(found["meters"]), len(found["accounts"])) == (1, 4, 36)
    assert "nothing differs from generation 1" in home.type("catalogue", "publish")[1]
    lines = home.type("catalogue", "show", "--format", "csv")[0].splitlines()
    assert lines[0] == "generation,kind,id,version,body" and any(",meter,http_requests,1," in line for line in lines)


def test_a_change_of_what_is_published_is_refused(home: Home, truth: dict[str, Any], tmp_path: Path) -> None:
    text = (CHECKOUT / "demo" / "config" / "tollstream.toml").read_text()
    (tmp_path / "t.toml").write_text(text.replace('window = "1h"', 'window = "1d"', 1))
    _, said = home.type("--config", str(tmp_path), "catalogue", "publish", expected=2)
    assert "meter http_requests/1: is published and never changes" in said
    assert home.read("catalogue", "show")["generation"] == 1


def test_doctor_finds_the_services_well(home: Home, truth: dict[str, Any]) -> None:
    found = home.read("doctor")
    assert {"configuration", "broker", "redis", "clickhouse"} <= {check["name"] for check in found}
    assert [check for check in found if check["state"] == "wrong"] == []


def test_standard_input_is_emitted_line_by_line(home: Home, truth: dict[str, Any]) -> None:
    lines = [line.decode() + "\n" for line in (home.directory / "t.ndjson").read_bytes().split(b"\n")[:10]]
    _, said = home.type("emit", "-", "--batch", "4", "--format", "msgpack", given="".join(lines))
    assert "10 lines in" in said
    lines = [line if number else '{"id":"' + "x" * 1_100_000 + '"}\n' for number, line in enumerate(lines)]
    _, said = home.type("emit", "-", given="".join(lines), expected=1)
    assert "10 lines in 9 messages" in said and "line 1: is larger than" in said


def test_a_terminated_run_drains_and_exits_with_0(home: Home, truth: dict[str, Any]) -> None:
    process = home.start("run", "--health-port", "0")
    assert process.stderr
    url = worker = None
    for line in process.stderr:
        url = url or (line.split()[1] if line.startswith("health: ") else None)
        worker = worker or (int(line.split()[2]) if line.startswith("worker pids: ") else None)
        if url and worker:
            break
    assert url and worker
    with urllib.request.urlopen(url) as answer:  # noqa: S310
        assert json.load(answer)["healthy"] is True
    os.kill(worker, signal.SIGKILL)
    for line in process.stderr:
        if line.startswith("worker pids: ") and int(line.split()[2]) != worker:
            break
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "ended in order" in said


def test_up_and_down_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in [name for name in os.environ if name.startswith("TOLLSTREAM_")]:
        monkeypatch.delenv(setting)
    alone = Home(tmp_path, {})
    _, said = alone.type("ledger", expected=3)
    assert "tollstream up" in said
    _, said = alone.type("up")
    try:
        assert "made the topics" in said
        assert alone.read("ledger")["consumed"] == 0  # found by --state's default
        assert "is in use" in alone.type("up", expected=2)[1]
        _, said = alone.type("catalogue", "show", expected=2)
        assert "tollstream catalogue publish" in said
        _, said = alone.type("run", "--until-caught-up", expected=2)
        assert "tollstream catalogue publish" in said
    finally:
        _, said = alone.type("down")
    assert "stopped the services of .tollstream" in said
    assert "nothing runs on .tollstream" in alone.type("down")[1]


def test_a_service_that_is_killed_is_told_by_the_next_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in [name for name in os.environ if name.startswith("TOLLSTREAM_")]:
        monkeypatch.delenv(setting)
    alone = Home(tmp_path, {})
    alone.type("up")
    try:
        running = json.loads((tmp_path / ".tollstream" / "services.json").read_text())
        os.kill(running["pids"]["redis"], signal.SIGKILL)
        with (tmp_path / ".tollstream" / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)  # given back once the supervisor has noticed and stopped the others
        _, said = alone.type("ledger", expected=3)
        assert "valkey" in said
    finally:
        alone.type("down")
