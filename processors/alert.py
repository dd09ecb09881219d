"""The alert stage, on Faust: rated totals in, one alert for each budget that an account's period passes.

Nothing is kept here between runs. Faust's tables count twice after a kill, so each start rebuilds from the topics: what
was announced from `usage.alerts`, the totals from the beginning of `usage.rated`. They are absolute and versioned, so
reading them again changes nothing.

Delivery is at least once with a stable key. An alert counts as announced when the broker has acknowledged it; a process
that dies before that sends it again with the same key. Two records are possible if the first was still on its way when
the next start read the topic, or if two of these processes run: run one, and take alerts by key.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
from typing import Any

import faust
import msgspec
from mode import CrashingSupervisor

from config.settings import Settings
from processors.budgets import Budgets
from processors.patience import patiently
from processors.rate import RatedRow
from sinks.topics import DurableProducer, read_to_end

_DECODER = msgspec.json.Decoder(RatedRow)
_LOOK_S = 0.2  # between two looks whether the worker has been told to stop while an acknowledgement is awaited


async def handle(value: bytes | None, budgets: Budgets, producer: DurableProducer, topic: str) -> None:
    """Take one message of `usage.rated`; returns when the alerts it caused are durable on `topic`.

    Raises KafkaException for an alert that was not acknowledged in time, msgspec.MsgspecError for a message that
    is no rated row: both stop the worker, as passing over them would lose an alert.
    """
    if value is None:
        return
    for alert in budgets.crossed(_DECODER.decode(value)):
        producer.send(topic, msgspec.json.encode(alert), alert.key())
        # Dies here: the alert is on the topic or it is not; the next start sees which, and sends it if it is not.
        while not await asyncio.to_thread(producer.acknowledged, _LOOK_S):
            pass
        budgets.announce(alert)  # Dies here: the next start reads it from the topic.


def run(settings: Settings) -> None:
    """Run in the foreground until SIGTERM or SIGINT. Main thread only. SystemExit(1) after a fault, told on stderr."""
    kafka = settings.kafka
    known = patiently(lambda: read_to_end(kafka, kafka.alerts_topic), _say)
    budgets = Budgets(settings.alerts.budgets, (key for key, _ in known))
    with tempfile.TemporaryDirectory(prefix="tollstream-alert-") as scratch:
        app = _app(settings, budgets, DurableProducer(kafka), scratch)
        worker = faust.Worker(app, loglevel="ERROR", redirect_stdouts=False)
        worker.spinner = None
        try:
            worker.execute_from_commandline()
        except SystemExit as end:
            if end.code:
                raise


def _app(settings: Settings, budgets: Budgets, producer: DurableProducer, scratch: str) -> Any:
    """`scratch`: Faust makes directories for tables, which we have none of, and would make them where it is started."""
    kafka = settings.kafka
    session_s = kafka.session_timeout_ms / 1000
    app = faust.App(
        # A group that nobody had before: it starts at the beginning and need not wait for a killed member's session.
        f"{kafka.group}-alert-{secrets.token_hex(8)}",
        broker=f"kafka://{kafka.bootstrap.replace(',', ';')}",
        broker_session_timeout=session_s,
        broker_rebalance_timeout=session_s,  # the embedded broker lets a group begin after half of this
        broker_heartbeat_interval=session_s / 4,
        store="memory://",
        datadir=scratch,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        topic_allow_declare=False,  # the topics are made with the settings the protocol needs, elsewhere
        topic_disable_leader=True,  # else a topic of its own for every group
    )
    rated = app.topic(kafka.rated_topic, key_serializer="raw", value_serializer="raw", value_type=bytes)

    # Faust's own supervisor would note the failure, pass over the message and go on.
    @app.agent(rated, supervisor_strategy=CrashingSupervisor)
    async def watch(values: Any) -> None:
        async for value in values:
            await handle(value, budgets, producer, kafka.alerts_topic)

    return app


def _say(trouble: str) -> None:
    if trouble:
        print(trouble, file=sys.stderr)
