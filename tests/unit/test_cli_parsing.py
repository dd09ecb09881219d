"""The command line itself: what it takes, what it refuses, what its help teaches."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tollstream.__main__ import main
from tollstream.place import DEMO_CONFIG

COMMANDS = [
    *("up", "down", "doctor", "generate", "emit", "run", "alert", "usage", "ledger"),
    *("catalogue validate", "catalogue publish", "catalogue show", "invoice preview", "dead-letter list", "late list"),
    "quote",
]
READING = [
    *("doctor", "usage --meter m", "ledger", "invoice preview --account a --period 2026-11"),
    *("catalogue show", "dead-letter list", "late list"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_teaches_by_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert re.search(rf"^ tollstream {command}", shown, re.MULTILINE), shown
    assert "--config" in shown and "--state" in shown
    assert "Exit codes: 0 all is well" in shown


def test_the_first_page_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"│ {command.split()[0]} ", shown), command


@pytest.mark.parametrize("command", READING)
def test_every_reading_command_refuses_a_format_that_there_is_not(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--format", "xml"]) == 2
    assert '"table", "json", "csv"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("bogus", 'Unknown command "bogus"'),
        ("usage", "--meter"),
        ("ledger --bogus", "--bogus"),
        ("up --kafka rabbit", '"embedded", "apache"'),
        ("run --workers 0", "1 to 256"),
        ("run --workers many", "many"),
        ("emit f --batch 0", "1 to 10,000"),
        ("emit f --rate 0", "above 0"),
        ("emit f --rate nan", "above 0"),
        ("emit no-such-file", "no-such-file: No such file"),
        ("generate f --events 0", "events must be at least 1"),
        ("generate f --span long", "90s, 15m, 24h or 2d"),
        ("generate f --base-time 2026-11-01T12:00:00", "2026-11-01T12:30:00Z"),
        ("dead-letter list --limit 0", ">= 1"),
        ("late list --limit 10000000", "<= 1000000"),
        ("usage --meter http_requests --from yesterday", "2026-11-01T12:30:00Z"),
        ("usage --meter http_requests --from 2026-12-01 --to 2026-11-01", "is not before"),
        ("usage --meter http_requests --group-by zone", "takes subject, account, region"),
        ("usage --meter http_requests --group-by region,region", "twice"),
        ("usage --meter http_requests --window week", '"hour", "day", "month", "total"'),
        ("invoice preview --account a --period 2026-13", "write it as 2026-11"),
        ("--config /no/such/directory ledger", "name a directory that holds *.toml files"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_how_to_write_it(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(arguments.split()) == 2
    answer = capsys.readouterr()
    assert said in answer.err and not answer.out
    assert "Traceback" not in answer.err


def test_every_fault_of_a_configuration_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.toml").write_text('default_plan = "gold"\n[kafka]\npartitions = 0\nbootsrap = "x"\n')
    assert main(["catalogue", "validate", "--config", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert all(path in said for path in ("default_plan", "kafka.partitions", "kafka.bootsrap"))


def test_global_options_may_stand_before_and_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--config", str(DEMO_CONFIG), "catalogue", "validate"], ["catalogue", "validate"]):
        assert main(arguments) == 0
        assert main([*arguments[-2:], "--config", str(DEMO_CONFIG)]) == 0
        assert "is valid: 3 events, 4 meters, 2 plans, 36 accounts" in capsys.readouterr().err


def test_starting_loads_none_of_the_heavy_packages() -> None:
    heavy = {"confluent_kafka", "chdb", "numpy", "pyarrow", "faust", "redis", "clickhouse_connect"}
    code = f"import sys; from tollstream.__main__ import build; build(); print({heavy!r} & set(sys.modules) or 'none')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "none\n"


def test_generate_writes_the_same_file_for_the_same_seed_and_base_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        options = ["--events", "500", "--seed", "3", "--base-time", "2026-11-20T12:00:00Z"]
        assert main(["generate", str(tmp_path / name), *options]) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one.truth.json").read_bytes() == (tmp_path / "two.truth.json").read_bytes()
    assert len((tmp_path / "one").read_bytes().splitlines()) == 500
