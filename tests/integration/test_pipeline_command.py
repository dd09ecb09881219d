"""`tollstream run` as a process, on topics as `create_topics` makes them: SIGTERM ends it in order, with all saved."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from conftest import MakePipeline
from pipeline import Message, Pipeline, wait_for
from pipeline_traffic import Traffic, check
from pipeline_truth import Sent, single

from sinks.topics import create_topics


def arguments(*words: str) -> list[str]:
    return [sys.executable, "-m", "tollstream", *words]


def environ(pipeline: Pipeline) -> dict[str, str]:
    """The settings of a pipeline as variables."""
    found = {}
    for section in ("kafka", "redis", "clickhouse", "processing"):
        for name, value in msgspec.structs.asdict(getattr(pipeline.settings, section)).items():
            if value is not None:
                found[f"TOLLSTREAM_{section}__{name}".upper()] = str(value)
    return os.environ | found


def test_sigterm_ends_a_run_in_order_and_the_next_one_goes_on_from_there(
    make_pipeline: MakePipeline, kafka: Any, tmp_path: Path
) -> None:
    pipeline = make_pipeline(kafka.bootstrap, consume_messages_max=100)
    settings = msgspec.structs.replace(pipeline.settings.kafka, events_topic=f"{pipeline.settings.kafka.group}.stamped")
    pipeline.settings = msgspec.structs.replace(pipeline.settings, kafka=settings)
    create_topics(settings)
    traffic, now = Traffic(seed=61), datetime.now(UTC)
    for second in range(2_000):
        event = traffic.event(now - timedelta(hours=20) + timedelta(seconds=second))
        stamp = round(now.timestamp() * 1000)
        traffic.add(Sent(traffic.partition(event["subject"]), stamp, single(event), [event]))
    messages = [Message(one.partition, one.at_ms, one.value) for one in traffic.log]
    pipeline.send(messages[:1_000])

    config = tmp_path / "empty.toml"
    config.write_text("")
    command = arguments("--config", str(tmp_path), "run", "--workers", "2")
    log = (tmp_path / "log").open("wb")
    with subprocess.Popen(command, env=environ(pipeline), stderr=log, stdout=log) as run:
        try:
            wait_for(lambda: pipeline.consumed() or run.poll() is not None, "the first output")
            run.send_signal(signal.SIGTERM)
            assert run.wait(60) == 0, (tmp_path / "log").read_text()
        finally:
            run.kill()
    pipeline.send(messages[1_000:])
    subprocess.run([*command, "--until-caught-up"], check=True, env=environ(pipeline), timeout=90)
    check(pipeline, traffic.log)
    shown = subprocess.run(
        arguments("--config", str(tmp_path), "ledger", "--format", "json"),
        check=True,
        env=environ(pipeline),
        capture_output=True,
        timeout=60,
    )
    assert json.loads(shown.stdout)["consumed"] == 2_000
